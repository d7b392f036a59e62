//! What the disks don't tell of what lies on them: which images Kozmic pulled,
//! what is needed still, and whose log was removed.

use std::collections::{HashMap, HashSet};

use sqlx::any::AnyRow;

use super::{Columns as _, Result, Store, commit, failed};
use crate::model::{CommitSha, ErrorKind, JobId, JobUuid, ProjectId, PulledImage, Timestamp};

/// An image that Kozmic pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptImage {
    pub record: i64,
    pub image_id: String,
    pub name: String,
    /// When it was pulled, or a job or service of that name started last.
    pub used: Timestamp,
}

/// The log of a finished job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptLog {
    pub job: JobId,
    pub uuid: JobUuid,
    pub project: String,
    pub build_number: i64,
    pub title: String,
    pub finished_at: Timestamp,
}

/// What is known of an image by its name, without asking anybody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageNews {
    /// When it was pulled last, and is there still.
    pub pulled_at: Option<Timestamp>,
    /// When a job of the project needed it last; why that could not have it, if so.
    pub last_job: Option<(Timestamp, Option<String>)>,
}

/// The ends of jobs that did not get an image.
const NO_IMAGE: [ErrorKind; 4] = [
    ErrorKind::ImageNotFound,
    ErrorKind::ImageDenied,
    ErrorKind::ImageUnusable,
    ErrorKind::PullFailed,
];

