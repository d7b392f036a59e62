//! Hooks, their tracked files and secrets.

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::hook_changes::remember;
use super::hook_order::{self, HookPlan};
use super::{
    Columns as _, Project, Result, Store, StoreError, Transaction, commit, failed, schedules,
    to_json, whole_rows,
};
use crate::model::{Action, Event, ForkPolicy, HookId, HookSpec, ProjectId, Script, Timestamp};

#[derive(Debug, Clone)]
pub struct Hook {
    pub id: HookId,
    pub project: ProjectId,
    /// Of the webhook at GitHub, once it is made.
    pub gh_id: Option<i64>,
    pub spec: HookSpec,
    /// Signs the webhook's deliveries.
    pub secret: SecretString,
}

/// What the webhook of a hook delivers for.
#[derive(Debug, Clone)]
pub struct Destination {
    pub hook: HookId,
    /// The webhook's id at GitHub, once it is known.
    pub gh_id: Option<i64>,
    pub secret: SecretString,
    pub project: Project,
    pub forks: ForkPolicy,
}

impl Store {
    /// A new hook, not yet active: it takes part in builds once
    /// [`Store::hook_connected`] has said that GitHub calls it. Refused when the project
    /// has one of its title, or when it does not fit with the others.
    pub async fn hook_added(
        &self,
        project: ProjectId,
        spec: &HookSpec,
        secret: &SecretString,
        by: &str,
        now: Timestamp,
    ) -> Result<HookId> {
        let mut tx = self.begin().await?;
        self.lock_project(&mut tx, project).await?;
        let row = sqlx::query(
            "INSERT INTO hooks (project_id, title, docker_image, install_script, build_script, options, \
             secret, is_active, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8) \
             ON CONFLICT (project_id, title) DO NOTHING RETURNING id",
        )
        .bind(project.0)
        .bind(&spec.title)
        .bind(spec.image.as_str())
        .bind(spec.install_script.as_ref().map(Script::as_str))
        .bind(spec.build_script.as_str())
        .bind(to_json(&spec.options, "options")?)
        .bind(Vec::<u8>::new())
        .bind(now.0)
        .fetch_optional(&mut *tx)
        .await
        .map_err(failed("add a hook"))?
        .ok_or_else(|| hook_order::title_taken(&spec.title))?;
        let id = HookId(row.int("id")?);
        // It stands among them by now; refused, it is gone with the transaction.
        hook_order::fit(&mut tx, project, HookPlan::Edit(id, spec)).await?;
        // The row's number is part of what is authenticated, so it comes first.
        let sealed = self.seal.seal(&secret_place(id), secret.expose_secret().as_bytes())?;
        sqlx::query("UPDATE hooks SET secret = $1 WHERE id = $2")
            .bind(sealed)
            .bind(id.0)
            .execute(&mut *tx)
            .await
            .map_err(failed("seal a hook's secret"))?;
        track(&mut tx, id, spec).await?;
        schedules::set(&mut tx, id, spec, now).await?;
        remember(&mut tx, project, id, spec, "added", by, now).await?;
        self.note(&mut tx, of_hook(Action::HookAdded, project, id, &spec.title)).await?;
        commit(tx).await?;
        Ok(id)
    }

    /// GitHub has made the webhook: from now on the hook is part of builds.
    pub async fn hook_connected(&self, hook: HookId, gh_id: i64) -> Result<()> {
        let mut tx = self.begin().await?;
        let connect =
            "UPDATE hooks SET gh_id = $1, is_active = 1 WHERE id = $2 RETURNING project_id, title";
        let row = sqlx::query(connect)
            .bind(gh_id)
            .bind(hook.0)
            .fetch_optional(&mut *tx)
            .await
            .map_err(failed("activate a hook"))?;
        if let Some(row) = row {
            let project = ProjectId(row.int("project_id")?);
            let event = of_hook(Action::HookConnected, project, hook, &row.text("title")?);
            self.note(&mut tx, event.with("github", gh_id)).await?;
        }
        commit(tx).await?;
        self.wakes.schedules.notify_one();
        Ok(())
    }

