//! A commit on a ref becomes a build, once, however it became known: build, hook calls,
//! jobs and first statuses.

use super::builds::{self, NewBuild};
use super::deliveries::{Delivery, Recorded};
use super::dialect::Dialect;
use super::jobs::NewJob;
use super::{
    Columns as _, Result, Transaction, approvals, failed, hooks, order, outbox, phases,
    read_options,
};
use crate::model::{Approval, BuildId, HookId, JobEnd, ProjectId, Timestamp};

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
    pub(super) async fn take(&self, tx: &mut Transaction) -> Result<Recorded> {
        match builds::of_commit(tx, self.project, self.build).await? {
            Some((id, number)) => self.attach(tx, id, number).await,
            None => self.make(tx).await,
        }
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
        .bind(&delivery.payload)
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

    async fn make(&self, tx: &mut Transaction) -> Result<Recorded> {
        let active = sqlx::query(
            "SELECT hooks.id, title AS hook_title, docker_image, install_script, build_script, options, \
             projects.env AS project_env FROM hooks \
             JOIN projects ON projects.id = hooks.project_id \
             WHERE project_id = $1 AND (is_active = 1 OR hooks.id = $2) ORDER BY hooks.id",
        )
        .bind(self.project.0)
        // GitHub calls it, so it is active, whoever was cut off before noting so.
        .bind(self.delivery.map(|delivery| delivery.hook.0))
        .fetch_all(&mut **tx)
        .await
        .map_err(failed("list the active hooks"))?;
        let (mut wanting, mut others) = (Vec::new(), Vec::new());
        for hook in &active {
            match read_options(hook)?.wanted.why_not(&self.build.change) {
                None => wanting.push(hook),
                Some(reason) => others.push((hook.int("id")?, hook.text("hook_title")?, reason)),
            }
        }
        if wanting.is_empty() {
            let reasons = others.into_iter().map(|(_, title, reason)| format!("{title}: {reason}"));
            return Ok(Recorded::NotWanted(reasons.collect::<Vec<_>>().join("; ")));
        }
        let approval = approvals::needed(tx, self.project, self.build).await?;
        let (id, number) =
            builds::insert(tx, self.project, self.build, &approval, self.now).await?;
        for hook in &wanting {
            self.call(tx, id, hook).await?;
        }
        for (hook, title, reason) in others {
            sqlx::query(
                "INSERT INTO hooks_not_run (build_id, hook_id, title, reason) VALUES ($1, $2, $3, $4)",
            )
            .bind(id.0)
            .bind(hook)
            .bind(title)
            .bind(reason)
            .execute(&mut **tx)
            .await
            .map_err(failed("keep why a hook does not run"))?;
        }
        order::settle(tx, id, self.now).await?;
        outbox::build_changed(tx, id, self.now).await?;
        self.supersede(tx, number).await?;
        let jobs = wanting.len();
        Ok(match approval {
            Approval::Awaited => Recorded::Waits { build: id, number },
            _ => Recorded::Built { build: id, number, jobs },
        })
    }

    /// One hook's call of the build, and its job.
    async fn call(
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
        .bind(payload.map(|delivery| &delivery.payload))
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
    /// those that only wait for an approval.
    async fn supersede(&self, tx: &mut Transaction, number: i64) -> Result<()> {
        let Self { project, build, now, .. } = *self;
        let rows = sqlx::query(
            "SELECT builds.id FROM builds JOIN projects ON projects.id = builds.project_id \
             WHERE projects.id = $1 \
             AND (projects.cancels_superseded = 1 OR builds.approval = 'awaited') \
             AND builds.gh_commit_ref = $2 AND builds.number < $3 \
             AND builds.status IN ('enqueued', 'pending', 'failure', 'error') ORDER BY builds.id",
        )
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
