//! Cache folders of a project.

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::paging::{self, Paging};
use super::problem::Problem;
use crate::store::KeptFolder;
use crate::web::App;
use crate::web::visitor::{Access, Account, Acting};

#[derive(Serialize, ToSchema)]
pub(super) struct FoldersAnswer {
    cache_folders: Vec<FolderAnswer>,
    /// To be sent as `after`; null: these were the last.
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct FolderAnswer {
    id: i64,
    name: String,
    /// Of the jobs that it is for.
    job: String,
    /// From a fork; none: it is for the project's own builds.
    pull_request: Option<i64>,
    /// Bytes after its last job; none: no job has ended with it yet.
    size: Option<u64>,
    used_at: String,
    /// A job has it now.
    in_use: bool,
}

#[derive(Serialize, ToSchema)]
pub(super) struct DroppedAnswer {
    id: i64,
    name: String,
}

pub(super) async fn list(
    State(app): State<App>,
    Access { project, .. }: Access,
    Query(paging): Query<Paging>,
) -> Result<Json<FoldersAnswer>, Problem> {
    let folders = app.store.cache_folders_of(project.id).await?;
    let (folders, next) = paging::part(folders, &paging, "cache-folders", |folder| folder.id)?;
    let answer = |folder: KeptFolder| FolderAnswer {
        id: folder.id,
        name: folder.name,
        job: folder.job_title,
        pull_request: folder.pull_request,
        size: folder.bytes,
        used_at: folder.used_at.to_string(),
        in_use: folder.is_used,
    };
    Ok(Json(FoldersAnswer { cache_folders: folders.into_iter().map(answer).collect(), next }))
}

/// The next job begins with an empty one; one that has it now goes on with it.
pub(super) async fn drop(
    Acting(app): Acting,
    account: Account,
    Access { project, .. }: Access,
    Path((_, id)): Path<(i64, i64)>,
) -> Result<Json<DroppedAnswer>, Problem> {
    let dropped = app.store.cache_folder_dropped_by(project.id, id).await?;
    let name = dropped.ok_or_else(|| Problem::not_found("cache folder"))?;
    tracing::info!(project = %project.id, folder = id, name, by = account.login, "a cache folder was dropped");
    Ok(Json(DroppedAnswer { id, name }))
}
