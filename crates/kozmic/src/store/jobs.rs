//! Jobs, which are also the queue; fenced by attempt.

use std::collections::BTreeMap;

use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use super::many::{at_once, rows};
use super::queue::Line;
use super::{
    Columns as _, Result, Store, StoreError, Transaction, builds, commit, failed, order, outbox,
    phases, read_json, read_options, secrets, to_json, whole_rows,
};
use crate::model::{
    BuildId, HookOptions, JobEnd, JobId, JobStatus, JobUuid, Priority, ProjectId, Timestamp,
    Variant, Waiting,
};

/// A job as pages show it.
#[derive(Debug, Clone)]
pub struct Job {
    pub id: JobId,
    pub uuid: JobUuid,
    pub build: BuildId,
    pub title: String,
    pub image: String,
    pub status: JobStatus,
    /// Why it is where it is, one sentence.
    pub reason: String,
    /// Who has it, or had it last: its log is theirs.
    pub worker: Option<String>,
    pub return_code: Option<i64>,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// When its log was removed.
    pub log_removed_at: Option<Timestamp>,
    /// Why, after "it was removed".
    pub log_removed_because: Option<String>,
    /// It did not start, because of another job, and can't be run again by itself.
    pub is_skipped: bool,
    /// What it waits for, once [`Store::tell_why_they_wait`] has looked.
    pub waiting: Option<Waiting>,
    /// No worker may take it yet.
    pub(super) is_held: bool,
    /// Where it queues.
    pub(super) line: String,
    pub priority: Priority,
    /// Where it stands in its line: less goes first, and of the same the earlier one.
    pub(super) rank: i64,
}

impl Job {
    pub(super) fn read(row: &AnyRow) -> Result<Self> {
        Ok(Self {
            id: JobId(row.int("id")?),
            uuid: row.text("uuid")?.parse()?,
            build: BuildId(row.int("build_id")?),
            title: row.text("title")?,
            image: row.text("docker_image")?,
            status: row.text("status")?.parse()?,
            reason: row.text("reason")?,
            worker: row.text_or_null("worker")?,
            return_code: row.int_or_null("return_code")?,
            created_at: Timestamp(row.int("created_at")?),
            started_at: row.int_or_null("started_at")?.map(Timestamp),
            finished_at: row.int_or_null("finished_at")?.map(Timestamp),
            log_removed_at: row.int_or_null("log_removed_at")?.map(Timestamp),
            log_removed_because: row.text_or_null("log_removed_because")?,
            is_skipped: row.text_or_null("cause")?.as_deref() == Some(JobEnd::SKIPPED),
            waiting: None,
            is_held: row.flag("is_held")?,
            line: row.text("line")?,
            priority: row.text("priority")?.parse()?,
            rank: row.int("queue_rank")?,
        })
    }
}

impl Store {
    /// What a running job is doing, for people.
    pub async fn job_is(&self, job: JobId, attempt: i64, reason: &str) -> Result<()> {
        self.note_step(job, attempt, reason, false).await
    }

    /// A running job's build script is started: from now on it may have had
    /// effects, and losing it counts.
    pub async fn script_started(&self, job: JobId, attempt: i64, reason: &str) -> Result<()> {
        self.note_step(job, attempt, reason, true).await
    }

    /// A running job is being stopped, and this is why.
    pub async fn job_ends(&self, job: JobId, attempt: i64, end: &JobEnd) -> Result<()> {
        sqlx::query(
            "UPDATE jobs SET cause = $1, reason = $2 \
             WHERE id = $3 AND attempt = $4 AND status = 'pending'",
        )
        .bind(end.cause())
        .bind(format!("stopping the script: {end}"))
        .bind(job.0)
        .bind(attempt)
        .execute(&self.writer)
        .await
        .map_err(failed("note that a job ends"))?;
        Ok(())
    }

    /// It was about to be started, and its worker or engine was lost before that.
    pub async fn script_never_started(&self, job: JobId, attempt: i64) -> Result<()> {
        sqlx::query("UPDATE jobs SET script_started = 0 WHERE id = $1 AND attempt = $2")
            .bind(job.0)
            .bind(attempt)
            .execute(&self.writer)
            .await
            .map_err(failed("note that a script was not started"))?;
        Ok(())
    }

