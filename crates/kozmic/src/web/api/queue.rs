//! What waits and what runs, in all of one's projects.

use axum::Json;
use axum::extract::{Query, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::answers::{self, JobAnswer, JobFacts};
use super::paging::{self, Paging};
use super::problem::Problem;
use crate::model::{JobId, ProjectId, Timestamp};
use crate::web::App;
use crate::web::visitor::Visitor;

const LIST: &str = "queue";
/// Jobs in one answer, unless more are wanted.
const PAGE: i64 = 200;

#[derive(Serialize, ToSchema)]
pub(super) struct QueueAnswer {
    jobs: Vec<QueuedAnswer>,
    /// To be sent as `after`; null: these were the last.
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct QueuedAnswer {
    project: String,
    #[serde(flatten)]
    job: JobAnswer,
}

/// The jobs that run or wait in the projects that the token's user may see, the
/// longest-waiting first. Those that wait say what for.
pub(super) async fn list(
    State(app): State<App>,
    visitor: Visitor,
    Query(paging): Query<Paging>,
) -> Result<Json<QueueAnswer>, Problem> {
    let (limit, after) = (paging.limit(PAGE)?, paging.after::<i64>(LIST)?);
    let (of, after, now) = (visitor.projects(), JobId(after.unwrap_or(0)), Timestamp::now());
    let mut queued = app.store.queued(of, after, limit + 1, now).await?;
    let next = paging::page(&mut queued, limit, LIST, |(_, _, job)| job.id.0);
    let answer = |(id, project, job): (ProjectId, _, _)| QueuedAnswer {
        project,
        job: answers::job(&app, id.0, job, JobFacts::default()),
    };
    Ok(Json(QueueAnswer { jobs: queued.into_iter().map(answer).collect(), next }))
}
