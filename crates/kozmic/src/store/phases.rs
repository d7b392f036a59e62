//! The parts of jobs, and when.

use std::collections::HashMap;

use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use super::many::{at_once, places};
use super::{Columns as _, Result, Store, Transaction, failed};
use crate::model::{BuildId, JobId, Phase, Timestamp};
use crate::telemetry::count;

/// One part of one attempt of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhaseTime {
    pub attempt: i64,
    pub phase: Phase,
    pub started_at: Timestamp,
    /// None while it goes on.
    pub finished_at: Option<Timestamp>,
    /// Its worker or engine was lost or stopped; the next attempt starts anew.
    pub is_interrupted: bool,
}

impl Store {
    /// A phase of a running attempt begins. One that is under way already goes on: its
    /// worker was lost, and another one attends to it again.
    pub async fn phase_began(
        &self,
        job: JobId,
        attempt: i64,
        phase: Phase,
        at: Timestamp,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO phases (job_id, attempt, phase, started_at) \
             SELECT id, attempt, $1, $2 FROM jobs \
             WHERE id = $3 AND attempt = $4 AND status = 'pending' AND NOT EXISTS \
             (SELECT 1 FROM phases WHERE job_id = jobs.id AND phase = $5 AND finished_at IS NULL)",
        )
        .bind(phase.as_str())
        .bind(at.0)
        .bind(job.0)
        .bind(attempt)
        .bind(phase.as_str())
        .execute(&self.writer)
        .await
        .map_err(failed("note a job's phase"))?;
        Ok(())
    }

    pub async fn phase_ended(
        &self,
        job: JobId,
        attempt: i64,
        phase: Phase,
        at: Timestamp,
    ) -> Result<()> {
        sqlx::query(
            "UPDATE phases SET finished_at = $1 \
             WHERE job_id = $2 AND attempt = $3 AND phase = $4 AND finished_at IS NULL",
        )
        .bind(at.0)
        .bind(job.0)
        .bind(attempt)
        .bind(phase.as_str())
        .execute(&self.writer)
        .await
        .map_err(failed("note the end of a job's phase"))?;
        Ok(())
    }

    /// The phases of a build's jobs, also of those that a restart replaced; each job's
    /// in the order in which they began.
    pub async fn phases_of(&self, build: BuildId) -> Result<HashMap<JobId, Vec<PhaseTime>>> {
        self.phases_of_all(&[build]).await
    }

    /// The same of several builds.
    pub async fn phases_of_all(
        &self,
        builds: &[BuildId],
    ) -> Result<HashMap<JobId, Vec<PhaseTime>>> {
        let text = "SELECT phases.* FROM phases JOIN jobs ON jobs.id = phases.job_id \
                    WHERE jobs.build_id IN ({}) \
                    ORDER BY phases.attempt, phases.started_at, phases.id";
        let rows = self.of_builds(text, builds, "list the phases of jobs").await?;
        let mut phases: HashMap<JobId, Vec<PhaseTime>> = HashMap::new();
        for row in rows {
            phases.entry(JobId(row.int("job_id")?)).or_default().push(read(&row)?);
        }
        Ok(phases)
    }
}

impl Store {
    /// How long the parts of attempts that have ended took. That they are not counted is no
    /// failure of their jobs.
    pub(super) async fn count_phases(&self, jobs: &[(JobId, i64)]) {
        let text = format!(
            "SELECT job_id, attempt, phase, started_at, finished_at, is_interrupted FROM phases \
             WHERE job_id IN ({})",
            places(0, jobs.len())
        );
        let query = sqlx::query(AssertSqlSafe(text));
        let query = jobs.iter().fold(query, |query, (job, _)| query.bind(job.0));
        let rows = query.fetch_all(&self.pool).await;
        for row in rows.iter().flatten() {
            let Ok((job, time)) = row.int("job_id").and_then(|job| Ok((JobId(job), read(row)?)))
            else {
                continue;
            };
            if let Some(finished) = time.finished_at
                && jobs.contains(&(job, time.attempt))
            {
                count::phase(time.phase.as_str(), finished.since(time.started_at));
            }
        }
    }
}

