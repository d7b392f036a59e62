//! Projects.

use axum::Json;
use axum::extract::{Query, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::answers::{self, ProjectAnswer};
use super::paging::{self, MOST, Paging};
use super::problem::Problem;
use crate::web::App;
use crate::web::visitor::{Access, Visitor};

const LIST: &str = "projects";

#[derive(Serialize, ToSchema)]
pub(super) struct Projects {
    projects: Vec<ProjectAnswer>,
    /// To be sent as `after`; null: these were the last.
    next: Option<String>,
}

/// The projects that the token's user owns or is a member of, by name; all of them for an
/// administrator.
pub(super) async fn list(
    State(app): State<App>,
    visitor: Visitor,
    Query(paging): Query<Paging>,
) -> Result<Json<Projects>, Problem> {
    let (limit, after) = (paging.limit(MOST)?, paging.after::<String>(LIST)?);
    let after = after.unwrap_or_default();
    let mut projects = app.store.projects_behind(visitor.projects(), &after, limit + 1).await?;
    let next = paging::page(&mut projects, limit, LIST, |it| it.repository.full_name.to_string());
    let projects = projects.iter().map(|project| answers::project(&app, project)).collect();
    Ok(Json(Projects { projects, next }))
}

pub(super) async fn one(
    State(app): State<App>,
    Access { project, .. }: Access,
) -> Result<Json<ProjectAnswer>, Problem> {
    Ok(Json(answers::project(&app, &project)))
}
