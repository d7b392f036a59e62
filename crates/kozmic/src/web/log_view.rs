//! What the viewer asks for: lines of a log from any one on, what is found in it, and
//! what folds. The same for its pages, by a session, and for programs, by a token.

use std::sync::LazyLock;

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::api::Problem;
use super::jobs::{removed, unreadable};
use super::visitor::Access;
use super::words::problems;
use crate::log::{self, LogError, Reader};
use crate::model::JobId;
use crate::store::{Job, Project};

/// Lines in one answer.
const LINES: usize = 1_000;
/// Bytes of HTML in one answer; long lines make them fewer.
const HTML: usize = 2 << 20;

/// What looks like an error (docs/read-a-log.md).
const ERRORS: &str = r"(?x)
    ^\s*(?: ::error | \#\#\[error\] | not\ ok\b | Traceback\ \(most\ recent\ call\ last\) )
    | (?i: \berror (?: \[ [\w-]+ \] )? \s? : ) | [A-Za-z]Error: | \bERROR\b
    | \bFAIL(?: ED | URE )?\b | \bpanicked\ at\b | (?i: \bfatal: | \bsegmentation\ fault\b )
    | [A-Za-z]Exception\b | \bnpm\ ERR! | \bCONFLICT\ \(
";
static ERRORS_QUERY: LazyLock<Option<log::Query>> =
    LazyLock::new(|| log::Query::new(ERRORS, true, true).ok());

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Span {
    /// The first line; 1 when missing.
    from: Option<i64>,
    /// As many lines, at most 1,000.
    count: Option<i64>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct LinesAnswer {
    /// Complete lines so far; the unfinished last one counts when the job is over.
    total: u64,
    finished: bool,
    /// When the job began, in milliseconds since 1970.
    start: Option<i64>,
    lines: Vec<LineAnswer>,
}

#[derive(Serialize, ToSchema)]
struct LineAnswer {
    n: u64,
    /// Milliseconds since 1970 at which it was written; null where that is not known.
    at: Option<i64>,
    html: String,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Sought {
    /// What is looked for.
    #[serde(default)]
    q: String,
    /// `1`: a regular expression.
    regex: Option<String>,
    /// `1`: upper and lower case differ.
    case: Option<String>,
    /// `1`: what looks like an error, in place of `q`.
    errors: Option<String>,
    /// `1`: the first one is enough.
    first: Option<String>,
    /// The first line to look at; 1 when missing.
    from: Option<i64>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct FoundAnswer {
    matches: Vec<MatchAnswer>,
    looked_to: u64,
    /// Where to go on; null: this was all there is.
    next: Option<u64>,
}

#[derive(Serialize, ToSchema)]
struct MatchAnswer {
    n: u64,
    text: String,
    /// The match in the text: its first character, and the one after its last.
    at: [usize; 2],
}

#[derive(Serialize, ToSchema)]
pub(super) struct SectionsAnswer {
    sections: Vec<SectionAnswer>,
}

#[derive(Serialize, ToSchema)]
struct SectionAnswer {
    title: String,
    first: u64,
    last: u64,
    depth: u8,
}

/// The job that a path names: below its project on the pages, alone in the API.
#[derive(Deserialize)]
pub(super) struct Named {
    job: i64,
}

pub(super) async fn lines(
    State(app): State<App>,
    Access { project, .. }: Access,
    Path(Named { job }): Path<Named>,
    Query(span): Query<Span>,
) -> Result<Json<LinesAnswer>, Problem> {
    let job = find(&app, &project, job).await?;
    let (finished, start) = (job.status.is_finished(), job.started_at.map(|at| at.0));
    let Some(mut reader) = open(&app, &job).await? else {
        return Ok(Json(LinesAnswer { total: 0, finished, start, lines: Vec::new() }));
    };
    let unread = |error: LogError| Problem::unreadable(unreadable(&job, &error));
    let (mut next, mut size) = (line(span.from), 0);
    let left = span.count.map(|count| usize::try_from(count.max(0)).unwrap_or(LINES));
    let mut left = left.unwrap_or(LINES).min(LINES);
    let mut lines = Vec::new();
    // A few at a time, so that very long ones do not pile up here.
    while left > 0 && size < HTML {
        let rows = reader.rows(next, left.min(250)).await.map_err(unread)?;
        if rows.is_empty() {
            break;
        }
        left = left.saturating_sub(rows.len());
        for row in rows {
            next = row.number + 1;
            size += row.html.len();
            let at = row.at.map(|at| at.0);
            lines.push(LineAnswer { n: row.number, at, html: row.html });
        }
    }
    Ok(Json(LinesAnswer { total: reader.line_count(), finished, start, lines }))
}

/// Bounded in time: an answer says how far it looked, and where to go on.
pub(super) async fn search(
    State(app): State<App>,
    Access { project, .. }: Access,
    Path(Named { job }): Path<Named>,
    Query(sought): Query<Sought>,
) -> Result<Json<FoundAnswer>, Problem> {
    let is_set = |flag: &Option<String>| flag.as_ref().is_some_and(|value| value != "0");
    let query = if is_set(&sought.errors) {
        ERRORS_QUERY.clone().ok_or_else(|| Problem::bad_request(problems::ERRORS_UNKNOWN.into()))?
    } else {
        log::Query::new(&sought.q, is_set(&sought.regex), is_set(&sought.case))
            .map_err(|error| Problem::bad_request(problems::sentence(error)))?
    };
    let job = find(&app, &project, job).await?;
    let Some(mut reader) = open(&app, &job).await? else {
        return Ok(Json(FoundAnswer { matches: Vec::new(), looked_to: 0, next: None }));
    };
    let most = if is_set(&sought.first) { 1 } else { log::MATCHES };
    let found = reader.find_some(&query, line(sought.from), most).await;
    let found = found.map_err(|error| Problem::unreadable(unreadable(&job, &error)))?;
    let matches = found.matches.into_iter().map(|found| MatchAnswer {
        n: found.number,
        text: found.text,
        at: [found.at.start, found.at.end],
    });
    Ok(Json(FoundAnswer {
        matches: matches.collect(),
        looked_to: found.looked_to,
        next: found.next,
    }))
}

pub(super) async fn sections(
    State(app): State<App>,
    Access { project, .. }: Access,
    Path(Named { job }): Path<Named>,
) -> Result<Json<SectionsAnswer>, Problem> {
    let job = find(&app, &project, job).await?;
    let Some(mut reader) = open(&app, &job).await? else {
        return Ok(Json(SectionsAnswer { sections: Vec::new() }));
    };
    let sections = reader.sections().await;
    let sections = sections.map_err(|error| Problem::unreadable(unreadable(&job, &error)))?;
    let sections = sections.into_iter().map(|section| SectionAnswer {
        title: section.title,
        first: section.first,
        last: section.last,
        depth: section.depth,
    });
    Ok(Json(SectionsAnswer { sections: sections.collect() }))
}

/// Lines count from 1.
fn line(from: Option<i64>) -> u64 {
    from.and_then(|from| u64::try_from(from).ok()).unwrap_or(1).max(1)
}

async fn find(app: &App, project: &Project, job: i64) -> Result<Job, Problem> {
    let missing = || Problem::not_found("job");
    let job = app.store.job(JobId(job)).await?.ok_or_else(missing)?;
    let build = app.store.build(job.build).await?.ok_or_else(missing)?;
    if build.project == project.id { Ok(job) } else { Err(missing()) }
}

/// None: nothing was written yet.
async fn open(app: &App, job: &Job) -> Result<Option<Reader>, Problem> {
    if let Some(removed) = removed(job) {
        return Err(Problem::gone(removed));
    }
    let reader = app.log_of(job).await;
    let reader = reader.map_err(|error| Problem::unreadable(unreadable(job, &error)))?;
    Ok(reader.map(|mut reader| {
        if job.status.is_finished() {
            reader.ended();
        }
        reader
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_an_error_is_found_and_what_does_not_is_not() {
        let pattern = regex::Regex::new(ERRORS).unwrap();
        for error in [
            "error: expected `;`",
            "error[E0425]: cannot find value",
            "src/orbit.c:12:3: error: unknown type",
            "Error: Cannot find module 'x'",
            "TypeError: x is not a function",
            "[ERROR] COMPILATION ERROR :",
            "test orbit ... FAILED",
            "--- FAIL: TestOrbit (0.00s)",
            "BUILD FAILURE",
            "thread 'main' panicked at src/main.rs:1:2:",
            "Traceback (most recent call last):",
            "java.lang.NullPointerException",
            "fatal: not a git repository",
            "npm ERR! code 1",
            "not ok 3 - adds",
            "::error file=a.js,line=1::Missing semicolon",
            "##[error]Process completed with exit code 1.",
            "Segmentation fault (core dumped)",
            "CONFLICT (content): Merge conflict in a",
        ] {
            assert!(pattern.is_match(error), "{error}");
        }
        for fine in [
            "0 errors, 0 warnings",
            "test error_is_shown ... ok",
            "Compiling thiserror v2.0.0",
            "ok 3 - adds",
            "failed: 0",
            "12 passed; 0 failed",
            "Downloading exceptions.txt",
        ] {
            assert!(!pattern.is_match(fine), "{fine}");
        }
        assert!(ERRORS_QUERY.is_some());
    }
}
