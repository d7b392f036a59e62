//! Finished logs go to where they are kept, and what projects don't keep any longer
//! goes altogether.

use std::time::Duration;

use tokio::time::Instant;

use super::Worker;
use crate::log::{Archived, LogError};
use crate::model::{JobId, JobUuid, Timestamp};
use crate::shutdown::Shutdown;
use crate::store::{ClaimedJob, Job, StoreError};

/// What could not be archived is tried again, and what a killed server left is found.
const EVERY: Duration = Duration::from_mins(1);
/// Looking for what projects don't keep is dearer, and nobody waits for it.
const EXPIRE_EVERY: Duration = Duration::from_hours(1);
/// The last ones of a worker that ends may take so long.
const LAST: Duration = Duration::from_mins(1);
/// Before the storage is tried again by a worker that ends.
const AGAIN: Duration = Duration::from_secs(1);
/// Logs that are removed in one go.
const AT_ONCE: i64 = 1_000;

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Archives at once, after each job's end and each minute, until shutdown. What it is at
/// then is done again later.
pub async fn run(worker: Worker, shutdown: Shutdown) {
    let rounds = async {
        let mut timer = tokio::time::interval(EVERY);
        let mut expired: Option<Instant> = None;
        loop {
            tokio::select! {
                () = worker.held.released() => {}
                _ = timer.tick() => {}
            }
            archive_all(&worker).await;
            if expired.is_none_or(|at| at.elapsed() >= EXPIRE_EVERY) {
                expired = Some(Instant::now());
                if let Err(error) = remove_expired(&worker).await {
                    tracing::warn!(%error, "logs that are not to be kept any longer stay");
                }
            }
        }
    };
    tokio::select! {
        () = shutdown.requested() => {}
        () = rounds => {}
    }
}

/// One after the other: jobs that run have the processors. One that can't be archived
/// stays where it is, where it is read as well; false when any does.
async fn archive_all(worker: &Worker) -> bool {
    let mut are_all = true;
    for job in worker.logs.live_jobs() {
        if worker.held.contains(job) {
            continue;
        }
        match archive(worker, job).await {
            Ok(()) => {}
            Err(error @ Failure::Log(LogError::Objects(_))) => {
                tracing::warn!(%job, %error, "finished logs stay in the data folder for now");
                // The next one would wait as long for the storage.
                say_where_they_are(worker).await;
                return false;
            }
            Err(error) => {
                are_all = false;
                tracing::warn!(%job, %error, "a finished log stays in the data folder");
            }
        }
    }
    are_all
}

/// An attempt that lost its lease has written what belongs to no log, if another worker has
/// the job by now.
pub(super) async fn given_up(worker: &Worker, job: &ClaimedJob) {
    if let Err(error) = removed_as_lost(worker, job.id, job.uuid).await {
        tracing::warn!(job = %job.uuid, %error, "the log of a lost attempt stays for now");
    }
}

/// A later attempt is elsewhere, and its log is the job's: what is here is removed.
async fn removed_as_lost(worker: &Worker, job: JobId, uuid: JobUuid) -> Result<bool, Failure> {
    let is_lost = worker.store.worker_of(job).await?.is_some_and(|other| other != worker.name);
    if is_lost {
        tracing::info!(job = %uuid, "the log of a lost attempt is removed");
        worker.logs.remove_here(uuid).await?;
    }
    Ok(is_lost)
}

/// Other processes read finished logs from here, until they are where all are kept.
async fn say_where_they_are(worker: &Worker) {
    let Some(elsewhere) = worker.logs.elsewhere() else { return };
    for uuid in worker.logs.live_jobs() {
        if worker.held.contains(uuid) {
            continue;
        }
        match is_of_a_finished_job(worker, uuid).await {
            Ok(Some(_)) => elsewhere.is_here(uuid, 0).await,
            Ok(None) => {}
            Err(error) => return tracing::warn!(%error, "whose logs are here is not known"),
        }
    }
}

/// What a worker that ends has on its disk is read by nobody until it starts again.
pub(super) async fn archive_at_end(worker: &Worker) {
    let archived = async {
        while !archive_all(worker).await {
            tokio::time::sleep(AGAIN).await;
        }
    };
    if tokio::time::timeout(LAST, archived).await.is_err() {
        tracing::warn!("finished logs stay in the data folder until the next start");
    }
}

async fn archive(worker: &Worker, uuid: JobUuid) -> Result<(), Failure> {
    let Some(job) = is_of_a_finished_job(worker, uuid).await? else { return Ok(()) };
    if let Some(elsewhere) = worker.logs.elsewhere() {
        elsewhere.is_here(uuid, 0).await;
    }
    let archived = worker.logs.archive(uuid).await?;
    if let Some(elsewhere) = worker.logs.elsewhere() {
        elsewhere.is_gone(uuid).await;
    }
    if let Archived::Bytes(bytes) = archived {
        tracing::debug!(job = %uuid, bytes, "a log was archived");
        if !worker.store.log_archived(job.id, bytes).await? {
            // It was removed meanwhile.
            worker.logs.remove(uuid).await?;
        }
    }
    Ok(())
}

/// None: not yet, or it is no job's log, or not any more.
async fn is_of_a_finished_job(worker: &Worker, uuid: JobUuid) -> Result<Option<Job>, Failure> {
    // That of a deleted project is removed by the sweep.
    let Some(job) = worker.store.job_by_uuid(uuid).await? else { return Ok(None) };
    if !job.status.is_finished() {
        return Ok(None);
    }
    let is_lost = removed_as_lost(worker, job.id, uuid).await?;
    Ok((!is_lost).then_some(job))
}

/// Their pages say so first: no log is missing without a word.
async fn remove_expired(worker: &Worker) -> Result<(), Failure> {
    let now = Timestamp::now();
    for log in worker.store.logs_expired(now, AT_ONCE).await? {
        if worker.store.log_removed(log.job, &log.because, now).await? {
            worker.logs.remove(log.uuid).await?;
            tracing::info!(job = %log.uuid, because = log.because, "a log was removed");
        }
    }
    Ok(())
}