    async fn note_step(&self, job: JobId, attempt: i64, reason: &str, started: bool) -> Result<()> {
        sqlx::query(
            "UPDATE jobs SET reason = $1, script_started = CASE $2 WHEN 1 THEN 1 ELSE script_started END \
             WHERE id = $3 AND attempt = $4 AND status = 'pending'",
        )
        .bind(reason)
        .bind(i64::from(started))
        .bind(job.0)
        .bind(attempt)
        .execute(&self.writer)
        .await
        .map_err(failed("note a job's progress"))?;
        self.wakes.outbox.shown();
        Ok(())
    }

    /// Gives a job back to the queue: its worker stops, the job is not to blame.
    pub async fn job_released(
        &self,
        job: JobId,
        attempt: i64,
        why: &str,
        now: Timestamp,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        self.lock_build_of(&mut tx, job).await?;
        let row = sqlx::query(
            "UPDATE jobs SET status = 'enqueued', reason = $1, lease_owner = NULL, lease_until = NULL \
             WHERE id = $2 AND attempt = $3 AND status = 'pending' RETURNING build_id",
        )
        .bind(why)
        .bind(job.0)
        .bind(attempt)
        .fetch_optional(&mut *tx)
        .await
        .map_err(failed("release a job"))?
        .ok_or(StoreError::Stale)?;
        phases::interrupted(&mut tx, job, now).await?;
        self.job_changed(&mut tx, BuildId(row.int("build_id")?), now).await?;
        commit(tx).await?;
        self.wakes.outbox.notify_one();
        Ok(())
    }

    pub async fn job(&self, id: JobId) -> Result<Option<Job>> {
        let row = whole_rows("SELECT * FROM jobs WHERE id = $1")
            .bind(id.0)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("find a job"))?;
        row.as_ref().map(Job::read).transpose()
    }

    pub async fn job_by_uuid(&self, uuid: JobUuid) -> Result<Option<Job>> {
        let row = whole_rows("SELECT * FROM jobs WHERE uuid = $1")
            .bind(uuid.to_string())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("find a job"))?;
        row.as_ref().map(Job::read).transpose()
    }

    /// A build's jobs in the order of its hooks, without those that a restart replaced.
    pub async fn jobs_of(&self, build: BuildId) -> Result<Vec<Job>> {
        self.jobs_of_all(&[build]).await
    }

    /// The same of several builds.
    pub async fn jobs_of_all(&self, builds: &[BuildId]) -> Result<Vec<Job>> {
        let text = "SELECT * FROM jobs WHERE build_id IN ({}) AND replaced_by_id IS NULL \
                    ORDER BY hook_call_id, place, id";
        let rows = self.of_builds(text, builds, "list a build's jobs").await?;
        rows.iter().map(Job::read).collect()
    }

    /// Whoever changes jobs locks their build first, so that no two wait for each other:
    /// with one job others of its build may change.
    pub(super) async fn lock_build_of(&self, tx: &mut Transaction, job: JobId) -> Result<()> {
        sqlx::query(self.dialect.lock_build_of_job())
            .bind(job.0)
            .execute(&mut **tx)
            .await
            .map_err(failed("lock a job's build"))?;
        Ok(())
    }

    pub(super) async fn job_changed(
        &self,
        tx: &mut Transaction,
        build: BuildId,
        now: Timestamp,
    ) -> Result<()> {
        sqlx::query(self.dialect.lock_build())
            .bind(build.0)
            .execute(&mut **tx)
            .await
            .map_err(failed("lock a build"))?;
        order::settle(tx, build, now).await?;
        phases::ended(tx, build, now).await?;
        secrets::forget_given(tx, build).await?;
        builds::recompute(tx, build).await?;
        outbox::build_changed(tx, build, now).await
    }
}

/// What a job is made from.
pub(super) struct NewJob<'a> {
    pub(super) build: BuildId,
    pub(super) project: ProjectId,
    pub(super) hook_call: i64,
    /// A hook, or a job that runs again: scripts, image and options. Its column
    /// `hook_title` is the hook's title, and `project_env` has the project's variables
    /// that are to be beneath its own.
    pub(super) source: &'a AnyRow,
    pub(super) tracked: &'a str,
    pub(super) reason: &'a str,
    pub(super) now: Timestamp,
}

