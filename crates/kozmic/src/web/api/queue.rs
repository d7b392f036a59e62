//! What waits and what runs, in all of one's projects.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::answers::{self, JobAnswer, JobFacts};
use super::problem::Problem;
use crate::model::{JobId, ProjectId, Timestamp};
use crate::web::App;
use crate::web::visitor::Visitor;

/// Jobs in one answer.
const PAGE: i64 = 200;

#[derive(Serialize)]
pub(super) struct QueueAnswer {
    jobs: Vec<QueuedAnswer>,
}

#[derive(Serialize)]
struct QueuedAnswer {
    project: String,
    #[serde(flatten)]
    job: JobAnswer,
}

/// The jobs that run or wait in the projects that the token's user may see, the
/// longest-waiting first, at most 200. Those that wait say what for.
pub(super) async fn list(
    State(app): State<App>,
    visitor: Visitor,
) -> Result<Json<QueueAnswer>, Problem> {
    let queued =
        app.store.queued(visitor.projects(), JobId(0), PAGE, Timestamp::now()).await?.into_iter();
    let answer = |(id, project, job): (ProjectId, _, _)| QueuedAnswer {
        project,
        job: answers::job(&app, id.0, job, JobFacts::default()),
    };
    Ok(Json(QueueAnswer { jobs: queued.map(answer).collect() }))
}