fn read(row: &AnyRow) -> Result<PhaseTime> {
    Ok(PhaseTime {
        attempt: row.int("attempt")?,
        phase: row.text("phase")?.parse()?,
        started_at: Timestamp(row.int("started_at")?),
        finished_at: row.int_or_null("finished_at")?.map(Timestamp),
        is_interrupted: row.flag("is_interrupted")?,
    })
}

/// A job waits in the queue for its next attempt.
pub(super) async fn waits(tx: &mut Transaction, job: JobId, now: Timestamp) -> Result<()> {
    wait(tx, &[job], now).await
}

/// The same of several.
pub(super) async fn wait(tx: &mut Transaction, jobs: &[JobId], now: Timestamp) -> Result<()> {
    for some in at_once(jobs, 1) {
        let text = format!(
            "INSERT INTO phases (job_id, attempt, phase, started_at) \
             SELECT id, attempt + 1, $1, $2 FROM jobs WHERE id IN ({})",
            places(2, some.len())
        );
        let query = sqlx::query(AssertSqlSafe(text)).bind(Phase::Queue.as_str()).bind(now.0);
        let query = some.iter().fold(query, |query, job| query.bind(job.0));
        query.execute(&mut **tx).await.map_err(failed("note that jobs wait"))?;
    }
    Ok(())
}

/// A worker takes jobs from the queue.
pub(super) async fn claimed(tx: &mut Transaction, jobs: &[JobId], now: Timestamp) -> Result<()> {
    let text = format!(
        "UPDATE phases SET finished_at = $1 WHERE job_id IN ({}) AND finished_at IS NULL",
        places(1, jobs.len())
    );
    let query = sqlx::query(AssertSqlSafe(text)).bind(now.0);
    jobs.iter()
        .fold(query, |query, job| query.bind(job.0))
        .execute(&mut **tx)
        .await
        .map_err(failed("note that jobs wait no more"))?;
    Ok(())
}

/// A job's attempt was given up, and it waits for the next one.
pub(super) async fn interrupted(tx: &mut Transaction, job: JobId, now: Timestamp) -> Result<()> {
    sqlx::query(
        "UPDATE phases SET finished_at = $1, is_interrupted = 1 \
         WHERE job_id = $2 AND finished_at IS NULL",
    )
    .bind(now.0)
    .bind(job.0)
    .execute(&mut **tx)
    .await
    .map_err(failed("note that a job was interrupted"))?;
    waits(tx, job, now).await
}

/// The time in which a job waited for its build's approval, or for other jobs, is not
/// the queue's.
pub(super) async fn may_run(tx: &mut Transaction, job: JobId, now: Timestamp) -> Result<()> {
    sqlx::query(
        "UPDATE phases SET started_at = $1 WHERE phase = $2 AND finished_at IS NULL AND job_id = $3",
    )
    .bind(now.0)
    .bind(Phase::Queue.as_str())
    .bind(job.0)
    .execute(&mut **tx)
    .await
    .map_err(failed("note that a job may run"))?;
    Ok(())
}

/// With jobs ends what of them was under way.
pub(super) async fn of_ended(tx: &mut Transaction, jobs: &[JobId], now: Timestamp) -> Result<()> {
    claimed(tx, jobs, now).await
}

/// The same of all jobs of a build that have ended.
pub(super) async fn ended(tx: &mut Transaction, build: BuildId, now: Timestamp) -> Result<()> {
    sqlx::query(
        "UPDATE phases SET finished_at = $1 WHERE finished_at IS NULL AND job_id IN \
         (SELECT id FROM jobs WHERE build_id = $2 AND status NOT IN ('enqueued', 'pending'))",
    )
    .bind(now.0)
    .bind(build.0)
    .execute(&mut **tx)
    .await
    .map_err(failed("end a job's phases"))?;
    Ok(())
}
