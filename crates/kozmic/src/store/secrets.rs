//! Secrets of projects and of single hooks, and what running jobs were given of them.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::any::AnyRow;

use super::{
    ClaimedJob, Columns as _, Result, Store, StoreError, Transaction, commit, failed, whole_rows,
};
use crate::model::{
    Action, BuildId, Event, HookId, Invalid, ProjectId, SecretName, SecretValue, Timestamp,
};

/// Secrets of one project, those of its hooks included.
const COUNT_LIMIT: i64 = 100;
/// Their bytes, sealed: each has some tens more than its value. All forms of all of them
/// are looked for in each byte that a job writes.
const BYTES_LIMIT: i64 = 128 << 10;

/// Whose jobs get a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretScope {
    pub project: ProjectId,
    /// None: of all the project's hooks.
    pub hook: Option<HookId>,
}

/// A secret as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    pub name: String,
    /// None: of all the project's hooks.
    pub hook: Option<HookId>,
    pub hook_title: Option<String>,
    pub updated_at: Timestamp,
    /// A login, or what else it came by.
    pub updated_by: String,
}

/// That a secret was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretChange {
    pub name: String,
    pub hook_title: Option<String>,
    /// added, changed, removed
    pub action: String,
    pub by: String,
    pub at: Timestamp,
}

/// What a job's scripts get, and what its log must hide.
#[derive(Debug, Clone, Default)]
pub struct GivenSecrets {
    /// By name.
    pub given: BTreeMap<String, SecretString>,
    /// Other values that its log must hide: what they have been changed to since.
    pub newer: Vec<SecretString>,
    /// How many there are that a pull request from a fork does not get.
    pub left_out: usize,
}

impl Secret {
    fn read(row: &AnyRow) -> Result<Self> {
        Ok(Self {
            name: row.text("name")?,
            hook: row.int_or_null("hook_id")?.map(HookId),
            hook_title: row.text_or_null("title")?,
            updated_at: Timestamp(row.int("updated_at")?),
            updated_by: row.text("updated_by")?,
        })
    }
}

impl SecretChange {
    fn read(row: &AnyRow) -> Result<Self> {
        Ok(Self {
            name: row.text("name")?,
            hook_title: row.text_or_null("hook_title")?,
            action: row.text("action")?,
            by: row.text("changed_by")?,
            at: Timestamp(row.int("changed_at")?),
        })
    }
}

impl Store {
    /// Jobs that start from now on get it. Tells whether there was none of this name.
    pub async fn secret_set(
        &self,
        scope: SecretScope,
        name: &SecretName,
        value: &SecretValue,
        by: &str,
        now: Timestamp,
    ) -> Result<bool> {
        let mut tx = self.begin().await?;
        self.lock_project(&mut tx, scope.project).await?;
        let hook_title = title_of(&mut tx, scope).await?;
        let known = find(&mut tx, scope, name.as_str()).await?;
        let is_new = known.is_none();
        let id = match known {
            Some(id) => id,
            None => insert(&mut tx, scope, name, now).await?,
        };
        sqlx::query(
            "UPDATE secrets SET value = $1, updated_at = $2, updated_by = $3 WHERE id = $4",
        )
        // The row's number is part of what is authenticated.
        .bind(self.seal.seal(&place(id), value.expose().as_bytes())?)
        .bind(now.0)
        .bind(by)
        .bind(id)
        .execute(&mut *tx)
        .await
        .map_err(failed("keep a secret"))?;
        within_limits(&mut tx, scope.project).await?;
        let hook = hook_title.clone();
        let event = Event::of(Action::SecretSet, "secret", Some(id), name.as_str());
        let event = event.in_project(scope.project).with("hook", hook).with("is_new", is_new);
        self.note(&mut tx, event).await?;
        let action = if is_new { "added" } else { "changed" };
        remember(&mut tx, scope.project, hook_title, name.as_str(), action, by, now).await?;
        commit(tx).await?;
        Ok(is_new)
    }

    /// Jobs that start from now on don't get it. Tells whether there was one.
    pub async fn secret_removed(
        &self,
        scope: SecretScope,
        name: &str,
        by: &str,
        now: Timestamp,
    ) -> Result<bool> {
        let mut tx = self.begin().await?;
        let hook_title = title_of(&mut tx, scope).await?;
        let Some(id) = find(&mut tx, scope, name).await? else { return Ok(false) };
        sqlx::query("DELETE FROM secrets WHERE id = $1")
            .bind(id)
            .execute(&mut *tx)
            .await
            .map_err(failed("remove a secret"))?;
        let event = Event::of(Action::SecretRemoved, "secret", Some(id), name);
        let event = event.in_project(scope.project).with("hook", hook_title.clone());
        self.note(&mut tx, event).await?;
        remember(&mut tx, scope.project, hook_title, name, "removed", by, now).await?;
        commit(tx).await?;
        Ok(true)
    }

