//! Tests of a job, and through all builds.

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::paging::{Paging, cursor};
use super::problem::Problem;
use crate::model::{JobId, is_flaky};
use crate::store::{TestResult, Which};
use crate::web::App;
use crate::web::page::cut;
use crate::web::visitor::Access;

const LIST: &str = "tests";
/// The slowest tests that are told of.
const SLOWEST: i64 = 20;
/// Tests, or results, of one answer.
const LIMIT: i64 = 1_000;

#[derive(Serialize, ToSchema)]
pub(super) struct TestsAnswer {
    total: i64,
    passed: i64,
    failed: i64,
    errors: i64,
    skipped: i64,
    flaky: i64,
    duration_ms: i64,
    /// What was left out and why.
    notes: Vec<String>,
    /// Those that failed first.
    tests: Vec<TestAnswer>,
    /// To be sent as `after`; null: these were the last.
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct TestAnswer {
    /// For its history.
    id: String,
    suite: String,
    class: String,
    name: String,
    outcome: &'static str,
    duration_ms: Option<i64>,
    place: String,
    message: String,
    details: String,
    output: String,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Range {
    /// Only those that failed or could not be carried out.
    #[serde(default)]
    failed: bool,
    /// So many of the first are left out.
    #[serde(default)]
    #[param(minimum = 0)]
    skip: i64,
    /// `next` of an answer: what follows it.
    after: Option<String>,
    /// How many, at the most; 0: only the counts.
    #[param(minimum = 0, maximum = 1000)]
    limit: Option<i64>,
}

/// Those that failed first; with `?failed=true` no others. `skip` and `limit` (1,000 at
/// the most) choose among them.
pub(super) async fn of_job(
    State(app): State<App>,
    Path(job): Path<i64>,
    Query(range): Query<Range>,
) -> Result<Json<TestsAnswer>, Problem> {
    let job = app.store.job(JobId(job)).await?.ok_or_else(|| Problem::not_found("job"))?;
    let collection = app.store.collection(job.id).await?;
    let counts = collection.as_ref().map(|it| it.tests).unwrap_or_default();
    let which = if range.failed { Which::Bad } else { Which::All };
    let limit = range.limit.unwrap_or(LIMIT);
    if !(0..=LIMIT).contains(&limit) || range.skip < 0 {
        let sentence = format!("`limit` goes from 0 to {LIMIT}, and `skip` from 0.");
        return Err(Problem::bad_request(sentence));
    }
    // What a job's reports have told does not change any more.
    let skip = Paging::behind(range.after).after::<i64>(LIST)?.unwrap_or(range.skip).max(0);
    let mut results = app.store.test_results(job.id, which, skip, limit + 1).await?;
    let next = cut(&mut results, limit) && limit > 0;
    let next = next.then(|| cursor(LIST, skip.saturating_add(limit)));
    Ok(Json(TestsAnswer {
        total: counts.total(),
        passed: counts.passed,
        failed: counts.failed,
        errors: counts.errors,
        skipped: counts.skipped,
        flaky: counts.flaky,
        duration_ms: collection.as_ref().map_or(0, |it| it.duration),
        notes: collection.map(|it| it.notes).unwrap_or_default(),
        tests: results.into_iter().map(answer).collect(),
        next,
    }))
}

fn answer(result: TestResult) -> TestAnswer {
    TestAnswer {
        id: format!("{:016x}", result.test.key.cast_unsigned()),
        suite: result.test.suite,
        class: result.test.class,
        name: result.test.name,
        outcome: result.outcome.as_str(),
        duration_ms: result.duration,
        place: result.place,
        message: result.message,
        details: result.details,
        output: result.output,
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct HistoryAnswer {
    hook: String,
    suite: String,
    class: String,
    name: String,
    is_flaky: bool,
    /// The newest first, at most 100.
    results: Vec<RunAnswer>,
}

#[derive(Serialize, ToSchema)]
struct RunAnswer {
    outcome: &'static str,
    duration_ms: Option<i64>,
    message: String,
    build_id: i64,
    build_number: i64,
    job_id: i64,
    #[serde(rename = "ref")]
    git_ref: String,
    sha: String,
    finished_at: Option<String>,
}

pub(super) async fn history(
    State(app): State<App>,
    Access { project, .. }: Access,
    Path((_, key)): Path<(i64, String)>,
) -> Result<Json<HistoryAnswer>, Problem> {
    let missing = || Problem::not_found("test");
    let key = u64::from_str_radix(&key, 16).map_err(|_| missing())?.cast_signed();
    let test = app.store.test(project.id, key).await?.ok_or_else(missing)?;
    let runs = app.store.test_history(project.id, key, 100).await?;
    let past: Vec<_> = runs.iter().map(|run| run.past.clone()).collect();
    let results = runs.into_iter().map(|run| RunAnswer {
        outcome: run.past.outcome.as_str(),
        duration_ms: run.duration,
        message: run.message,
        build_id: run.build.0,
        build_number: run.build_number,
        job_id: run.job.0,
        git_ref: run.past.git_ref,
        sha: run.past.sha,
        finished_at: run.finished_at.map(|at| at.to_string()),
    });
    Ok(Json(HistoryAnswer {
        hook: test.hook,
        suite: test.suite,
        class: test.class,
        name: test.name,
        is_flaky: is_flaky(&past),
        results: results.collect(),
    }))
}

#[derive(Serialize, ToSchema)]
pub(super) struct ProjectTestsAnswer {
    /// Those that failed lately, and passed without a change.
    flaky: Vec<NamedTest>,
    /// The number of the build whose slowest tests these are; null: none had any.
    slowest_of: Option<i64>,
    slowest: Vec<TestAnswer>,
}

#[derive(Serialize, ToSchema)]
struct NamedTest {
    id: String,
    hook: String,
    suite: String,
    class: String,
    name: String,
}

pub(super) async fn of_project(
    State(app): State<App>,
    Access { project, .. }: Access,
) -> Result<Json<ProjectTestsAnswer>, Problem> {
    let flaky = app.store.flaky_tests(project.id).await?.into_iter().map(|test| NamedTest {
        id: format!("{:016x}", test.key.cast_unsigned()),
        hook: test.hook,
        suite: test.suite,
        class: test.class,
        name: test.name,
    });
    let (slowest_of, slowest) = app.store.slowest_tests(project.id, SLOWEST).await?.unzip();
    Ok(Json(ProjectTestsAnswer {
        flaky: flaky.collect(),
        slowest_of,
        slowest: slowest.unwrap_or_default().into_iter().map(answer).collect(),
    }))
}
