//! Jobs that people stop, or run again. The old jobs and their logs stay.

use serde_json::Map;
use sqlx::any::AnyRow;

use super::jobs::NewJob;
use super::{
    Columns as _, Result, Store, StoreError, Transaction, approvals, commit, failed, hooks,
    read_options, whole_rows,
};
use crate::model::{
    Action, BuildId, HookId, JobEnd, JobId, JobStatus, JobUuid, ProjectId, Timestamp, Variant,
};

/// What became of a wish to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// It waited, and is over.
    AtOnce(JobUuid),
    /// It runs; its worker will stop it.
    Asked,
}

impl Store {
    /// Somebody wants a job stopped. Refused when it is over already.
    pub async fn job_cancelled(&self, job: JobId, by: &str, now: Timestamp) -> Result<Cancelled> {
        let mut tx = self.begin().await?;
        self.lock_build_of(&mut tx, job).await?;
        let end = JobEnd::Cancelled(format!("by {by}"));
        let waiting = sqlx::query(
            "UPDATE jobs SET status = $1, reason = $2, cause = $3, finished_at = $4 \
             WHERE id = $5 AND status = 'enqueued' RETURNING uuid, build_id",
        )
        .bind(end.status().as_str())
        .bind(end.to_string())
        .bind(end.cause())
        .bind(now.0)
        .bind(job.0)
        .fetch_optional(&mut *tx)
        .await
        .map_err(failed("cancel a waiting job"))?;
        if let Some(row) = waiting {
            self.note_job(&mut tx, Action::JobCancelled, job, Map::new()).await?;
            self.job_changed(&mut tx, BuildId(row.int("build_id")?), now).await?;
            commit(tx).await?;
            self.wakes.outbox.notify_one();
            self.wakes.jobs.notify_one();
            return Ok(Cancelled::AtOnce(row.text("uuid")?.parse()?));
        }
        let running = sqlx::query(
            "UPDATE jobs SET cancel_reason = COALESCE(cancel_reason, $1), reason = 'being stopped' \
             WHERE id = $2 AND status = 'pending'",
        )
        .bind(format!("by {by}"))
        .bind(job.0)
        .execute(&mut *tx)
        .await
        .map_err(failed("ask for a job's end"))?;
        if running.rows_affected() == 0 {
            return Err(StoreError::Refused("The job is over already.".into()));
        }
        self.note_job(&mut tx, Action::JobCancelled, job, Map::new()).await?;
        commit(tx).await?;
        self.wakes.leases.send_replace(());
        Ok(Cancelled::Asked)
    }

    /// A finished job runs again, as a new job with its hook's scripts and its
    /// project's variables of now (or its own where the hook is gone, or was only typed). Refused when
    /// it is not the last of its kind, not finished, or skipped.
    pub async fn job_restarted(&self, job: JobId, by: &str, now: Timestamp) -> Result<JobId> {
        let mut tx = self.begin().await?;
        self.lock_build_of(&mut tx, job).await?;
        let (new, build) = restart(&mut tx, job, by, now).await?;
        let details = Map::from_iter([("new_job".to_owned(), new.0.into())]);
        self.note_job(&mut tx, Action::JobRestarted, job, details).await?;
        self.job_changed(&mut tx, build, now).await?;
        commit(tx).await?;
        self.wakes.jobs.notify_one();
        self.wakes.outbox.notify_one();
        Ok(new)
    }

    /// The finished jobs of a build run again, or those of them that are not green.
    pub async fn build_restarted(
        &self,
        build: BuildId,
        only_failed: bool,
        by: &str,
        now: Timestamp,
    ) -> Result<usize> {
        let mut tx = self.begin().await?;
        sqlx::query(self.dialect.lock_build())
            .bind(build.0)
            .execute(&mut *tx)
            .await
            .map_err(failed("lock a build"))?;
        let rows = sqlx::query(
            "SELECT id, status, cause FROM jobs WHERE build_id = $1 AND replaced_by_id IS NULL \
             ORDER BY hook_call_id, place",
        )
        .bind(build.0)
        .fetch_all(&mut *tx)
        .await
        .map_err(failed("list a build's jobs"))?;
        let mut restarted = 0;
        for row in rows {
            let status: JobStatus = row.text("status")?.parse()?;
            // With those it waits for, one that was skipped waits again by itself.
            let is_skipped = row.text_or_null("cause")?.as_deref() == Some(JobEnd::SKIPPED);
            let is_wanted = status.is_finished() && !is_skipped;
            if is_wanted && !(only_failed && status == JobStatus::Success) {
                restart(&mut tx, JobId(row.int("id")?), by, now).await?;
                restarted += 1;
            }
        }
        if restarted == 0 {
            return Err(StoreError::Refused("No job of this build can be run again now.".into()));
        }
        let details = Map::from_iter([("jobs".to_owned(), restarted.into())]);
        self.note_build(&mut tx, Action::BuildRestarted, build, details).await?;
        self.job_changed(&mut tx, build, now).await?;
        commit(tx).await?;
        self.wakes.jobs.notify_one();
        self.wakes.outbox.notify_one();
        Ok(restarted)
    }

