//! Where the logs of finished jobs are, and which of them go.

use super::{Columns as _, Result, Store, commit, failed};
use crate::model::{Action, JobId, JobUuid, ProjectId, Timestamp, readable_bytes};
use serde_json::Map;

/// A log that its project does not keep any longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiredLog {
    pub job: JobId,
    pub uuid: JobUuid,
    /// Why it goes, after "it was removed".
    pub because: String,
}

impl Store {
    /// A finished job's log lies in an archive of so many bytes now. False when it was
    /// removed meanwhile.
    pub async fn log_archived(&self, job: JobId, bytes: u64) -> Result<bool> {
        let updated =
            sqlx::query("UPDATE jobs SET log_bytes = $1 WHERE id = $2 AND log_removed_at IS NULL")
                .bind(i64::try_from(bytes).unwrap_or(i64::MAX))
                .bind(job.0)
                .execute(&self.writer)
                .await
                .map_err(failed("note that a log was archived"))?;
        Ok(updated.rows_affected() > 0)
    }

    /// From now on the job's page says that its log was removed, and why; those of its
    /// services go as well. False when the
    /// job is not finished.
    pub async fn log_removed(&self, job: JobId, because: &str, now: Timestamp) -> Result<bool> {
        let mut tx = self.begin().await?;
        let updated = sqlx::query(
            "UPDATE jobs SET log_removed_at = $1, log_removed_because = $2 \
             WHERE id = $3 AND status NOT IN ('enqueued', 'pending')",
        )
        .bind(now.0)
        .bind(because)
        .bind(job.0)
        .execute(&mut *tx)
        .await
        .map_err(failed("note that a log was removed"))?;
        if updated.rows_affected() > 0 {
            super::service_logs::removed_with_log(&mut tx, job).await?;
            let details = Map::from_iter([("because".to_owned(), because.into())]);
            self.note_job(&mut tx, Action::LogRemoved, job, details).await?;
        }
        commit(tx).await?;
        Ok(updated.rows_affected() > 0)
    }

    /// What projects don't keep any longer, by age or by the size of all their logs, the
    /// job that ended first first; without the logs of each project's newest build.
    pub async fn logs_expired(&self, now: Timestamp, limit: i64) -> Result<Vec<ExpiredLog>> {
        let rows = sqlx::query(
            "SELECT id, uuid, keep_logs_days, keep_logs_bytes, \
             CASE WHEN finished_at < $1 - COALESCE(keep_logs_days, 0) * 86400000 \
                       AND keep_logs_days IS NOT NULL THEN 1 ELSE 0 END AS is_old \
             FROM (SELECT jobs.id, jobs.uuid, jobs.finished_at, builds.number, \
                   projects.keep_logs_days, projects.keep_logs_bytes, \
                   SUM(COALESCE(jobs.log_bytes, 0)) OVER (PARTITION BY projects.id \
                       ORDER BY jobs.finished_at DESC, jobs.id DESC) AS bytes_since, \
                   (SELECT newest.number FROM builds AS newest \
                    WHERE newest.project_id = projects.id \
                    ORDER BY newest.number DESC LIMIT 1) AS newest_number \
                   FROM jobs JOIN builds ON builds.id = jobs.build_id \
                   JOIN projects ON projects.id = builds.project_id \
                   WHERE jobs.log_removed_at IS NULL AND jobs.finished_at IS NOT NULL \
                   AND jobs.status NOT IN ('enqueued', 'pending') \
                   AND (projects.keep_logs_days IS NOT NULL OR projects.keep_logs_bytes IS NOT NULL) \
             ) AS kept \
             WHERE number < newest_number \
             AND (finished_at < $1 - keep_logs_days * 86400000 OR bytes_since > keep_logs_bytes) \
             ORDER BY finished_at, id LIMIT $2",
        )
        .bind(now.0)
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list the logs that projects don't keep"))?;
        rows.iter()
            .map(|row| {
                let because = if row.flag("is_old")? {
                    let days = row.int("keep_logs_days")?;
                    format!("because its project keeps logs for {days} days")
                } else {
                    let bytes = u64::try_from(row.int("keep_logs_bytes")?).unwrap_or(0);
                    format!("because its project keeps {} of logs", readable_bytes(bytes))
                };
                Ok(ExpiredLog {
                    job: JobId(row.int("id")?),
                    uuid: row.text("uuid")?.parse()?,
                    because,
                })
            })
            .collect()
    }

    /// Bytes of a project's archived logs.
    pub async fn log_bytes(&self, project: ProjectId) -> Result<u64> {
        let row = sqlx::query("SELECT log_bytes FROM project_sizes WHERE project_id = $1")
            .bind(project.0)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("sum up a project's logs"))?;
        let bytes = row.map_or(Ok(0), |row| row.int("log_bytes"))?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }
}
