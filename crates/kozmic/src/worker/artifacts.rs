//! How long artifacts are kept, and how much of them; what is over goes, the oldest first.

use std::time::Duration;

use futures_util::TryStreamExt as _;

use super::Worker;
use crate::model::{Timestamp, readable_bytes};
use crate::objects::{ObjectError, Objects};
use crate::report_files::ArtifactLimits;
use crate::store::StoreError;

/// Jobs, and prefixes, of one look.
const AT_ONCE: i64 = 100;
const DAY: u64 = 24 * 60 * 60;

/// What holds for the artifacts of all jobs.
#[derive(Debug, Clone, Copy)]
pub struct ArtifactRules {
    /// Of one job.
    pub limits: ArtifactLimits,
    /// Bytes that the jobs of one project may keep.
    pub project: u64,
    pub age: Duration,
}

#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Objects(#[from] ObjectError),
}

/// Removes what is too old or too much, and what lies there without being listed. What
/// can't be removed now is tried again with the next sweep.
pub(super) async fn sweep(worker: &Worker) {
    if let Err(error) = remove_old(worker).await {
        tracing::warn!(%error, "old artifacts could not be removed");
    }
    if let Err(error) = remove_leftovers(worker).await {
        tracing::warn!(%error, "what is left of artifacts could not be removed");
    }
}

async fn remove_old(worker: &Worker) -> Result<(), SweepError> {
    let (store, rules, now) = (&worker.store, &worker.artifacts, Timestamp::now());
    let age = i64::try_from(rules.age.as_millis()).unwrap_or(i64::MAX);
    let before = Timestamp(now.0.saturating_sub(age));
    for old in store.old_artifacts(before, rules.project, AT_ONCE).await? {
        let because = if old.created_at < before {
            match rules.age.as_secs() / DAY {
                0 => format!("they were older than {} s", rules.age.as_secs()),
                days => format!("they were older than {days} days"),
            }
        } else {
            format!("the project's newer ones fill its {}", readable_bytes(rules.project))
        };
        store.artifacts_removed(&old, &because, now).await?;
        tracing::info!(name = old.name, bytes = old.bytes, because, "artifacts were removed");
    }
    Ok(())
}

async fn remove_leftovers(worker: &Worker) -> Result<(), SweepError> {
    for prefix in worker.store.artifact_leftovers(AT_ONCE).await? {
        remove_below(worker.logs.objects(), &prefix).await?;
        worker.store.leftover_removed(&prefix).await?;
    }
    Ok(())
}

async fn remove_below(objects: &Objects, prefix: &str) -> Result<(), ObjectError> {
    let mut found = objects.list(prefix);
    while let Some(object) = found.try_next().await? {
        objects.delete(&object.key).await?;
    }
    Ok(())
}
