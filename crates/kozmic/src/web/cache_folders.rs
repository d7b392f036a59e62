//! A project's cache folders: what there is, and managers drop it.

use axum::extract::Path;

use super::App;
use super::error::PageError;
use super::page::{Page, Time};
use super::settings::{self, Said};
use super::visitor::{Access, Account, Acting, Visitor};
use super::words::{answers, problems::Thing};
use crate::model::{ProjectId, Timestamp, readable_bytes};
use crate::store::{KeptFolder, StoreError};

/// A folder as the settings show it.
pub(super) struct ShownFolder {
    pub(super) folder: KeptFolder,
    /// None: no job has ended with it yet.
    pub(super) size: Option<String>,
    pub(super) used: Time,
}

pub(super) async fn of_project(
    app: &App,
    project: ProjectId,
) -> Result<Vec<ShownFolder>, StoreError> {
    let now = Timestamp::now();
    let folders = app.store.cache_folders_of(project).await?.into_iter();
    let shown = folders.map(|folder| ShownFolder {
        size: folder.bytes.map(readable_bytes),
        used: Time::new(folder.used_at, now),
        folder,
    });
    Ok(shown.collect())
}

/// The next job begins with an empty one.
pub(super) async fn drop(
    Acting(app): Acting,
    account: Account,
    access: Access,
    Path((_, folder)): Path<(i64, i64)>,
) -> Page {
    let project = access.project.id;
    let dropped = app.store.cache_folder_dropped_by(project, folder).await?;
    let name = dropped.ok_or_else(|| PageError::no_such(Thing::CacheFolder))?;
    tracing::info!(%project, folder, name, by = account.login, "a cache folder was dropped");
    let done = vec![answers::cache_folder_dropped(&name)];
    let said = Said { about: "cache-folders", done, troubles: Vec::new() };
    settings::page(&app, Visitor(Some(account)), access, said).await
}
