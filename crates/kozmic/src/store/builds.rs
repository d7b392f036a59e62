//! Builds: numbered within their project, their status the sum of their jobs'.

use sqlx::any::AnyRow;

use super::{Columns as _, Result, Store, StoreError, Transaction, failed};
use crate::model::{
    BuildId, BuildStatus, Commit, GitRef, JobStatus, ProjectId, PullRequest, Timestamp, Trigger,
    build_status,
};

/// A build to be made, unless the commit has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBuild {
    pub git_ref: GitRef,
    pub commit: Commit,
    pub trigger: Trigger,
    pub pull_request: Option<PullRequest>,
}

#[derive(Debug, Clone)]
pub struct Build {
    pub id: BuildId,
    pub project: ProjectId,
    pub number: i64,
    pub git_ref: GitRef,
    pub commit: Commit,
    pub trigger: Trigger,
    pub pull_request: Option<PullRequest>,
    pub status: BuildStatus,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
}

impl Build {
    fn read(row: &AnyRow) -> Result<Self> {
        let pull_request = match row.int_or_null("pull_request_number")? {
            Some(number) => Some(PullRequest {
                number,
                title: row.text_or_null("pull_request_title")?.unwrap_or_default(),
                author: row.text_or_null("pull_request_author")?.unwrap_or_default(),
                from_fork: row.flag("is_from_fork")?,
            }),
            None => None,
        };
        Ok(Self {
            id: BuildId(row.int("id")?),
            project: ProjectId(row.int("project_id")?),
            number: row.int("number")?,
            git_ref: row.text("gh_commit_ref")?.parse()?,
            commit: Commit {
                sha: row.text("gh_commit_sha")?.parse()?,
                author: row.text("gh_commit_author")?,
                message: row.text("gh_commit_message")?,
            },
            trigger: row.text("triggered_by")?.parse()?,
            pull_request,
            status: row.text("status")?.parse()?,
            created_at: Timestamp(row.int("created_at")?),
            started_at: row.int_or_null("started_at")?.map(Timestamp),
            finished_at: row.int_or_null("finished_at")?.map(Timestamp),
        })
    }
}

impl Store {
    pub async fn build(&self, id: BuildId) -> Result<Option<Build>> {
        let row = sqlx::query("SELECT * FROM builds WHERE id = $1")
            .bind(id.0)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("find a build"))?;
        row.as_ref().map(Build::read).transpose()
    }

    /// The project's newest build, of one ref when it is given.
    pub async fn latest_build(
        &self,
        project: ProjectId,
        git_ref: Option<&GitRef>,
    ) -> Result<Option<Build>> {
        let row = match git_ref {
            Some(git_ref) => {
                sqlx::query(
                    "SELECT * FROM builds WHERE project_id = $1 AND gh_commit_ref = $2 ORDER BY number DESC LIMIT 1",
                )
                .bind(project.0)
                .bind(git_ref.as_full())
            }
            None => sqlx::query("SELECT * FROM builds WHERE project_id = $1 ORDER BY number DESC LIMIT 1")
                .bind(project.0),
        }
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("find the latest build"))?;
        row.as_ref().map(Build::read).transpose()
    }

    /// Builds with a number below `before` (all of them when it is none),
    /// newest first, at most `limit`.
    pub async fn builds_before(
        &self,
        project: ProjectId,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<Build>> {
        let rows =
            sqlx::query("SELECT * FROM builds WHERE project_id = $1 AND number < $2 ORDER BY number DESC LIMIT $3")
                .bind(project.0)
                .bind(before.unwrap_or(i64::MAX))
                .bind(limit)
                .fetch_all(&self.pool)
                .await
                .map_err(failed("list the builds"))?;
        rows.iter().map(Build::read).collect()
    }
}

/// The build of this commit on this ref that a delivery made, with its number.
pub(super) async fn of_commit(
    tx: &mut Transaction,
    project: ProjectId,
    build: &NewBuild,
) -> Result<Option<(BuildId, i64)>> {
    let row = sqlx::query(
        "SELECT id, number FROM builds WHERE project_id = $1 AND gh_commit_ref = $2 AND gh_commit_sha = $3 \
         AND triggered_by IN ('push', 'pull_request', 'reconciliation')",
    )
    .bind(project.0)
    .bind(build.git_ref.as_full())
    .bind(build.commit.sha.as_str())
    .fetch_optional(&mut **tx)
    .await
    .map_err(failed("find the commit's build"))?;
    row.map(|row| Ok((BuildId(row.int("id")?), row.int("number")?))).transpose()
}

