//! The outbox: what GitHub must learn, one row per commit and context, written
//! in the transaction that made it true. A newer state replaces an older one
//! that was not sent yet, so the latest arrives, once, and never out of order.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use super::many::{at_once, places};
use super::{
    Columns as _, Result, Store, StoreError, Transaction, announcements, collections, failed,
};
use crate::model::{
    BuildId, BuildStatus, CommitSha, GithubState, Invalid, JobEnd, JobStatus, ProjectId, Timestamp,
    readable,
};

/// GitHub refuses longer descriptions of a status with 422.
const DESCRIPTION_LIMIT: usize = 140;

/// Something to be sent.
#[derive(Debug, Clone)]
pub struct Report {
    pub id: i64,
    pub version: i64,
    pub project: ProjectId,
    /// Attempts so far of which nobody knows that they arrived.
    pub attempts: i64,
    pub status: StatusReport,
}

impl Report {
    fn read(row: &AnyRow) -> Result<Self> {
        let payload: Payload = serde_json::from_str(&row.text("payload")?)
            .map_err(|error| StoreError::Corrupt(Invalid::new(format!("a report: {error}"))))?;
        Ok(Self {
            id: row.int("id")?,
            version: row.int("version")?,
            project: ProjectId(row.int("project_id")?),
            attempts: row.int("attempts")?,
            status: StatusReport {
                sha: payload.sha.parse()?,
                context: payload.context,
                state: payload.state.parse()?,
                description: payload.description,
                path: payload.path,
            },
        })
    }
}

/// Why GitHub does not know something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportTrouble {
    pub why: String,
    /// It will not be tried again.
    pub is_given_up: bool,
}

/// A commit status (GitHub REST, "Create a commit status").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusReport {
    pub sha: CommitSha,
    pub context: String,
    pub state: GithubState,
    pub description: String,
    /// Path of the page it leads to; begins with a slash.
    pub path: String,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    sha: String,
    context: String,
    state: String,
    description: String,
    path: String,
}

impl Store {
    /// Projects with something that is due, the longest-waiting first, at most `limit`.
    pub async fn projects_to_report(&self, now: Timestamp, limit: i64) -> Result<Vec<ProjectId>> {
        // Each step of the recursion finds the next project by the index, however much waits of
        // the one before.
        let rows = sqlx::query(
            "WITH RECURSIVE waiting (project) AS ( \
             SELECT MIN(project_id) FROM outbox WHERE version > sent_version \
             UNION ALL \
             SELECT (SELECT MIN(outbox.project_id) FROM outbox WHERE version > sent_version \
                     AND outbox.project_id > waiting.project) FROM waiting WHERE waiting.project IS NOT NULL) \
             SELECT project FROM (SELECT project, \
             (SELECT outbox.next_attempt_at FROM outbox WHERE outbox.project_id = waiting.project \
              AND version > sent_version AND claimed_until <= $1 \
              ORDER BY outbox.next_attempt_at LIMIT 1) AS at FROM waiting) AS each \
             WHERE at <= $1 ORDER BY at, project LIMIT $2",
        )
        .bind(now.0)
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("read the outbox"))?;
        rows.iter().map(|row| Ok(ProjectId(row.int("project")?))).collect()
    }

    /// What is due of a project, at most `limit`: first what failed least, so that one which
    /// always fails holds up no other. What can't be read is given up.
    pub async fn reports_due(
        &self,
        project: ProjectId,
        now: Timestamp,
        limit: i64,
    ) -> Result<Vec<Report>> {
        let rows = sqlx::query(
            "SELECT id, version, project_id, attempts, payload FROM outbox \
             WHERE project_id = $1 AND version > sent_version AND next_attempt_at <= $2 \
             AND claimed_until <= $2 ORDER BY attempts, next_attempt_at, id LIMIT $3",
        )
        .bind(project.0)
        .bind(now.0)
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("read the outbox"))?;
        let mut reports = Vec::with_capacity(rows.len());
        for row in &rows {
            match Report::read(row) {
                Ok(report) => reports.push(report),
                Err(StoreError::Corrupt(problem)) => {
                    let id = row.int("id")?;
                    tracing::error!(report = id, %problem, "a report can't be read");
                    let why = format!("it was kept in a way that can't be read: {problem}");
                    let version = row.int("version")?;
                    self.settle(id, version, "", Some(&why), now).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(reports)
    }

    /// When to look for what is due again after this time, if anything waits: a report becomes
    /// due, or is nobody's any more.
    pub async fn next_report_after(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        let row = sqlx::query(
            "SELECT (SELECT MIN(next_attempt_at) FROM outbox \
                     WHERE version > sent_version AND next_attempt_at > $1) AS due, \
                    (SELECT MIN(claimed_until) FROM outbox \
                     WHERE version > sent_version AND claimed_until > $1) AS given_back",
        )
        .bind(now.0)
        .fetch_one(&self.pool)
        .await
        .map_err(failed("read the outbox"))?;
        let times = [row.int_or_null("due")?, row.int_or_null("given_back")?];
        Ok(times.into_iter().flatten().min().map(Timestamp))
    }

    /// What could not be reported of a build so far, each reason once.
    pub async fn report_troubles(&self, build: BuildId) -> Result<Vec<ReportTrouble>> {
        let rows = sqlx::query(
            "SELECT failure, MIN(CASE WHEN version > sent_version THEN 0 ELSE 1 END) AS given_up \
             FROM outbox WHERE build_id = $1 AND failure IS NOT NULL GROUP BY failure ORDER BY MIN(id)",
        )
        .bind(build.0)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("read the outbox"))?;
        let trouble = |row: &AnyRow| {
            Ok(ReportTrouble { why: row.text("failure")?, is_given_up: row.flag("given_up")? })
        };
        rows.iter().map(trouble).collect()
    }
}

