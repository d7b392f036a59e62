//! Projects.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sqlx::any::AnyRow;

use super::{
    Columns as _, Result, Store, StoreError, approvals, commit, failed, outbox, read_json, to_json,
    whole_rows,
};
use crate::model::{
    Action, AtOnce, Bound, Event, ForkPolicy, FullName, LogRetention, ProjectId, RemoteRepository,
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
    /// Refused when the options are others by now; none: whatever they are.
    pub only_if: Option<ProjectOptions>,
}

impl ProjectChange {
    /// For the audit log: of variables only the names.
    fn told(&self) -> Map<String, Value> {
        let all = [
            ("cancels_superseded", self.cancels_superseded.map(Value::from)),
            ("is_visible_to_all", self.is_visible_to_all.map(Value::from)),
            ("forks", self.forks.map(|forks| forks.as_str().into())),
            ("keep_logs_days", self.keep_logs_days.map(|Bound(days)| days.into())),
            ("keep_logs_bytes", self.keep_logs_bytes.map(|Bound(bytes)| bytes.into())),
            ("jobs_at_once", self.jobs_at_once.map(|AtOnce(limit)| limit.into())),
            ("distrusted", listed(&self.distrust)),
            ("variables_set", listed(self.env.keys())),
            ("variables_unset", listed(&self.unset_env)),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

/// None when there are none.
fn listed<'a>(names: impl IntoIterator<Item = &'a String>) -> Option<Value> {
    let names: Vec<Value> = names.into_iter().map(|name| name.as_str().into()).collect();
    (!names.is_empty()).then_some(Value::Array(names))
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
        let mut tx = self.begin().await?;
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
        .fetch_optional(&mut *tx)
        .await
        .map_err(failed("add a project"))?
        .ok_or_else(|| {
            StoreError::Refused(format!("{} is a project already", repository.full_name))
        })?;
        let id = ProjectId(row.int("id")?);
        let event = of_project(Action::ProjectAdded, id, &repository.full_name);
        self.note(&mut tx, event.with("is_public", repository.is_public)).await?;
        commit(tx).await?;
        Ok(id)
    }

    /// Takes back a project that never worked; its deploy key goes with it.
    pub async fn project_abandoned(&self, project: ProjectId) -> Result<()> {
        let mut tx = self.begin().await?;
        self.note(&mut tx, of_project(Action::ProjectAbandoned, project, "")).await?;
        sqlx::query("DELETE FROM projects WHERE id = $1")
            .bind(project.0)
            .execute(&mut *tx)
            .await
            .map_err(failed("take back a project"))?;
        commit(tx).await
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
        let event = of_project(Action::ProjectChanged, project, &repository.full_name);
        self.note(&mut tx, event.with("is_public", repository.is_public)).await?;
        commit(tx).await?;
        self.wakes.outbox.notify_one();
        Ok(())
    }

    /// The project that GitHub's repository of this id was turned into.
    pub async fn project_of_repository(&self, gh_id: i64) -> Result<Option<Project>> {
        let row = whole_rows("SELECT * FROM projects WHERE gh_id = $1")
            .bind(gh_id)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("find a project"))?;
        row.as_ref().map(Project::read).transpose()
    }

    pub async fn has_projects(&self) -> Result<bool> {
        let query = sqlx::query("SELECT id FROM projects LIMIT 1");
        let found = query.fetch_optional(&self.pool).await;
        Ok(found.map_err(failed("find a project"))?.is_some())
    }

    pub async fn project(&self, id: ProjectId) -> Result<Option<Project>> {
        let row = whole_rows("SELECT * FROM projects WHERE id = $1")
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
        if change.only_if.as_ref().is_some_and(|seen| *seen != options) {
            return Err(StoreError::Changed("project's options"));
        }
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
        let mut event = of_project(Action::ProjectOptions, project, "");
        event.details = change.told();
        self.note(&mut tx, event).await?;
        commit(tx).await?;
        // Its limit may let more run now.
        self.wakes.jobs.notify_one();
        Ok(())
    }

    pub async fn project_by_name(&self, name: &FullName) -> Result<Option<Project>> {
        // GitHub's names differ by more than case; people type them in any.
        let row = whole_rows(
            "SELECT * FROM projects WHERE LOWER(gh_full_name) = $1 ORDER BY id DESC LIMIT 1",
        )
        .bind(name.to_string().to_lowercase())
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("find a project"))?;
        row.as_ref().map(Project::read).transpose()
    }
}

/// The name is the project's own; a row of the log has it anyhow.
pub(super) fn of_project(
    action: Action,
    project: ProjectId,
    name: impl std::fmt::Display,
) -> Event {
    Event::of(action, "project", Some(project.0), name).in_project(project)
}