    /// A project's secrets and those of its hooks, without their values; by name.
    pub async fn secrets(&self, project: ProjectId) -> Result<Vec<Secret>> {
        let rows = sqlx::query(
            "SELECT secrets.name, secrets.hook_id, secrets.updated_at, secrets.updated_by, hooks.title \
             FROM secrets LEFT JOIN hooks ON hooks.id = secrets.hook_id \
             WHERE secrets.project_id = $1 ORDER BY secrets.name, secrets.id",
        )
        .bind(project.0)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list a project's secrets"))?;
        rows.iter().map(Secret::read).collect()
    }

    /// The newest changes of a project's secrets, newest first.
    pub async fn secret_changes(
        &self,
        project: ProjectId,
        limit: i64,
    ) -> Result<Vec<SecretChange>> {
        let rows = whole_rows(
            "SELECT * FROM secret_changes WHERE project_id = $1 ORDER BY id DESC LIMIT $2",
        )
        .bind(project.0)
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list the changes of secrets"))?;
        rows.iter().map(SecretChange::read).collect()
    }

    /// What an attempt gets that is about to begin; kept with the job as long as it
    /// runs. Nothing when it is for a pull request from a fork.
    /// [`StoreError::Stale`] when the attempt does not hold the job any more.
    pub async fn secrets_given(&self, job: &ClaimedJob) -> Result<GivenSecrets> {
        let mut tx = self.begin().await?;
        let row = sqlx::query(
            "SELECT jobs.id FROM jobs JOIN builds ON builds.id = jobs.build_id \
             WHERE jobs.id = $1 AND jobs.attempt = $2 AND jobs.status = 'pending' \
             AND builds.approval <> 'awaited'",
        )
        .bind(job.id.0)
        .bind(job.attempt)
        .fetch_optional(&mut *tx)
        .await
        .map_err(failed("look for a job that begins"))?;
        if row.is_none() {
            return Err(StoreError::Stale);
        }
        let current = self.current(&mut tx, job).await?;
        if job.is_from_fork {
            return Ok(GivenSecrets { left_out: current.len(), ..GivenSecrets::default() });
        }
        sqlx::query("DELETE FROM job_secrets WHERE job_id = $1")
            .bind(job.id.0)
            .execute(&mut *tx)
            .await
            .map_err(failed("forget what an attempt was given"))?;
        if !current.is_empty() {
            let exposed = |(name, value): (&String, &SecretString)| {
                (name.clone(), serde_json::Value::from(value.expose_secret()))
            };
            let text: serde_json::Map<_, _> = current.iter().map(exposed).collect();
            let text = SecretString::from(serde_json::Value::Object(text).to_string());
            let place = given_place(job);
            sqlx::query("INSERT INTO job_secrets (job_id, value) VALUES ($1, $2)")
                .bind(job.id.0)
                .bind(self.seal.seal(&place, text.expose_secret().as_bytes())?)
                .execute(&mut *tx)
                .await
                .map_err(failed("keep what an attempt was given"))?;
        }
        commit(tx).await?;
        Ok(GivenSecrets { given: current, ..GivenSecrets::default() })
    }

    /// What a running job was given, and what that has become since.
    pub async fn secrets_of_running(&self, job: &ClaimedJob) -> Result<GivenSecrets> {
        if job.is_from_fork {
            return Ok(GivenSecrets::default());
        }
        let mut tx = self.begin().await?;
        let newer = self.current(&mut tx, job).await?.into_values().collect();
        let row = sqlx::query("SELECT value FROM job_secrets WHERE job_id = $1")
            .bind(job.id.0)
            .fetch_optional(&mut *tx)
            .await
            .map_err(failed("find what a job was given"))?;
        let sealed = row.map(|row| row.bytes_or_null("value")).transpose()?.flatten();
        let given = match self.open_sealed(&given_place(job), sealed)? {
            // What can't be read must not be told.
            Some(text) => serde_json::from_str::<BTreeMap<String, String>>(text.expose_secret())
                .map_err(|_| Invalid::new("what a job was given is no JSON of ours"))?
                .into_iter()
                .map(|(name, value)| (name, SecretString::from(value)))
                .collect(),
            None => BTreeMap::new(),
        };
        Ok(GivenSecrets { given, newer, left_out: 0 })
    }

