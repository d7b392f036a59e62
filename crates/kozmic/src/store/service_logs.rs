//! What the services of jobs have written, and which images they were of.

use sqlx::any::AnyRow;

use super::artifacts::leave;
use super::{
    Columns as _, Result, Store, StoreError, Transaction, commit, failed, read_options, whole_rows,
};
use crate::model::{DockerImage, JobId, JobUuid, ProjectId, Timestamp};

/// The log of one service of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceLog {
    /// The service's host name.
    pub name: String,
    pub image: String,
    /// How it ended by itself, after its name; none: with its job.
    pub ended: Option<String>,
    /// Bytes.
    pub size: u64,
    /// Where they are.
    pub object: String,
}

/// Below it lie the logs of a project's services.
pub(super) fn prefix_of_project(project: ProjectId) -> String {
    format!("services/{project}")
}

fn prefix_of_job(project: ProjectId, job: JobUuid) -> String {
    format!("{}/{job}", prefix_of_project(project))
}

/// Below it lie those that an attempt of a job has kept.
pub fn service_logs_of_attempt(project: ProjectId, job: JobUuid, attempt: i64) -> String {
    format!("{}/{attempt}", prefix_of_job(project, job))
}

impl Store {
    /// The logs of a job's services, which lie below `prefix`, take the place of those of
    /// earlier attempts. An attempt that does not hold the job any more leaves nothing.
    pub async fn service_logs_kept(
        &self,
        job: JobId,
        attempt: i64,
        prefix: &str,
        logs: &[ServiceLog],
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        // Written, and so kept from others until the transaction ends, on both databases.
        sqlx::query(
            "UPDATE jobs SET attempt = attempt WHERE id = $1 AND attempt = $2 AND status = 'pending' \
             RETURNING id",
        )
        .bind(job.0)
        .bind(attempt)
        .fetch_optional(&mut *tx)
        .await
        .map_err(failed("look whether a job is held"))?
        .ok_or(StoreError::Stale)?;
        sqlx::query("DELETE FROM service_logs WHERE job_id = $1")
            .bind(job.0)
            .execute(&mut *tx)
            .await
            .map_err(failed("replace the logs of services"))?;
        for log in logs {
            sqlx::query(
                "INSERT INTO service_logs (job_id, name, image, ended, size, object) \
                 VALUES ($1, $2, $3, $4, $5, $6)",
            )
            .bind(job.0)
            .bind(&log.name)
            .bind(&log.image)
            .bind(&log.ended)
            .bind(i64::try_from(log.size).unwrap_or(i64::MAX))
            .bind(&log.object)
            .execute(&mut *tx)
            .await
            .map_err(failed("keep the log of a service"))?;
        }
        // They are named now.
        sqlx::query("DELETE FROM artifact_leftovers WHERE prefix = $1")
            .bind(prefix)
            .execute(&mut *tx)
            .await
            .map_err(failed("note that logs of services were uploaded"))?;
        commit(tx).await
    }

    /// In the order of their names.
    pub async fn service_logs(&self, job: JobId) -> Result<Vec<ServiceLog>> {
        let rows = whole_rows("SELECT * FROM service_logs WHERE job_id = $1 ORDER BY name")
            .bind(job.0)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list the logs of services"))?;
        let read = |row: &AnyRow| {
            Ok(ServiceLog {
                name: row.text("name")?,
                image: row.text("image")?,
                ended: row.text_or_null("ended")?,
                size: u64::try_from(row.int("size")?).unwrap_or(0),
                object: row.text("object")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Services of these images are started.
    pub async fn services_start(&self, images: &[&DockerImage], now: Timestamp) -> Result<()> {
        for image in images {
            sqlx::query(
                "INSERT INTO service_images (image, used_at) VALUES ($1, $2) \
                 ON CONFLICT (image) DO UPDATE SET used_at = excluded.used_at",
            )
            .bind(image.as_str())
            .bind(now.0)
            .execute(&self.writer)
            .await
            .map_err(failed("note the image of a service"))?;
        }
        Ok(())
    }

    /// The images of the services of hooks, and of jobs that are not finished.
    pub(super) async fn service_images_wanted(&self) -> Result<Vec<String>> {
        // Few hooks have any; the options are read where the word is, whatever it is there.
        let rows = sqlx::query(
            "SELECT options FROM hooks WHERE options LIKE '%\"services\"%' UNION \
             SELECT options FROM jobs WHERE status = 'enqueued' AND options LIKE '%\"services\"%' UNION \
             SELECT options FROM jobs WHERE status = 'pending' AND options LIKE '%\"services\"%'",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list the images of services"))?;
        let mut images = Vec::new();
        for row in &rows {
            images.extend(read_options(row)?.services.iter().map(|it| it.image.to_string()));
        }
        Ok(images)
    }
}

/// A job's log is removed, and those of its services with it.
pub(super) async fn removed_with_log(tx: &mut Transaction, job: JobId) -> Result<()> {
    let removed = sqlx::query("DELETE FROM service_logs WHERE job_id = $1")
        .bind(job.0)
        .execute(&mut **tx)
        .await
        .map_err(failed("remove the logs of services"))?;
    if removed.rows_affected() == 0 {
        return Ok(());
    }
    let row = sqlx::query(
        "SELECT jobs.uuid, builds.project_id FROM jobs JOIN builds ON builds.id = jobs.build_id \
         WHERE jobs.id = $1",
    )
    .bind(job.0)
    .fetch_one(&mut **tx)
    .await
    .map_err(failed("find a job's project"))?;
    let project = ProjectId(row.int("project_id")?);
    leave(tx, &prefix_of_job(project, row.text("uuid")?.parse()?)).await
}
