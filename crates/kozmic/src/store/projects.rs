//! Projects.

use std::collections::BTreeMap;

use sqlx::any::AnyRow;

use super::{
    Columns as _, Result, Store, StoreError, approvals, commit, failed, outbox, read_json, to_json,
};
use crate::model::{
    AtOnce, Bound, BuildStatus, ForkPolicy, FullName, LogRetention, ProjectId, RemoteRepository,
    Timestamp, UserId,
};

#[derive(Debug, Clone)]
pub struct Project {
    pub id: ProjectId,
    pub owner: UserId,
    pub repository: RemoteRepository,
    /// Anyone may see its builds and logs.
    pub is_visible_to_all: bool,
    /// At GitHub, where nothing of it can be changed.
    pub is_archived: bool,
}

/// What people have set for a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectOptions {
    /// A newer push to a ref cancels the older builds of it.
    pub cancels_superseded: bool,
    /// Anyone may see its builds and logs.
    pub is_visible_to_all: bool,
    pub forks: ForkPolicy,
    pub keep_logs: LogRetention,
    /// Plain variables of all hooks' scripts; a hook's own go before them.
    pub env: BTreeMap<String, String>,
    pub jobs_at_once: AtOnce,
}

/// What is to be another in a project's options; the rest stays.
#[derive(Debug, Clone, Default)]
pub struct ProjectChange {
    pub cancels_superseded: Option<bool>,
    pub is_visible_to_all: Option<bool>,
    pub forks: Option<ForkPolicy>,
    pub keep_logs_days: Option<Bound>,
    pub keep_logs_bytes: Option<Bound>,
    /// Logins of authors who are not trusted any more.
    pub distrust: Vec<String>,
    pub jobs_at_once: Option<AtOnce>,
    pub env: BTreeMap<String, String>,
    pub unset_env: Vec<String>,
}

/// Which projects a list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    All,
    /// Those that the user owns or is a member of.
    Of(UserId),
    /// Those that anyone may see.
    VisibleToAll,
}

/// A project as lists show it.
#[derive(Debug, Clone)]
pub struct ProjectSummary {
    pub id: ProjectId,
    pub full_name: String,
    /// Status and creation of its latest build.
    pub latest: Option<(BuildStatus, Timestamp)>,
}

impl Project {
    pub(super) fn read(row: &AnyRow) -> Result<Self> {
        Ok(Self {
            id: ProjectId(row.int("id")?),
            owner: UserId(row.int("owner_id")?),
            repository: RemoteRepository {
                gh_id: row.int("gh_id")?,
                full_name: row.text("gh_full_name")?.parse()?,
                ssh_clone_url: row.text("gh_ssh_clone_url")?,
                https_clone_url: row.text("gh_https_clone_url")?,
                default_branch: row.text("gh_default_branch")?,
                is_public: row.flag("is_public")?,
            },
            is_visible_to_all: row.flag("is_visible_to_all")?,
            is_archived: row.flag("is_archived")?,
        })
    }
}

const OPTIONS: &str = "SELECT cancels_superseded, is_visible_to_all, fork_policy, \
                       keep_logs_days, keep_logs_bytes, env, jobs_at_once FROM projects WHERE id = $1";

impl ProjectOptions {
    fn read(row: &AnyRow) -> Result<Self> {
        Ok(Self {
            cancels_superseded: row.flag("cancels_superseded")?,
            is_visible_to_all: row.flag("is_visible_to_all")?,
            forks: row.text("fork_policy")?.parse()?,
            keep_logs: LogRetention {
                days: row.int_or_null("keep_logs_days")?,
                bytes: row.int_or_null("keep_logs_bytes")?,
            },
            env: read_json(row, "env")?,
            jobs_at_once: AtOnce(row.int_or_null("jobs_at_once")?),
        })
    }
}

