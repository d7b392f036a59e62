//! Jobs.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::Response;

use super::answers::{self, JobAnswer};
use super::problem::Problem;
use super::visitor::Visitor;
use crate::model::{JobId, Timestamp};
use crate::web::App;
use crate::web::jobs::{Follow, log_response, removed};

pub(super) async fn one(
    State(app): State<App>,
    visitor: Visitor,
    Path(job): Path<i64>,
) -> Result<Json<JobAnswer>, Problem> {
    let (project, job) = visitor.job(job).await?;
    Ok(Json(answers::job(&app, project.id.0, job)))
}

/// The plain log; with `?follow=1` until the job is over.
pub(super) async fn log(
    State(app): State<App>,
    visitor: Visitor,
    Path(job): Path<i64>,
    Query(follow): Query<Follow>,
) -> Result<Response, Problem> {
    let (_, job) = visitor.job(job).await?;
    if let Some(removed) = removed(&job) {
        return Err(Problem::gone(removed));
    }
    Ok(log_response(&app, &job, &follow).await?)
}

/// Stops a job: at once when it waits, otherwise SIGTERM and, 10 s later, SIGKILL.
pub(super) async fn cancel(
    State(app): State<App>,
    visitor: Visitor,
    Path(job): Path<i64>,
) -> Result<Json<JobAnswer>, Problem> {
    let (project, job) = visitor.job(job).await?;
    visitor.manages(&project).await?;
    app.cancel_job(job.id, visitor.login()).await?;
    answer(&app, project.id.0, job.id).await
}

/// Runs a finished job again; the answer is the new job.
pub(super) async fn restart(
    State(app): State<App>,
    visitor: Visitor,
    Path(job): Path<i64>,
) -> Result<Json<JobAnswer>, Problem> {
    let (project, job) = visitor.job(job).await?;
    visitor.manages(&project).await?;
    let new = app.store.job_restarted(job.id, visitor.login(), Timestamp::now()).await?;
    answer(&app, project.id.0, new).await
}

async fn answer(app: &App, project: i64, id: JobId) -> Result<Json<JobAnswer>, Problem> {
    let job = app.store.job(id).await?.ok_or_else(|| Problem::not_found("job"))?;
    Ok(Json(answers::job(app, project, job)))
}
