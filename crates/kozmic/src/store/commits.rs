//! A commit on a ref becomes a build, once, however it became known: build, hook calls,
//! jobs and first statuses.

use std::collections::{HashMap, HashSet};

use sqlx::AssertSqlSafe;

use super::builds::{self, NewBuild};
use super::deliveries::{Delivery, Recorded};
use super::dialect::Dialect;
use super::jobs::NewJob;
use super::{
    Columns as _, Result, StoreError, Transaction, approvals, failed, hooks, new_builds, order,
    outbox, phases, read_options,
};
use crate::model::{BuildId, HookId, JobEnd, ProjectId, Timestamp};

/// Where the commit became known.
pub(super) struct Came<'a> {
    pub(super) project: ProjectId,
    pub(super) build: &'a NewBuild,
    /// None when reconciliation found it.
    pub(super) delivery: Option<&'a Delivery>,
    pub(super) dialect: Dialect,
    pub(super) now: Timestamp,
}

impl Came<'_> {
    /// The first time makes the build and the jobs of *all* active hooks that want it;
    /// later ones find them. Call it with the project locked.
    pub(super) async fn take(self, tx: &mut Transaction) -> Result<Recorded> {
        let mut recorded = take_all(tx, &[self]).await?;
        recorded.pop().ok_or_else(not_taken)
    }

    fn key(&self) -> (i64, String, String) {
        let NewBuild { git_ref, commit, .. } = self.build;
        (self.project.0, git_ref.as_full().to_owned(), commit.sha.as_str().to_owned())
    }

    async fn attach(&self, tx: &mut Transaction, id: BuildId, number: i64) -> Result<Recorded> {
        // A push may have made the build before its pull request was opened.
        builds::belongs_to_pull_request(tx, id, self.build).await?;
        let joined = self.join(tx, id).await?;
        if joined > 0 {
            sqlx::query(self.dialect.lock_build())
                .bind(id.0)
                .execute(&mut **tx)
                .await
                .map_err(failed("lock a build"))?;
            order::settle(tx, id, self.now).await?;
            builds::recompute(tx, id).await?;
            outbox::build_changed(tx, id, self.now).await?;
            return Ok(Recorded::Joined { build: id, number, jobs: joined });
        }
        let Some(delivery) = self.delivery else {
            return Ok(Recorded::Attached { build: id, number });
        };
        let call = sqlx::query(
            "UPDATE hook_calls SET gh_payload = COALESCE(gh_payload, $1) WHERE build_id = $2 AND hook_id = $3",
        )
        .bind(&*delivery.payload)
        .bind(id.0)
        .bind(delivery.hook.0)
        .execute(&mut **tx)
        .await
        .map_err(failed("attach a payload"))?;
        if call.rows_affected() > 0 {
            return Ok(Recorded::Attached { build: id, number });
        }
        let row =
            sqlx::query("SELECT reason FROM hooks_not_run WHERE build_id = $1 AND hook_id = $2")
                .bind(id.0)
                .bind(delivery.hook.0)
                .fetch_optional(&mut **tx)
                .await
                .map_err(failed("find why a hook does not run"))?;
        Ok(match row {
            Some(row) => Recorded::NotRun { number, reason: row.text("reason")? },
            None => Recorded::BeforeHook { number },
        })
    }

    /// Jobs of hooks that did not want what made the build, but want this: a pull request
    /// of a branch that was pushed before.
    async fn join(&self, tx: &mut Transaction, id: BuildId) -> Result<usize> {
        let rows = sqlx::query(
            "SELECT hooks.id, hooks.title AS hook_title, docker_image, install_script, build_script, options, \
             projects.env AS project_env FROM hooks_not_run \
             JOIN hooks ON hooks.id = hooks_not_run.hook_id \
             JOIN projects ON projects.id = hooks.project_id \
             WHERE hooks_not_run.build_id = $1 ORDER BY hooks.id",
        )
        .bind(id.0)
        .fetch_all(&mut **tx)
        .await
        .map_err(failed("list the hooks that don't run"))?;
        let mut joined = 0;
        for hook in &rows {
            if read_options(hook)?.wanted.why_not(&self.build.change).is_some() {
                continue;
            }
            self.call(tx, id, hook).await?;
            sqlx::query("DELETE FROM hooks_not_run WHERE build_id = $1 AND hook_id = $2")
                .bind(id.0)
                .bind(hook.int("id")?)
                .execute(&mut **tx)
                .await
                .map_err(failed("let a hook run after all"))?;
            joined += 1;
        }
        Ok(joined)
    }

    /// One hook's call of the build, and its job.
    pub(super) async fn call(
        &self,
        tx: &mut Transaction,
        id: BuildId,
        hook: &sqlx::any::AnyRow,
    ) -> Result<()> {
        let hook_id = hook.int("id")?;
        let payload = self.delivery.filter(|delivery| delivery.hook.0 == hook_id);
        let call = sqlx::query(
            "INSERT INTO hook_calls (build_id, hook_id, gh_payload, created_at) VALUES ($1, $2, $3, $4) RETURNING id",
        )
        .bind(id.0)
        .bind(hook_id)
        .bind(payload.map(|delivery| &*delivery.payload))
        .bind(self.now.0)
        .fetch_one(&mut **tx)
        .await
        .map_err(failed("keep a hook call"))?;
        let tracked = hooks::tracked_paths(&mut **tx, HookId(hook_id)).await?.join("\n");
        let waits = approvals::why_it_waits(tx, id).await?;
        let reason = waits.unwrap_or_else(|| "waiting for a worker".into());
        let job = NewJob {
            build: id,
            project: self.project,
            hook_call: call.int("id")?,
            source: hook,
            tracked: &tracked,
            reason: &reason,
            now: self.now,
        };
        job.enqueue_all(tx).await
    }

    /// Older builds of the same ref are stopped: where the project wants it, and always
    /// those that only wait for an approval. What somebody asked for is what they asked for.
    pub(super) async fn supersede(
        &self,
        tx: &mut Transaction,
        number: i64,
        cancels: bool,
    ) -> Result<()> {
        let Self { project, build, now, .. } = *self;
        let which = if cancels { "" } else { " AND approval = 'awaited'" };
        let text = format!(
            "SELECT id FROM builds WHERE project_id = $1 AND gh_commit_ref = $2 AND number < $3 \
             AND triggered_by NOT IN ('manual', 'cron', 'try') \
             AND status IN ('enqueued', 'pending', 'failure', 'error') AND finished_at IS NULL{which} \
             ORDER BY id"
        );
        let rows = sqlx::query(AssertSqlSafe(text))
            .bind(project.0)
            .bind(build.git_ref.as_full())
            .bind(number)
            .fetch_all(&mut **tx)
            .await
            .map_err(failed("find superseded builds"))?;
        let why = format!("superseded by build #{number}");
        for row in &rows {
            let older = BuildId(row.int("id")?);
            sqlx::query(self.dialect.lock_build())
                .bind(older.0)
                .execute(&mut **tx)
                .await
                .map_err(failed("lock a build"))?;
            if stop(tx, older, &why, now).await? {
                phases::ended(tx, older, now).await?;
                builds::recompute(tx, older).await?;
                outbox::build_changed(tx, older, now).await?;
            }
        }
        Ok(())
    }
}

