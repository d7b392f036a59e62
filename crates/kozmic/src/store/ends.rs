//! The ends of jobs. Those that come while others are being kept are kept together by this
//! process, in one transaction: what a commit costs is paid once for all of them. Whoever tells
//! an end is answered after the commit.

use std::collections::{BTreeSet, HashSet};
use std::sync::Mutex;

use sqlx::AssertSqlSafe;
use tokio::sync::oneshot;

use super::many::{places, with_ids};
use super::{
    Columns as _, Result, Store, StoreError, Transaction, builds, commit, failed, order, outbox,
    phases,
};
use crate::model::{BuildId, JobEnd, JobId, Timestamp};
use crate::telemetry::count;

/// Ends of one transaction.
const TOGETHER: usize = 64;

/// The end of one attempt.
#[derive(Debug, Clone)]
struct Ended {
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

type Answer = oneshot::Sender<Result<()>>;

/// Ends that are to be kept.
#[derive(Default)]
pub(super) struct Ends(Mutex<Told>);

#[derive(Default)]
struct Told {
    waiting: Vec<(Ended, Answer)>,
    /// Somebody keeps some, and will look for more.
    is_kept: bool,
}

impl Ends {
    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
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
        let (answer, answered) = oneshot::channel();
        let is_first = {
            let mut told = self.ends.told();
            told.waiting.push((Ended { job, attempt, end: end.clone(), now }, answer));
            !std::mem::replace(&mut told.is_kept, true)
        };
        if is_first {
            // A task of its own: who tells an end may be dropped, and others wait for theirs.
            tokio::spawn(keep_ends(self.clone()));
        }
        let stopped =
            |_| StoreError::Database { what: "finish a job", source: sqlx::Error::WorkerCrashed };
        answered.await.map_err(stopped)?
    }

    /// Those that were kept; of others the attempt is stale.
    async fn keep_together(&self, ends: &[Ended]) -> Result<HashSet<(JobId, i64)>> {
        let mut tx = self.begin().await?;
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

/// Whoever tells an end next begins anew, should the one who keeps them have panicked.
struct Keeper<'a>(&'a Ends);

impl Drop for Keeper<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.told().is_kept = false;
        }
    }
}

/// Until none is told any more.
async fn keep_ends(store: Store) {
    let _keeper = Keeper(&store.ends);
    loop {
        let told: Vec<_> = {
            let mut told = store.ends.told();
            let some = told.waiting.len().min(TOGETHER);
            told.is_kept = some > 0;
            told.waiting.drain(..some).collect()
        };
        if told.is_empty() {
            return;
        }
        let (ends, answers): (Vec<Ended>, Vec<Answer>) = told.into_iter().unzip();
        let kept = if ends.len() == 1 { None } else { store.keep_together(&ends).await.ok() };
        for (ended, answer) in ends.iter().zip(answers) {
            // What can't be kept together is kept one by one, so that each has its own answer.
            let kept = match &kept {
                Some(kept) => Ok(kept.contains(&ended.attempt())),
                None => store
                    .keep_together(std::slice::from_ref(ended))
                    .await
                    .map(|kept| kept.contains(&ended.attempt())),
            };
            // Who asked may be gone.
            let _ = answer.send(kept.and_then(|kept| kept.then_some(()).ok_or(StoreError::Stale)));
        }
    }
}

/// The attempts that held their jobs, and the builds of these.
async fn end(tx: &mut Transaction, ends: &[Ended]) -> Result<(Vec<(JobId, i64)>, Vec<BuildId>)> {
    let row = |row: usize| {
        let place = |column: usize| 7 * row + column;
        format!(
            "(CAST(${} AS BIGINT), CAST(${} AS BIGINT), ${}, ${}, ${}, CAST(${} AS BIGINT), CAST(${} AS BIGINT))",
            place(1),
            place(2),
            place(3),
            place(4),
            place(5),
            place(6),
            place(7)
        )
    };
    let text = format!(
        "UPDATE jobs SET status = column3, reason = column4, cause = column5, return_code = column6, \
         finished_at = column7, lease_owner = NULL, lease_until = NULL FROM (VALUES {}) AS ended \
         WHERE jobs.id = column1 AND attempt = column2 AND jobs.status = 'pending' \
         RETURNING jobs.id, attempt, build_id",
        (0..ends.len()).map(row).collect::<Vec<_>>().join(", ")
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
