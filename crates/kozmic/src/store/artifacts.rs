//! Artifacts: what is kept of each job, and what lies in the object storage without
//! being kept.

use sqlx::any::AnyRow;

use super::{Columns as _, Result, Store, Transaction, commit, failed, whole_rows};
use crate::model::{Action, Artifact, GitRef, JobId, JobUuid, ProjectId, Timestamp};
use serde_json::Map;

/// A job whose artifacts may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldArtifacts {
    pub job: JobId,
    pub project: ProjectId,
    pub uuid: JobUuid,
    /// For people: the project's name, the build's number, the job's title.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
    pub created_at: Timestamp,
}

impl OldArtifacts {
    /// Where all of them lie.
    pub fn prefix(&self) -> String {
        prefix_of_job(self.project, self.uuid)
    }
}

/// Below it lie the artifacts of a project.
pub(super) fn prefix_of_project(project: ProjectId) -> String {
    format!("artifacts/{project}")
}

fn prefix_of_job(project: ProjectId, job: JobUuid) -> String {
    format!("{}/{job}", prefix_of_project(project))
}

/// Below it lie the artifacts that an attempt finds.
pub fn prefix_of_attempt(project: ProjectId, job: JobUuid, attempt: i64) -> String {
    format!("{}/{attempt}", prefix_of_job(project, job))
}

impl Store {
    /// From now on there may be objects below this prefix that nothing names, until the
    /// attempt's files are collected.
    pub async fn upload_begins(&self, prefix: &str, job: JobUuid, attempt: i64) -> Result<()> {
        sqlx::query(
            "INSERT INTO artifact_leftovers (prefix, job_uuid, attempt) VALUES ($1, $2, $3) \
             ON CONFLICT DO NOTHING",
        )
        .bind(prefix)
        .bind(job.to_string())
        .bind(attempt)
        .execute(&self.writer)
        .await
        .map_err(failed("note that artifacts are uploaded"))?;
        Ok(())
    }

    /// In the order of their names.
    pub async fn artifacts(&self, job: JobId) -> Result<Vec<Artifact>> {
        let rows = whole_rows("SELECT * FROM artifacts WHERE job_id = $1 ORDER BY path")
            .bind(job.0)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list artifacts"))?;
        rows.iter().map(read_artifact).collect()
    }

