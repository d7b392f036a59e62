//! Leases: who carries out a job, for how long, and what becomes of a job whose
//! worker is gone.

use std::time::Duration;

use sqlx::any::AnyRow;

use super::claimed::read_claimed;
use super::{
    ClaimedJob, Columns as _, Result, Store, StoreError, commit, failed, phases, read_options,
};
use crate::model::{BuildId, ErrorKind, JobEnd, JobId, JobUuid, Timestamp};
use crate::telemetry::count;

/// Attempts that may be lost after their script had started.
const LOST_LIMIT: i64 = 1;
/// Attempts in all; what ends its worker each time must not do so for ever.
const ATTEMPT_LIMIT: i64 = 10;

/// What a worker learns when it renews its lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseState {
    Held,
    /// Still held, but the job is to be stopped, for this reason.
    CancelRequested(String),
    Lost,
}

/// A job that nobody renewed the lease of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LapsedLease {
    pub job: JobId,
    pub uuid: JobUuid,
    pub attempt: i64,
    /// The worker that had it.
    pub owner: String,
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
        .fetch_optional(&self.writer)
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

    /// There can be only one worker, which has just started under this name: whatever is
    /// leased is its own.
    pub async fn leases_inherited(&self, worker: &str) -> Result<()> {
        sqlx::query("UPDATE jobs SET lease_owner = $1, worker = $1 WHERE status = 'pending'")
            .bind(worker)
            .execute(&self.writer)
            .await
            .map_err(failed("take over old leases"))?;
        sqlx::query("UPDATE outbox SET claimed_until = 0 WHERE version > sent_version AND claimed_until > 0")
            .execute(&self.writer)
            .await
            .map_err(failed("give up the reports under way"))?;
        sqlx::query("DELETE FROM workers")
            .execute(&self.writer)
            .await
            .map_err(failed("forget the worker before"))?;
        Ok(())
    }

    /// A worker has just started: whatever was leased under its name was lost with the one
    /// before it.
    pub async fn leases_abandoned(&self, worker: &str, now: Timestamp) -> Result<()> {
        sqlx::query(
            "UPDATE jobs SET lease_until = $1 WHERE status = 'pending' AND lease_owner = $2",
        )
        .bind(now.0 - 1)
        .bind(worker)
        .execute(&self.writer)
        .await
        .map_err(failed("give up old leases"))?;
        Ok(())
    }

    /// Jobs whose lease ran out.
    pub async fn leases_lapsed(&self, now: Timestamp) -> Result<Vec<LapsedLease>> {
        let rows = sqlx::query(
            "SELECT id, uuid, attempt, lease_owner FROM jobs \
             WHERE status = 'pending' AND lease_until < $1 ORDER BY id",
        )
        .bind(now.0)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("look for lost jobs"))?;
        let lapsed = |row: &AnyRow| {
            Ok(LapsedLease {
                job: JobId(row.int("id")?),
                uuid: row.text("uuid")?.parse()?,
                attempt: row.int("attempt")?,
                owner: row.text_or_null("lease_owner")?.unwrap_or_default(),
            })
        };
        rows.iter().map(lapsed).collect()
    }

    /// A worker takes up a job, in the same attempt, whose own worker is gone. None
    /// when its lease did not run out after all, and when it can't be read, and so has ended.
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
        let read = read_claimed(&mut tx, &[job]).await?.pop();
        commit(tx).await?;
        match read {
            Some((_, Ok(job))) => Ok(Some(job)),
            Some((_, Err(problem))) => {
                self.job_unreadable(job, &problem, now).await?;
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// A job's worker is gone. None when its lease did not run out after all.
    pub async fn job_lost(&self, job: JobId, now: Timestamp) -> Result<Option<LostJob>> {
        self.lost(job, Gone::Worker { lapsed_before: now }, now).await
    }

    /// The engine is gone under an attempt that its worker still holds.
    /// [`StoreError::Stale`] when it does not.
    pub async fn job_lost_with_engine(
        &self,
        job: JobId,
        attempt: i64,
        now: Timestamp,
    ) -> Result<LostJob> {
        self.lost(job, Gone::Engine { attempt }, now).await?.ok_or(StoreError::Stale)
    }

    /// Back to the queue, unless its script was started in too many attempts that
    /// were lost, or must not start again by itself.
    async fn lost(&self, job: JobId, gone: Gone, now: Timestamp) -> Result<Option<LostJob>> {
        let (lapsed_before, attempt) = match gone {
            Gone::Worker { lapsed_before } => (lapsed_before.0, -1),
            Gone::Engine { attempt } => (i64::MIN, attempt),
        };
        let mut tx = self.begin().await?;
        self.lock_build_of(&mut tx, job).await?;
        let row = sqlx::query(
            "SELECT uuid, build_id, options, attempt, script_started, lost FROM jobs \
             WHERE id = $1 AND status = 'pending' AND (lease_until < $2 OR attempt = $3)",
        )
        .bind(job.0)
        .bind(lapsed_before)
        .bind(attempt)
        .fetch_optional(&mut *tx)
        .await
        .map_err(failed("read a lost job"))?;
        let Some(row) = row else { return Ok(None) };
        let lost = row.int("lost")? + row.int("script_started")?;
        // Options that can't be read are found when a worker takes the job again.
        let may_retry = read_options(&row).map_or(true, |options| options.retry);
        let end = why_not_again(gone, may_retry, lost, row.int("attempt")?);
        let retried = end.is_none();
        let (status, reason, cause) = match &end {
            None => ("enqueued", format!("{gone} was lost; waiting to start again"), None),
            Some(end) => (end.status().as_str(), end.to_string(), Some(end.cause())),
        };
        // Again only if nobody was faster.
        let updated = sqlx::query(
            "UPDATE jobs SET status = $1, reason = $2, cause = $3, finished_at = $4, lost = $5, \
             lease_owner = NULL, lease_until = NULL \
             WHERE id = $6 AND status = 'pending' AND (lease_until < $7 OR attempt = $8)",
        )
        .bind(status)
        .bind(reason)
        .bind(cause)
        .bind(end.is_some().then_some(now.0))
        .bind(lost)
        .bind(job.0)
        .bind(lapsed_before)
        .bind(attempt)
        .execute(&mut *tx)
        .await
        .map_err(failed("give up a lost attempt"))?;
        if updated.rows_affected() == 0 {
            return Ok(None);
        }
        if retried {
            phases::interrupted(&mut tx, job, now).await?;
        }
        self.job_changed(&mut tx, BuildId(row.int("build_id")?), now).await?;
        commit(tx).await?;
        count::lease_lost();
        self.wakes.jobs.notify_one();
        self.wakes.outbox.notify_one();
        Ok(Some(LostJob { uuid: row.text("uuid")?.parse()?, retried }))
    }
}

/// What a job lost.
#[derive(Debug, Clone, Copy)]
enum Gone {
    Worker { lapsed_before: Timestamp },
    Engine { attempt: i64 },
}

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Worker { .. } => "its worker",
            Self::Engine { .. } => "its container engine",
        })
    }
}

/// Why a lost job is not started again, as its end.
fn why_not_again(gone: Gone, may_retry: bool, lost: i64, attempt: i64) -> Option<JobEnd> {
    let why = if !may_retry {
        format!("{gone} was lost while this job ran, which must not run twice by itself")
    } else if lost > LOST_LIMIT {
        format!("this job was lost {lost} times while its script ran; at last {gone} was lost")
    } else if attempt >= ATTEMPT_LIMIT {
        format!("this job was lost in each of {attempt} attempts; at last {gone} was lost")
    } else {
        return None;
    };
    let kind = match gone {
        Gone::Worker { .. } => ErrorKind::LostWorker,
        Gone::Engine { .. } => ErrorKind::LostEngine,
    };
    Some(JobEnd::Error(kind, why))
}