/// Several, whose projects are locked: those that come for the first time are made together.
pub(super) async fn take_all(tx: &mut Transaction, came: &[Came<'_>]) -> Result<Vec<Recorded>> {
    let known = new_builds::of_commits(tx, came).await?;
    let mut keys = HashSet::new();
    let is_new = |came: &&Came| {
        let key = came.key();
        !known.contains_key(&key) && keys.insert(key)
    };
    let new: Vec<&Came> = came.iter().filter(is_new).collect();
    let mut made = new_builds::make(tx, &new).await?.into_iter();
    let mut first: HashMap<(i64, String, String), Option<(BuildId, i64)>> = HashMap::new();
    let mut recorded = Vec::with_capacity(came.len());
    for came in came {
        let key = came.key();
        let build = known.get(&key).copied().map(Some).or_else(|| first.get(&key).copied());
        recorded.push(match build {
            // The commit is here.
            Some(Some((id, number))) => came.attach(tx, id, number).await?,
            // Another delivery of it came in the same moment, and its hook wanted nothing.
            Some(None) => new_builds::make(tx, &[came]).await?.pop().ok_or_else(not_taken)?,
            None => {
                let recorded = made.next().ok_or_else(not_taken)?;
                first.insert(key, recorded.build().zip(recorded.number()));
                recorded
            }
        });
    }
    Ok(recorded)
}

pub(super) fn not_taken() -> StoreError {
    StoreError::Refused("a commit was not taken".into())
}

/// Stops the jobs of a build that is superseded; whether any is over by that.
async fn stop(tx: &mut Transaction, build: BuildId, why: &str, now: Timestamp) -> Result<bool> {
    sqlx::query(
        "UPDATE jobs SET cancel_reason = COALESCE(cancel_reason, $1), reason = 'being stopped' \
         WHERE status = 'pending' AND build_id = $2",
    )
    .bind(why)
    .bind(build.0)
    .execute(&mut **tx)
    .await
    .map_err(failed("stop superseded jobs"))?;
    let end = JobEnd::Cancelled(why.to_owned());
    let cancelled = sqlx::query(
        "UPDATE jobs SET reason = $1, status = $2, cause = $3, finished_at = $4 \
         WHERE status = 'enqueued' AND build_id = $5",
    )
    .bind(end.to_string())
    .bind(end.status().as_str())
    .bind(end.cause())
    .bind(now.0)
    .bind(build.0)
    .execute(&mut **tx)
    .await
    .map_err(failed("cancel superseded jobs"))?;
    Ok(cancelled.rows_affected() > 0)
}
