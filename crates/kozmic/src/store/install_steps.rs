//! What became of jobs' install steps, and which cached images people dropped.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::any::AnyRow;

use super::{Columns as _, Job, Result, Store, commit, failed, whole_rows};
use crate::model::{
    Action, BuildId, DroppedImage, InstallOutcome, InstallStep, JobId, KnownImages, ProjectId,
    Timestamp,
};
use serde_json::Map;

/// An install step, and what became of its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptStep {
    pub step: InstallStep,
    pub dropped: Option<DroppedImage>,
}

impl Store {
    /// The install step of a running attempt, as far as it has come; that of an earlier
    /// attempt is forgotten.
    pub async fn install_step_is(
        &self,
        job: JobId,
        attempt: i64,
        step: &InstallStep,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO install_steps (job_id, cache_id, outcome, because, started_from, made_at, took) \
             SELECT id, $1, $2, $3, $4, $5, $6 FROM jobs \
             WHERE id = $7 AND attempt = $8 AND status = 'pending' \
             ON CONFLICT (job_id) DO UPDATE SET cache_id = EXCLUDED.cache_id, \
             outcome = EXCLUDED.outcome, because = EXCLUDED.because, \
             started_from = EXCLUDED.started_from, made_at = EXCLUDED.made_at, took = EXCLUDED.took",
        )
        .bind(&step.cache_id)
        .bind(step.outcome.as_str())
        .bind(&step.because)
        .bind(&step.started_from)
        .bind(step.made_at.map(|at| at.0))
        .bind(step.took.map(milliseconds))
        .bind(job.0)
        .bind(attempt)
        .execute(&self.writer)
        .await
        .map_err(failed("note an install step"))?;
        Ok(())
    }

    /// The install script of a running attempt has made its image.
    pub async fn install_step_made(
        &self,
        job: JobId,
        attempt: i64,
        took: Duration,
        now: Timestamp,
    ) -> Result<()> {
        sqlx::query(
            "UPDATE install_steps SET outcome = $1, made_at = $2, took = $3 WHERE job_id IN \
             (SELECT id FROM jobs WHERE id = $4 AND attempt = $5 AND status = 'pending')",
        )
        .bind(InstallOutcome::Made.as_str())
        .bind(now.0)
        .bind(milliseconds(took))
        .bind(job.0)
        .bind(attempt)
        .execute(&self.writer)
        .await
        .map_err(failed("note that an install step is done"))?;
        Ok(())
    }

    /// Those of a build's jobs, also of jobs that a restart replaced.
    pub async fn install_steps_of(&self, build: BuildId) -> Result<HashMap<JobId, KeptStep>> {
        self.install_steps_of_all(&[build]).await
    }

    /// The same of several builds.
    pub async fn install_steps_of_all(
        &self,
        builds: &[BuildId],
    ) -> Result<HashMap<JobId, KeptStep>> {
        let text = "SELECT install_steps.*, dropped_by, dropped_at FROM install_steps \
             JOIN jobs ON jobs.id = install_steps.job_id JOIN builds ON builds.id = jobs.build_id \
             LEFT JOIN dropped_images ON dropped_images.project_id = builds.project_id \
             AND dropped_images.cache_id = install_steps.cache_id \
             AND dropped_images.dropped_at >= install_steps.made_at \
             WHERE jobs.build_id IN ({})";
        let rows = self.of_builds(text, builds, "list the install steps of jobs").await?;
        rows.iter().map(|row| Ok((JobId(row.int("job_id")?), read(row)?))).collect()
    }

    /// What is known of the cached images that a project's own jobs made.
    pub async fn known_images(&self, project: ProjectId) -> Result<KnownImages> {
        let made = sqlx::query(
            "SELECT install_steps.cache_id, MAX(builds.number) AS number, \
             MAX(install_steps.made_at) AS made_at FROM install_steps \
             JOIN jobs ON jobs.id = install_steps.job_id JOIN builds ON builds.id = jobs.build_id \
             WHERE builds.project_id = $1 AND install_steps.outcome = 'made' AND builds.is_from_fork = 0 \
             GROUP BY install_steps.cache_id ORDER BY made_at DESC LIMIT 1000",
        )
        .bind(project.0)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list the images of install steps"))?;
        let read_made = |row: &AnyRow| {
            Ok((row.text("cache_id")?, row.int("number")?, Timestamp(row.int("made_at")?)))
        };
        let dropped = whole_rows("SELECT * FROM dropped_images WHERE project_id = $1")
            .bind(project.0)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list the dropped images"))?;
        Ok(KnownImages {
            made: made.iter().map(read_made).collect::<Result<_>>()?,
            dropped: dropped.iter().map(read_dropped).collect::<Result<_>>()?,
        })
    }

    /// No job uses the image of this job's install step any more, nor what forks made of
    /// the same inputs; the next one that needs it makes it anew. Whether the job had one.
    pub async fn image_dropped(&self, job: &Job, by: &str, now: Timestamp) -> Result<bool> {
        let mut tx = self.begin().await?;
        let dropped = sqlx::query(
            "INSERT INTO dropped_images (project_id, cache_id, dropped_by, dropped_at) \
             SELECT builds.project_id, install_steps.cache_id, $1, $2 FROM install_steps \
             JOIN jobs ON jobs.id = install_steps.job_id JOIN builds ON builds.id = jobs.build_id \
             WHERE jobs.id = $3 AND install_steps.made_at IS NOT NULL \
             ON CONFLICT (project_id, cache_id) DO UPDATE SET dropped_by = EXCLUDED.dropped_by, \
             dropped_at = EXCLUDED.dropped_at",
        )
        .bind(by)
        .bind(now.0)
        .bind(job.id.0)
        .execute(&mut *tx)
        .await
        .map_err(failed("drop a cached image"))?;
        if dropped.rows_affected() == 0 {
            return Ok(false);
        }
        self.note_job(&mut tx, Action::ImageDropped, job.id, Map::new()).await?;
        commit(tx).await?;
        Ok(true)
    }

    /// All images that people dropped, by project.
    pub async fn dropped_images(&self) -> Result<Vec<(ProjectId, DroppedImage)>> {
        let rows = whole_rows("SELECT * FROM dropped_images")
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list the dropped images"))?;
        let read = |row: &AnyRow| Ok((ProjectId(row.int("project_id")?), read_dropped(row)?));
        rows.iter().map(read).collect()
    }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn read_dropped(row: &AnyRow) -> Result<DroppedImage> {
    Ok(DroppedImage {
        cache_id: row.text("cache_id")?,
        by: row.text("dropped_by")?,
        at: Timestamp(row.int("dropped_at")?),
    })
}

fn read(row: &AnyRow) -> Result<KeptStep> {
    let took = row.int_or_null("took")?;
    let step = InstallStep {
        cache_id: row.text("cache_id")?,
        outcome: row.text("outcome")?.parse()?,
        because: row.text("because")?,
        started_from: row.text_or_null("started_from")?,
        made_at: row.int_or_null("made_at")?.map(Timestamp),
        took: took.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0))),
    };
    let is_dropped = row.int_or_null("dropped_at")?.is_some();
    let dropped = if is_dropped { Some(read_dropped(row)?) } else { None };
    Ok(KeptStep { step, dropped })
}
