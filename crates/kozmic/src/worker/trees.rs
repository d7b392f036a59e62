//! The trees that tries run on: brought here for a job, and removed when they are old.

use std::sync::Arc;

use super::Worker;
use crate::model::{ErrorKind, JobEnd, Timestamp};
use crate::objects::{ObjectError, Objects};
use crate::source::{Checkout, SourceError};
use crate::store::{ClaimedJob, StoreError, TREE_LIFETIME};
use crate::trees::{TreeLimits, unpack};

/// Objects of one sweep.
const AT_ONCE: i64 = 100;

/// Where the files of a try lie.
pub(super) fn object(job: &ClaimedJob) -> Result<&str, JobEnd> {
    job.tree.as_deref().ok_or_else(|| {
        let days = TREE_LIFETIME.as_secs() / 86_400;
        let why = format!("the files of this try were removed after {days} days; try them again");
        JobEnd::Error(ErrorKind::CommitVanished, why)
    })
}

/// The files of a try as a checkout, with a commit of their own.
pub(super) async fn check_out(
    worker: &Worker,
    job: &ClaimedJob,
    object: &str,
) -> Result<Checkout, SourceError> {
    let checkout = worker.source.empty_checkout(job.uuid, job.attempt).await?;
    let folder = checkout.path();
    // Larger ones were not taken.
    unpack(worker.logs.objects(), object, folder, TreeLimits::default())
        .await
        .map_err(|error| SourceError::Tried(Arc::from(error.to_string().as_str())))?;
    checkout.commit_all(&job.git_ref, &format!("Tried, based on {}", job.sha)).await
}

/// Removes what nobody needs any more; what can't be removed now goes with the next sweep.
pub(super) async fn sweep(worker: &Worker) {
    if let Err(error) = remove_old(worker).await {
        tracing::warn!(%error, "old trees could not be removed");
    }
}

#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Objects(#[from] ObjectError),
}

async fn remove_old(worker: &Worker) -> Result<(), SweepError> {
    let objects = worker.logs.objects();
    for object in worker.store.trees_to_remove(Timestamp::now(), AT_ONCE).await? {
        objects.delete(&object).await?;
        remove_parts(objects, &object);
        worker.store.tree_removed(&object).await?;
    }
    Ok(())
}

/// In a folder, what a server that was killed had of an object lies beside it.
fn remove_parts(objects: &Objects, object: &str) {
    let Some(path) = objects.folder().map(|folder| folder.join(object)) else { return };
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return };
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let start = format!("{}#", name.to_string_lossy());
        if entry.file_name().to_string_lossy().starts_with(&start) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
