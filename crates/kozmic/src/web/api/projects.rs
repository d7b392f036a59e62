//! Projects.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::answers::{self, ProjectAnswer};
use super::problem::Problem;
use crate::web::App;
use crate::web::visitor::{Access, Visitor};

#[derive(Serialize)]
pub(super) struct Projects {
    projects: Vec<ProjectAnswer>,
}

/// The projects that the token's user owns or is a member of, by name; all of them for an
/// administrator.
pub(super) async fn list(
    State(app): State<App>,
    visitor: Visitor,
) -> Result<Json<Projects>, Problem> {
    let projects = app.store.projects(visitor.projects()).await?;
    let projects = projects.iter().map(|project| answers::project(&app, project)).collect();
    Ok(Json(Projects { projects }))
}

pub(super) async fn one(
    State(app): State<App>,
    Access { project, .. }: Access,
) -> Result<Json<ProjectAnswer>, Problem> {
    Ok(Json(answers::project(&app, &project)))
}
