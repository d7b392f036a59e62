//! The audit log, for administrators.

use axum::Json;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::paging::{self, Paging};
use super::problem::Problem;
use crate::model::ProjectId;
use crate::store::{AuditPart, AuditRow};
use crate::web::App;

const LIST: &str = "audit";
/// Rows in one answer, unless more are wanted.
const PAGE: i64 = 200;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Only of this project.
    project: Option<i64>,
    /// Only what came before this row.
    before: Option<i64>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct AuditAnswer {
    events: Vec<EventAnswer>,
    /// The last of these, when something came before it.
    before: Option<i64>,
    /// To be sent as `after`; null: there is nothing before these.
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct EventAnswer {
    id: i64,
    at: String,
    actor: String,
    user_id: Option<i64>,
    via: String,
    via_id: Option<i64>,
    address: Option<String>,
    project_id: Option<i64>,
    project: Option<String>,
    action: &'static str,
    kind: String,
    subject_id: Option<i64>,
    subject: String,
    details: Map<String, Value>,
}

impl From<AuditRow> for EventAnswer {
    fn from(row: AuditRow) -> Self {
        Self {
            id: row.id,
            at: row.at.to_string(),
            actor: row.actor,
            user_id: row.user.map(|user| user.0),
            via: row.via,
            via_id: row.via_id,
            address: row.address,
            project_id: row.project.map(|project| project.0),
            project: row.project_name,
            action: row.action.as_str(),
            kind: row.kind,
            subject_id: row.subject_id,
            subject: row.subject,
            details: row.details,
        }
    }
}

/// Newest first.
pub(super) async fn list(
    State(app): State<App>,
    Query(wanted): Query<Wanted>,
    Query(paging): Query<Paging>,
) -> Result<Json<AuditAnswer>, Problem> {
    let project = wanted.project.map(ProjectId);
    Ok(Json(page(&app, project, wanted.before, &paging).await?))
}

/// Of one project, or of all.
pub(super) async fn page(
    app: &App,
    project: Option<ProjectId>,
    before: Option<i64>,
    paging: &Paging,
) -> Result<AuditAnswer, Problem> {
    let (limit, after) = (paging.limit(PAGE)?, paging.after::<i64>(LIST)?);
    let part = AuditPart { project, before: after.or(before), limit: limit + 1 };
    let mut rows = app.store.audit(part).await?;
    let next = paging::page(&mut rows, limit, LIST, |row| row.id);
    let before = rows.last().map(|row| row.id).filter(|_| next.is_some());
    let events = rows.into_iter().map(EventAnswer::from).collect();
    Ok(AuditAnswer { events, before, next })
}
