//! A project's history: its builds, those that somebody looks for, and how long they took.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Redirect;
use serde::Deserialize;

use super::chart::Chart;
use super::error::PageError;
use super::page::{
    Page, Sidebar, StatusMark, Time, TokenTrouble, duration, render, subject, token_trouble,
};
use super::visitor::{Access, Visitor};
use super::{App, words};
use crate::model::{BuildStatus, GitRef, Timestamp};
use crate::store::{Build, BuildFilter, HistoryPart, Place, Project, StoreError};

/// Builds on one page.
const PAGE: i64 = 50;
/// Builds in the chart: those of the page, and older ones.
const BARS: i64 = 120;
/// Branches and authors of so many builds are suggested.
const SUGGESTED: i64 = 200;
/// The words of the statuses that can be chosen.
const STATUSES: [&str; 6] = ["success", "failure", "error", "cancelled", "pending", "enqueued"];

#[derive(Template)]
#[template(path = "history.html")]
#[allow(clippy::struct_excessive_bools, reason = "each shows or hides a part of the page")]
struct HistoryPage {
    sidebar: Sidebar,
    project: Project,
    badge_url: String,
    token_trouble: Option<TokenTrouble>,
    has_hooks: bool,
    may_manage: bool,
    page_url: String,
    /// Why missed deliveries can't be found now.
    problem: Option<String>,
    wanted: Wanted,
    is_filtered: bool,
    branches: BTreeSet<String>,
    authors: BTreeSet<String>,
    chart: Option<Chart>,
    /// How long builds of the chart took: in the middle, and at most.
    durations: Option<(String, String)>,
    builds: Vec<Row>,
    newest: Option<String>,
    newer: Option<String>,
    older: Option<String>,
    oldest: Option<String>,
}

/// A build as lists show it.
pub(super) struct Row {
    pub(super) url: String,
    pub(super) number: i64,
    pub(super) status: StatusMark,
    pub(super) subject: String,
    pub(super) author: String,
    /// Where there is a picture of them.
    pub(super) author_id: Option<i64>,
    pub(super) git_ref: String,
    pub(super) awaits_approval: bool,
    /// What asked for it, where no delivery did.
    pub(super) asked: Option<&'static str>,
    pub(super) sha: String,
    pub(super) created: Time,
    pub(super) took: Option<String>,
}

/// What somebody typed, or a link says; nothing of it is an error.
#[derive(Deserialize, Default)]
pub(super) struct Wanted {
    #[serde(default)]
    text: String,
    #[serde(default)]
    branch: String,
    #[serde(default)]
    author: String,
    #[serde(default)]
    status: String,
    before: Option<String>,
    after: Option<String>,
}

/// What is empty is not looked for.
pub(super) fn filter(
    text: &str,
    branch: &str,
    author: &str,
    status: Option<BuildStatus>,
) -> BuildFilter {
    let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let full = |branch: String| match GitRef::from_short(&branch) {
        Ok(git_ref) => git_ref.as_full().to_owned(),
        // No build has what is no ref.
        Err(_) => branch,
    };
    BuildFilter {
        git_ref: given(branch).map(full),
        author: given(author),
        status,
        text: given(text),
    }
}

impl Wanted {
    fn filter(&self) -> BuildFilter {
        filter(&self.text, &self.branch, &self.author, self.status.parse().ok())
    }

    fn place(&self) -> Place {
        let number = |text: &Option<String>| text.as_ref()?.parse::<i64>().ok();
        match (number(&self.before), number(&self.after)) {
            (Some(number), _) => Place::Before(number),
            (None, Some(number)) => Place::After(number),
            (None, None) => Place::Newest,
        }
    }