impl Store {
    /// What became of an image lately, here and in a project's jobs.
    pub async fn image_news(&self, project: ProjectId, image: &str) -> Result<ImageNews> {
        let pulled =
            sqlx::query("SELECT MAX(pulled_at) AS pulled_at FROM pulled_images WHERE name = $1")
                .bind(image)
                .fetch_one(&self.pool)
                .await
                .map_err(failed("look for an image"))?;
        let job = sqlx::query(
            "SELECT jobs.finished_at, jobs.started_at, jobs.cause, jobs.reason FROM jobs \
             JOIN builds ON builds.id = jobs.build_id \
             WHERE builds.project_id = $1 AND jobs.docker_image = $2 AND jobs.started_at IS NOT NULL \
             AND (jobs.script_started = 1 OR jobs.cause IN ($3, $4, $5, $6)) \
             ORDER BY jobs.started_at DESC LIMIT 1",
        )
        .bind(project.0)
        .bind(image)
        .bind(NO_IMAGE[0].as_str())
        .bind(NO_IMAGE[1].as_str())
        .bind(NO_IMAGE[2].as_str())
        .bind(NO_IMAGE[3].as_str())
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("look for a job of an image"))?;
        let read = |row: AnyRow| -> Result<_> {
            let at = row.int_or_null("finished_at")?.map_or_else(|| row.int("started_at"), Ok)?;
            let (cause, reason) = (row.text_or_null("cause")?, row.text("reason")?);
            let had_none = NO_IMAGE.iter().any(|kind| cause.as_deref() == Some(kind.as_str()));
            Ok(match had_none {
                false => Some((Timestamp(at), None)),
                true if reason.contains(image) => Some((Timestamp(at), Some(reason))),
                // It was the image of a service.
                true => None,
            })
        };
        Ok(ImageNews {
            pulled_at: pulled.int_or_null("pulled_at")?.map(Timestamp),
            last_job: job.map(read).transpose()?.flatten(),
        })
    }

    /// An image was pulled. It counts as ours unless its name stood for an image
    /// of somebody else's before.
    pub async fn image_pulled(
        &self,
        engine: &str,
        image: &PulledImage,
        now: Timestamp,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        if let Some(replaced) = &image.replaced {
            let ours = sqlx::query(
                "SELECT id FROM pulled_images WHERE engine = $1 AND image_id = $2 AND name = $3",
            )
            .bind(engine)
            .bind(replaced)
            .bind(&image.name)
            .fetch_optional(&mut *tx)
            .await
            .map_err(failed("look for a pulled image"))?;
            if ours.is_none() {
                return Ok(());
            }
        }
        sqlx::query(
            "INSERT INTO pulled_images (engine, image_id, name, pulled_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT DO NOTHING",
        )
        .bind(engine)
        .bind(&image.id)
        .bind(&image.name)
        .bind(now.0)
        .execute(&mut *tx)
        .await
        .map_err(failed("note a pulled image"))?;
        commit(tx).await
    }

    /// The images that Kozmic pulled at an engine.
    pub async fn pulled_images(&self, engine: &str) -> Result<Vec<KeptImage>> {
        let rows = sqlx::query(
            "SELECT id, image_id, name, pulled_at, \
             (SELECT MAX(started_at) FROM jobs WHERE docker_image = pulled_images.name) AS used_at, \
             (SELECT used_at FROM service_images WHERE image = pulled_images.name) AS served_at \
             FROM pulled_images WHERE engine = $1 ORDER BY id",
        )
        .bind(engine)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list the pulled images"))?;
        let read = |row: &AnyRow| {
            let of_jobs = row.int_or_null("used_at")?.max(row.int_or_null("served_at")?);
            let used = of_jobs.unwrap_or(0).max(row.int("pulled_at")?);
            Ok(KeptImage {
                record: row.int("id")?,
                image_id: row.text("image_id")?,
                name: row.text("name")?,
                used: Timestamp(used),
            })
        };
        rows.iter().map(read).collect()
    }

    /// A pulled image is gone from its engine.
    pub async fn pulled_image_gone(&self, record: i64) -> Result<()> {
        sqlx::query("DELETE FROM pulled_images WHERE id = $1")
            .bind(record)
            .execute(&self.writer)
            .await
            .map_err(failed("forget a pulled image"))?;
        Ok(())
    }

    /// The images that hooks, and jobs that are not finished, name, those of services too.
    pub async fn images_wanted(&self) -> Result<Vec<String>> {
        let rows = sqlx::query(
            "SELECT docker_image FROM hooks UNION \
             SELECT docker_image FROM (SELECT docker_image FROM jobs \
             WHERE status = 'enqueued' ORDER BY id LIMIT 1000000000) AS waiting UNION \
             SELECT docker_image FROM (SELECT docker_image FROM jobs \
             WHERE status = 'pending' ORDER BY id LIMIT 1000000000) AS running",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list the images of hooks"))?;
        let scripts: Vec<String> =
            rows.iter().map(|row| row.text("docker_image")).collect::<Result<_>>()?;
        Ok([scripts, self.service_images_wanted().await?].concat())
    }

    /// When each project was built last.
    pub async fn projects_built(&self) -> Result<HashMap<ProjectId, Timestamp>> {
        let rows =
            sqlx::query("SELECT id AS project_id, built_at FROM projects WHERE built_at > 0")
                .fetch_all(&self.pool)
                .await
                .map_err(failed("list when projects were built"))?;
        rows.iter()
            .map(|row| Ok((ProjectId(row.int("project_id")?), Timestamp(row.int("built_at")?))))
            .collect()
    }

    /// The projects that have jobs which are not finished.
    pub async fn projects_at_work(&self) -> Result<HashSet<ProjectId>> {
        let rows = sqlx::query(
            "SELECT builds.project_id FROM jobs JOIN builds ON builds.id = jobs.build_id \
             WHERE jobs.status = 'enqueued' UNION \
             SELECT builds.project_id FROM jobs JOIN builds ON builds.id = jobs.build_id \
             WHERE jobs.status = 'pending'",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list the projects at work"))?;
        rows.iter().map(|row| Ok(ProjectId(row.int("project_id")?))).collect()
    }

    /// The commits of a project that are being built, and of its `newest` builds.
    // Limits and CROSS keep SQLite from beginning with all that the project has built.
    pub async fn commits_needed(&self, project: ProjectId, newest: i64) -> Result<Vec<CommitSha>> {
        let rows = sqlx::query(
            "SELECT gh_commit_sha FROM (SELECT gh_commit_sha FROM builds WHERE project_id = $1 \
             ORDER BY number DESC LIMIT $2) AS newest UNION \
             SELECT builds.gh_commit_sha FROM \
             (SELECT build_id FROM jobs WHERE status = 'enqueued' ORDER BY id LIMIT 1000000000) AS waiting \
             CROSS JOIN builds WHERE builds.id = waiting.build_id AND builds.project_id = $1 UNION \
             SELECT builds.gh_commit_sha FROM \
             (SELECT build_id FROM jobs WHERE status = 'pending' ORDER BY id LIMIT 1000000000) AS running \
             CROSS JOIN builds WHERE builds.id = running.build_id AND builds.project_id = $1",
        )
        .bind(project.0)
        .bind(newest)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list the commits that are needed"))?;
        rows.iter().map(|row| Ok(row.text("gh_commit_sha")?.parse()?)).collect()
    }

    /// Logs of finished jobs after `last`, the one that ended first first, at most
    /// `limit`; without those of each project's newest build.
    pub async fn oldest_logs(&self, last: Option<&KeptLog>, limit: i64) -> Result<Vec<KeptLog>> {
        let rows = sqlx::query(
            "SELECT jobs.id, jobs.uuid, jobs.title, jobs.finished_at, builds.number, projects.gh_full_name \
             FROM jobs JOIN builds ON builds.id = jobs.build_id \
             JOIN projects ON projects.id = builds.project_id \
             WHERE jobs.log_removed_at IS NULL AND jobs.finished_at IS NOT NULL \
             AND jobs.status NOT IN ('enqueued', 'pending') \
             AND builds.number < (SELECT newest.number FROM builds AS newest \
                                  WHERE newest.project_id = builds.project_id \
                                  ORDER BY newest.number DESC LIMIT 1) \
             AND (jobs.finished_at > $1 OR (jobs.finished_at = $1 AND jobs.id > $2)) \
             ORDER BY jobs.finished_at, jobs.id LIMIT $3",
        )
        .bind(last.map_or(i64::MIN, |last| last.finished_at.0))
        .bind(last.map_or(0, |last| last.job.0))
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list the oldest logs"))?;
        let read = |row: &AnyRow| {
            Ok(KeptLog {
                job: JobId(row.int("id")?),
                uuid: row.text("uuid")?.parse()?,
                project: row.text("gh_full_name")?,
                build_number: row.int("number")?,
                title: row.text("title")?,
                finished_at: Timestamp(row.int("finished_at")?),
            })
        };
        rows.iter().map(read).collect()
    }

    /// The jobs whose logs were removed since then.
    pub async fn logs_removed_since(&self, at: Timestamp) -> Result<Vec<JobUuid>> {
        let rows = sqlx::query("SELECT uuid FROM jobs WHERE log_removed_at >= $1")
            .bind(at.0)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list removed logs"))?;
        rows.iter().map(|row| Ok(row.text("uuid")?.parse()?)).collect()
    }
}
