//! Tests as pages: of a job, through all builds, and those of a project that want care.

use askama::Template;
use axum::extract::{Path, Query, State};
use serde::Deserialize;

use super::error::PageError;
use super::page::{Page, Sidebar, Time, TokenTrouble, cut, render, token_trouble};
use super::visitor::{Access, Visitor};
use super::words::problems::{self, Thing};
use super::{App, builds, jobs};
use crate::model::{GitRef, ProjectId, TestOutcome, Timestamp, is_flaky, readable};
use crate::store::{Collection, Job, Project, Test, TestResult, TestRun, Which};

/// Failed tests above a log; the others are on the job's own page of tests.
const ABOVE_LOG: i64 = 50;
/// Tests of one page.
const PAGE: i64 = 500;
/// Results of a test that its page shows.
const HISTORY: i64 = 100;
const SLOWEST: i64 = 20;

/// A job's tests, above its log.
pub(super) struct ShownTests {
    pub(super) sentence: String,
    pub(super) took: String,
    pub(super) failed: Vec<ShownResult>,
    /// Failed ones that are not shown.
    pub(super) hidden: i64,
    pub(super) all_url: String,
}

pub(super) struct ShownResult {
    pub(super) name: String,
    /// Suite and class, as far as they say something.
    pub(super) of: String,
    pub(super) url: String,
    pub(super) outcome: OutcomeMark,
    pub(super) took: Option<String>,
    pub(super) place: String,
    pub(super) message: String,
    pub(super) details: String,
    pub(super) output: String,
    pub(super) is_flaky: bool,
}

/// An outcome with its sign, so that colour is never the only one.
pub(super) struct OutcomeMark {
    pub(super) word: &'static str,
    pub(super) sign: &'static str,
    /// The style of the status that is like it.
    pub(super) like: &'static str,
}

impl From<TestOutcome> for OutcomeMark {
    fn from(outcome: TestOutcome) -> Self {
        let (sign, like) = match outcome {
            TestOutcome::Passed => ("✓", "success"),
            TestOutcome::Failed => ("✗", "failure"),
            TestOutcome::Error => ("!", "error"),
            TestOutcome::Skipped => ("–", "cancelled"),
            TestOutcome::Flaky => ("~", "pending"),
        };
        Self { word: outcome.as_str(), sign, like }
    }
}

impl ShownResult {
    fn new(project: ProjectId, result: TestResult, is_flaky: bool) -> Self {
        Self {
            url: url(project, &result.test),
            of: of(&result.test),
            name: result.test.name,
            outcome: result.outcome.into(),
            took: result.duration.map(took),
            place: result.place,
            message: result.message,
            details: result.details,
            output: result.output,
            is_flaky,
        }
    }
}

fn url(project: ProjectId, test: &Test) -> String {
    format!("/projects/{project}/tests/{:016x}/", test.key.cast_unsigned())
}

fn of(test: &Test) -> String {
    let parts = [test.suite.as_str(), test.class.as_str()];
    let said: Vec<&str> = match parts {
        [suite, class] if class.starts_with(suite) => vec![class],
        parts => parts.to_vec(),
    };
    said.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
}

fn took(milliseconds: i64) -> String {
    readable(Timestamp(milliseconds).since(Timestamp(0)))
}

/// What a build's page shows of a job's tests; none when it has none.
pub(super) async fn of_job(
    app: &App,
    project: &Project,
    job: &Job,
    collection: &Collection,
) -> Result<Option<ShownTests>, PageError> {
    let counts = collection.tests;
    if counts.total() == 0 {
        return Ok(None);
    }
    let results = app.store.test_results(job.id, Which::Bad, 0, ABOVE_LOG).await?;
    let keys: Vec<i64> = results.iter().map(|result| result.test.key).collect();
    let flaky = app.store.which_are_flaky(project.id, &keys).await?;
    let failed = results.into_iter().map(|result| {
        let is_flaky = flaky.contains(&result.test.key);
        ShownResult::new(project.id, result, is_flaky)
    });
    Ok(Some(ShownTests {
        sentence: counts.to_string(),
        took: took(collection.duration),
        failed: failed.collect(),
        hidden: (counts.bad() - ABOVE_LOG).max(0),
        all_url: format!("/projects/{}/jobs/{}/tests/", project.id, job.id),
    }))
}

#[derive(Template)]
#[template(path = "job_tests.html")]
struct JobTestsPage {
    sidebar: Sidebar,
    project: Project,
    token_trouble: Option<TokenTrouble>,
    title: String,
    build_number: i64,
    build_url: String,
    sentence: String,
    took: String,
    notes: Vec<String>,
    results: Vec<ShownResult>,
    url: String,
    newer: Option<i64>,
    older: Option<i64>,
}

#[derive(Deserialize)]
pub(super) struct Skip {
    #[serde(default)]
    skip: i64,
}

