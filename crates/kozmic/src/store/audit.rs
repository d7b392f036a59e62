//! The audit log: every change and who made it, written in the transaction of the change.
//! A store knows for whom it works ([`Store::by`]), so that no method has to be told.

use std::sync::Arc;

use serde_json::{Map, Value};
use sqlx::any::AnyRow;

use super::{
    Columns as _, Result, Store, Transaction, commit, failed, read_json, to_json, whole_rows,
};
use crate::model::{Action, Actor, BuildId, Event, JobId, ProjectId, Timestamp, UserId};

/// The columns of a row, as [`told`] fills them.
const INTO: &str = "INSERT INTO audit (at, user_id, actor, via, via_id, address, action, kind, \
                    project_id, project, subject_id, subject, details)";

/// What somebody did.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRow {
    pub id: i64,
    pub at: Timestamp,
    pub user: Option<UserId>,
    /// The login as it was then, `kozmic`, `cli:` and a user of the machine, or `nobody`.
    pub actor: String,
    /// `session`, `token`, `cli`, `kozmic` or `request`.
    pub via: String,
    /// Which session or token.
    pub via_id: Option<i64>,
    pub address: Option<String>,
    pub project: Option<ProjectId>,
    /// As it was called then.
    pub project_name: Option<String>,
    pub action: Action,
    pub kind: String,
    pub subject_id: Option<i64>,
    pub subject: String,
    pub details: Map<String, Value>,
}

/// A part of the audit log, newest first.
#[derive(Debug, Clone, Copy, Default)]
pub struct AuditPart {
    /// None: of all projects, and of what belongs to none.
    pub project: Option<ProjectId>,
    /// Only what came before this row.
    pub before: Option<i64>,
    pub limit: i64,
}

impl AuditRow {
    fn read(row: &AnyRow) -> Result<Self> {
        Ok(Self {
            id: row.int("id")?,
            at: Timestamp(row.int("at")?),
            user: row.int_or_null("user_id")?.map(UserId),
            actor: row.text("actor")?,
            via: row.text("via")?,
            via_id: row.int_or_null("via_id")?,
            address: row.text_or_null("address")?,
            project: row.int_or_null("project_id")?.map(ProjectId),
            project_name: row.text_or_null("project")?,
            action: row.text("action")?.parse()?,
            kind: row.text("kind")?,
            subject_id: row.int_or_null("subject_id")?,
            subject: row.text("subject")?,
            details: read_json(row, "details")?,
        })
    }
}

impl Store {
    /// The same store, for whoever this is: what is changed with it is written down as
    /// theirs. Without it Kozmic itself is.
    #[must_use]
    pub fn by(&self, actor: Actor) -> Self {
        Self { actor: Arc::new(actor), ..self.clone() }
    }

    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Writes down what is done in this transaction.
    pub(super) async fn note(&self, tx: &mut Transaction, event: Event) -> Result<()> {
        let row = format!(
            "{INTO} VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, \
             (SELECT gh_full_name FROM projects WHERE id = $9), $10, $11, $12)"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(row));
        bound(query, &self.actor, event.action, event.kind)
            .bind(event.project.map(|project| project.0))
            .bind(event.id)
            .bind(event.name)
            .bind(to_json(&event.details, "details")?)
            .execute(&mut **tx)
            .await
            .map_err(failed("write into the audit log"))?;
        Ok(())
    }

    /// The same, of a job.
    pub(super) async fn note_job(
        &self,
        tx: &mut Transaction,
        action: Action,
        job: JobId,
        details: Map<String, Value>,
    ) -> Result<()> {
        let row = sqlx::query(
            "SELECT jobs.title, builds.project_id, builds.id AS build, builds.number FROM jobs \
             JOIN builds ON builds.id = jobs.build_id WHERE jobs.id = $1",
        )
        .bind(job.0)
        .fetch_optional(&mut **tx)
        .await
        .map_err(failed("find a job"))?;
        let Some(row) = row else { return Ok(()) };
        let name = format!("{} of build {}", row.text("title")?, row.int("number")?);
        let event = Event { details, ..Event::of(action, "job", Some(job.0), name) };
        let event = event.in_project(ProjectId(row.int("project_id")?));
        self.note(tx, event.with("build", row.int("build")?)).await
    }

