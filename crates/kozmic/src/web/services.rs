//! The logs of a job's services, on its page and as texts.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::error::PageError;
use super::visitor::Access;
use super::words::problems::Thing;
use super::{App, artifacts, jobs};
use crate::model::{Artifact, ProjectId, readable_bytes};
use crate::objects::ObjectError;
use crate::store::{Job, ServiceLog, StoreError};

/// A service as a job's page shows it.
pub(super) struct ShownService {
    pub(super) name: String,
    pub(super) image: String,
    /// How it ended by itself.
    pub(super) ended: Option<String>,
    pub(super) size: String,
    pub(super) url: String,
}

pub(super) async fn of_job(
    app: &App,
    project: ProjectId,
    job: &Job,
) -> Result<Vec<ShownService>, StoreError> {
    let logs = app.store.service_logs(job.id).await?;
    let shown = logs.into_iter().map(|log| ShownService {
        url: format!("/projects/{project}/jobs/{}/services/{}/log/", job.id, log.name),
        size: readable_bytes(log.size),
        name: log.name,
        image: log.image,
        ended: log.ended,
    });
    Ok(shown.collect())
}

/// What a service has written, with the job's secrets hidden.
pub(super) async fn log(
    State(app): State<App>,
    Access { project, .. }: Access,
    Path((_, job, name)): Path<(i64, i64, String)>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let job = jobs::find(&app, &project, job).await?;
    if let Some(removed) = jobs::removed(&job) {
        return Ok((StatusCode::GONE, format!("{removed}\n")).into_response());
    }
    let log = find(&app, &job, &name).await?;
    let log = log.ok_or_else(|| PageError::no_such(Thing::Service))?;
    let served = serve(&app, log, &headers).await;
    served.map_err(|error| PageError::internal("service log", &error))
}

pub(super) async fn find(
    app: &App,
    job: &Job,
    name: &str,
) -> Result<Option<ServiceLog>, StoreError> {
    Ok(app.store.service_logs(job.id).await?.into_iter().find(|log| log.name == name))
}

/// As a text that browsers only show.
pub(super) async fn serve(
    app: &App,
    log: ServiceLog,
    request: &HeaderMap,
) -> Result<Response, ObjectError> {
    let file = Artifact {
        path: format!("{}.log", log.name),
        size: log.size,
        // It names a content that never changes.
        sha256: log.object.clone(),
        object: log.object,
    };
    artifacts::serve(app, &file, request).await
}
