//! The audit log as pages show it: all of it to administrators, a project's to those who
//! manage it.

use askama::Template;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::Value;

use super::App;
use super::page::{Page, Sidebar, Time, TokenTrouble, cut, render, token_trouble};
use super::visitor::{Access, Visitor};
use super::words::administration as words;
use crate::model::{ProjectId, Timestamp};
use crate::store::{AuditPart, AuditRow, Project, StoreError};

/// Rows of one page.
const PAGE: i64 = 50;

/// A part of the log.
pub(super) struct Audit {
    pub(super) rows: Vec<Row>,
    /// Leads to what came before these; none: nothing did.
    pub(super) older: Option<String>,
    pub(super) newest: Option<String>,
}

pub(super) struct Row {
    pub(super) at: Time,
    pub(super) actor: String,
    pub(super) sentence: &'static str,
    pub(super) subject: String,
    pub(super) project: Option<(i64, String)>,
    /// How they came, and from where.
    pub(super) came: String,
    pub(super) details: String,
}

#[derive(Deserialize, Default)]
pub(super) struct From {
    /// Only what came before this row.
    before: Option<i64>,
}

impl Audit {
    /// `path` is the page's own; with a project, its name is not repeated.
    pub(super) async fn load(
        app: &App,
        project: Option<ProjectId>,
        from: &From,
        path: &str,
    ) -> Result<Self, StoreError> {
        let part = AuditPart { project, before: from.before, limit: PAGE + 1 };
        let mut found = app.store.audit(part).await?;
        let has_more = cut(&mut found, PAGE);
        let last = found.last().map(|row| row.id).filter(|_| has_more);
        let now = Timestamp::now();
        Ok(Self {
            rows: found.into_iter().map(|row| Row::new(row, project.is_none(), now)).collect(),
            older: last.map(|id| format!("{path}?before={id}")),
            newest: from.before.map(|_| path.to_owned()),
        })
    }
}

impl Row {
    fn new(row: AuditRow, names_project: bool, now: Timestamp) -> Self {
        let came = words::came(&row.via, row.via_id);
        let from = row.address.as_deref().map(words::from);
        let said = |(name, value): (&String, &Value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!("{}: {value}", name.replace('_', " "))
        };
        let project = row.project.filter(|_| names_project);
        Self {
            at: Time::new(row.at, now),
            actor: row.actor,
            sentence: row.action.sentence(),
            // A project is named beside it, or by the page.
            subject: if row.kind == "project" { String::new() } else { row.subject.clone() },
            project: project.map(|id| (id.0, row.project_name.unwrap_or(row.subject))),
            came: [Some(came), from].into_iter().flatten().collect::<Vec<_>>().join(" "),
            details: row.details.iter().map(said).collect::<Vec<_>>().join(", "),
        }
    }
}

#[derive(Template)]
#[template(path = "changes.html")]
struct ChangesPage {
    sidebar: Sidebar,
    project: Project,
    token_trouble: Option<TokenTrouble>,
    audit: Audit,
}

/// What was changed in a project, newest first.
pub(super) async fn of_project(
    State(app): State<App>,
    visitor: Visitor,
    Access { project, .. }: Access,
    Query(from): Query<From>,
) -> Page {
    let path = format!("/projects/{}/changes/", project.id);
    render(&ChangesPage {
        sidebar: Sidebar::load(&app, &visitor, Some(project.id.0)).await?,
        token_trouble: token_trouble(&app, &project).await?,
        audit: Audit::load(&app, Some(project.id), &from, &path).await?,
        project,
    })
}
