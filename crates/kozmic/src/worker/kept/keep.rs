//! At a failed job's end.

use crate::engine::{EngineError, Found, Owner, Upload};
use crate::log::Sink;
use crate::model::{ErrorKind, JobEnd, JobStatus, Timestamp, readable};
use crate::store::{ClaimedJob, StoreError};
use crate::worker::Worker;
use crate::worker::script::SECRETS;

/// Keeps the container of a job that is about to end so, when it is to be kept; its id.
/// Whatever goes wrong here changes nothing about the job.
pub(in crate::worker) async fn keep(
    worker: &Worker,
    job: &ClaimedJob,
    end: &JobEnd,
    log: &mut dyn Sink,
) -> Option<String> {
    if worker.keep_failed.is_zero() || !is_kept_after(end) {
        return None;
    }
    match keep_it(worker, job).await {
        Ok(kept) => {
            if kept.is_some() {
                let time = readable(worker.keep_failed);
                let note =
                    format!("its container is kept for {time}: `kozmic shell {}` opens it", job.id);
                if let Err(error) = log.note(&note) {
                    tracing::error!(job = %job.uuid, %error, "the log could not be completed");
                }
            }
            kept
        }
        Err(error) => {
            tracing::warn!(job = %job.uuid, %error, "a failed job's container could not be kept");
            None
        }
    }
}

fn is_kept_after(end: &JobEnd) -> bool {
    matches!(end.status(), JobStatus::Failure | JobStatus::Error)
        && !matches!(end, JobEnd::Error(ErrorKind::LostEngine | ErrorKind::EngineAway, _))
}

#[derive(Debug, thiserror::Error)]
enum NotKept {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

async fn keep_it(worker: &Worker, job: &ClaimedJob) -> Result<Option<String>, NotKept> {
    let Worker { engine, store, .. } = worker;
    let Found::Started(found) = engine.unattended(job.uuid, job.attempt).await? else {
        return Ok(None);
    };
    let container = found.container;
    // Its starter removes them before the script begins, where the image has rm(1).
    if container.has(SECRETS).await? {
        let path = SECRETS.trim_start_matches('/');
        let nothing = Upload::new(Owner { uid: 0, gid: 0 }).file(path, "", 0o444);
        container.upload(nothing).await?;
    }
    let (place, now) = ((engine.identity(), container.id()), Timestamp::now());
    let kept = store.container_kept((job.id, job.attempt), place, now, worker.keep_failed).await?;
    Ok(kept.then(|| container.id().to_owned()))
}

/// Removes what this attempt has left, but for what is kept of it.
pub(in crate::worker) async fn remove_but(worker: &Worker, job: &ClaimedJob, kept: &str) {
    if let Err(error) = worker.engine.remove_of_job_but(job.uuid, job.attempt, kept).await {
        tracing::warn!(job = %job.uuid, %error, "containers stay as long as the one that is kept");
    }
}