    /// The jobs that this one replaced, newest first.
    pub async fn earlier_jobs(&self, job: JobId) -> Result<Vec<super::Job>> {
        let (mut earlier, mut of) = (Vec::new(), job);
        loop {
            let row = whole_rows("SELECT * FROM jobs WHERE replaced_by_id = $1")
                .bind(of.0)
                .fetch_optional(&self.pool)
                .await
                .map_err(failed("find an earlier job"))?;
            let Some(row) = row else { return Ok(earlier) };
            let found = super::Job::read(&row)?;
            of = found.id;
            earlier.push(found);
        }
    }
}

/// A job's variant as its hook has it now, or as it was where that is gone, with its place.
fn variant_now(old: &AnyRow, source: &AnyRow) -> Result<(Option<Variant>, i64)> {
    let place = old.int("place")?;
    let Some(own) = read_options(old)?.variants.into_iter().next() else {
        return Ok((None, place));
    };
    let now = (0..).zip(read_options(source)?.variants).find(|(_, now)| now.name == own.name);
    Ok(now.map_or((Some(own), place), |(place, now)| (Some(now), place)))
}

async fn restart(
    tx: &mut Transaction,
    job: JobId,
    by: &str,
    now: Timestamp,
) -> Result<(JobId, BuildId)> {
    let old = whole_rows(
        "SELECT jobs.*, '{}' AS project_env, hook_calls.hook_id AS call_hook_id, \
         hook_calls.is_typed, builds.project_id \
         FROM jobs JOIN hook_calls ON hook_calls.id = jobs.hook_call_id \
         JOIN builds ON builds.id = jobs.build_id WHERE jobs.id = $1",
    )
    .bind(job.0)
    .fetch_optional(&mut **tx)
    .await
    .map_err(failed("find a job"))?
    .ok_or_else(|| StoreError::Refused("The job is gone.".into()))?;
    let (build, is_typed) = (BuildId(old.int("build_id")?), old.flag("is_typed")?);
    if !old.text("status")?.parse::<JobStatus>()?.is_finished() {
        return Err(StoreError::Refused("The job is not over yet.".into()));
    }
    if let Some(newer) = old.int_or_null("replaced_by_id")? {
        return Err(StoreError::Refused(format!("The job was run again already, as job {newer}.")));
    }
    if old.text_or_null("cause")?.as_deref() == Some(JobEnd::SKIPPED) {
        let reason = old.text("reason")?;
        return Err(StoreError::Refused(format!(
            "The job was {reason}. It runs by itself once that is green: run that again."
        )));
    }
    // What was typed runs again as it was.
    let hook_id = old.int_or_null("call_hook_id")?.filter(|_| !is_typed);
    let hook = sqlx::query(
        "SELECT title AS hook_title, docker_image, install_script, build_script, options, \
         projects.env AS project_env FROM hooks \
         JOIN projects ON projects.id = hooks.project_id WHERE hooks.id = $1",
    )
    .bind(hook_id)
    .fetch_optional(&mut **tx)
    .await
    .map_err(failed("find a job's hook"))?;
    let tracked = match (&hook, hook_id) {
        (Some(_), Some(id)) => hooks::tracked_paths(&mut **tx, HookId(id)).await?.join("\n"),
        _ => old.text("tracked_paths")?,
    };
    let source = hook.as_ref().unwrap_or(&old);
    let call = old.int("hook_call_id")?;
    // A job that was cancelled before anybody approved it still needs that.
    let waits = approvals::why_it_waits(tx, build).await?;
    let reason = waits.unwrap_or_else(|| format!("run again by {by}; waiting for a worker"));
    let again = NewJob {
        build,
        project: ProjectId(old.int("project_id")?),
        hook_call: call,
        source,
        tracked: &tracked,
        reason: &reason,
        now,
    };
    let (variant, place) = variant_now(&old, source)?;
    let new = again.enqueue(tx, variant.as_ref(), place).await?;
    sqlx::query("UPDATE jobs SET replaced_by_id = $1 WHERE id = $2")
        .bind(new.0)
        .bind(job.0)
        .execute(&mut **tx)
        .await
        .map_err(failed("replace a job"))?;
    Ok((new, build))
}