    /// The job's secrets of now; its hook's go before the project's.
    async fn current(
        &self,
        tx: &mut Transaction,
        job: &ClaimedJob,
    ) -> Result<BTreeMap<String, SecretString>> {
        let rows = sqlx::query(
            "SELECT secrets.id, secrets.name, secrets.value, secrets.hook_id FROM secrets \
             WHERE secrets.project_id = $1 AND (secrets.hook_id IS NULL OR secrets.hook_id = \
             (SELECT hook_calls.hook_id FROM hook_calls JOIN jobs ON jobs.hook_call_id = hook_calls.id \
             WHERE jobs.id = $2))",
        )
        .bind(job.project.id.0)
        .bind(job.id.0)
        .fetch_all(&mut **tx)
        .await
        .map_err(failed("find a job's secrets"))?;
        let mut current = BTreeMap::new();
        for of_hook in [false, true] {
            for row in &rows {
                if row.int_or_null("hook_id")?.is_some() == of_hook {
                    let sealed = row.bytes_or_null("value")?;
                    let value = self.open_sealed(&place(row.int("id")?), sealed)?;
                    current.insert(row.text("name")?, value.unwrap_or_default());
                }
            }
        }
        Ok(current)
    }
}

/// Jobs of this build that do not run any more need nothing hidden.
pub(super) async fn forget_given(tx: &mut Transaction, build: BuildId) -> Result<()> {
    sqlx::query(
        "DELETE FROM job_secrets WHERE job_id IN \
         (SELECT id FROM jobs WHERE build_id = $1 AND status <> 'pending')",
    )
    .bind(build.0)
    .execute(&mut **tx)
    .await
    .map_err(failed("forget what a job was given"))?;
    Ok(())
}

fn place(id: i64) -> String {
    format!("secrets:{id}:value")
}

/// A job has one row, so its number names it.
fn given_place(job: &ClaimedJob) -> String {
    format!("job_secrets:{}:value", job.id)
}

/// Of the scope's hook, which must be one of the project's.
async fn title_of(tx: &mut Transaction, scope: SecretScope) -> Result<Option<String>> {
    let Some(hook) = scope.hook else { return Ok(None) };
    let row = sqlx::query("SELECT title FROM hooks WHERE id = $1 AND project_id = $2")
        .bind(hook.0)
        .bind(scope.project.0)
        .fetch_optional(&mut **tx)
        .await
        .map_err(failed("find a secret's hook"))?
        .ok_or_else(|| StoreError::Refused("the hook is not there any more".into()))?;
    row.text("title").map(Some)
}

async fn find(tx: &mut Transaction, scope: SecretScope, name: &str) -> Result<Option<i64>> {
    let row = sqlx::query(
        "SELECT id FROM secrets WHERE project_id = $1 AND name = $2 AND COALESCE(hook_id, 0) = $3",
    )
    .bind(scope.project.0)
    .bind(name)
    .bind(scope.hook.map_or(0, |hook| hook.0))
    .fetch_optional(&mut **tx)
    .await
    .map_err(failed("find a secret"))?;
    row.map(|row| row.int("id")).transpose()
}

async fn insert(
    tx: &mut Transaction,
    scope: SecretScope,
    name: &SecretName,
    now: Timestamp,
) -> Result<i64> {
    let row = sqlx::query(
        "INSERT INTO secrets (project_id, hook_id, name, value, updated_at) \
         VALUES ($1, $2, $3, $4, $5) RETURNING id",
    )
    .bind(scope.project.0)
    .bind(scope.hook.map(|hook| hook.0))
    .bind(name.as_str())
    .bind(Vec::<u8>::new())
    .bind(now.0)
    .fetch_one(&mut **tx)
    .await
    .map_err(failed("add a secret"))?;
    row.int("id")
}

/// Refused when the project now has too many of them, or too large ones.
async fn within_limits(tx: &mut Transaction, project: ProjectId) -> Result<()> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS count, CAST(COALESCE(SUM(LENGTH(value)), 0) AS BIGINT) AS bytes \
         FROM secrets WHERE project_id = $1",
    )
    .bind(project.0)
    .fetch_one(&mut **tx)
    .await
    .map_err(failed("count a project's secrets"))?;
    if row.int("count")? > COUNT_LIMIT {
        return Err(StoreError::Refused(format!(
            "the project has {COUNT_LIMIT} secrets already, and can't have more"
        )));
    }
    if row.int("bytes")? > BYTES_LIMIT {
        return Err(StoreError::Refused(format!(
            "the secrets of the project would have more than {} KiB together",
            BYTES_LIMIT >> 10
        )));
    }
    Ok(())
}

async fn remember(
    tx: &mut Transaction,
    project: ProjectId,
    hook_title: Option<String>,
    name: &str,
    action: &str,
    by: &str,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO secret_changes (project_id, hook_title, name, action, changed_by, changed_at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(project.0)
    .bind(hook_title)
    .bind(name)
    .bind(action)
    .bind(by)
    .bind(now.0)
    .execute(&mut **tx)
    .await
    .map_err(failed("keep a secret's change"))?;
    Ok(())
}