    /// The same, of a build.
    pub(super) async fn note_build(
        &self,
        tx: &mut Transaction,
        action: Action,
        build: BuildId,
        details: Map<String, Value>,
    ) -> Result<()> {
        let row = sqlx::query(
            "SELECT project_id, number, gh_commit_ref, gh_commit_sha FROM builds WHERE id = $1",
        )
        .bind(build.0)
        .fetch_optional(&mut **tx)
        .await
        .map_err(failed("find a build"))?;
        let Some(row) = row else { return Ok(()) };
        let event = Event::of(action, "build", Some(build.0), row.int("number")?);
        let event = Event { details, ..event.in_project(ProjectId(row.int("project_id")?)) };
        let event = event.with("ref", row.text("gh_commit_ref")?);
        self.note(tx, event.with("sha", row.text("gh_commit_sha")?)).await
    }

    /// Somebody looks into a job, or takes its container home.
    pub async fn job_looked_into(&self, action: Action, job: JobId) -> Result<()> {
        let mut tx = self.begin().await?;
        self.note_job(&mut tx, action, job, Map::new()).await?;
        commit(tx).await
    }

    /// Writes down what was done elsewhere than in the database.
    pub async fn noted(&self, event: Event) -> Result<()> {
        let mut tx = self.begin().await?;
        self.note(&mut tx, event).await?;
        commit(tx).await
    }

    pub async fn audit(&self, part: AuditPart) -> Result<Vec<AuditRow>> {
        // One text for each, so that each has an index.
        let of = match part.project {
            Some(_) => "project_id = $1",
            None => "$1 = 0",
        };
        let rows = format!("SELECT * FROM audit WHERE {of} AND id < $2 ORDER BY id DESC LIMIT $3");
        let rows = whole_rows(sqlx::AssertSqlSafe(rows))
            .bind(part.project.map_or(0, |project| project.0))
            .bind(part.before.unwrap_or(i64::MAX))
            .bind(part.limit)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read the audit log"))?;
        rows.iter().map(AuditRow::read).collect()
    }

    /// What is older goes; how many rows that were.
    pub async fn audit_forgotten(&self, before: Timestamp) -> Result<u64> {
        let forgotten = sqlx::query("DELETE FROM audit WHERE at < $1")
            .bind(before.0)
            .execute(&self.writer)
            .await
            .map_err(failed("forget old rows of the audit log"))?;
        Ok(forgotten.rows_affected())
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments>;

/// The first eight values of a row. The time is the clock's and no caller's: theirs may be
/// when something was due.
fn bound<'q>(query: Query<'q>, actor: &Actor, action: Action, kind: &'static str) -> Query<'q> {
    query
        .bind(Timestamp::now().0)
        .bind(actor.user.map(|user| user.0))
        .bind(actor.name.clone())
        .bind(actor.via.as_str())
        .bind(actor.via.number())
        .bind(actor.address.map(|address| address.to_string()))
        .bind(action.as_str())
        .bind(kind)
}

/// A statement that writes one row for each membership of which `which` is true, with
/// eight places for [`bound`] before its own.
fn of_memberships(which: &str) -> String {
    format!(
        "{INTO} SELECT $1, $2, $3, $4, $5, $6, $7, $8, projects.id, projects.gh_full_name, \
         users.id, users.gh_login, \
         CASE WHEN allows_management = 1 THEN '{{\"role\":\"manager\"}}' ELSE '{{\"role\":\"member\"}}' END \
         FROM memberships JOIN users ON users.id = memberships.user_id \
         JOIN projects ON projects.id = memberships.project_id WHERE {which}"
    )
}

/// Writes down roles that somebody has now, or has until now.
pub(super) async fn note_memberships(
    tx: &mut Transaction,
    actor: &Actor,
    action: Action,
    which: &str,
    values: impl IntoIterator<Item = i64>,
) -> Result<()> {
    let text = of_memberships(which);
    let mut query = bound(sqlx::query(sqlx::AssertSqlSafe(text)), actor, action, "user");
    for value in values {
        query = query.bind(value);
    }
    query.execute(&mut **tx).await.map_err(failed("write roles into the audit log"))?;
    Ok(())
}
