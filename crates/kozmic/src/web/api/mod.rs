//! `/api/v1`: JSON for programs. Every route needs a token
//! (`Authorization: Bearer …`) of somebody who may see the project; what changes
//! something, of somebody who manages it. Errors are problem details (RFC 9457).

mod answers;
mod builds;
mod jobs;
mod problem;
mod projects;
mod visitor;

use axum::Router;
use axum::routing::{get, post};

use super::App;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/projects", get(projects::list))
        .route("/projects/{project}", get(projects::one))
        .route("/projects/{project}/builds", get(builds::list))
        .route("/builds/{build}", get(builds::one))
        .route("/builds/{build}/cancel", post(builds::cancel))
        .route("/builds/{build}/restart", post(builds::restart))
        .route("/builds/{build}/approve", post(builds::approve))
        .route("/jobs/{job}", get(jobs::one))
        .route("/jobs/{job}/log", get(jobs::log))
        .route("/jobs/{job}/cancel", post(jobs::cancel))
        .route("/jobs/{job}/restart", post(jobs::restart))
        .fallback(problem::no_such_route)
}
