//! Leases: who carries out a job, for how long, and what becomes of a job whose
//! worker is gone.

use std::time::Duration;

use sqlx::any::AnyRow;

use super::jobs::read_claimed;
use super::{ClaimedJob, Columns as _, Result, Store, commit, failed, read_options};
use crate::model::{BuildId, ErrorKind, JobEnd, JobId, JobUuid, Timestamp};

/// Attempts that may be lost with their worker before the job ends as an error;
/// none where the hook forbids that it starts again by itself.
const LOST_LIMIT: i64 = 1;

/// What a worker learns when it renews its lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseState {
    Held,
    /// Still held, but the job is to be stopped, for this reason.
    CancelRequested(String),
    Lost,
}

/// A job whose worker stopped renewing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostJob {
    pub uuid: JobUuid,
    /// It goes back to the queue; otherwise it has ended as an error.
    pub retried: bool,
}

impl Store {
    /// Extends the lease of an attempt, and tells whether it is still wanted.
    pub async fn lease_renewed(
        &self,
        job: JobId,
        attempt: i64,
        lease: Duration,
        now: Timestamp,
    ) -> Result<LeaseState> {
        let row = sqlx::query(
            "UPDATE jobs SET lease_until = $1 WHERE id = $2 AND attempt = $3 AND status = 'pending' \
             RETURNING cancel_reason",
        )
        .bind(now.plus(lease).0)
        .bind(job.0)
        .bind(attempt)
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("renew a lease"))?;
        Ok(match row {
            None => LeaseState::Lost,
            Some(row) => match row.text_or_null("cancel_reason")? {
                Some(by) => LeaseState::CancelRequested(by),
                None => LeaseState::Held,
            },
        })
    }

    /// Whether this very attempt is under way.
    pub async fn is_leased(&self, uuid: JobUuid, attempt: i64) -> Result<bool> {
        let row = sqlx::query(
            "SELECT id FROM jobs WHERE uuid = $1 AND attempt = $2 AND status = 'pending'",
        )
        .bind(uuid.to_string())
        .bind(attempt)
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("look for a lease"))?;
        Ok(row.is_some())
    }

    /// The only worker there can be has just started: whatever is leased was
    /// lost with the one before it.
    pub async fn leases_abandoned(&self, now: Timestamp) -> Result<()> {
        sqlx::query("UPDATE jobs SET lease_until = $1 WHERE status = 'pending'")
            .bind(now.0 - 1)
            .execute(&self.pool)
            .await
            .map_err(failed("give up old leases"))?;
        Ok(())
    }

    /// Jobs whose lease ran out, each with its attempt.
    pub async fn leases_lapsed(&self, now: Timestamp) -> Result<Vec<(JobId, JobUuid, i64)>> {
        let rows = sqlx::query(
            "SELECT id, uuid, attempt FROM jobs WHERE status = 'pending' AND lease_until < $1 ORDER BY id",
        )
        .bind(now.0)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("look for lost jobs"))?;
        let lapsed = |row: &AnyRow| {
            Ok((JobId(row.int("id")?), row.text("uuid")?.parse()?, row.int("attempt")?))
        };
        rows.iter().map(lapsed).collect()
    }

    /// A worker takes up a job, in the same attempt, whose own worker is gone. None
    /// when its lease did not run out after all.
    pub async fn job_adopted(
        &self,
        job: JobId,
        worker: &str,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Option<ClaimedJob>> {
        let mut tx = self.begin().await?;
        let adopted = sqlx::query(
            "UPDATE jobs SET lease_owner = $1, lease_until = $2 \
             WHERE id = $3 AND status = 'pending' AND lease_until < $4",
        )
        .bind(worker)
        .bind(now.plus(lease).0)
        .bind(job.0)
        .bind(now.0)
        .execute(&mut *tx)
        .await
        .map_err(failed("adopt a job"))?;
        if adopted.rows_affected() == 0 {
            return Ok(None);
        }
        let job = read_claimed(&mut tx, job).await?;
        commit(tx).await?;
        Ok(Some(job))
    }

    /// A job's worker is gone: back to the queue once, then an error. None when
    /// its lease did not run out after all.
    pub async fn job_lost(&self, job: JobId, now: Timestamp) -> Result<Option<LostJob>> {
        let mut tx = self.begin().await?;
        let row = sqlx::query("SELECT options FROM jobs WHERE id = $1")
            .bind(job.0)
            .fetch_one(&mut *tx)
            .await
            .map_err(failed("read a lost job"))?;
        let limit = if read_options(&row)?.retry { LOST_LIMIT } else { 0 };
        let retried = sqlx::query(
            "UPDATE jobs SET status = 'enqueued', reason = 'its worker was lost; waiting to start again', \
             lost = lost + 1, lease_owner = NULL, lease_until = NULL \
             WHERE id = $1 AND status = 'pending' AND lease_until < $2 AND lost < $3 RETURNING uuid, build_id",
        )
        .bind(job.0)
        .bind(now.0)
        .bind(limit)
        .fetch_optional(&mut *tx)
        .await
        .map_err(failed("retry a lost job"))?;
        let (row, retried) = if let Some(row) = retried {
            (row, true)
        } else {
            let end = JobEnd::Error(
                ErrorKind::LostWorker,
                match limit {
                    0 => "the worker was lost while it ran this job, which must not run twice by itself".into(),
                    _ => format!("the worker was lost {} times while it ran this job", limit + 1),
                },
            );
            let ended = sqlx::query(
                "UPDATE jobs SET status = $1, reason = $2, cause = $3, finished_at = $4, lost = lost + 1, \
                 lease_owner = NULL, lease_until = NULL \
                 WHERE id = $5 AND status = 'pending' AND lease_until < $4 RETURNING uuid, build_id",
            )
            .bind(end.status().as_str())
            .bind(end.to_string())
            .bind(end.cause())
            .bind(now.0)
            .bind(job.0)
            .fetch_optional(&mut *tx)
            .await
            .map_err(failed("end a lost job"))?;
            let Some(row) = ended else { return Ok(None) };
            (row, false)
        };
        self.job_changed(&mut tx, BuildId(row.int("build_id")?), now).await?;
        let uuid = row.text("uuid")?.parse()?;
        commit(tx).await?;
        self.wakes.jobs.notify_one();
        self.wakes.outbox.notify_one();
        Ok(Some(LostJob { uuid, retried }))
    }
}