pub(super) async fn insert(
    tx: &mut Transaction,
    project: ProjectId,
    build: &NewBuild,
    now: Timestamp,
) -> Result<(BuildId, i64)> {
    let row = sqlx::query(
        "INSERT INTO builds (project_id, number, gh_commit_ref, gh_commit_sha, gh_commit_author, \
         gh_commit_message, triggered_by, pull_request_number, pull_request_title, pull_request_author, \
         is_from_fork, status, created_at) \
         VALUES ($1, (SELECT COALESCE(MAX(number), 0) + 1 FROM builds WHERE project_id = $1), \
         $2, $3, $4, $5, $6, $7, $8, $9, $10, 'enqueued', $11) RETURNING id, number",
    )
    .bind(project.0)
    .bind(build.git_ref.as_full())
    .bind(build.commit.sha.as_str())
    .bind(&build.commit.author)
    .bind(&build.commit.message)
    .bind(build.trigger.as_str())
    .bind(build.pull_request.as_ref().map(|pull| pull.number))
    .bind(build.pull_request.as_ref().map(|pull| pull.title.clone()))
    .bind(build.pull_request.as_ref().map(|pull| pull.author.clone()))
    .bind(i64::from(build.pull_request.as_ref().is_some_and(|pull| pull.from_fork)))
    .bind(now.0)
    .fetch_one(&mut **tx)
    .await
    .map_err(failed("make a build"))?;
    Ok((BuildId(row.int("id")?), row.int("number")?))
}

/// Notes the pull request of a build that a push made first.
pub(super) async fn belongs_to_pull_request(
    tx: &mut Transaction,
    id: BuildId,
    build: &NewBuild,
) -> Result<()> {
    let Some(pull) = &build.pull_request else { return Ok(()) };
    sqlx::query(
        "UPDATE builds SET pull_request_number = $1, pull_request_title = $2, pull_request_author = $3 \
         WHERE id = $4 AND pull_request_number IS NULL",
    )
    .bind(pull.number)
    .bind(&pull.title)
    .bind(&pull.author)
    .bind(id.0)
    .execute(&mut **tx)
    .await
    .map_err(failed("note a pull request"))?;
    Ok(())
}

/// Recomputes a build's status and times from its jobs. Call it after every
/// change of a job, in the same transaction and with the build locked.
pub(super) async fn recompute(tx: &mut Transaction, id: BuildId) -> Result<()> {
    let rows = sqlx::query(
        "SELECT status, started_at, finished_at FROM jobs WHERE build_id = $1 AND replaced_by_id IS NULL",
    )
    .bind(id.0)
    .fetch_all(&mut **tx)
    .await
    .map_err(failed("read a build's jobs"))?;
    let mut statuses = Vec::with_capacity(rows.len());
    let (mut started, mut finished) = (None, None);
    for row in &rows {
        statuses.push(row.text("status")?.parse::<JobStatus>()?);
        started = [started, row.int_or_null("started_at")?].into_iter().flatten().min();
        finished = finished.max(row.int_or_null("finished_at")?);
    }
    if !statuses.iter().all(|status| status.is_finished()) {
        finished = None;
    }
    let status = match build_status(&statuses) {
        // A job that went back to the queue does not undo that the build began.
        BuildStatus::Enqueued if started.is_some() => BuildStatus::Pending,
        status => status,
    };
    let updated = sqlx::query(
        "UPDATE builds SET status = $1, started_at = $2, finished_at = $3 WHERE id = $4",
    )
    .bind(status.as_str())
    .bind(started)
    .bind(finished)
    .bind(id.0)
    .execute(&mut **tx)
    .await
    .map_err(failed("update a build"))?;
    if updated.rows_affected() == 0 {
        return Err(StoreError::Refused(format!("build {id} is gone")));
    }
    Ok(())
}