    pub async fn artifact(&self, job: JobId, path: &str) -> Result<Option<Artifact>> {
        // No text of PostgreSQL's has it, and so no artifact.
        if path.contains('\0') {
            return Ok(None);
        }
        let row = whole_rows("SELECT * FROM artifacts WHERE job_id = $1 AND path = $2")
            .bind(job.0)
            .bind(path)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("find an artifact"))?;
        row.as_ref().map(read_artifact).transpose()
    }

    /// The job with an artifact of this name in the newest green build of a ref, or of
    /// any; of the hook with this title, if it is given.
    pub async fn latest_artifact(
        &self,
        project: ProjectId,
        git_ref: Option<&GitRef>,
        title: Option<&str>,
        path: &str,
    ) -> Result<Option<JobId>> {
        if path.contains('\0') {
            return Ok(None);
        }
        let row = sqlx::query(
            "SELECT jobs.id FROM artifacts JOIN jobs ON jobs.id = artifacts.job_id \
             JOIN builds ON builds.id = jobs.build_id \
             WHERE builds.project_id = $1 AND artifacts.path = $2 AND builds.status = 'success' \
             AND builds.triggered_by <> 'try' \
             AND jobs.replaced_by_id IS NULL AND ($3 = '' OR builds.gh_commit_ref = $3) \
             AND ($4 = '' OR jobs.title = $4) \
             ORDER BY builds.number DESC, jobs.hook_call_id, jobs.place LIMIT 1",
        )
        .bind(project.0)
        .bind(path)
        .bind(git_ref.map_or("", GitRef::as_full))
        .bind(title.unwrap_or_default())
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("find the latest artifact"))?;
        row.map(|row| Ok(JobId(row.int("id")?))).transpose()
    }

    /// Jobs with artifacts, the oldest first, at most `limit`: those older than `before`,
    /// and those that their project has beyond so many bytes.
    pub async fn old_artifacts(
        &self,
        before: Timestamp,
        project_bytes: u64,
        limit: i64,
    ) -> Result<Vec<OldArtifacts>> {
        let rows = sqlx::query(
            "SELECT id, uuid, title, number, project_id, gh_full_name, artifact_bytes, created_at \
             FROM (SELECT jobs.id, jobs.uuid, jobs.title, builds.number, builds.project_id, \
             projects.gh_full_name, collections.artifact_bytes, collections.created_at, \
             CAST(SUM(collections.artifact_bytes) OVER (PARTITION BY builds.project_id \
             ORDER BY collections.created_at DESC, jobs.id DESC) AS BIGINT) AS newer_and_own \
             FROM collections JOIN jobs ON jobs.id = collections.job_id \
             JOIN builds ON builds.id = jobs.build_id JOIN projects ON projects.id = builds.project_id \
             WHERE artifact_count > 0 AND artifacts_removed_at IS NULL) AS kept \
             WHERE created_at < $1 OR newer_and_own > $2 ORDER BY created_at, id LIMIT $3",
        )
        .bind(before.0)
        .bind(i64::try_from(project_bytes).unwrap_or(i64::MAX))
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("look for old artifacts"))?;
        let read = |row: &AnyRow| {
            let (name, number) = (row.text("gh_full_name")?, row.int("number")?);
            Ok(OldArtifacts {
                job: JobId(row.int("id")?),
                project: ProjectId(row.int("project_id")?),
                uuid: row.text("uuid")?.parse()?,
                name: format!("of {name} #{number} {}", row.text("title")?),
                bytes: u64::try_from(row.int("artifact_bytes")?).unwrap_or(0),
                created_at: Timestamp(row.int("created_at")?),
            })
        };
        rows.iter().map(read).collect()
    }

    /// A job's artifacts are listed no more; their objects are left over.
    pub async fn artifacts_removed(
        &self,
        of: &OldArtifacts,
        because: &str,
        now: Timestamp,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "UPDATE collections SET artifacts_removed_at = $1, artifacts_removed_because = $2 \
             WHERE job_id = $3",
        )
        .bind(now.0)
        .bind(because)
        .bind(of.job.0)
        .execute(&mut *tx)
        .await
        .map_err(failed("note that artifacts were removed"))?;
        sqlx::query("DELETE FROM artifacts WHERE job_id = $1")
            .bind(of.job.0)
            .execute(&mut *tx)
            .await
            .map_err(failed("remove artifacts"))?;
        leave(&mut tx, &of.prefix()).await?;
        let details = Map::from_iter([("because".to_owned(), because.into())]);
        self.note_job(&mut tx, Action::ArtifactsRemoved, of.job, details).await?;
        commit(tx).await
    }

    /// Prefixes below which nothing is needed, at most `limit`.
    pub async fn artifact_leftovers(&self, limit: i64) -> Result<Vec<String>> {
        let rows = sqlx::query(
            "SELECT prefix FROM artifact_leftovers WHERE job_uuid IS NULL OR NOT EXISTS (\
             SELECT 1 FROM jobs WHERE jobs.uuid = artifact_leftovers.job_uuid \
             AND jobs.attempt = artifact_leftovers.attempt AND jobs.status = 'pending') \
             ORDER BY prefix LIMIT $1",
        )
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("look for what is left of artifacts"))?;
        rows.iter().map(|row| row.text("prefix")).collect()
    }

    /// Nothing lies below this prefix any more.
    pub async fn leftover_removed(&self, prefix: &str) -> Result<()> {
        sqlx::query("DELETE FROM artifact_leftovers WHERE prefix = $1")
            .bind(prefix)
            .execute(&self.writer)
            .await
            .map_err(failed("note that nothing is left of artifacts"))?;
        Ok(())
    }
}

/// As part of what was collected; from now on they are listed.
pub(super) async fn keep(
    tx: &mut Transaction,
    job: JobId,
    attempt: i64,
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
    // Those of this attempt are named now.
    sqlx::query(
        "DELETE FROM artifact_leftovers WHERE attempt = $1 AND prefix LIKE 'artifacts/%' \
         AND job_uuid = (SELECT uuid FROM jobs WHERE id = $2)",
    )
    .bind(attempt)
    .bind(job.0)
    .execute(&mut **tx)
    .await
    .map_err(failed("note that artifacts were uploaded"))?;
    Ok(())
}

/// What lies below a prefix is needed no more.
pub(super) async fn leave(tx: &mut Transaction, prefix: &str) -> Result<()> {
    sqlx::query(
        "INSERT INTO artifact_leftovers (prefix, job_uuid, attempt) VALUES ($1, NULL, NULL) \
         ON CONFLICT DO NOTHING",
    )
    .bind(prefix)
    .execute(&mut **tx)
    .await
    .map_err(failed("note what is left of artifacts"))?;
    Ok(())
}

fn read_artifact(row: &AnyRow) -> Result<Artifact> {
    Ok(Artifact {
        path: row.text("path")?,
        size: u64::try_from(row.int("size")?).unwrap_or(0),
        sha256: row.text("sha256")?,
        object: row.text("object")?,
    })
}
