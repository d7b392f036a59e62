//! Builds.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::answers::{self, BuildAnswer};
use super::body::Body;
use super::paging::{self, Paging};
use super::problem::Problem;
use crate::intake::{self, Start};
use crate::model::{BuildId, CommitSha, Invalid, Timestamp};
use crate::store::Place;
use crate::web::visitor::{Access, Account, Acting};
use crate::web::{App, history};

const LIST: &str = "builds";
/// Builds in one answer, unless more are wanted.
const PAGE: i64 = 50;

#[derive(Serialize, ToSchema)]
pub(super) struct Builds {
    builds: Vec<BuildAnswer>,
    /// To be sent as `after`; null: these were the oldest.
    next: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Range {
    /// Only builds with smaller numbers.
    before: Option<i64>,
}

/// As the history's page has it.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Words of the commit's message.
    #[serde(default)]
    text: String,
    /// A branch, a tag, or another ref in full.
    #[serde(default)]
    branch: String,
    /// The commit's author.
    #[serde(default)]
    author: String,
    /// `enqueued`, `pending`, `success`, `failure`, `error` or `cancelled`.
    status: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Only the jobs that are not green.
    #[serde(default)]
    failed: bool,
}

/// A project's builds, newest first.
pub(super) async fn list(
    State(app): State<App>,
    Access { project, .. }: Access,
    Query(range): Query<Range>,
    Query(filter): Query<Filter>,
    Query(paging): Query<Paging>,
) -> Result<Json<Builds>, Problem> {
    let (limit, after) = (paging.limit(PAGE)?, paging.after::<i64>(LIST)?);
    let refused = |problem: Invalid| Problem::bad_request(format!("`status`: {problem}."));
    let status = filter.status.as_deref().map(str::parse).transpose().map_err(refused)?;
    let filter = history::filter(&filter.text, &filter.branch, &filter.author, status);
    let place = after.or(range.before).map_or(Place::Newest, Place::Before);
    let part = app.store.history(project.id, &filter, place, limit).await?;
    let last = part.builds.last().filter(|_| part.has_older);
    let next = last.map(|build| paging::cursor(LIST, build.number));
    Ok(Json(Builds { builds: answers::builds(&app, part.builds).await?, next }))
}

/// What to build; `{}` is the head of the default branch.
#[derive(Deserialize, ToSchema)]
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
    Body(body): Body<StartBody>,
) -> Result<(StatusCode, Json<BuildAnswer>), Problem> {
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

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
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
