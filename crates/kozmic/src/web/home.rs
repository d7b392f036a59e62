//! The first page: the visitor's projects, what runs and waits, and, of what somebody types,
//! the projects and builds that have it.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Query, State};
use serde::Deserialize;

use super::App;
use super::chart::Chart;
use super::error::PageError;
use super::history::Row;
use super::page::{Page, Sidebar, StatusMark, Time, cut, render, subject};
use super::visitor::Visitor;
use crate::model::{ProjectId, Timestamp, UserId};
use crate::store::{BuildMark, JobUnderWay, Listed, ProjectSummary, ProjectsPart};

/// Projects on one page.
const PAGE: i64 = 30;
/// Builds of each project that are shown as bars.
const BARS: i64 = 12;
/// Jobs that run, and that wait, which are shown.
const UNDER_WAY: i64 = 12;
/// Builds that are found by words.
const FOUND: i64 = 20;
/// Projects whose builds are looked through: those that were built last.
const LOOKED_THROUGH: i64 = 200;

#[derive(Template)]
#[template(path = "empty.html")]
struct EmptyPage {
    sidebar: Sidebar,
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    sidebar: Sidebar,
    query: String,
    work: Vec<Work>,
    /// More jobs run or wait than are shown.
    has_more_work: bool,
    projects: Vec<ProjectRow>,
    found: Vec<(String, Row)>,
    before: Option<String>,
    after: Option<String>,
}

/// A job that runs or waits.
struct Work {
    project: String,
    url: String,
    build_number: i64,
    title: String,
    status: StatusMark,
    reason: String,
    since: Time,
}

struct ProjectRow {
    id: i64,
    full_name: String,
    latest: Option<Latest>,
    trend: Chart,
}

struct Latest {
    url: String,
    number: i64,
    status: StatusMark,
    subject: String,
    author: String,
    author_id: Option<i64>,
    git_ref: String,
    created: Time,
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    /// What projects' names and builds' words are to have.
    q: Option<String>,
    /// Counts from 1.
    page: Option<String>,
}

pub(super) async fn home(
    State(app): State<App>,
    visitor: Visitor,
    Query(wanted): Query<Wanted>,
) -> Page {
    let sidebar = Sidebar::load(&app, &visitor, None).await?;
    if sidebar.projects.is_empty() {
        return render(&EmptyPage { sidebar });
    }
    let of = visitor.projects();
    let query = wanted.q.unwrap_or_default().trim().to_owned();
    let page = wanted.page.and_then(|page| page.parse::<i64>().ok()).unwrap_or(1).max(1);
    let now = Timestamp::now();
    let skip = page.saturating_sub(1).saturating_mul(PAGE);
    let part = ProjectsPart { of, named: &query, skip, limit: PAGE + 1 };
    let mut listed = app.store.projects_listed(&part).await?;
    let has_more = cut(&mut listed, PAGE);
    let latest: Vec<(ProjectId, i64)> = listed
        .iter()
        .filter_map(|project| Some((project.id, project.latest.as_ref()?.number)))
        .collect();
    let authors = listed.iter().filter_map(|project| project.latest.as_ref());
    let authors: Vec<&str> = authors.map(|build| build.commit.author.as_str()).collect();
    let known = app.store.users_called(&authors).await?;
    let mut marks = app.store.latest_marks(&latest, BARS).await?;
    let (work, has_more_work) = if query.is_empty() && page == 1 {
        under_way(&app, of, now).await?
    } else {
        (Vec::new(), false)
    };
    let link = |page: i64| {
        let mut link = url::form_urlencoded::Serializer::new(String::from("/?"));
        if !query.is_empty() {
            link.append_pair("q", &query);
        }
        link.append_pair("page", &page.to_string()).finish()
    };
    render(&HomePage {
        found: found(&app, of, &query, now).await?,
        projects: listed.into_iter().map(|project| row(project, &mut marks, &known, now)).collect(),
        work,
        has_more_work,
        before: (page > 1).then(|| link(page - 1)),
        after: has_more.then(|| link(page + 1)),
        query,
        sidebar,
    })
}

async fn under_way(app: &App, of: Listed, now: Timestamp) -> Result<(Vec<Work>, bool), PageError> {
    let (mut running, mut waiting) = app.store.jobs_under_way(of, UNDER_WAY + 1).await?;
    let shown = usize::try_from(UNDER_WAY).unwrap_or(usize::MAX);
    let has_more = running.len() > shown || waiting.len() > shown;
    running.truncate(shown);
    waiting.truncate(shown);
    let ids: Vec<_> = waiting.iter().map(|job| job.id).collect();
    let mut found = app.store.jobs_with(&ids).await?;
    app.store.tell_why_they_wait(&mut found, now).await?;
    for job in &mut waiting {
        if let Some(told) = found.iter_mut().find(|found| found.id == job.id) {
            job.reason = std::mem::take(&mut told.reason);
        }
    }
    let work = |job: JobUnderWay| Work {
        url: format!("/projects/{}/builds/{}/jobs/{}/", job.project, job.build, job.id),
        project: job.project_name,
        build_number: job.build_number,
        title: job.title,
        status: job.status.into(),
        reason: job.reason,
        since: Time::new(job.started_at.unwrap_or(job.created_at), now),
    };
    Ok((running.into_iter().chain(waiting).map(work).collect(), has_more))
}

async fn found(
    app: &App,
    of: Listed,
    query: &str,
    now: Timestamp,
) -> Result<Vec<(String, Row)>, PageError> {
    if query.is_empty() {
        return Ok(Vec::new());
    }
    let projects = app.store.listed_ids(of, LOOKED_THROUGH).await?;
    let builds = app.store.builds_with_words(&projects, query, FOUND).await?;
    Ok(builds.into_iter().map(|(project, build)| (project, Row::new(&build, now))).collect())
}

fn row(
    project: ProjectSummary,
    marks: &mut BTreeMap<ProjectId, Vec<BuildMark>>,
    authors: &BTreeMap<String, UserId>,
    now: Timestamp,
) -> ProjectRow {
    let marks = marks.remove(&project.id).unwrap_or_default();
    let room = usize::try_from(BARS).unwrap_or(0);
    ProjectRow {
        id: project.id.0,
        full_name: project.full_name,
        trend: Chart::new(project.id, &marks, (20, room), now),
        latest: project.latest.map(|build| Latest {
            url: format!("/projects/{}/builds/{}/", build.project, build.id),
            number: build.number,
            status: build.status.into(),
            subject: subject(&build.commit.message).to_owned(),
            author_id: authors.get(&build.commit.author.to_lowercase()).map(|user| user.0),
            author: build.commit.author,
            git_ref: build.git_ref.to_string(),
            created: Time::new(build.created_at, now),
        }),
    }
}
