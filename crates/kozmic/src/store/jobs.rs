//! Jobs, which are also the queue; fenced by attempt.

use std::collections::BTreeMap;

use sqlx::any::AnyRow;

use super::queue::Line;
use super::{
    Columns as _, Project, Result, Store, StoreError, Transaction, builds, commit, failed, order,
    outbox, phases, read_json, read_options, secrets, to_json, whole_rows,
};
use crate::model::{
    BuildId, DockerImage, ErrorKind, GitRef, HookOptions, Invalid, JobEnd, JobId, JobStatus,
    JobUuid, ProjectId, Script, Timestamp, TrackedPath, Trigger, Variant, Waiting,
};
use crate::telemetry::count;

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
}

/// A job as its worker needs it.
#[derive(Debug, Clone)]
pub struct ClaimedJob {
    pub id: JobId,
    pub uuid: JobUuid,
    /// The fence: every later write of this attempt names it.
    pub attempt: i64,
    /// When this attempt was claimed.
    pub started_at: Timestamp,
    pub build: BuildId,
    pub build_number: i64,
    pub project: Project,
    pub title: String,
    /// Its hook's, without the variant's name.
    pub hook_title: String,
    pub image: DockerImage,
    pub install_script: Option<Script>,
    pub tracked: Vec<TrackedPath>,
    pub build_script: Script,
    pub options: HookOptions,
    pub git_ref: GitRef,
    pub sha: crate::model::CommitSha,
    pub pull_request: Option<i64>,
    pub is_from_fork: bool,
    pub trigger: Trigger,
    /// Given to the build's scripts by who asked for it.
    pub variables: BTreeMap<String, String>,
    /// Of a try: the object that has its files.
    pub tree: Option<String>,
    /// A try that has no files of its own.
    pub is_of_commit: bool,
    /// The end that this attempt was being stopped for when its worker was lost, as
    /// [`JobEnd::cause`].
    pub ends_by: Option<String>,
    pub cancel_reason: Option<String>,
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
        .execute(&self.pool)
        .await
        .map_err(failed("note that a job ends"))?;
        Ok(())
    }

    /// It was about to be started, and its worker or engine was lost before that.
    pub async fn script_never_started(&self, job: JobId, attempt: i64) -> Result<()> {
        sqlx::query("UPDATE jobs SET script_started = 0 WHERE id = $1 AND attempt = $2")
            .bind(job.0)
            .bind(attempt)
            .execute(&self.pool)
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
        .execute(&self.pool)
        .await
        .map_err(failed("note a job's progress"))?;
        self.wakes.outbox.shown();
        Ok(())
    }

    /// The job's end, the build's new status and what GitHub must learn of it.
    /// [`StoreError::Stale`] when this attempt no longer holds the job.
    pub async fn job_finished(
        &self,
        job: JobId,
        attempt: i64,
        end: &JobEnd,
        now: Timestamp,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        self.lock_build_of(&mut tx, job).await?;
        let row = sqlx::query(
            "UPDATE jobs SET status = $1, reason = $2, cause = $3, return_code = $4, finished_at = $5, \
             lease_owner = NULL, lease_until = NULL \
             WHERE id = $6 AND attempt = $7 AND status = 'pending' RETURNING build_id",
        )
        .bind(end.status().as_str())
        .bind(end.to_string())
        .bind(end.cause())
        .bind(end.return_code())
        .bind(now.0)
        .bind(job.0)
        .bind(attempt)
        .fetch_optional(&mut *tx)
        .await
        .map_err(failed("finish a job"))?
        .ok_or(StoreError::Stale)?;
        self.job_changed(&mut tx, BuildId(row.int("build_id")?), now).await?;
        commit(tx).await?;
        count::job_ended(end.status().as_str(), end.cause());
        self.wakes.outbox.notify_one();
        // Others may have waited for it, or for its place.
        self.wakes.jobs.notify_one();
        self.count_phases(job, attempt).await;
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

impl NewJob<'_> {
    /// A job for each of the hook's variants, or the only one of a hook that has none.
    pub(super) async fn enqueue_all(&self, tx: &mut Transaction) -> Result<()> {
        let variants = read_options(self.source)?.variants;
        if variants.is_empty() {
            self.enqueue(tx, None, 0).await?;
        }
        for (place, variant) in (0..).zip(&variants) {
            self.enqueue(tx, Some(variant), place).await?;
        }
        Ok(())
    }

    /// At the end of the queue.
    pub(super) async fn enqueue(
        &self,
        tx: &mut Transaction,
        variant: Option<&Variant>,
        place: i64,
    ) -> Result<JobId> {
        let options = self.options(variant)?;
        let hook_title = self.source.text("hook_title")?;
        let row = sqlx::query(
            "INSERT INTO jobs (uuid, build_id, hook_call_id, title, docker_image, install_script, build_script, \
             options, tracked_paths, status, reason, created_at, attempt, script_started, lost, \
             hook_title, place, line) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'enqueued', $10, $11, 0, 0, 0, $12, $13, $14) \
             RETURNING id",
        )
        .bind(JobUuid::random().to_string())
        .bind(self.build.0)
        .bind(self.hook_call)
        .bind(variant.map_or_else(|| hook_title.clone(), |variant| variant.title(&hook_title)))
        .bind(self.source.text("docker_image")?)
        .bind(self.source.text_or_null("install_script")?)
        .bind(self.source.text("build_script")?)
        .bind(to_json(&options, "options")?)
        .bind(self.tracked)
        .bind(self.reason)
        .bind(self.now.0)
        .bind(&hook_title)
        .bind(place)
        .bind(Line::written(self.project, &options.labels))
        .fetch_one(&mut **tx)
        .await
        .map_err(failed("enqueue a job"))?;
        let job = JobId(row.int("id")?);
        phases::waits(tx, job, self.now).await?;
        Ok(job)
    }

    /// All that the job's container gets, so that the job keeps what it ran with.
    fn options(&self, variant: Option<&Variant>) -> Result<HookOptions> {
        let mut options = read_options(self.source)?;
        let mut env: BTreeMap<String, String> = read_json(self.source, "project_env")?;
        env.append(&mut options.env);
        Ok(HookOptions { env, variants: variant.cloned().into_iter().collect(), ..options })
    }
}

