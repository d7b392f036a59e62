//! The workers that run, as they say themselves.

use std::time::Duration;

use sqlx::any::AnyRow;

use super::{Columns as _, Job, Result, Store, failed, read_json, to_json, whole_rows};
use crate::model::{JobId, Labels, ProjectId, Timestamp, WorkerAbout};

/// One that has said nothing for so long is gone: two of its words may be lost.
const GONE_AFTER: Duration = Duration::from_secs(150);
/// One that is gone without having said so is shown as lost for so long.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(24);

/// What a worker says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerState {
    /// As in its leases.
    pub name: String,
    pub labels: Labels,
    /// Jobs at once.
    pub concurrency: i64,
    /// Why it takes no job now.
    pub trouble: Option<String>,
    pub about: WorkerAbout,
}

/// A worker as administrators see it.
#[derive(Debug, Clone)]
pub struct KnownWorker {
    pub state: WorkerState,
    pub seen_at: Timestamp,
    /// It has been silent for too long, and has not said that it ends.
    pub is_lost: bool,
    /// What it runs now.
    pub jobs: Vec<(ProjectId, String, Job)>,
}

impl WorkerState {
    fn read(row: &AnyRow) -> Result<Self> {
        Ok(Self {
            name: row.text("name")?,
            labels: row.text("labels")?.parse()?,
            concurrency: row.int("concurrency")?,
            trouble: row.text_or_null("trouble")?,
            about: read_json(row, "about")?,
        })
    }
}

impl Store {
    /// A worker runs; those that have been silent for long are forgotten.
    pub async fn worker_runs(&self, worker: &WorkerState, now: Timestamp) -> Result<()> {
        sqlx::query(
            "INSERT INTO workers (name, labels, concurrency, trouble, seen_at, about) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name) DO UPDATE SET \
             labels = excluded.labels, concurrency = excluded.concurrency, \
             trouble = excluded.trouble, seen_at = excluded.seen_at, \
             about = excluded.about",
        )
        .bind(&worker.name)
        .bind(worker.labels.to_string())
        .bind(worker.concurrency)
        .bind(&worker.trouble)
        .bind(now.0)
        .bind(to_json(&worker.about, "about")?)
        .execute(&self.writer)
        .await
        .map_err(failed("note that a worker runs"))?;
        sqlx::query("DELETE FROM workers WHERE seen_at < $1")
            .bind(now.minus(FORGOTTEN_AFTER).0)
            .execute(&self.writer)
            .await
            .map_err(failed("forget workers that are gone"))?;
        Ok(())
    }

    /// A worker has ended.
    pub async fn worker_ended(&self, name: &str) -> Result<()> {
        sqlx::query("DELETE FROM workers WHERE name = $1")
            .bind(name)
            .execute(&self.writer)
            .await
            .map_err(failed("note that a worker ended"))?;
        Ok(())
    }

    /// The worker that has, or had, the last attempt of a job, and with it the job's log.
    pub async fn worker_of(&self, job: JobId) -> Result<Option<String>> {
        let row = sqlx::query("SELECT worker FROM jobs WHERE id = $1")
            .bind(job.0)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("find a job's worker"))?;
        Ok(row.map(|row| row.text_or_null("worker")).transpose()?.flatten())
    }

    /// Whether this process is the one that does something, until then: of several, one at
    /// a time has the turn, and keeps it as long as it asks in time.
    pub async fn has_turn(
        &self,
        what: &str,
        holder: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool> {
        let held = sqlx::query(
            "INSERT INTO turns (name, holder, held_until) VALUES ($1, $2, $3) \
             ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, \
             held_until = excluded.held_until \
             WHERE turns.holder = excluded.holder OR turns.held_until < $4",
        )
        .bind(what)
        .bind(holder)
        .bind(until.0)
        .bind(now.0)
        .execute(&self.writer)
        .await
        .map_err(failed("take a turn"))?;
        Ok(held.rows_affected() > 0)
    }

    /// The workers that run, and those that were lost lately, each with what it runs.
    pub async fn workers_known(&self, now: Timestamp) -> Result<Vec<KnownWorker>> {
        let rows = whole_rows("SELECT * FROM workers ORDER BY name")
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list the workers"))?;
        let running = whole_rows(
            "SELECT jobs.*, projects.id AS project_id, projects.gh_full_name FROM jobs \
             JOIN builds ON builds.id = jobs.build_id JOIN projects ON projects.id = builds.project_id \
             WHERE jobs.status = 'pending' ORDER BY jobs.id",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list what workers run"))?;
        let known = |row: &AnyRow| {
            let state = WorkerState::read(row)?;
            let seen_at = Timestamp(row.int("seen_at")?);
            let mut jobs = Vec::new();
            for job in &running {
                if job.text_or_null("lease_owner")?.as_ref() == Some(&state.name) {
                    let project = ProjectId(job.int("project_id")?);
                    jobs.push((project, job.text("gh_full_name")?, Job::read(job)?));
                }
            }
            Ok(KnownWorker { is_lost: seen_at.0 < since(now), state, seen_at, jobs })
        };
        rows.iter().map(known).collect()
    }

    /// The workers that run, by name.
    pub async fn workers(&self, now: Timestamp) -> Result<Vec<WorkerState>> {
        let rows = whole_rows("SELECT * FROM workers WHERE seen_at >= $1 ORDER BY name")
            .bind(since(now))
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list the workers"))?;
        rows.iter().map(WorkerState::read).collect()
    }
}

/// Who was seen then or later runs.
fn since(now: Timestamp) -> i64 {
    now.0 - i64::try_from(GONE_AFTER.as_millis()).unwrap_or(i64::MAX)
}
