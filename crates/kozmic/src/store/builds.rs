//! Builds: numbered within their project, their status the sum of their jobs'.

use std::collections::{BTreeSet, HashMap};

use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use super::many::{at_once, places, rows, typed_rows};
use super::new_builds::latest_numbers;
use super::{AskedFor, Columns as _, Result, Store, StoreError, Transaction, failed, whole_rows};
use crate::model::{
    Approval, BuildId, BuildStatus, Change, Commit, Fork, GitRef, Head, JobStatus, ProjectId,
    PullRequest, Timestamp, Trigger, build_status,
};

/// A build to be made, unless the commit has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBuild {
    pub git_ref: GitRef,
    pub commit: Commit,
    pub trigger: Trigger,
    pub pull_request: Option<PullRequest>,
    /// The project asks a manager first, unless the author is trusted.
    pub asks_first: bool,
    /// How reconciliation came upon it.
    pub missed_because: Option<String>,
    /// The login of who caused the delivery.
    pub sender: Option<String>,
    /// What hooks choose by.
    pub change: Change,
}

impl NewBuild {
    /// What it says of where a head stands.
    pub fn head(&self) -> Head {
        let name = match &self.pull_request {
            Some(pull) => GitRef::pull_request(pull.number),
            None => self.git_ref.clone(),
        };
        Head { name: name.as_full().to_owned(), sha: Some(self.commit.sha.clone()) }
    }
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
    pub approval: Approval,
    /// How reconciliation came upon it, when it did.
    pub missed_because: Option<String>,
    /// The login of who caused the delivery that made it, where the delivery said so.
    pub sender: Option<String>,
    /// Of one that no delivery made.
    pub asked: AskedFor,
    pub status: BuildStatus,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
}

impl Build {
    /// Whether jobs of it wait for a manager.
    pub fn awaits_approval(&self) -> bool {
        self.approval == Approval::Awaited && !self.status.is_finished()
    }

    pub(super) fn read(row: &AnyRow) -> Result<Self> {
        let pull_request = match row.int_or_null("pull_request_number")? {
            Some(number) => Some(PullRequest {
                number,
                title: row.text_or_null("pull_request_title")?.unwrap_or_default(),
                author: row.text_or_null("pull_request_author")?.unwrap_or_default(),
                author_id: row.int_or_null("pull_request_author_id")?,
                fork: if row.flag("is_from_fork")? {
                    Some(Fork {
                        owner: row.text_or_null("fork_owner")?.unwrap_or_default(),
                        owner_id: row.int_or_null("fork_owner_id")?,
                    })
                } else {
                    None
                },
            }),
            None => None,
        };
        let approval = match row.text("approval")?.as_str() {
            "awaited" => Approval::Awaited,
            "given" => Approval::Given {
                by: row.text_or_null("approved_by")?.unwrap_or_default(),
                at: Timestamp(row.int_or_null("approved_at")?.unwrap_or_default()),
            },
            _ => Approval::NotNeeded,
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
            approval,
            missed_because: row.text_or_null("missed_because")?,
            sender: row.text_or_null("sender")?,
            asked: AskedFor::read(row)?,
            status: row.text("status")?.parse()?,
            created_at: Timestamp(row.int("created_at")?),
            started_at: row.int_or_null("started_at")?.map(Timestamp),
            finished_at: row.int_or_null("finished_at")?.map(Timestamp),
        })
    }
}

