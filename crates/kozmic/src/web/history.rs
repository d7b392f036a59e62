//! Home, and a project's builds, newest first.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::App;
use super::error::PageError;
use super::page::{
    Page, Sidebar, StatusMark, Time, TokenTrouble, duration, render, subject, token_trouble,
};
use super::visitor::{Access, Visitor};
use crate::model::{Timestamp, Trigger};
use crate::store::{Build, Project};

/// Builds on one page.
const PAGE: i64 = 50;

#[derive(Template)]
#[template(path = "empty.html")]
struct EmptyPage {
    sidebar: Sidebar,
}

#[derive(Template)]
#[template(path = "history.html")]
struct HistoryPage {
    sidebar: Sidebar,
    project: Project,
    badge_url: String,
    token_trouble: Option<TokenTrouble>,
    has_hooks: bool,
    may_manage: bool,
    page_url: String,
    builds: Vec<Row>,
    /// Why missed deliveries can't be found now.
    problem: Option<String>,
    newer: bool,
    older_before: Option<i64>,
}

struct Row {
    url: String,
    number: i64,
    status: StatusMark,
    subject: String,
    author: String,
    git_ref: String,
    awaits_approval: bool,
    /// What asked for it, where no delivery did.
    asked: Option<&'static str>,
    sha: String,
    created: Time,
    took: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Range {
    before: Option<i64>,
}

/// To the project of the visitor's that was built last.
pub(super) async fn home(State(app): State<App>, visitor: Visitor) -> Result<Response, PageError> {
    let sidebar = Sidebar::load(&app, &visitor, None).await?;
    match sidebar.projects.first() {
        Some(project) => Ok(Redirect::to(&format!("/projects/{}/", project.id)).into_response()),
        None => Ok(render(&EmptyPage { sidebar })?.into_response()),
    }
}

/// To the latest build, or to the history where there is none.
pub(super) async fn project(
    State(app): State<App>,
    Access { project, .. }: Access,
) -> Result<Redirect, PageError> {
    let id = project.id;
    let latest = app.store.latest_build(id, None).await?;
    Ok(Redirect::to(&match latest {
        Some(_) => format!("/projects/{id}/builds/latest/"),
        None => format!("/projects/{id}/history/"),
    }))
}

pub(super) async fn history(
    State(app): State<App>,
    visitor: Visitor,
    access: Access,
    Query(range): Query<Range>,
) -> Page {
    let may_manage = access.may_manage();
    let project = access.project;
    let id = project.id.0;
    let token_trouble = token_trouble(&app, &project).await?;
    // The token is the reason of both; it is told of once.
    let problem = match &token_trouble {
        Some(_) => None,
        None => app.store.comparison(project.id).await?.problem,
    };
    let builds = app.store.builds_before(project.id, range.before, PAGE + 1).await?;
    let has_older = i64::try_from(builds.len()).is_ok_and(|count| count > PAGE);
    let shown: Vec<Build> = builds.into_iter().take(usize::try_from(PAGE).unwrap_or(0)).collect();
    let now = Timestamp::now();
    render(&HistoryPage {
        sidebar: Sidebar::load(&app, &visitor, Some(id)).await?,
        badge_url: badge_url(&app, &project),
        has_hooks: !app.store.hooks(project.id).await?.is_empty(),
        may_manage,
        token_trouble,
        page_url: format!("{}/projects/{id}/", app.public_url),
        problem,
        newer: range.before.is_some(),
        older_before: shown.last().filter(|_| has_older).map(|build| build.number),
        builds: shown.iter().map(|build| row(build, now)).collect(),
        project,
    })
}

/// The default branch's badge, as a URL.
fn badge_url(app: &App, project: &Project) -> String {
    let Ok(mut url) = app.public_url.parse::<url::Url>() else { return String::new() };
    let name = &project.repository.full_name;
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(["badges", name.owner(), name.name()]);
        path.extend(project.repository.default_branch.split('/'));
    }
    url.to_string()
}

fn row(build: &Build, now: Timestamp) -> Row {
    Row {
        url: format!("/projects/{}/builds/{}/", build.project, build.id),
        number: build.number,
        status: build.status.into(),
        subject: subject(&build.commit.message).to_owned(),
        author: build.commit.author.clone(),
        git_ref: build.git_ref.to_string(),
        awaits_approval: build.awaits_approval(),
        asked: match build.trigger {
            Trigger::Manual => Some("by hand"),
            Trigger::Cron => Some("by the clock"),
            Trigger::Try => Some("a try"),
            _ => None,
        },
        sha: build.commit.sha.short().to_owned(),
        created: Time::new(build.created_at, now),
        took: duration(build.started_at, build.finished_at, now),
    }
}
