//! What all pages share: rendering, the list of projects, and how times,
//! durations and statuses are written.

use std::fmt;

use askama::Template;
use askama::filters::HtmlSafe;
use axum::response::Html;

use super::error::PageError;
use super::visitor::{Account, Visitor};
use super::{App, live, words};
use crate::model::{BuildStatus, JobStatus, ProjectId, Timestamp, readable};
use crate::store::{Project, ProjectSummary, ProjectsPart, StoreError};

pub(super) type Page = Result<Html<String>, PageError>;

pub(super) fn render(template: &impl Template) -> Page {
    template.render().map(Html).map_err(|error| PageError::internal("template", &error))
}

/// Projects beside a page; there may be a thousand more.
const BESIDE: i64 = 12;

/// What is around every page: the projects that were built last, and who is signed in.
pub(super) struct Sidebar {
    pub(super) projects: Vec<SidebarProject>,
    /// There are projects that are not in the list.
    pub(super) has_more: bool,
    /// The page's project.
    pub(super) current: Option<i64>,
    /// What the page was made from: see [`live::version`].
    pub(super) version: String,
    pub(super) account: Option<AccountMark>,
}

/// Who is signed in, as the head of a page shows it.
pub(super) struct AccountMark {
    pub(super) id: i64,
    pub(super) is_administrator: bool,
    pub(super) login: String,
    pub(super) name: String,
}

impl AccountMark {
    fn new(account: &Account) -> Self {
        Self {
            id: account.id.0,
            is_administrator: account.is_administrator,
            login: account.login.clone(),
            name: account.name.clone(),
        }
    }
}

pub(super) struct SidebarProject {
    pub(super) id: i64,
    pub(super) full_name: String,
    pub(super) is_current: bool,
    pub(super) status: Option<StatusMark>,
    pub(super) built: Option<Time>,
}

impl Sidebar {
    pub(super) async fn load(
        app: &App,
        visitor: &Visitor,
        current: Option<i64>,
    ) -> Result<Self, StoreError> {
        let version = live::version(app);
        let part = ProjectsPart { of: visitor.projects(), named: "", skip: 0, limit: BESIDE + 1 };
        let mut listed = app.store.projects_listed(&part).await?;
        let has_more = cut(&mut listed, BESIDE);
        // The page's own project is always there.
        if let Some(id) = current
            && !listed.iter().any(|project| project.id.0 == id)
            && let Some(project) = app.store.project_summary(ProjectId(id)).await?
        {
            listed.insert(0, project);
        }
        let now = Timestamp::now();
        let entry = |project: ProjectSummary| SidebarProject {
            id: project.id.0,
            full_name: project.full_name,
            is_current: Some(project.id.0) == current,
            status: project.latest.as_ref().map(|build| build.status.into()),
            built: project.latest.map(|build| Time::new(build.created_at, now)),
        };
        Ok(Self {
            projects: listed.into_iter().map(entry).collect(),
            has_more,
            current,
            version,
            account: visitor.0.as_ref().map(AccountMark::new),
        })
    }
}

/// The project's owner has to sign in before GitHub takes their token again.
pub(super) struct TokenTrouble {
    pub(super) login: String,
    pub(super) since: Time,
}

pub(super) async fn token_trouble(
    app: &App,
    project: &Project,
) -> Result<Option<TokenTrouble>, StoreError> {
    let Some(owner) = app.store.user(project.owner).await? else { return Ok(None) };
    let since = owner.token_refused_at.map(|since| Time::new(since, Timestamp::now()));
    Ok(since.map(|since| TokenTrouble { login: owner.login, since }))
}

/// A status with its sign, so that colour is never the only one.
#[derive(Debug, Clone, Copy)]
pub(super) struct StatusMark {
    pub(super) word: &'static str,
    pub(super) sign: &'static str,
}

impl StatusMark {
    fn of(word: &'static str) -> Self {
        let sign = match word {
            "success" => "✓",
            "failure" => "✗",
            "error" => "!",
            "cancelled" => "–",
            "pending" => "●",
            _ => "○",
        };
        Self { word, sign }
    }
}

impl From<BuildStatus> for StatusMark {
    fn from(status: BuildStatus) -> Self {
        Self::of(status.as_str())
    }
}

impl From<JobStatus> for StatusMark {
    fn from(status: JobStatus) -> Self {
        Self::of(status.as_str())
    }
}

/// A time as pages show it: its age, and the exact time for machines and on hover. The scripts
/// keep the age up to date, and tell the exact time in the reader's zone.
pub(super) struct Time {
    pub(super) exact: String,
    pub(super) age: String,
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { exact, age } = self;
        write!(f, r#"<time datetime="{exact}" title="{exact}" data-age>{age}</time>"#)
    }
}

/// Digits and our own words.
impl HtmlSafe for Time {}

impl Time {
    pub(super) fn new(at: Timestamp, now: Timestamp) -> Self {
        Self { exact: at.to_string(), age: words::age(now.since(at).as_secs()) }
    }
}

/// Up to now while it is not over.
pub(super) fn duration(
    started: Option<Timestamp>,
    finished: Option<Timestamp>,
    now: Timestamp,
) -> Option<String> {
    Some(readable(finished.unwrap_or(now).since(started?)))
}

/// The first line of a commit's message.
pub(super) fn subject(message: &str) -> &str {
    message.lines().next().unwrap_or_default()
}

/// Whether more was found than a page has; what is too much goes.
pub(in crate::web) fn cut<T>(found: &mut Vec<T>, page: i64) -> bool {
    let page = usize::try_from(page).unwrap_or(usize::MAX);
    let has_more = found.len() > page;
    found.truncate(page);
    has_more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        let took = |ms| duration(Some(Timestamp(0)), Some(Timestamp(ms)), Timestamp(0)).unwrap();
        assert_eq!(took(303_000), "5 min 3 s");
        assert_eq!(duration(Some(Timestamp(0)), None, Timestamp(2_000)).unwrap(), "2.0 s");
        assert_eq!(duration(None, None, Timestamp(0)), None);
    }
}