/// A given up report is tried again under a new name of the repository, when it is not older.
const DAY: Duration = Duration::from_hours(24);

/// A repository is found under another name: what was given up under the one before may
/// arrive now.
pub(super) async fn name_changed(
    tx: &mut Transaction,
    project: ProjectId,
    name: &str,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "UPDATE outbox SET sent_version = version - 1, attempts = 1, next_attempt_at = $1 \
         WHERE project_id = $2 AND failure IS NOT NULL AND sent_version = version AND updated_at > $3 \
         AND EXISTS (SELECT id FROM projects WHERE id = $2 AND gh_full_name <> $4)",
    )
    .bind(now.0)
    .bind(project.0)
    .bind(now.0 - i64::try_from(DAY.as_millis()).unwrap_or(i64::MAX))
    .bind(name)
    .execute(&mut **tx)
    .await
    .map_err(failed("try again what was given up"))?;
    Ok(())
}

/// How a build ended that did not pass.
fn ended(status: BuildStatus) -> &'static str {
    match status {
        BuildStatus::Error => "could not be carried out",
        BuildStatus::Cancelled => "was cancelled",
        _ => "failed",
    }
}

/// Puts the statuses of a build and of its jobs into the outbox, where they
/// differ from what is there. The newest build of a commit that has a job of a hook
/// speaks for that hook, and the newest one whose hooks nobody chose for the commit: that
/// one of its hooks passed later does not make green what others left red. What was only
/// tried is told to nobody.
pub(super) async fn build_changed(
    tx: &mut Transaction,
    build: BuildId,
    now: Timestamp,
) -> Result<()> {
    builds_changed(tx, &[build], now).await
}

/// The same of several builds.
pub(super) async fn builds_changed(
    tx: &mut Transaction,
    builds: &[BuildId],
    now: Timestamp,
) -> Result<()> {
    // What speaks is chosen among the few builds of the commit: as a condition, PostgreSQL would
    // look through all builds that speak as long as it has no statistics of them.
    let text = format!(
        "SELECT id, project_id, number, gh_commit_ref, gh_commit_sha, status, started_at, finished_at, \
         approval, fork_owner, is_partial, announced, is_announced, triggered_by, \
         (SELECT MAX(CASE WHEN newer.triggered_by <> 'try' AND newer.is_partial = 0 THEN newer.id END) \
          FROM builds AS newer WHERE newer.project_id = builds.project_id \
          AND newer.gh_commit_sha = builds.gh_commit_sha) AS newest FROM builds WHERE id IN ({})",
        places(0, builds.len())
    );
    let query = sqlx::query(AssertSqlSafe(text));
    let query = builds.iter().fold(query, |query, build| query.bind(build.0));
    let mut rows = query.fetch_all(&mut **tx).await.map_err(failed("read builds"))?;
    rows.sort_by_key(|row| row.int("id").unwrap_or_default());
    rows.retain(|row| row.text("triggered_by").is_ok_and(|by| by != "try"));
    if rows.is_empty() {
        return Ok(());
    }
    announcements::builds_changed(tx, &rows, now).await?;
    let jobs = jobs_to_tell(tx, builds).await?;
    let mut due = BTreeMap::new();
    for row in &rows {
        let build = row.int("id")?;
        let mut its = Vec::new();
        for job in &jobs {
            if job.int("build_id")? == build {
                its.push(job);
            }
        }
        reports_of(tx, row, &its, &mut due).await?;
    }
    put(tx, due, now).await
}