    /// The same filter at another place.
    fn link(&self, project: &Project, place: Place) -> String {
        let mut link = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in [
            ("text", &self.text),
            ("branch", &self.branch),
            ("author", &self.author),
            ("status", &self.status),
        ] {
            if !value.trim().is_empty() {
                link.append_pair(name, value.trim());
            }
        }
        match place {
            Place::Newest => {}
            Place::Before(number) => {
                link.append_pair("before", &number.to_string());
            }
            Place::After(number) => {
                link.append_pair("after", &number.to_string());
            }
        }
        let query = link.finish();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("/projects/{}/history/{mark}{query}", project.id)
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
    Query(wanted): Query<Wanted>,
) -> Page {
    let may_manage = access.may_manage();
    let project = access.project;
    let id = project.id;
    let sidebar = Sidebar::load(&app, &visitor, Some(id.0)).await?;
    let token_trouble = token_trouble(&app, &project).await?;
    // The token is the reason of both; it is told of once.
    let problem = match &token_trouble {
        Some(_) => None,
        None => app.store.comparison(id).await?.problem,
    };
    let (filter, place) = (wanted.filter(), wanted.place());
    let part = app.store.history(id, &filter, place, PAGE).await?;
    let now = Timestamp::now();
    let marks = match part.builds.first() {
        Some(newest) => app.store.history_marks(id, &filter, newest.number, BARS).await?,
        None => Vec::new(),
    };
    let (branches, authors) = app.store.recent_refs_and_authors(id, SUGGESTED).await?;
    let links = links(&wanted, &project, &part);
    let [newest, newer, older, oldest] = links;
    render(&HistoryPage {
        badge_url: badge_url(&app, &project),
        has_hooks: !app.store.hooks(id).await?.is_empty(),
        may_manage,
        token_trouble,
        page_url: format!("{}/projects/{id}/", app.public_url),
        problem,
        is_filtered: !filter.is_empty(),
        wanted,
        branches,
        authors,
        chart: (marks.len() > 1).then(|| Chart::new(id, &marks, (48, 60), now)),
        durations: Chart::durations(&marks, now),
        builds: Row::of(&app, &part.builds, now).await?,
        newest,
        newer,
        older,
        oldest,
        sidebar,
        project,
    })
}

/// To the newest, newer, older and oldest builds, where there are any.
fn links(wanted: &Wanted, project: &Project, part: &HistoryPart) -> [Option<String>; 4] {
    let link = |place| Some(wanted.link(project, place));
    let at = |build: Option<&Build>| build.map(|build| build.number);
    let (first, last) = (at(part.builds.first()), at(part.builds.last()));
    let newer = first.filter(|_| part.has_newer).and_then(|first| link(Place::After(first)));
    let older = last.filter(|_| part.has_older).and_then(|last| link(Place::Before(last)));
    // Also where the way here led behind the last one.
    let is_lost = part.builds.is_empty() && wanted.place() != Place::Newest;
    let newest = (newer.is_some() || is_lost).then(|| link(Place::Newest)).flatten();
    let oldest = older.is_some().then(|| link(Place::After(0))).flatten();
    [newest, newer, older, oldest]
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

impl Row {
    /// With the authors who are known here.
    pub(super) async fn of(
        app: &App,
        builds: &[Build],
        now: Timestamp,
    ) -> Result<Vec<Self>, StoreError> {
        let authors: Vec<&str> = builds.iter().map(|build| build.commit.author.as_str()).collect();
        let known = app.store.users_called(&authors).await?;
        let row = |build: &Build| {
            let author_id = known.get(&build.commit.author.to_lowercase()).map(|user| user.0);
            Self { author_id, ..Self::new(build, now) }
        };
        Ok(builds.iter().map(row).collect())
    }

    pub(super) fn new(build: &Build, now: Timestamp) -> Self {
        Self {
            url: format!("/projects/{}/builds/{}/", build.project, build.id),
            number: build.number,
            status: build.status.into(),
            subject: subject(&build.commit.message).to_owned(),
            author: build.commit.author.clone(),
            author_id: None,
            git_ref: build.git_ref.to_string(),
            awaits_approval: build.awaits_approval(),
            asked: words::asked(build.trigger),
            sha: build.commit.sha.short().to_owned(),
            created: Time::new(build.created_at, now),
            took: duration(build.started_at, build.finished_at, now),
        }
    }
}