impl Store {
    pub async fn build(&self, id: BuildId) -> Result<Option<Build>> {
        let row = whole_rows("SELECT * FROM builds WHERE id = $1")
            .bind(id.0)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("find a build"))?;
        row.as_ref().map(Build::read).transpose()
    }

    /// The project's newest build, of one ref when it is given. One whose hooks were chosen
    /// counts where there is no other, and what was only tried never does.
    pub async fn latest_build(
        &self,
        project: ProjectId,
        git_ref: Option<&GitRef>,
    ) -> Result<Option<Build>> {
        // The conditions stand in the text, for the indexes that have only such builds. Where
        // the first finds none, all others are partial.
        for speaks in ["is_partial = 0 AND triggered_by <> 'try'", "triggered_by <> 'try'"] {
            let of_ref = if git_ref.is_some() { " AND gh_commit_ref = $2" } else { "" };
            let text = format!(
                "SELECT * FROM builds WHERE project_id = $1{of_ref} AND {speaks} \
                 ORDER BY number DESC LIMIT 1"
            );
            let query = whole_rows(AssertSqlSafe(text)).bind(project.0);
            let query = match git_ref {
                Some(git_ref) => query.bind(git_ref.as_full()),
                None => query,
            };
            let row = query.fetch_optional(&self.pool).await;
            if let Some(row) = row.map_err(failed("find the latest build"))? {
                return Build::read(&row).map(Some);
            }
        }
        Ok(None)
    }

    /// The hooks that have no job in a build, each with the reason.
    pub async fn hooks_not_run(&self, build: BuildId) -> Result<Vec<(String, String)>> {
        Ok(self.hooks_not_run_of_all(&[build]).await?.remove(&build).unwrap_or_default())
    }

    /// The same of several builds.
    pub async fn hooks_not_run_of_all(
        &self,
        builds: &[BuildId],
    ) -> Result<HashMap<BuildId, Vec<(String, String)>>> {
        let text =
            "SELECT build_id, title, reason FROM hooks_not_run WHERE build_id IN ({}) ORDER BY id";
        let rows = self.of_builds(text, builds, "list the hooks that don't run").await?;
        let mut hooks: HashMap<BuildId, Vec<(String, String)>> = HashMap::new();
        for row in &rows {
            let hook = (row.text("title")?, row.text("reason")?);
            hooks.entry(BuildId(row.int("build_id")?)).or_default().push(hook);
        }
        Ok(hooks)
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
            whole_rows("SELECT * FROM builds WHERE project_id = $1 AND number < $2 ORDER BY number DESC LIMIT $3")
                .bind(project.0)
                .bind(before.unwrap_or(i64::MAX))
                .bind(limit)
                .fetch_all(&self.pool)
                .await
                .map_err(failed("list the builds"))?;
        rows.iter().map(Build::read).collect()
    }
}

pub(super) async fn insert(
    tx: &mut Transaction,
    project: ProjectId,
    build: &NewBuild,
    approval: &Approval,
    now: Timestamp,
) -> Result<(BuildId, i64)> {
    let mut made = insert_all(tx, &[(project, build, approval, now)]).await?;
    made.pop().ok_or_else(|| StoreError::Refused("a build was not made".into()))
}

/// Each with the next number of its project, in their order. Call it with the projects locked.
pub(super) async fn insert_all(
    tx: &mut Transaction,
    new: &[(ProjectId, &NewBuild, &Approval, Timestamp)],
) -> Result<Vec<(BuildId, i64)>> {
    let projects: BTreeSet<ProjectId> = new.iter().map(|(project, ..)| *project).collect();
    let projects: Vec<ProjectId> = projects.into_iter().collect();
    let mut latest = latest_numbers(tx, &projects).await?;
    let mut numbered = Vec::with_capacity(new.len());
    for of @ (project, ..) in new {
        let number = latest.entry(*project).or_default();
        *number += 1;
        numbered.push((*number, of));
    }
    let mut made = HashMap::with_capacity(new.len());
    for some in at_once(&numbered, 21) {
        let text = format!(
            "INSERT INTO builds (project_id, number, gh_commit_ref, gh_commit_sha, gh_commit_author, \
             gh_commit_message, triggered_by, pull_request_number, pull_request_title, pull_request_author, \
             pull_request_author_id, is_from_fork, fork_owner, fork_owner_id, approval, approved_by, \
             approved_at, missed_because, sender, created_at, status) VALUES {} \
             RETURNING id, project_id, number",
            rows(some.len(), 21)
        );
        let mut query = sqlx::query(AssertSqlSafe(text));
        for (number, (project, build, approval, now)) in some {
            let pull = build.pull_request.as_ref();
            let fork = pull.and_then(|pull| pull.fork.as_ref());
            let (approved_by, approved_at) = match approval {
                Approval::Given { by, at } => (Some(by), Some(at.0)),
                Approval::NotNeeded | Approval::Awaited => (None, None),
            };
            query = query
                .bind(project.0)
                .bind(number)
                .bind(build.git_ref.as_full())
                .bind(build.commit.sha.as_str())
                .bind(&build.commit.author)
                .bind(&build.commit.message)
                .bind(build.trigger.as_str())
                .bind(pull.map(|pull| pull.number))
                .bind(pull.map(|pull| &pull.title))
                .bind(pull.map(|pull| &pull.author))
                .bind(pull.and_then(|pull| pull.author_id))
                .bind(i64::from(fork.is_some()))
                .bind(fork.map(|fork| &fork.owner))
                .bind(fork.and_then(|fork| fork.owner_id))
                .bind(approval.as_str())
                .bind(approved_by)
                .bind(approved_at)
                .bind(&build.missed_because)
                .bind(&build.sender)
                .bind(now.0)
                .bind(BuildStatus::Enqueued.as_str());
        }
        for row in &query.fetch_all(&mut **tx).await.map_err(failed("make builds"))? {
            let number = row.int("number")?;
            made.insert((row.int("project_id")?, number), (BuildId(row.int("id")?), number));
        }
    }
    let made = numbered.iter().filter_map(|(number, of)| made.remove(&(of.0.0, *number)));
    Ok(made.collect())
}