/// A job that is to be enqueued.
pub(super) struct NewRow {
    build: BuildId,
    project: ProjectId,
    hook_call: i64,
    title: String,
    hook_title: String,
    image: String,
    install_script: Option<String>,
    build_script: String,
    options: HookOptions,
    tracked: String,
    reason: String,
    place: i64,
    now: Timestamp,
}

impl NewJob<'_> {
    /// A job for each of the hook's variants, or the only one of a hook that has none.
    pub(super) async fn enqueue_all(&self, tx: &mut Transaction) -> Result<()> {
        let jobs = insert_all(tx, &self.rows()?).await?;
        phases::wait(tx, &jobs, self.now).await
    }

    pub(super) async fn enqueue(
        &self,
        tx: &mut Transaction,
        variant: Option<&Variant>,
        place: i64,
    ) -> Result<JobId> {
        let jobs = insert_all(tx, &[self.row(variant, place)?]).await?;
        phases::wait(tx, &jobs, self.now).await?;
        jobs.first().copied().ok_or_else(|| StoreError::Refused("a job was not enqueued".into()))
    }

    /// Those of [`NewJob::enqueue_all`].
    pub(super) fn rows(&self) -> Result<Vec<NewRow>> {
        let variants = read_options(self.source)?.variants;
        if variants.is_empty() {
            return Ok(vec![self.row(None, 0)?]);
        }
        (0..).zip(&variants).map(|(place, variant)| self.row(Some(variant), place)).collect()
    }

    fn row(&self, variant: Option<&Variant>, place: i64) -> Result<NewRow> {
        let hook_title = self.source.text("hook_title")?;
        Ok(NewRow {
            build: self.build,
            project: self.project,
            hook_call: self.hook_call,
            title: variant.map_or_else(|| hook_title.clone(), |variant| variant.title(&hook_title)),
            hook_title,
            image: self.source.text("docker_image")?,
            install_script: self.source.text_or_null("install_script")?,
            build_script: self.source.text("build_script")?,
            options: self.options(variant)?,
            tracked: self.tracked.to_owned(),
            reason: self.reason.to_owned(),
            place,
            now: self.now,
        })
    }

    /// All that the job's container gets, so that the job keeps what it ran with.
    fn options(&self, variant: Option<&Variant>) -> Result<HookOptions> {
        let mut options = read_options(self.source)?;
        let mut env: BTreeMap<String, String> = read_json(self.source, "project_env")?;
        env.append(&mut options.env);
        Ok(HookOptions { env, variants: variant.cloned().into_iter().collect(), ..options })
    }
}

/// Each behind those of its priority.
pub(super) async fn insert_all(tx: &mut Transaction, new: &[NewRow]) -> Result<Vec<JobId>> {
    let mut jobs = Vec::with_capacity(new.len());
    for some in at_once(new, 21) {
        let text = format!(
            "INSERT INTO jobs (uuid, build_id, hook_call_id, title, docker_image, install_script, \
             build_script, options, tracked_paths, reason, created_at, hook_title, place, line, \
             queue_project, priority, queue_rank, status, attempt, script_started, lost) \
             VALUES {} RETURNING id",
            rows(some.len(), 21)
        );
        let mut query = sqlx::query(AssertSqlSafe(text));
        for row in some {
            let line = Line { project: row.project, labels: row.options.labels.clone() };
            query = query
                .bind(JobUuid::random().to_string())
                .bind(row.build.0)
                .bind(row.hook_call)
                .bind(&row.title)
                .bind(&row.image)
                .bind(&row.install_script)
                .bind(&row.build_script)
                .bind(to_json(&row.options, "options")?)
                .bind(&row.tracked)
                .bind(&row.reason)
                .bind(row.now.0)
                .bind(&row.hook_title)
                .bind(row.place)
                .bind(line.to_string())
                .bind(row.project.0)
                .bind(row.options.priority.as_str())
                .bind(row.options.priority.rank(row.now))
                .bind(JobStatus::Enqueued.as_str())
                .bind(0_i64)
                .bind(0_i64)
                .bind(0_i64);
        }
        for row in &query.fetch_all(&mut **tx).await.map_err(failed("enqueue jobs"))? {
            jobs.push(JobId(row.int("id")?));
        }
    }
    Ok(jobs)
}
