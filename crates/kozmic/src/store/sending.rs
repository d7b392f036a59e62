//! Reports on their way: of several processes one sends a report at a time, and one that
//! slept meanwhile does not have the last word.

use std::time::Duration;

use super::{Report, Result, Store, failed};
use crate::model::{ProjectId, Timestamp};

/// A report is nobody else's for so long once it is being sent. Sending takes no longer, or
/// its process stands still.
const CLAIM: Duration = Duration::from_mins(2);

impl Store {
    /// It is about to be sent by `by`, and nobody else's for two minutes. Until it is
    /// settled nobody knows whether it arrived. False when a newer state has taken its place, or
    /// somebody else sends it.
    pub async fn report_begun(&self, report: &Report, by: &str, now: Timestamp) -> Result<bool> {
        let begun = sqlx::query(
            "UPDATE outbox SET attempts = attempts + 1, claimed_by = $1, claimed_until = $2 \
             WHERE id = $3 AND version = $4 AND sent_version < $4 \
             AND next_attempt_at <= $5 AND claimed_until <= $5",
        )
        .bind(by)
        .bind(now.plus(CLAIM).0)
        .bind(report.id)
        .bind(report.version)
        .bind(now.0)
        .execute(&self.writer)
        .await
        .map_err(failed("note that a report is sent"))?;
        Ok(begun.rows_affected() > 0)
    }

    /// GitHub has it, or it was given up for this reason. Who took so long that somebody
    /// else has sent a state meanwhile does not know which of the two arrived last: the
    /// latest is then sent once more.
    pub async fn report_settled(
        &self,
        report: &Report,
        by: &str,
        given_up: Option<&str>,
        now: Timestamp,
    ) -> Result<()> {
        if self.settle(report.id, report.version, by, given_up, now).await? {
            return Ok(());
        }
        sqlx::query(
            "UPDATE outbox SET version = version + 1, attempts = attempts + 1, next_attempt_at = $1 \
             WHERE id = $2",
        )
        .bind(now.0)
        .bind(report.id)
        .execute(&self.writer)
        .await
        .map_err(failed("send a report once more"))?;
        Ok(())
    }

    /// False when it is somebody else's by now.
    pub(super) async fn settle(
        &self,
        id: i64,
        version: i64,
        by: &str,
        given_up: Option<&str>,
        now: Timestamp,
    ) -> Result<bool> {
        // A newer state that came meanwhile has its attempts still before it.
        let settled = sqlx::query(
            "UPDATE outbox SET sent_version = $1, attempts = 0, failure = $2, updated_at = $3, \
             claimed_by = NULL, claimed_until = 0 \
             WHERE id = $4 AND sent_version < $1 \
             AND (claimed_by IS NULL OR claimed_by = $5 OR claimed_until <= $3)",
        )
        .bind(version)
        .bind(given_up)
        .bind(now.0)
        .bind(id)
        .bind(by)
        .execute(&self.writer)
        .await
        .map_err(failed("settle a report"))?;
        Ok(settled.rows_affected() > 0)
    }

    /// One report did not arrive, which says nothing of others: it alone again after `delay`.
    pub async fn report_postponed(
        &self,
        report: &Report,
        by: &str,
        why: &str,
        delay: Duration,
        now: Timestamp,
    ) -> Result<()> {
        sqlx::query(
            "UPDATE outbox SET failure = $1, next_attempt_at = $2, updated_at = $3, \
             claimed_by = NULL, claimed_until = 0 \
             WHERE id = $4 AND version > sent_version AND claimed_by = $5",
        )
        .bind(why)
        .bind(now.plus(delay).0)
        .bind(now.0)
        .bind(report.id)
        .bind(by)
        .execute(&self.writer)
        .await
        .map_err(failed("postpone a report"))?;
        Ok(())
    }

    /// One report of a project did not arrive, and the others would not either: all of them
    /// again after `delay`.
    pub async fn reports_postponed(
        &self,
        project: ProjectId,
        by: &str,
        why: &str,
        delay: Duration,
        now: Timestamp,
    ) -> Result<()> {
        sqlx::query(
            "UPDATE outbox SET failure = $1, next_attempt_at = $2, updated_at = $3, \
             claimed_until = CASE WHEN claimed_by = $5 THEN 0 ELSE claimed_until END, \
             claimed_by = CASE WHEN claimed_by = $5 THEN NULL ELSE claimed_by END \
             WHERE project_id = $4 AND version > sent_version AND next_attempt_at < $2",
        )
        .bind(why)
        .bind(now.plus(delay).0)
        .bind(now.0)
        .bind(project.0)
        .bind(by)
        .execute(&self.writer)
        .await
        .map_err(failed("postpone reports"))?;
        Ok(())
    }

    /// What somebody was sending of a project they send no more.
    pub async fn reports_given_back(&self, project: ProjectId, by: &str) -> Result<()> {
        sqlx::query(
            "UPDATE outbox SET claimed_until = 0 \
             WHERE project_id = $1 AND version > sent_version AND claimed_by = $2",
        )
        .bind(project.0)
        .bind(by)
        .execute(&self.writer)
        .await
        .map_err(failed("give reports back"))?;
        Ok(())
    }

    /// Who had this name before is gone: what it was sending is sent by somebody else.
    pub async fn reports_abandoned(&self, by: &str) -> Result<()> {
        sqlx::query(
            "UPDATE outbox SET claimed_until = 0 WHERE version > sent_version AND claimed_by = $1",
        )
        .bind(by)
        .execute(&self.writer)
        .await
        .map_err(failed("give up the reports under way"))?;
        Ok(())
    }
}