/// The jobs of builds; `newer` is whether a newer build of the commit has a job of the title:
/// then that one speaks for it.
async fn jobs_to_tell(tx: &mut Transaction, builds: &[BuildId]) -> Result<Vec<AnyRow>> {
    let text = format!(
        "SELECT jobs.id, jobs.build_id, jobs.title, jobs.status, jobs.reason, jobs.cause, \
         jobs.started_at, jobs.finished_at, \
         (SELECT MAX(newer.id + 0) FROM builds AS newer JOIN jobs AS its ON its.build_id = newer.id \
          WHERE newer.project_id = builds.project_id AND newer.gh_commit_sha = builds.gh_commit_sha \
          AND newer.id > builds.id AND newer.triggered_by <> 'try' AND its.title = jobs.title) AS newer \
         FROM jobs JOIN builds ON builds.id = jobs.build_id \
         WHERE jobs.build_id IN ({}) AND jobs.replaced_by_id IS NULL \
         ORDER BY jobs.hook_call_id, jobs.place",
        places(0, builds.len())
    );
    let query = sqlx::query(AssertSqlSafe(text));
    let query = builds.iter().fold(query, |query, build| query.bind(build.0));
    query.fetch_all(&mut **tx).await.map_err(failed("read the jobs of builds"))
}

/// What is to be reported of a build, by its key.
async fn reports_of(
    tx: &mut Transaction,
    row: &AnyRow,
    jobs: &[&AnyRow],
    due: &mut BTreeMap<String, Due>,
) -> Result<()> {
    let build = row.int("id")?;
    let project = row.int("project_id")?;
    let sha = row.text("gh_commit_sha")?;
    let number = row.int("number")?;
    let status: BuildStatus = row.text("status")?.parse()?;
    let build_took = duration(row.int_or_null("started_at")?, row.int_or_null("finished_at")?);
    let page = format!("/projects/{project}/builds/{build}/");
    let under_way = if row.text("approval")? == "awaited" {
        let owner = row.text_or_null("fork_owner")?.unwrap_or_default();
        format!("Waiting for a manager's approval: pull request from a fork of {owner}")
    } else {
        format!("Build #{number} is under way")
    };
    let mut to_blame = Vec::new();
    for job in jobs {
        let title = job.text("title")?;
        let job_status: JobStatus = job.text("status")?.parse()?;
        let took = duration(job.int_or_null("started_at")?, job.int_or_null("finished_at")?);
        // Not where something else than its tests ended it.
        let cause = job.text_or_null("cause")?;
        let verdict = match (job_status, cause.as_deref()) {
            (JobStatus::Failure, Some("script_failed")) => {
                collections::verdict(tx, job.int("id")?).await?
            }
            _ => None,
        };
        let description = match job_status {
            JobStatus::Enqueued | JobStatus::Pending => under_way.clone(),
            JobStatus::Success => format!("Passed{took}"),
            JobStatus::Failure => match &verdict {
                Some(verdict) => format!("Failed{took}: {verdict}"),
                None => format!("Failed{took}: {}", job.text("reason")?),
            },
            JobStatus::Error | JobStatus::Cancelled => job.text("reason")?,
        };
        if matches!(
            (status, job_status),
            (BuildStatus::Failure, JobStatus::Failure)
                | (BuildStatus::Error, JobStatus::Error)
                | (BuildStatus::Cancelled, JobStatus::Cancelled)
        ) && cause.as_deref() != Some(JobEnd::SKIPPED)
        {
            to_blame.push(match &verdict {
                Some(verdict) => format!("{title} ({verdict})"),
                None => title.clone(),
            });
        }
        let payload = Payload {
            sha: sha.clone(),
            context: format!("Kozmic-CI/{title}"),
            state: job_status.github().to_string(),
            description: shortened(&description),
            path: format!("{page}jobs/{}/", job.int("id")?),
        };
        if job.int_or_null("newer")?.is_none() {
            let report = Due::new(project, build, &payload)?;
            due.insert(report.0, report.1);
        }
    }
    if row.int_or_null("newest")? != Some(build) {
        return Ok(());
    }
    let to_blame = to_blame.join(", ");
    let description = match status {
        BuildStatus::Enqueued | BuildStatus::Pending => under_way,
        BuildStatus::Success => format!("Build #{number} passed{build_took}"),
        _ => format!("Build #{number} {}: {to_blame}", ended(status)),
    };
    let payload = Payload {
        sha,
        context: "Kozmic-CI".into(),
        state: status.github().to_string(),
        description: shortened(&description),
        path: page,
    };
    let report = Due::new(project, build, &payload)?;
    due.insert(report.0, report.1);
    Ok(())
}