    /// Takes back a hook for which GitHub made no webhook.
    pub async fn hook_abandoned(&self, hook: HookId) -> Result<()> {
        let mut tx = self.begin().await?;
        let abandon =
            "DELETE FROM hooks WHERE id = $1 AND is_active = 0 RETURNING project_id, title";
        let row = sqlx::query(abandon)
            .bind(hook.0)
            .fetch_optional(&mut *tx)
            .await
            .map_err(failed("take back a hook"))?;
        if let Some(row) = row {
            let project = ProjectId(row.int("project_id")?);
            self.note(&mut tx, of_hook(Action::HookAbandoned, project, hook, &row.text("title")?))
                .await?;
        }
        commit(tx).await
    }

    /// Jobs that exist keep what they were made with. Hooks that wait for this one follow
    /// it to a new title. Refused when the hook is not as `hook` has it any more.
    pub async fn hook_edited(
        &self,
        hook: &Hook,
        spec: &HookSpec,
        by: &str,
        now: Timestamp,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        self.lock_project(&mut tx, hook.project).await?;
        let found = row_of(&mut tx, hook.id).await?;
        let found =
            found.map(|(row, tracked)| hook_order::read_spec(&row, &tracked)).transpose()?;
        if found.as_ref() != Some(&hook.spec) {
            return Err(StoreError::Changed("hook"));
        }
        hook_order::fit(&mut tx, hook.project, HookPlan::Edit(hook.id, spec)).await?;
        if spec.title != hook.spec.title {
            let titles = (hook.spec.title.as_str(), spec.title.as_str());
            hook_order::retitled(&mut tx, hook.project, titles, by, now).await?;
        }
        sqlx::query(
            "UPDATE hooks SET title = $1, docker_image = $2, install_script = $3, build_script = $4, \
             options = $5 WHERE id = $6",
        )
        .bind(&spec.title)
        .bind(spec.image.as_str())
        .bind(spec.install_script.as_ref().map(Script::as_str))
        .bind(spec.build_script.as_str())
        .bind(to_json(&spec.options, "options")?)
        .bind(hook.id.0)
        .execute(&mut *tx)
        .await
        .map_err(failed("edit a hook"))?;
        track(&mut tx, hook.id, spec).await?;
        schedules::set(&mut tx, hook.id, spec, now).await?;
        remember(&mut tx, hook.project, hook.id, spec, "edited", by, now).await?;
        let event = of_hook(Action::HookEdited, hook.project, hook.id, &spec.title);
        let before = Some(&hook.spec.title).filter(|before| **before != spec.title);
        self.note(&mut tx, event.with("title_before", before.cloned())).await?;
        commit(tx).await?;
        self.wakes.schedules.notify_one();
        Ok(())
    }

    /// Refused when another hook waits for it. Its calls stay, and with them the builds; so does the history of its changes.
    pub async fn hook_deleted(&self, hook: &Hook, by: &str, now: Timestamp) -> Result<()> {
        let mut tx = self.begin().await?;
        self.lock_project(&mut tx, hook.project).await?;
        hook_order::fit(&mut tx, hook.project, HookPlan::Delete(hook.id)).await?;
        remember(&mut tx, hook.project, hook.id, &hook.spec, "deleted", by, now).await?;
        self.note(&mut tx, of_hook(Action::HookDeleted, hook.project, hook.id, &hook.spec.title))
            .await?;
        sqlx::query("DELETE FROM hooks WHERE id = $1")
            .bind(hook.id.0)
            .execute(&mut *tx)
            .await
            .map_err(failed("delete a hook"))?;
        commit(tx).await?;
        // Its cache folders are nobody's now.
        self.wakes.leavings.notify_one();
        Ok(())
    }

    pub async fn hook(&self, id: HookId) -> Result<Option<Hook>> {
        let mut connection = self.pool.acquire().await.map_err(failed("find a hook"))?;
        let found = row_of(&mut connection, id).await?;
        found.map(|(row, tracked)| self.read_hook(&row, &tracked)).transpose()
    }

