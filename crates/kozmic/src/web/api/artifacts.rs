//! Artifacts of a job.

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
use crate::web::artifacts::{Found, find, in_url, removed, serve};

#[derive(Serialize, ToSchema)]
pub(super) struct ArtifactsAnswer {
    artifacts: Vec<ArtifactAnswer>,
    /// Why there are none any more.
    removed: Option<String>,
    /// To be sent as `after`; null: these were the last.
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct ArtifactAnswer {
    path: String,
    size: u64,
    sha256: String,
    url: String,
}

async fn job(app: &App, id: i64) -> Result<Job, Problem> {
    app.store.job(JobId(id)).await?.ok_or_else(|| Problem::not_found("job"))
}

/// In the order of their names.
pub(super) async fn list(
    State(app): State<App>,
    Path(id): Path<i64>,
    Query(paging): Query<Paging>,
) -> Result<Json<ArtifactsAnswer>, Problem> {
    let job = job(&app, id).await?;
    let collection = app.store.collection(job.id).await?;
    let artifacts = app.store.artifacts(job.id).await?;
    let (artifacts, next) =
        paging::part(artifacts, &paging, "artifacts", |artifact| artifact.path.clone())?;
    let artifacts = artifacts.into_iter().map(|artifact| ArtifactAnswer {
        url: format!(
            "{}/api/v1/jobs/{}/artifacts/{}",
            app.public_url,
            job.id,
            in_url(&artifact.path)
        ),
        path: artifact.path,
        size: artifact.size,
        sha256: artifact.sha256,
    });
    Ok(Json(ArtifactsAnswer {
        artifacts: artifacts.collect(),
        removed: collection.as_ref().and_then(removed),
        next,
    }))
}

/// Its bytes; a range of them where `Range` asks for one.
pub(super) async fn one(
    State(app): State<App>,
    Path((id, path)): Path<(i64, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let job = job(&app, id).await?;
    match find(&app, &job, &path).await? {
        Found::Kept(artifact) => Ok(serve(&app, &artifact, &headers).await?),
        Found::Gone(removed) => Err(Problem::gone(removed)),
        Found::Nothing => Err(Problem::not_found("artifact")),
    }
}
