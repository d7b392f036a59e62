//! Containers of failed jobs that are kept for a while: until when, who looks into
//! them, and why they are gone. Several processes may use and remove them, so what is
//! decided is decided here, in one statement.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::any::AnyRow;

use super::{ClaimedJob, Columns as _, Result, Store, claimed, commit, failed, whole_rows};
use crate::model::{BuildId, JobId, JobUuid, Timestamp};

/// Of those who looked into a container, so many are told.
const OPENINGS: i64 = 20;

/// The container of a job that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptContainer {
    pub job: JobId,
    pub uuid: JobUuid,
    pub attempt: i64,
    /// The engine that has it, as it names itself.
    pub engine: String,
    /// Its id there.
    pub container: String,
    pub kept_at: Timestamp,
    pub until: Timestamp,
    /// Somebody uses it at least until then.
    pub held_until: Timestamp,
    /// Why it is not there any more.
    pub gone_because: Option<String>,
    pub project: String,
    pub build_number: i64,
    pub title: String,
}

/// That somebody looked into one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// `shell` or `pull`.
    pub what: String,
    pub by: String,
    pub at: Timestamp,
}

/// Rows with what people call the job.
macro_rules! select {
    ($which:literal) => {
        concat!(
            "SELECT kept_containers.*, jobs.uuid, jobs.title, builds.number, projects.gh_full_name \
             FROM kept_containers JOIN jobs ON jobs.id = kept_containers.job_id \
             AND jobs.attempt = kept_containers.attempt \
             JOIN builds ON builds.id = jobs.build_id \
             JOIN projects ON projects.id = builds.project_id WHERE ",
            $which
        )
    };
}

impl KeptContainer {
    fn read(row: &AnyRow) -> Result<Self> {
        Ok(Self {
            job: JobId(row.int("job_id")?),
            uuid: row.text("uuid")?.parse()?,
            attempt: row.int("attempt")?,
            engine: row.text("engine")?,
            container: row.text("container")?,
            kept_at: Timestamp(row.int("kept_at")?),
            until: Timestamp(row.int("kept_until")?),
            held_until: Timestamp(row.int("held_until")?),
            gone_because: row.text_or_null("gone_because")?,
            project: row.text("gh_full_name")?,
            build_number: row.int("number")?,
            title: row.text("title")?,
        })
    }

    /// Whether it is there to be used.
    pub fn is_there(&self, now: Timestamp) -> bool {
        self.gone_because.is_none() && self.until.max(self.held_until) > now
    }
}

impl Store {
    /// The container of an attempt that is about to end stays for `time`. False when the
    /// attempt does not hold its job any more.
    pub async fn container_kept(
        &self,
        (job, attempt): (JobId, i64),
        (engine, container): (&str, &str),
        now: Timestamp,
        time: Duration,
    ) -> Result<bool> {
        let kept = sqlx::query(
            "INSERT INTO kept_containers (job_id, attempt, engine, container, kept_at, kept_until) \
             SELECT id, attempt, $1, $2, $3, $4 FROM jobs \
             WHERE id = $5 AND attempt = $6 AND status = 'pending' \
             ON CONFLICT (job_id) DO UPDATE SET attempt = excluded.attempt, engine = excluded.engine, \
             container = excluded.container, kept_at = excluded.kept_at, kept_until = excluded.kept_until, \
             held_until = 0, gone_because = NULL",
        )
        .bind(engine)
        .bind(container)
        .bind(now.0)
        .bind(now.plus(time).0)
        .bind(job.0)
        .bind(attempt)
        .execute(&self.writer)
        .await
        .map_err(failed("keep a container"))?;
        Ok(kept.rows_affected() > 0)
    }