/// What is put into the outbox.
struct Due {
    project: i64,
    build: i64,
    payload: String,
}

impl Due {
    /// With its key.
    fn new(project: i64, build: i64, payload: &Payload) -> Result<(String, Self)> {
        let key = format!("status:{project}:{}:{}", payload.sha, payload.context);
        let payload = serde_json::to_string(payload)
            .map_err(|error| StoreError::Corrupt(Invalid::new(format!("a report: {error}"))))?;
        Ok((key, Self { project, build, payload }))
    }
}

/// All at once, in the order of their keys, so that no two wait for each other.
async fn put(tx: &mut Transaction, due: BTreeMap<String, Due>, now: Timestamp) -> Result<()> {
    let due: Vec<(String, Due)> = due.into_iter().collect();
    for some in at_once(&due, 4) {
        let row = |row: usize| {
            let key = 4 * row + 2;
            let (project, build, payload) = (key + 1, key + 2, key + 3);
            format!("(${key}, 'status', ${project}, ${build}, ${payload}, 1, 0, 0, $1, $1)")
        };
        let rows = (0..some.len()).map(row).collect::<Vec<_>>().join(", ");
        let text = format!(
            "INSERT INTO outbox (key, kind, project_id, build_id, payload, version, sent_version, attempts, \
             next_attempt_at, updated_at) VALUES {rows} \
             ON CONFLICT (key) DO UPDATE SET payload = excluded.payload, build_id = excluded.build_id, \
             version = outbox.version + 1, attempts = 0, next_attempt_at = excluded.next_attempt_at, \
             failure = NULL, updated_at = excluded.updated_at WHERE outbox.payload <> excluded.payload"
        );
        let mut query = sqlx::query(AssertSqlSafe(text)).bind(now.0);
        for (key, due) in some {
            query = query.bind(key).bind(due.project).bind(due.build).bind(&due.payload);
        }
        query.execute(&mut **tx).await.map_err(failed("put reports into the outbox"))?;
    }
    Ok(())
}

/// " in 12 s", or nothing while it is not over.
fn duration(started: Option<i64>, finished: Option<i64>) -> String {
    let took = started.zip(finished).map(|(start, end)| Timestamp(end).since(Timestamp(start)));
    took.map_or_else(String::new, |took| format!(" in {}", readable(took)))
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= DESCRIPTION_LIMIT {
        return text.to_owned();
    }
    text.chars().take(DESCRIPTION_LIMIT - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_readable() {
        assert_eq!(duration(Some(0), Some(1_234)), " in 1.2 s");
        assert_eq!(duration(Some(0), None), "");
    }

    #[test]
    fn descriptions_fit_github_s_limit() {
        assert_eq!(shortened(&"ü".repeat(140)).chars().count(), 140);
        let cut = shortened(&"ü".repeat(141));
        assert_eq!(cut.chars().count(), 140);
        assert!(cut.ends_with('…'));
    }
}
