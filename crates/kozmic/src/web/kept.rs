//! What a failed job's page says of its container, and the page with a terminal in it.

use askama::Template;
use axum::extract::{Path, State};

use super::builds::job_path;
use super::page::{Page, Sidebar, Time, TokenTrouble, render, token_trouble};
use super::visitor::{Access, Visitor};
use super::words::job as words;
use super::{App, jobs};
use crate::model::{JobId, Timestamp};
use crate::store::{Project, StoreError};

/// Shown to those who may open it.
pub(super) struct ShownKept {
    pub(super) job: i64,
    /// While it is there: until when it is kept.
    pub(super) until: Option<String>,
    /// Otherwise why it is gone.
    pub(super) gone_because: String,
    /// What was done by whom and when.
    pub(super) openings: Vec<(&'static str, String, Time)>,
}

pub(super) async fn of_job(
    app: &App,
    job: JobId,
    now: Timestamp,
) -> Result<Option<ShownKept>, StoreError> {
    let Some(kept) = app.store.kept_container(job).await? else { return Ok(None) };
    let openings = app.store.openings_of(job).await?.into_iter().map(|opening| {
        let what = words::opening(opening.what == "pull");
        (what, opening.by, Time::new(opening.at, now))
    });
    Ok(Some(ShownKept {
        job: job.0,
        until: kept.is_there(now).then(|| kept.until.to_string()),
        gone_because: kept.gone_because.unwrap_or_else(|| words::TIME_OVER.into()),
        openings: openings.collect(),
    }))
}

#[derive(Template)]
#[template(path = "shell.html")]
struct ShellPage {
    sidebar: Sidebar,
    project: Project,
    token_trouble: Option<TokenTrouble>,
    title: String,
    url: String,
    kept: Option<ShownKept>,
    job: i64,
}

/// The terminal itself is a script's, which speaks with the socket of `kozmic shell`.
pub(super) async fn shell(
    State(app): State<App>,
    visitor: Visitor,
    Access { project, .. }: Access,
    Path((_, job)): Path<(i64, i64)>,
) -> Page {
    let job = jobs::find(&app, &project, job).await?;
    render(&ShellPage {
        sidebar: Sidebar::load(&app, &visitor, Some(project.id.0)).await?,
        token_trouble: token_trouble(&app, &project).await?,
        url: job_path(&project, &job),
        kept: of_job(&app, job.id, Timestamp::now()).await?,
        project,
        job: job.id.0,
        title: job.title,
    })
}
