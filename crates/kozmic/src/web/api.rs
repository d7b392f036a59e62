//! JSON for programs: the beginnings of `/api/v1`.

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};

use super::error::PageError;
use super::{App, history};

/// Builds in one answer.
const PAGE: i64 = 50;

#[derive(Serialize)]
pub(super) struct Builds {
    builds: Vec<BuildEntry>,
}

#[derive(Serialize)]
struct BuildEntry {
    id: i64,
    number: i64,
    status: &'static str,
    #[serde(rename = "ref")]
    git_ref: String,
    sha: String,
    url: String,
    jobs: Vec<JobEntry>,
}

#[derive(Serialize)]
struct JobEntry {
    id: i64,
    uuid: String,
    title: String,
    status: &'static str,
    reason: String,
    return_code: Option<i64>,
    url: String,
    log_url: String,
}

#[derive(Deserialize)]
pub(super) struct Range {
    before: Option<i64>,
}

/// A project's builds below number `before`, newest first, at most 50.
pub(super) async fn builds(
    State(app): State<App>,
    Path(project): Path<i64>,
    Query(range): Query<Range>,
) -> Result<Json<Builds>, PageError> {
    let project = history::find(&app, project).await?;
    let mut builds = Vec::new();
    for build in app.store.builds_before(project.id, range.before, PAGE).await? {
        let path = format!("{}/projects/{}", app.public_url, project.id);
        let url = format!("{path}/builds/{}/", build.id);
        let jobs = app.store.jobs_of(build.id).await?;
        let entry = |job: crate::store::Job| JobEntry {
            id: job.id.0,
            uuid: job.uuid.to_string(),
            status: job.status.as_str(),
            url: format!("{url}jobs/{}/", job.id),
            log_url: format!("{path}/jobs/{}/log/", job.id),
            title: job.title,
            reason: job.reason,
            return_code: job.return_code,
        };
        builds.push(BuildEntry {
            id: build.id.0,
            number: build.number,
            status: build.status.as_str(),
            git_ref: build.git_ref.to_string(),
            sha: build.commit.sha.to_string(),
            jobs: jobs.into_iter().map(entry).collect(),
            url,
        });
    }
    Ok(Json(Builds { builds }))
}