/// Notes the pull request of a build that a push made first.
pub(super) async fn belongs_to_pull_request(
    tx: &mut Transaction,
    id: BuildId,
    build: &NewBuild,
) -> Result<()> {
    let Some(pull) = &build.pull_request else { return Ok(()) };
    sqlx::query(
        "UPDATE builds SET pull_request_number = $1, pull_request_title = $2, pull_request_author = $3, \
         pull_request_author_id = $4 WHERE id = $5 AND pull_request_number IS NULL",
    )
    .bind(pull.number)
    .bind(&pull.title)
    .bind(&pull.author)
    .bind(pull.author_id)
    .bind(id.0)
    .execute(&mut **tx)
    .await
    .map_err(failed("note a pull request"))?;
    Ok(())
}

/// Recomputes a build's status and times from its jobs. Call it after every
/// change of a job, in the same transaction and with the build locked.
pub(super) async fn recompute(tx: &mut Transaction, id: BuildId) -> Result<()> {
    recompute_all(tx, &[id]).await
}

/// The same of several builds.
pub(super) async fn recompute_all(tx: &mut Transaction, builds: &[BuildId]) -> Result<()> {
    let text = format!(
        "SELECT build_id, status, started_at, finished_at FROM jobs \
         WHERE build_id IN ({}) AND replaced_by_id IS NULL",
        places(0, builds.len())
    );
    let query = sqlx::query(AssertSqlSafe(text));
    let query = builds.iter().fold(query, |query, build| query.bind(build.0));
    let rows = query.fetch_all(&mut **tx).await.map_err(failed("read the jobs of builds"))?;
    let mut computed = Vec::with_capacity(builds.len());
    for id in builds {
        let mut statuses = Vec::new();
        let (mut started, mut finished) = (None, None);
        for row in &rows {
            if row.int("build_id")? != id.0 {
                continue;
            }
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
        computed.push((id, status, started, finished));
    }
    let text = format!(
        "UPDATE builds SET status = column2, started_at = column3, finished_at = column4 \
         FROM (VALUES {}) AS computed WHERE builds.id = column1",
        typed_rows(computed.len(), &["BIGINT", "TEXT", "BIGINT", "BIGINT"])
    );
    let mut query = sqlx::query(AssertSqlSafe(text));
    for (id, status, started, finished) in &computed {
        query = query.bind(id.0).bind(status.as_str()).bind(started).bind(finished);
    }
    let updated = query.execute(&mut **tx).await.map_err(failed("update builds"))?;
    if updated.rows_affected() < computed.len() as u64 {
        let ids: Vec<String> = builds.iter().map(ToString::to_string).collect();
        return Err(StoreError::Refused(format!("of the builds {} one is gone", ids.join(", "))));
    }
    Ok(())
}

/// Jobs of these builds were started; the same as [`recompute`] for that.
pub(super) async fn job_started(tx: &mut Transaction, builds: &[BuildId]) -> Result<()> {
    let text = format!(
        "UPDATE builds SET status = CASE status WHEN 'enqueued' THEN 'pending' ELSE status END, \
         started_at = (SELECT MIN(jobs.started_at) FROM jobs \
                       WHERE jobs.build_id = builds.id AND jobs.replaced_by_id IS NULL) \
         WHERE id IN ({})",
        places(0, builds.len())
    );
    let query = sqlx::query(AssertSqlSafe(text));
    let updated = builds.iter().fold(query, |query, build| query.bind(build.0)).execute(&mut **tx);
    updated.await.map_err(failed("note that builds go on"))?;
    Ok(())
}
