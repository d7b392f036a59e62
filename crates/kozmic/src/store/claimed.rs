//! Jobs as workers get them.

use std::collections::{BTreeMap, HashMap};

use sqlx::any::AnyRow;

use super::many::{places, with_ids};
use super::{
    Columns as _, Project, Result, Store, StoreError, Transaction, commit, failed, read_json,
    read_options, whole_rows,
};
use crate::model::{
    BuildId, DockerImage, ErrorKind, GitRef, HookOptions, Invalid, JobEnd, JobId, JobUuid, Script,
    Timestamp, TrackedPath, Trigger,
};

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

/// A claimed job, or why it can't be read.
pub(super) type Read = std::result::Result<ClaimedJob, Invalid>;

/// These jobs, in their order.
pub(super) async fn read_claimed(
    tx: &mut Transaction,
    ids: &[JobId],
) -> Result<Vec<(JobId, Read)>> {
    let text = format!(
        "SELECT jobs.*, builds.number, builds.gh_commit_ref, builds.gh_commit_sha, \
         builds.pull_request_number, builds.is_from_fork, builds.triggered_by, builds.variables, \
         builds.is_of_commit, trees.object AS tree FROM jobs JOIN builds ON builds.id = jobs.build_id \
         LEFT JOIN trees ON trees.build_id = builds.id WHERE jobs.id IN ({})",
        places(0, ids.len())
    );
    let rows = with_ids(&text, ids).persistent(false).fetch_all(&mut **tx).await;
    let mut rows: HashMap<JobId, AnyRow> = by_id(rows.map_err(failed("read claimed jobs"))?)?;
    let mut projects: HashMap<i64, Project> = HashMap::new();
    let mut claimed = Vec::with_capacity(ids.len());
    for id in ids {
        let Some(row) = rows.remove(id) else { continue };
        let project = row.int("queue_project")?;
        let project = match projects.get(&project) {
            Some(project) => project.clone(),
            None => projects.entry(project).or_insert(of_job(tx, project).await?).clone(),
        };
        match read(&row, *id, project) {
            Ok(job) => claimed.push((*id, Ok(job))),
            Err(StoreError::Corrupt(problem)) => claimed.push((*id, Err(problem))),
            Err(error) => return Err(error),
        }
    }
    Ok(claimed)
}

/// One that is there and can be read.
pub(super) async fn read_one(tx: &mut Transaction, id: JobId) -> Result<ClaimedJob> {
    let read = read_claimed(tx, &[id]).await?.pop();
    let (_, job) = read.ok_or_else(|| Invalid::new(format!("job {id} is gone")))?;
    Ok(job?)
}

fn by_id(rows: Vec<AnyRow>) -> Result<HashMap<JobId, AnyRow>> {
    rows.into_iter().map(|row| Ok((JobId(row.int("id")?), row))).collect()
}

async fn of_job(tx: &mut Transaction, project: i64) -> Result<Project> {
    let row = whole_rows("SELECT * FROM projects WHERE id = $1")
        .bind(project)
        .fetch_one(&mut **tx)
        .await
        .map_err(failed("read a claimed job's project"))?;
    Project::read(&row)
}

fn read(row: &AnyRow, id: JobId, project: Project) -> Result<ClaimedJob> {
    Ok(ClaimedJob {
        id,
        uuid: row.text("uuid")?.parse()?,
        attempt: row.int("attempt")?,
        started_at: Timestamp(row.int("started_at")?),
        build: BuildId(row.int("build_id")?),
        build_number: row.int("number")?,
        project,
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
        options: read_options(row)?,
        git_ref: row.text("gh_commit_ref")?.parse()?,
        sha: row.text("gh_commit_sha")?.parse()?,
        pull_request: row.int_or_null("pull_request_number")?,
        is_from_fork: row.flag("is_from_fork")?,
        trigger: row.text("triggered_by")?.parse()?,
        variables: read_json(row, "variables")?,
        tree: row.text_or_null("tree")?,
        is_of_commit: row.flag("is_of_commit")?,
        ends_by: row.text_or_null("cause")?,
        cancel_reason: row.text_or_null("cancel_reason")?,
    })
}

impl Store {
    /// A claimed job that no worker can carry out.
    pub(super) async fn job_unreadable(
        &self,
        id: JobId,
        problem: &Invalid,
        now: Timestamp,
    ) -> Result<()> {
        let end = JobEnd::Error(ErrorKind::Internal, format!("the job can't be read: {problem}"));
        let mut tx = self.begin().await?;
        self.lock_build_of(&mut tx, id).await?;
        let row = sqlx::query(
            "UPDATE jobs SET status = $1, reason = $2, cause = $3, finished_at = $4, \
             lease_owner = NULL, lease_until = NULL WHERE id = $5 AND status = 'pending' \
             RETURNING build_id",
        )
        .bind(end.status().as_str())
        .bind(end.to_string())
        .bind(end.cause())
        .bind(now.0)
        .bind(id.0)
        .fetch_optional(&mut *tx)
        .await
        .map_err(failed("end an unreadable job"))?;
        let Some(row) = row else { return Ok(()) };
        self.job_changed(&mut tx, BuildId(row.int("build_id")?), now).await?;
        commit(tx).await?;
        self.wakes.outbox.notify_one();
        Ok(())
    }
}