    /// What a delivery to a hook's address is for. Asked with each one, so it is one query, whose
    /// plan is kept.
    pub async fn destination(&self, id: HookId) -> Result<Option<Destination>> {
        let row = sqlx::query(
            "SELECT hooks.gh_id AS hook_gh_id, hooks.secret, projects.id, projects.owner_id, \
             projects.gh_id, projects.gh_full_name, projects.gh_ssh_clone_url, \
             projects.gh_https_clone_url, projects.gh_default_branch, projects.is_public, \
             projects.is_visible_to_all, projects.is_archived, projects.fork_policy \
             FROM hooks JOIN projects ON projects.id = hooks.project_id WHERE hooks.id = $1",
        )
        .bind(id.0)
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("find a hook"))?;
        let Some(row) = row else { return Ok(None) };
        let secret = self.open_sealed(&secret_place(id), row.bytes_or_null("secret")?)?;
        Ok(Some(Destination {
            hook: id,
            gh_id: row.int_or_null("hook_gh_id")?,
            secret: secret.unwrap_or_default(),
            project: Project::read(&row)?,
            forks: row.text("fork_policy")?.parse()?,
        }))
    }

    /// A project's hooks, oldest first, also those that are not active yet.
    pub async fn hooks(&self, project: ProjectId) -> Result<Vec<Hook>> {
        let rows = whole_rows("SELECT * FROM hooks WHERE project_id = $1 ORDER BY id")
            .bind(project.0)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list the hooks"))?;
        let mut hooks = Vec::with_capacity(rows.len());
        for row in &rows {
            let tracked = tracked_paths(&self.pool, HookId(row.int("id")?)).await?;
            hooks.push(self.read_hook(row, &tracked)?);
        }
        Ok(hooks)
    }

    fn read_hook(&self, row: &AnyRow, tracked: &[String]) -> Result<Hook> {
        let id = HookId(row.int("id")?);
        let secret = self.open_sealed(&secret_place(id), row.bytes_or_null("secret")?)?;
        Ok(Hook {
            id,
            project: ProjectId(row.int("project_id")?),
            gh_id: row.int_or_null("gh_id")?,
            spec: hook_order::read_spec(row, tracked)?,
            secret: secret.unwrap_or_default(),
        })
    }
}

fn secret_place(hook: HookId) -> String {
    format!("hooks:{hook}:secret")
}

/// A hook's row and its tracked paths; none: it is gone.
async fn row_of(
    connection: &mut AnyConnection,
    hook: HookId,
) -> Result<Option<(AnyRow, Vec<String>)>> {
    let row = whole_rows("SELECT * FROM hooks WHERE id = $1")
        .bind(hook.0)
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed("find a hook"))?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some((row, tracked_paths(connection, hook).await?)))
}

/// A hook's tracked paths, sorted.
pub(super) async fn tracked_paths<'e>(
    executor: impl sqlx::Executor<'e, Database = sqlx::Any>,
    hook: HookId,
) -> Result<Vec<String>> {
    let rows = sqlx::query("SELECT path FROM tracked_files WHERE hook_id = $1 ORDER BY path")
        .bind(hook.0)
        .fetch_all(executor)
        .await
        .map_err(failed("list tracked files"))?;
    rows.iter().map(|row| row.text("path")).collect()
}

async fn track(tx: &mut Transaction, hook: HookId, spec: &HookSpec) -> Result<()> {
    sqlx::query("DELETE FROM tracked_files WHERE hook_id = $1")
        .bind(hook.0)
        .execute(&mut **tx)
        .await
        .map_err(failed("forget tracked files"))?;
    for path in &spec.tracked {
        sqlx::query(
            "INSERT INTO tracked_files (hook_id, path) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        )
        .bind(hook.0)
        .bind(path.as_str())
        .execute(&mut **tx)
        .await
        .map_err(failed("keep a tracked file"))?;
    }
    Ok(())
}

fn of_hook(action: Action, project: ProjectId, hook: HookId, title: &str) -> Event {
    Event::of(action, "hook", Some(hook.0), title).in_project(project)
}
