//! The queue: which of the jobs that wait a worker takes next.
//!
//! Jobs of one project that need the same labels form a line, and whoever may take its
//! first may take all of it. So the longest queue costs as much as there are lines.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::any::AnyRow;

use super::jobs::{end_unreadable, read_claimed};
use super::{
    ClaimedJob, Columns as _, Result, Store, StoreError, Transaction, commit, failed, phases,
    workers,
};
use crate::model::{BuildId, Invalid, JobId, Labels, ProjectId, Timestamp};

/// Where a job queues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) project: ProjectId,
    pub(super) labels: Labels,
}

impl Line {
    pub(super) fn written(project: ProjectId, labels: &Labels) -> String {
        format!("{project}:{labels}")
    }

    pub(super) fn read(text: &str) -> Result<Self> {
        let malformed = || Invalid::new(format!("`{text}` is no line of the queue"));
        let (project, labels) = text.split_once(':').ok_or_else(malformed)?;
        let project = ProjectId(project.parse().map_err(|_| malformed())?);
        Ok(Self { project, labels: labels.parse()? })
    }
}

/// The lines there are, each with its first job. Each step of the recursion finds the
/// next line by the index, however long the one before is.
const LINES: &str = "WITH RECURSIVE lines (line) AS ( \
     SELECT MIN(line) FROM jobs WHERE status = 'enqueued' AND is_held = 0 \
     UNION ALL \
     SELECT (SELECT MIN(jobs.line) FROM jobs WHERE jobs.status = 'enqueued' AND jobs.is_held = 0 \
             AND jobs.line > lines.line) FROM lines WHERE lines.line IS NOT NULL) \
     SELECT line, (SELECT MIN(jobs.id) FROM jobs WHERE jobs.status = 'enqueued' AND jobs.is_held = 0 \
                   AND jobs.line = lines.line) AS first FROM lines WHERE line IS NOT NULL";

/// Projects with a limit, each with it and with how many of its jobs run. Those that run are
/// few, whatever a project has built: the limit keeps a database from looking there first.
const LIMITED: &str = "SELECT projects.id, jobs_at_once, COUNT(running.project_id) AS running \
     FROM projects LEFT JOIN \
     (SELECT builds.project_id FROM \
      (SELECT build_id FROM jobs WHERE status = 'pending' ORDER BY id LIMIT 100000) AS chosen \
      JOIN builds ON builds.id = chosen.build_id) AS running ON running.project_id = projects.id \
     WHERE jobs_at_once IS NOT NULL GROUP BY projects.id, jobs_at_once";

/// A project's limit of jobs at once, and how near it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limited {
    pub(super) limit: i64,
    running: i64,
}

impl Limited {
    pub(super) fn is_reached(self) -> bool {
        self.running >= self.limit
    }
}

pub(super) async fn limited(
    executor: impl sqlx::Executor<'_, Database = sqlx::Any>,
) -> Result<HashMap<ProjectId, Limited>> {
    let rows = sqlx::query(LIMITED)
        .fetch_all(executor)
        .await
        .map_err(failed("read how many jobs projects run at once"))?;
    let limited = |row: &AnyRow| {
        let limited = Limited { limit: row.int("jobs_at_once")?, running: row.int("running")? };
        Ok((ProjectId(row.int("id")?), limited))
    };
    rows.iter().map(limited).collect()
}

impl Store {
    /// The longest-waiting job that a worker may take, for `lease` from now; none when
    /// there is none. One that has not said what it has ([`Store::worker_runs`]) takes
    /// what needs nothing.
    pub async fn claim_job(
        &self,
        worker: &str,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Option<ClaimedJob>> {
        let mut tx = self.begin().await?;
        // One claims at a time: otherwise two might take a project's last place.
        sqlx::query(self.dialect.lock_queue())
            .execute(&mut *tx)
            .await
            .map_err(failed("lock the queue"))?;
        let Some(next) = next(&mut tx, worker).await? else { return Ok(None) };
        self.lock_build_of(&mut tx, next).await?;
        let claimed = sqlx::query(
            "UPDATE jobs SET status = 'pending', reason = 'starting', cause = NULL, attempt = attempt + 1, \
             script_started = 0, lease_owner = $1, worker = $1, lease_until = $2, started_at = $3 \
             WHERE id = $4 AND status = 'enqueued' AND is_held = 0 RETURNING build_id",
        )
        .bind(worker)
        .bind(now.plus(lease).0)
        .bind(now.0)
        .bind(next.0)
        .fetch_optional(&mut *tx)
        .await
        .map_err(failed("claim a job"))?;
        // Wake-ups come one at a time; somebody else may take the next one.
        self.wakes.jobs.notify_one();
        let Some(claimed) = claimed else { return Ok(None) };
        let build = BuildId(claimed.int("build_id")?);
        phases::claimed(&mut tx, next, now).await?;
        let job = match read_claimed(&mut tx, next).await {
            Ok(job) => Some(job),
            // It would be at the head of the queue for ever.
            Err(StoreError::Corrupt(problem)) => {
                tracing::error!(job = %next, %problem, "a job can't be read");
                end_unreadable(&mut tx, next, &problem, now).await?;
                None
            }
            Err(error) => return Err(error),
        };
        self.job_changed(&mut tx, build, now).await?;
        commit(tx).await?;
        self.wakes.outbox.notify_one();
        Ok(job)
    }
}

async fn next(tx: &mut Transaction, worker: &str) -> Result<Option<JobId>> {
    let rows =
        sqlx::query(LINES).fetch_all(&mut **tx).await.map_err(failed("look into the queue"))?;
    if rows.is_empty() {
        return Ok(None);
    }
    let limited = limited(&mut **tx).await?;
    let labels = workers::labels_of(tx, worker).await?;
    let mut first: Option<i64> = None;
    for row in &rows {
        let line = Line::read(&row.text("line")?)?;
        let is_full = limited.get(&line.project).is_some_and(|limited| limited.is_reached());
        if labels.include(&line.labels) && !is_full {
            // Somebody may have cancelled it since.
            let job = row.int_or_null("first")?;
            first = first.into_iter().chain(job).min();
        }
    }
    Ok(first.map(JobId))
}
