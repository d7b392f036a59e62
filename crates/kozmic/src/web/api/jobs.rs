//! Jobs.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::answers::{self, JobAnswer, JobFacts};
use super::problem::Problem;
use crate::model::{JobId, ProjectId, Timestamp};
use crate::store::Job;
use crate::web::App;
use crate::web::jobs::{Follow, log_response, removed};
use crate::web::visitor::{Access, Account, Acting};

pub(super) async fn one(
    State(app): State<App>,
    Access { project, .. }: Access,
    Path(job): Path<i64>,
) -> Result<Json<JobAnswer>, Problem> {
    answer(&app, project.id, JobId(job)).await
}

/// The plain log; with `?follow=1` until the job is over, with `?plain=1` without colours.
pub(super) async fn log(
    State(app): State<App>,
    Path(job): Path<i64>,
    Query(follow): Query<Follow>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let job = find(&app, JobId(job)).await?;
    if let Some(removed) = removed(&job) {
        return Err(Problem::gone(removed));
    }
    Ok(log_response(&app, &job, &follow, &headers).await)
}

/// Stops a job: at once when it waits, otherwise SIGTERM and, 10 s later, SIGKILL.
pub(super) async fn cancel(
    Acting(app): Acting,
    account: Account,
    Access { project, .. }: Access,
    Path(job): Path<i64>,
) -> Result<Json<JobAnswer>, Problem> {
    let job = JobId(job);
    app.cancel_job(job, &account.login).await?;
    answer(&app, project.id, job).await
}

/// Runs a finished job again; the answer is the new job.
pub(super) async fn restart(
    Acting(app): Acting,
    account: Account,
    Access { project, .. }: Access,
    Path(job): Path<i64>,
) -> Result<Json<JobAnswer>, Problem> {
    let job = JobId(job);
    let new = app.store.job_restarted(job, &account.login, Timestamp::now()).await?;
    answer(&app, project.id, new).await
}

/// The image of its install step is made anew when it is needed next; the answer is the job.
pub(super) async fn drop_image(
    Acting(app): Acting,
    account: Account,
    Access { project, .. }: Access,
    Path(job): Path<i64>,
) -> Result<Json<JobAnswer>, Problem> {
    let job = JobId(job);
    app.drop_image(&find(&app, job).await?, &account.login).await?;
    answer(&app, project.id, job).await
}

async fn find(app: &App, id: JobId) -> Result<Job, Problem> {
    app.store.job(id).await?.ok_or_else(|| Problem::not_found("job"))
}

async fn answer(app: &App, project: ProjectId, id: JobId) -> Result<Json<JobAnswer>, Problem> {
    let mut job = find(app, id).await?;
    app.store.tell_why_they_wait(std::slice::from_mut(&mut job), Timestamp::now()).await?;
    let facts = JobFacts {
        phases: app.store.phases_of(job.build).await?.remove(&id).unwrap_or_default(),
        install: app.store.install_steps_of(job.build).await?.remove(&id),
        kept: app.store.kept_container(id).await?,
    };
    Ok(Json(answers::job(app, project.0, job, facts)))
}
