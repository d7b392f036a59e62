//! Artifacts: what is kept of each job, and what lies in the object storage without
//! being kept.

use super::{Result, Transaction, failed};
use crate::model::{Artifact, JobId};

/// As part of what was collected; from now on it is listed.
pub(super) async fn keep(
    tx: &mut Transaction,
    job: JobId,
    _attempt: i64,
    artifacts: &[Artifact],
) -> Result<()> {
    for artifact in artifacts {
        sqlx::query(
            "INSERT INTO artifacts (job_id, path, size, sha256, object) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(job.0)
        .bind(&artifact.path)
        .bind(i64::try_from(artifact.size).unwrap_or(i64::MAX))
        .bind(&artifact.sha256)
        .bind(&artifact.object)
        .execute(&mut **tx)
        .await
        .map_err(failed("keep an artifact"))?;
    }
    Ok(())
}
