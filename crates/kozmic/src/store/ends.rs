//! The ends of jobs: those that come at the same time are kept together.

use std::collections::{BTreeSet, HashSet};

use sqlx::AssertSqlSafe;

use super::many::{places, typed_rows, with_ids};
use super::together::{self, Together, Write};
use super::{
    Columns as _, Result, Store, StoreError, Transaction, builds, commit, failed, order, outbox,
    phases,
};
use crate::model::{BuildId, JobEnd, JobId, Timestamp};
use crate::telemetry::count;

/// The end of one attempt.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    job: JobId,
    attempt: i64,
    end: JobEnd,
    now: Timestamp,
}

impl Ended {
    fn attempt(&self) -> (JobId, i64) {
        (self.job, self.attempt)
    }
}

impl Write for Ended {
    type Kept = ();

    const WHAT: &'static str = "finish a job";

    fn waiting(store: &Store) -> &Together<Self> {
        &store.ends
    }

    async fn keep(store: &Store, ends: &[Self]) -> Result<Vec<Result<()>>> {
        let kept = store.ends_together(ends).await?;
        let answer =
            |ended: &Ended| kept.contains(&ended.attempt()).then_some(()).ok_or(StoreError::Stale);
        Ok(ends.iter().map(answer).collect())
    }
}

impl Store {
    /// The job's end, the build's new status and what GitHub must learn of it.
    /// [`StoreError::Stale`] when this attempt no longer holds the job.
    pub async fn job_finished(
        &self,
        job: JobId,
        attempt: i64,
        end: &JobEnd,
        now: Timestamp,
    ) -> Result<()> {
        let ended = Ended { job, attempt, end: end.clone(), now };
        together::keep(self, 0, ended).await
    }

    /// Those that were kept; of others the attempt is stale.
    async fn ends_together(&self, ends: &[Ended]) -> Result<HashSet<(JobId, i64)>> {
        let mut tx = self.begin_as_ever().await?;
        let jobs: Vec<JobId> = ends.iter().map(|ended| ended.job).collect();
        if let Some(lock) = self.dialect.lock_builds_of_jobs() {
            let text = lock.replace("{}", &places(0, jobs.len()));
            let locked = with_ids(&text, &jobs).execute(&mut *tx).await;
            locked.map_err(failed("lock the builds of jobs"))?;
        }
        let (attempts, builds) = end(&mut tx, ends).await?;
        if attempts.is_empty() {
            return Ok(HashSet::new());
        }
        let jobs: Vec<JobId> = attempts.iter().map(|(job, _)| *job).collect();
        let now = ends.iter().map(|ended| ended.now).max().unwrap_or(Timestamp(0));
        phases::of_ended(&mut tx, &jobs, now).await?;
        forget_given(&mut tx, &jobs).await?;
        for build in with_waiting(&mut tx, &builds).await? {
            order::settle(&mut tx, build, now).await?;
            phases::ended(&mut tx, build, now).await?;
        }
        builds::recompute_all(&mut tx, &builds).await?;
        outbox::builds_changed(&mut tx, &builds, now).await?;
        commit(tx).await?;
        let kept: HashSet<(JobId, i64)> = attempts.iter().copied().collect();
        for ended in ends.iter().filter(|ended| kept.contains(&ended.attempt())) {
            count::job_ended(ended.end.status().as_str(), ended.end.cause());
        }
        self.wakes.outbox.notify_one();
        // Others may have waited for it, or for its place.
        self.wakes.jobs.notify_one();
        self.count_phases(&attempts).await;
        Ok(kept)
    }
}

/// The attempts that held their jobs, and the builds of these.
async fn end(tx: &mut Transaction, ends: &[Ended]) -> Result<(Vec<(JobId, i64)>, Vec<BuildId>)> {
    let text = format!(
        "UPDATE jobs SET status = column3, reason = column4, cause = column5, return_code = column6, \
         finished_at = column7, lease_owner = NULL, lease_until = NULL FROM (VALUES {}) AS ended \
         WHERE jobs.id = column1 AND attempt = column2 AND jobs.status = 'pending' \
         RETURNING jobs.id, attempt, build_id",
        typed_rows(ends.len(), &["BIGINT", "BIGINT", "TEXT", "TEXT", "TEXT", "BIGINT", "BIGINT"])
    );
    let mut query = sqlx::query(AssertSqlSafe(text));
    for Ended { job, attempt, end, now } in ends {
        query = query.bind(job.0).bind(attempt).bind(end.status().as_str()).bind(end.to_string());
        query = query.bind(end.cause()).bind(end.return_code()).bind(now.0);
    }
    let rows = query.fetch_all(&mut **tx).await.map_err(failed("finish jobs"))?;
    let (mut attempts, mut builds) = (Vec::new(), BTreeSet::new());
    for row in &rows {
        attempts.push((JobId(row.int("id")?), row.int("attempt")?));
        builds.insert(BuildId(row.int("build_id")?));
    }
    Ok((attempts, builds.into_iter().collect()))
}

async fn forget_given(tx: &mut Transaction, jobs: &[JobId]) -> Result<()> {
    let text = format!("DELETE FROM job_secrets WHERE job_id IN ({})", places(0, jobs.len()));
    let forgotten = with_ids(&text, jobs).execute(&mut **tx).await;
    forgotten.map_err(failed("forget what jobs were given"))?;
    Ok(())
}

/// Those of these builds with jobs that may run, be held or be skipped as others end.
async fn with_waiting(tx: &mut Transaction, builds: &[BuildId]) -> Result<Vec<BuildId>> {
    let text = format!(
        "SELECT DISTINCT build_id FROM jobs WHERE build_id IN ({}) AND replaced_by_id IS NULL \
         AND (status = 'enqueued' OR cause = '{}') ORDER BY build_id",
        places(0, builds.len()),
        JobEnd::SKIPPED
    );
    let query = sqlx::query(AssertSqlSafe(text));
    let query = builds.iter().fold(query, |query, build| query.bind(build.0));
    let rows = query.fetch_all(&mut **tx).await.map_err(failed("find jobs that wait"))?;
    rows.iter().map(|row| Ok(BuildId(row.int("build_id")?))).collect()
}
