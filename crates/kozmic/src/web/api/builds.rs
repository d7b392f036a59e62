//! Builds.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::answers::{self, BuildAnswer};
use super::problem::Problem;
use crate::intake::{self, Start};
use crate::model::{BuildId, CommitSha, Invalid, Timestamp};
use crate::web::App;
use crate::web::visitor::{Access, Account, Acting};

/// Builds in one answer.
const PAGE: i64 = 50;

#[derive(Serialize)]
pub(super) struct Builds {
    builds: Vec<BuildAnswer>,
}

#[derive(Deserialize)]
pub(super) struct Range {
    before: Option<i64>,
}

#[derive(Deserialize)]
pub(super) struct Which {
    /// Only the jobs that are not green.
    #[serde(default)]
    failed: bool,
}

/// A project's builds below number `before`, newest first, at most 50.
pub(super) async fn list(
    State(app): State<App>,
    Access { project, .. }: Access,
    Query(range): Query<Range>,
) -> Result<Json<Builds>, Problem> {
    let builds = app.store.builds_before(project.id, range.before, PAGE).await?;
    Ok(Json(Builds { builds: answers::builds(&app, builds).await? }))
}

/// What to build; `{}` is the head of the default branch.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StartBody {
    /// A branch, a tag, or a commit's id.
    #[serde(default, rename = "ref")]
    reference: String,
    /// Titles; none: the hooks that run for a push to there.
    #[serde(default)]
    hooks: Vec<String>,
    /// For the build scripts.
    #[serde(default)]
    variables: BTreeMap<String, String>,
}

/// Makes a build that nobody pushed for.
pub(super) async fn start(
    Acting(app): Acting,
    account: Account,
    Access { project, .. }: Access,
    body: Bytes,
) -> Result<(StatusCode, Json<BuildAnswer>), Problem> {
    let body: StartBody = serde_json::from_slice(&body).map_err(|problem| {
        Problem::bad_request(format!("The body is not as it must be: {problem}."))
    })?;
    let variables = body.variables.into_iter().map(|(name, value)| format!("{name}={value}"));
    let start =
        Start { reference: body.reference, hooks: body.hooks, variables: variables.collect() };
    let (now, by) = (Timestamp::now(), &account.login);
    let made = intake::start(&app.store, &app.github, &project, &start, by, now).await?;
    Ok((StatusCode::CREATED, answer(&app, made.build).await?))
}

pub(super) async fn one(
    State(app): State<App>,
    Path(build): Path<i64>,
) -> Result<Json<BuildAnswer>, Problem> {
    answer(&app, BuildId(build)).await
}

/// Cancels the jobs that are not finished.
pub(super) async fn cancel(
    Acting(app): Acting,
    account: Account,
    Path(build): Path<i64>,
) -> Result<Json<BuildAnswer>, Problem> {
    let build = BuildId(build);
    app.cancel_build(build, &account.login).await?;
    answer(&app, build).await
}

/// Runs the finished jobs again, or with `?failed=true` those that are not green.
pub(super) async fn restart(
    Acting(app): Acting,
    account: Account,
    Path(build): Path<i64>,
    Query(which): Query<Which>,
) -> Result<Json<BuildAnswer>, Problem> {
    let build = BuildId(build);
    app.store.build_restarted(build, which.failed, &account.login, Timestamp::now()).await?;
    answer(&app, build).await
}

#[derive(Deserialize)]
pub(super) struct Approval {
    /// The commit that was looked at; refused when the build is of another one.
    sha: Option<String>,
    /// What its author sends from now on needs no approval.
    #[serde(default)]
    trust_author: bool,
}

/// Lets the jobs of a pull request from a fork run.
pub(super) async fn approve(
    Acting(app): Acting,
    account: Account,
    Path(build): Path<i64>,
    Query(approval): Query<Approval>,
) -> Result<Json<BuildAnswer>, Problem> {
    let build = BuildId(build);
    let seen: Option<CommitSha> = approval
        .sha
        .map(|sha| sha.parse())
        .transpose()
        .map_err(|problem: Invalid| Problem::bad_request(problem.to_string()))?;
    let (trusts, by) = (approval.trust_author, &account.login);
    app.store.build_approved(build, seen.as_ref(), trusts, by, Timestamp::now()).await?;
    answer(&app, build).await
}

async fn answer(app: &App, id: BuildId) -> Result<Json<BuildAnswer>, Problem> {
    let build = app.store.build(id).await?.ok_or_else(|| Problem::not_found("build"))?;
    Ok(Json(answers::build(app, build).await?))
}
