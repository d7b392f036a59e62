//! Projects.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;

use super::answers::{self, ProjectAnswer};
use super::problem::Problem;
use super::visitor::Visitor;
use crate::web::App;

#[derive(Serialize)]
pub(super) struct Projects {
    projects: Vec<ProjectAnswer>,
}

/// The projects that the token's user owns or is a member of, by name.
pub(super) async fn list(
    State(app): State<App>,
    visitor: Visitor,
) -> Result<Json<Projects>, Problem> {
    let projects = app.store.projects_of(visitor.user()).await?;
    let projects = projects.iter().map(|project| answers::project(&app, project)).collect();
    Ok(Json(Projects { projects }))
}

pub(super) async fn one(
    State(app): State<App>,
    visitor: Visitor,
    Path(project): Path<i64>,
) -> Result<Json<ProjectAnswer>, Problem> {
    let project = visitor.project(project).await?;
    Ok(Json(answers::project(&app, &project)))
}