/// All tests of a job.
pub(super) async fn job(
    State(app): State<App>,
    visitor: Visitor,
    Access { project, .. }: Access,
    Path((_, job)): Path<(i64, i64)>,
    Query(Skip { skip }): Query<Skip>,
) -> Page {
    let job = jobs::find(&app, &project, job).await?;
    let build = builds::find(&app, &project, Some(job.build.0)).await?;
    let missing = || PageError::NotFound(problems::NO_TESTS.into());
    let collection = app.store.collection(job.id).await?.ok_or_else(missing)?;
    let skip = skip.max(0);
    let mut results = app.store.test_results(job.id, Which::All, skip, PAGE + 1).await?;
    let has_more = cut(&mut results, PAGE);
    let bad = results.iter().filter(|result| result.outcome.is_bad()).take(50);
    let keys: Vec<i64> = bad.map(|result| result.test.key).collect();
    let flaky = app.store.which_are_flaky(project.id, &keys).await?;
    let results = results.into_iter().map(|result| {
        let is_flaky = flaky.contains(&result.test.key);
        ShownResult::new(project.id, result, is_flaky)
    });
    render(&JobTestsPage {
        sidebar: Sidebar::load(&app, &visitor, Some(project.id.0)).await?,
        token_trouble: token_trouble(&app, &project).await?,
        build_number: build.number,
        build_url: format!("/projects/{}/builds/{}/jobs/{}/", project.id, build.id, job.id),
        sentence: collection.tests.to_string(),
        took: took(collection.duration),
        notes: collection.notes,
        results: results.collect(),
        url: format!("/projects/{}/jobs/{}/tests/", project.id, job.id),
        newer: (skip > 0).then(|| (skip - PAGE).max(0)),
        older: has_more.then_some(skip + PAGE),
        title: job.title,
        project,
    })
}

#[derive(Template)]
#[template(path = "test.html")]
struct TestPage {
    sidebar: Sidebar,
    project: Project,
    token_trouble: Option<TokenTrouble>,
    name: String,
    of: String,
    hook: String,
    is_flaky: bool,
    counted: usize,
    failed: usize,
    runs: Vec<ShownRun>,
}

struct ShownRun {
    outcome: OutcomeMark,
    took: Option<String>,
    message: String,
    url: String,
    build_number: i64,
    git_ref: String,
    sha: String,
    at: Option<Time>,
}

impl ShownRun {
    fn new(project: ProjectId, run: TestRun, now: Timestamp) -> Self {
        let git_ref = run.past.git_ref.parse().map(|git_ref: GitRef| git_ref.to_string());
        Self {
            outcome: run.past.outcome.into(),
            took: run.duration.map(took),
            message: run.message.lines().next().unwrap_or_default().to_owned(),
            url: format!("/projects/{project}/builds/{}/jobs/{}/", run.build, run.job),
            build_number: run.build_number,
            git_ref: git_ref.unwrap_or(run.past.git_ref),
            sha: run.past.sha.chars().take(8).collect(),
            at: run.finished_at.map(|at| Time::new(at, now)),
        }
    }
}

/// One test, through all builds.
pub(super) async fn test(
    State(app): State<App>,
    visitor: Visitor,
    Access { project, .. }: Access,
    Path((_, key)): Path<(i64, String)>,
) -> Page {
    let missing = || PageError::no_such(Thing::Test);
    let key = u64::from_str_radix(&key, 16).map_err(|_| missing())?.cast_signed();
    let test = app.store.test(project.id, key).await?.ok_or_else(missing)?;
    let runs = app.store.test_history(project.id, key, HISTORY).await?;
    let past: Vec<_> = runs.iter().map(|run| run.past.clone()).collect();
    let now = Timestamp::now();
    render(&TestPage {
        sidebar: Sidebar::load(&app, &visitor, Some(project.id.0)).await?,
        token_trouble: token_trouble(&app, &project).await?,
        of: of(&test),
        name: test.name,
        hook: test.hook,
        is_flaky: is_flaky(&past),
        counted: runs.len(),
        failed: past.iter().filter(|past| past.outcome.is_bad()).count(),
        runs: runs.into_iter().map(|run| ShownRun::new(project.id, run, now)).collect(),
        project,
    })
}

#[derive(Template)]
#[template(path = "project_tests.html")]
struct ProjectTestsPage {
    sidebar: Sidebar,
    project: Project,
    token_trouble: Option<TokenTrouble>,
    flaky: Vec<(String, String, String, String)>,
    slowest: Vec<ShownResult>,
    slowest_of: i64,
}

/// Tests of a project that are flaky, or slow.
pub(super) async fn project(
    State(app): State<App>,
    visitor: Visitor,
    Access { project, .. }: Access,
) -> Page {
    let flaky = app.store.flaky_tests(project.id).await?.into_iter();
    let flaky = flaky.map(|test| (url(project.id, &test), of(&test), test.name, test.hook));
    let (slowest_of, slowest) =
        app.store.slowest_tests(project.id, SLOWEST).await?.unwrap_or_default();
    let slowest = slowest.into_iter().map(|result| ShownResult::new(project.id, result, false));
    render(&ProjectTestsPage {
        sidebar: Sidebar::load(&app, &visitor, Some(project.id.0)).await?,
        token_trouble: token_trouble(&app, &project).await?,
        flaky: flaky.collect(),
        slowest: slowest.collect(),
        slowest_of,
        project,
    })
}
