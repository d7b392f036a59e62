//! The logs of a job's services.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::paging::{self, Paging};
use super::problem::Problem;
use crate::model::JobId;
use crate::store::Job;
use crate::web::App;
use crate::web::jobs::removed;
use crate::web::services::{find, serve};

#[derive(Serialize, ToSchema)]
pub(super) struct ServicesAnswer {
    services: Vec<ServiceAnswer>,
    /// Why there are none any more.
    removed: Option<String>,
    /// To be sent as `after`; null: these were the last.
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct ServiceAnswer {
    /// Its host name.
    name: String,
    image: String,
    /// How it ended by itself; none: with its job.
    ended: Option<String>,
    /// Bytes of its log.
    size: u64,
    log_url: String,
}

async fn job(app: &App, id: i64) -> Result<Job, Problem> {
    app.store.job(JobId(id)).await?.ok_or_else(|| Problem::not_found("job"))
}

/// Once the job is over, in the order of their names.
pub(super) async fn list(
    State(app): State<App>,
    Path(id): Path<i64>,
    Query(paging): Query<Paging>,
) -> Result<Json<ServicesAnswer>, Problem> {
    let job = job(&app, id).await?;
    let logs = app.store.service_logs(job.id).await?;
    let (logs, next) = paging::part(logs, &paging, "services", |log| log.name.clone())?;
    let services = logs.into_iter().map(|log| ServiceAnswer {
        log_url: format!("{}/api/v1/jobs/{}/services/{}/log", app.public_url, job.id, log.name),
        name: log.name,
        image: log.image,
        ended: log.ended,
        size: log.size,
    });
    Ok(Json(ServicesAnswer { services: services.collect(), removed: removed(&job), next }))
}

/// What a service has written; a range of it where `Range` asks for one.
pub(super) async fn log(
    State(app): State<App>,
    Path((id, name)): Path<(i64, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let job = job(&app, id).await?;
    if let Some(removed) = removed(&job) {
        return Err(Problem::gone(removed));
    }
    let log = find(&app, &job, &name).await?.ok_or_else(|| Problem::not_found("service"))?;
    Ok(serve(&app, log, &headers).await?)
}