pub(super) async fn read_claimed(tx: &mut Transaction, id: JobId) -> Result<ClaimedJob> {
    let row = whole_rows(
        "SELECT jobs.*, builds.number, builds.project_id, builds.gh_commit_ref, builds.gh_commit_sha, \
         builds.pull_request_number, builds.is_from_fork, builds.triggered_by, builds.variables, \
         builds.is_of_commit, trees.object AS tree FROM jobs JOIN builds ON builds.id = jobs.build_id \
         LEFT JOIN trees ON trees.build_id = builds.id WHERE jobs.id = $1",
    )
    .bind(id.0)
    .fetch_one(&mut **tx)
    .await
    .map_err(failed("read a claimed job"))?;
    let project = whole_rows("SELECT * FROM projects WHERE id = $1")
        .bind(row.int("project_id")?)
        .fetch_one(&mut **tx)
        .await
        .map_err(failed("read a claimed job's project"))?;
    Ok(ClaimedJob {
        id,
        uuid: row.text("uuid")?.parse()?,
        attempt: row.int("attempt")?,
        started_at: Timestamp(row.int("started_at")?),
        build: BuildId(row.int("build_id")?),
        build_number: row.int("number")?,
        project: Project::read(&project)?,
        title: row.text("title")?,
        hook_title: row.text("hook_title")?,
        image: row.text("docker_image")?.parse()?,
        install_script: row
            .text_or_null("install_script")?
            .as_deref()
            .map(Script::parse)
            .transpose()?,
        tracked: row
            .text("tracked_paths")?
            .lines()
            .map(|path| Ok(path.parse()?))
            .collect::<Result<_>>()?,
        build_script: Script::parse(&row.text("build_script")?)?,
        options: read_options(&row)?,
        git_ref: row.text("gh_commit_ref")?.parse()?,
        sha: row.text("gh_commit_sha")?.parse()?,
        pull_request: row.int_or_null("pull_request_number")?,
        is_from_fork: row.flag("is_from_fork")?,
        trigger: row.text("triggered_by")?.parse()?,
        variables: read_json(&row, "variables")?,
        tree: row.text_or_null("tree")?,
        is_of_commit: row.flag("is_of_commit")?,
        ends_by: row.text_or_null("cause")?,
        cancel_reason: row.text_or_null("cancel_reason")?,
    })
}

pub(super) async fn end_unreadable(
    tx: &mut Transaction,
    id: JobId,
    problem: &Invalid,
    now: Timestamp,
) -> Result<()> {
    let end = JobEnd::Error(ErrorKind::Internal, format!("the job can't be read: {problem}"));
    sqlx::query(
        "UPDATE jobs SET status = $1, reason = $2, cause = $3, finished_at = $4, \
         lease_owner = NULL, lease_until = NULL WHERE id = $5",
    )
    .bind(end.status().as_str())
    .bind(end.to_string())
    .bind(end.cause())
    .bind(now.0)
    .bind(id.0)
    .execute(&mut **tx)
    .await
    .map_err(failed("end an unreadable job"))?;
    Ok(())
}