impl Store {
    /// Turns a repository into a project; refused when it already is one.
    pub async fn project_added(
        &self,
        repository: &RemoteRepository,
        owner: UserId,
        now: Timestamp,
    ) -> Result<ProjectId> {
        let row = sqlx::query(
            "INSERT INTO projects (owner_id, gh_id, gh_login, gh_name, gh_full_name, gh_ssh_clone_url, \
             gh_https_clone_url, gh_default_branch, is_public, cancels_superseded, created_at, synchronized_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, $10) \
             ON CONFLICT (gh_id) DO NOTHING RETURNING id",
        )
        .bind(owner.0)
        .bind(repository.gh_id)
        .bind(repository.full_name.owner())
        .bind(repository.full_name.name())
        .bind(repository.full_name.to_string())
        .bind(&repository.ssh_clone_url)
        .bind(&repository.https_clone_url)
        .bind(&repository.default_branch)
        .bind(i64::from(repository.is_public))
        .bind(now.0)
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("add a project"))?;
        match row {
            Some(row) => Ok(ProjectId(row.int("id")?)),
            None => {
                Err(StoreError::Refused(format!("{} is a project already", repository.full_name)))
            }
        }
    }

    /// Takes back a project that never worked; its deploy key goes with it.
    pub async fn project_abandoned(&self, project: ProjectId) -> Result<()> {
        sqlx::query("DELETE FROM projects WHERE id = $1")
            .bind(project.0)
            .execute(&self.pool)
            .await
            .map_err(failed("take back a project"))?;
        Ok(())
    }

    /// GitHub says something else of a project's repository than before.
    pub async fn repository_changed(
        &self,
        project: ProjectId,
        repository: &RemoteRepository,
        now: Timestamp,
    ) -> Result<()> {
        let name = repository.full_name.to_string();
        let mut tx = self.begin().await?;
        outbox::name_changed(&mut tx, project, &name, now).await?;
        sqlx::query(
            "UPDATE projects SET gh_login = $1, gh_name = $2, gh_full_name = $3, gh_ssh_clone_url = $4, \
             gh_https_clone_url = $5, gh_default_branch = $6, is_public = $7 WHERE id = $8",
        )
        .bind(repository.full_name.owner())
        .bind(repository.full_name.name())
        .bind(name)
        .bind(&repository.ssh_clone_url)
        .bind(&repository.https_clone_url)
        .bind(&repository.default_branch)
        .bind(i64::from(repository.is_public))
        .bind(project.0)
        .execute(&mut *tx)
        .await
        .map_err(failed("change a project"))?;
        commit(tx).await?;
        self.wakes.outbox.notify_one();
        Ok(())
    }

    /// The project that GitHub's repository of this id was turned into.
    pub async fn project_of_repository(&self, gh_id: i64) -> Result<Option<Project>> {
        let row = sqlx::query("SELECT * FROM projects WHERE gh_id = $1")
            .bind(gh_id)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("find a project"))?;
        row.as_ref().map(Project::read).transpose()
    }

    pub async fn project(&self, id: ProjectId) -> Result<Option<Project>> {
        let row = sqlx::query("SELECT * FROM projects WHERE id = $1")
            .bind(id.0)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("find a project"))?;
        row.as_ref().map(Project::read).transpose()
    }

    pub async fn project_options(&self, project: ProjectId) -> Result<ProjectOptions> {
        let row = sqlx::query(OPTIONS)
            .bind(project.0)
            .fetch_one(&self.pool)
            .await
            .map_err(failed("read a project's options"))?;
        ProjectOptions::read(&row)
    }

    /// All of a change or nothing; refused when a variable to be unset is not set, or an
    /// author to be distrusted not trusted.
    /// Jobs that exist keep what they were made with.
    pub async fn project_options_changed(
        &self,
        project: ProjectId,
        change: &ProjectChange,
        now: Timestamp,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        self.lock_project(&mut tx, project).await?;
        let row = sqlx::query(OPTIONS)
            .bind(project.0)
            .fetch_one(&mut *tx)
            .await
            .map_err(failed("read a project's options"))?;
        let mut options = ProjectOptions::read(&row)?;
        for name in &change.unset_env {
            if options.env.remove(name).is_none() {
                return Err(StoreError::Refused(format!("the project has no variable {name}")));
            }
        }
        for login in &change.distrust {
            approvals::distrust(&mut tx, project, login, now).await?;
        }
        options.env.extend(change.env.clone());
        let cancels_superseded = change.cancels_superseded.unwrap_or(options.cancels_superseded);
        let is_visible_to_all = change.is_visible_to_all.unwrap_or(options.is_visible_to_all);
        sqlx::query(
            "UPDATE projects SET cancels_superseded = $1, is_visible_to_all = $2, fork_policy = $3, \
             env = $4, keep_logs_days = $5, keep_logs_bytes = $6, jobs_at_once = $7 WHERE id = $8",
        )
        .bind(i64::from(cancels_superseded))
        .bind(i64::from(is_visible_to_all))
        .bind(change.forks.unwrap_or(options.forks).as_str())
        .bind(to_json(&options.env, "env")?)
        .bind(change.keep_logs_days.map_or(options.keep_logs.days, |Bound(days)| days))
        .bind(change.keep_logs_bytes.map_or(options.keep_logs.bytes, |Bound(bytes)| bytes))
        .bind(change.jobs_at_once.unwrap_or(options.jobs_at_once).0)
        .bind(project.0)
        .execute(&mut *tx)
        .await
        .map_err(failed("change a project"))?;
        commit(tx).await?;
        // Its limit may let more run now.
        self.wakes.jobs.notify_one();
        Ok(())
    }

    pub async fn project_by_name(&self, name: &FullName) -> Result<Option<Project>> {
        // GitHub's names differ by more than case; people type them in any.
        let row = sqlx::query(
            "SELECT * FROM projects WHERE LOWER(gh_full_name) = $1 ORDER BY id DESC LIMIT 1",
        )
        .bind(name.to_string().to_lowercase())
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("find a project"))?;
        row.as_ref().map(Project::read).transpose()
    }

    /// Projects with their latest build, newest build first, those that were never
    /// built at the end.
    pub async fn projects_with_latest_builds(&self, of: Listed) -> Result<Vec<ProjectSummary>> {
        // No user has the number 0.
        let user = if let Listed::Of(user) = of { user.0 } else { 0 };
        let rows = sqlx::query(
            "SELECT projects.id, projects.gh_full_name, builds.status, builds.created_at AS built_at \
             FROM projects LEFT JOIN builds ON builds.id = \
             (SELECT MAX(latest.id) FROM builds AS latest WHERE latest.project_id = projects.id) \
             WHERE $1 = 1 OR ($2 = 1 AND is_visible_to_all = 1) OR owner_id = $3 \
             OR projects.id IN (SELECT project_id FROM memberships WHERE user_id = $3) \
             ORDER BY COALESCE(builds.created_at, 0) DESC, projects.gh_full_name",
        )
        .bind(i64::from(of == Listed::All))
        .bind(i64::from(of == Listed::VisibleToAll))
        .bind(user)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list the projects"))?;
        rows.iter()
            .map(|row| {
                let status =
                    row.text_or_null("status")?.map(|status| status.parse()).transpose()?;
                let built_at = row.int_or_null("built_at")?.map(Timestamp);
                Ok(ProjectSummary {
                    id: ProjectId(row.int("id")?),
                    full_name: row.text("gh_full_name")?,
                    latest: status.zip(built_at),
                })
            })
            .collect()
    }
}