    /// Whether what this attempt has left at the engine is kept.
    pub async fn is_kept(&self, uuid: JobUuid, attempt: i64, now: Timestamp) -> Result<bool> {
        let row = sqlx::query(
            "SELECT jobs.id FROM jobs JOIN kept_containers ON kept_containers.job_id = jobs.id \
             AND kept_containers.attempt = jobs.attempt \
             WHERE jobs.uuid = $1 AND jobs.attempt = $2 AND gone_because IS NULL \
             AND (kept_until > $3 OR held_until > $3)",
        )
        .bind(uuid.to_string())
        .bind(attempt)
        .bind(now.0)
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("look for a kept container"))?;
        Ok(row.is_some())
    }

    pub async fn kept_container(&self, job: JobId) -> Result<Option<KeptContainer>> {
        let row = whole_rows(select!("kept_containers.job_id = $1"))
            .bind(job.0)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("find a kept container"))?;
        row.as_ref().map(KeptContainer::read).transpose()
    }

    /// Those of the jobs of these builds, also those that are gone.
    pub async fn kept_containers_of_all(
        &self,
        builds: &[BuildId],
    ) -> Result<HashMap<JobId, KeptContainer>> {
        let text = select!("jobs.build_id IN ({})");
        let rows = self.of_builds(text, builds, "list a build's kept containers").await?;
        rows.iter().map(|row| KeptContainer::read(row).map(|kept| (kept.job, kept))).collect()
    }

    /// Those that an engine should have, the one that is kept for the shortest time first.
    pub async fn kept_containers(&self, engine: &str) -> Result<Vec<KeptContainer>> {
        let which =
            select!("kept_containers.engine = $1 AND gone_because IS NULL ORDER BY kept_until");
        let rows = whole_rows(which)
            .bind(engine)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list kept containers"))?;
        rows.iter().map(KeptContainer::read).collect()
    }

    /// Somebody uses a kept container until then: nobody removes it before. False when it
    /// is gone, or its time is over.
    pub async fn kept_container_held(
        &self,
        job: JobId,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool> {
        let held = sqlx::query(
            "UPDATE kept_containers SET held_until = $1 WHERE job_id = $2 AND gone_because IS NULL \
             AND (kept_until > $3 OR held_until > $3)",
        )
        .bind(until.0)
        .bind(job.0)
        .bind(now.0)
        .execute(&self.writer)
        .await
        .map_err(failed("hold a kept container"))?;
        Ok(held.rows_affected() > 0)
    }

    /// A kept container is about to be removed. False when somebody uses it; unless
    /// `early`, also when its time is not over.
    pub async fn kept_container_goes(
        &self,
        job: JobId,
        because: &str,
        early: bool,
        now: Timestamp,
    ) -> Result<bool> {
        let goes = sqlx::query(
            "UPDATE kept_containers SET gone_because = $1 WHERE job_id = $2 AND gone_because IS NULL \
             AND held_until <= $3 AND (kept_until <= $3 OR $4 = 1)",
        )
        .bind(because)
        .bind(job.0)
        .bind(now.0)
        .bind(i64::from(early))
        .execute(&self.writer)
        .await
        .map_err(failed("give up a kept container"))?;
        Ok(goes.rows_affected() > 0)
    }

    /// Somebody looks into the container of a job.
    pub async fn job_opened(
        &self,
        job: JobId,
        what: &'static str,
        by: &str,
        now: Timestamp,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO kept_openings (job_id, what, by_login, opened_at) VALUES ($1, $2, $3, $4)",
        )
        .bind(job.0)
        .bind(what)
        .bind(by)
        .bind(now.0)
        .execute(&self.writer)
        .await
        .map_err(failed("note who opened a job"))?;
        Ok(())
    }

    /// Who looked into the container of a job, the last twenty, the last first.
    pub async fn openings_of(&self, job: JobId) -> Result<Vec<Opening>> {
        let rows = sqlx::query(
            "SELECT what, by_login, opened_at FROM kept_openings WHERE job_id = $1 \
             ORDER BY id DESC LIMIT $2",
        )
        .bind(job.0)
        .bind(OPENINGS)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list who opened a job"))?;
        let read = |row: &AnyRow| {
            Ok(Opening {
                what: row.text("what")?,
                by: row.text("by_login")?,
                at: Timestamp(row.int("opened_at")?),
            })
        };
        rows.iter().map(read).collect()
    }

    /// A finished job as its worker knew it.
    pub async fn finished_job(&self, job: JobId) -> Result<ClaimedJob> {
        let mut tx = self.begin().await?;
        let found = claimed::read_one(&mut tx, job).await?;
        commit(tx).await?;
        Ok(found)
    }
}
