//! What was beside a job's build script, as the server looks after it: the logs of its
//! services are kept, and its cache folders are taken and given back.

use std::time::Duration;

use bytes::Bytes;

use super::Worker;
use super::disk::DiskError;
use super::folders::{Folder, measure};
use crate::engine::{EngineError, Found, Step};
use crate::log::Masks;
use crate::model::{CacheFolder, Timestamp, readable, readable_bytes};
use crate::objects::ObjectError;
use crate::store::{ClaimedJob, ServiceLog, StoreError, TakenFolder, service_logs_of_attempt};

/// Bytes of a service's log that are kept: those it wrote last.
const LOG_LIMIT: usize = 8 << 20;
/// How long reading and keeping them may take.
const LOGS_TIME: Duration = Duration::from_mins(2);
/// How long it may take to find out how large folders are.
const MEASURE_TIME: Duration = Duration::from_mins(5);
/// A folder goes when no job had it for so many days: one of a fork's pull request, and
/// any other.
const FORKS_DAYS: i64 = 7;
const DAYS: i64 = 30;
/// In milliseconds.
const DAY: i64 = 24 * 60 * 60 * 1_000;

#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Objects(#[from] ObjectError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the job's log is to say before its end, and whether folders are to be removed.
#[derive(Default)]
pub(super) struct Left {
    pub(super) notes: Vec<String>,
    pub(super) has_dropped: bool,
}

/// The images of its services count as used, and the job gets its cache folders.
pub(super) async fn prepare(worker: &Worker, job: &ClaimedJob) -> Vec<Folder> {
    let images: Vec<_> = job.options.services.iter().map(|service| &service.image).collect();
    if let Err(error) = worker.store.services_start(&images, Timestamp::now()).await {
        tracing::warn!(job = %job.uuid, %error, "that images are used was not noted");
    }
    take_folders(worker, job).await
}

/// The job gets its cache folders. A store that does not give one is no reason to fail:
/// the job then has one of its own.
async fn take_folders(worker: &Worker, job: &ClaimedJob) -> Vec<Folder> {
    let mut folders = Vec::new();
    for folder in job.options.cache_folders.iter() {
        let taken = worker.store.cache_folder_taken(
            worker.engine.identity(),
            job,
            folder,
            Timestamp::now(),
        );
        let (volume, found) = match taken.await {
            Ok(Some(TakenFolder { volume, before: Some((bytes, at)) })) => {
                let age = readable(Timestamp::now().since(at));
                (Some(volume), format!("{}, used {age} ago", readable_bytes(bytes)))
            }
            Ok(Some(TakenFolder { volume, before: None })) => (Some(volume), "empty".into()),
            Ok(None) => (None, "empty, for this job only, since its hook was deleted".into()),
            Err(error) => {
                tracing::warn!(job = %job.uuid, %error, "a job has no cache folder");
                (None, "empty, for this job only, since the store did not answer".into())
            }
        };
        folders.push(as_folder(worker, job, folder, volume, found));
    }
    folders
}

fn as_folder(
    worker: &Worker,
    job: &ClaimedJob,
    folder: &CacheFolder,
    volume: Option<String>,
    found: String,
) -> Folder {
    let whose = format!("{} {} {}", job.project.repository.full_name, job.title, folder.name);
    let whose = match job.pull_request.filter(|_| job.is_from_fork) {
        Some(number) => format!("{whose}, pull request {number}"),
        None => whose,
    };
    Folder {
        limit: folder.limit.unwrap_or(worker.limits.cache_folder),
        folder: folder.clone(),
        volume,
        project: job.project.id.to_string(),
        whose,
        found,
    }
}

/// Keeps the services' logs and measures the folders, under the lease. What can't be done
/// is no reason for another end.
pub(super) async fn before_end(worker: &Worker, job: &ClaimedJob, masks: &Masks) -> Left {
    let mut left = Left::default();
    if !job.options.services.is_empty() {
        match tokio::time::timeout(LOGS_TIME, keep_logs(worker, job, masks)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(job = %job.uuid, %error, "the logs of its services are not kept");
                left.notes.push(format!("the logs of its services are not kept: {error}"));
            }
            Err(_) => left.notes.push(format!(
                "the logs of its services are not kept: it took longer than {} s",
                LOGS_TIME.as_secs()
            )),
        }
    }
    if !job.options.cache_folders.is_empty() {
        match tokio::time::timeout(MEASURE_TIME, give_back(worker, job, &mut left)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(job = %job.uuid, %error, "its cache folders are not measured");
            }
            Err(_) => tracing::warn!(job = %job.uuid, "its cache folders take long to be measured"),
        }
    }
    left
}

async fn keep_logs(worker: &Worker, job: &ClaimedJob, masks: &Masks) -> Result<(), KeepError> {
    let services = worker.engine.services(job.uuid, job.attempt).await?;
    if services.is_empty() {
        return Ok(());
    }
    let (store, objects) = (&worker.store, worker.logs.objects());
    let prefix = service_logs_of_attempt(job.project.id, job.uuid, job.attempt);
    // Noted before the first byte: whatever comes of this, it is found again.
    store.upload_begins(&prefix, job.uuid, job.attempt).await?;
    let mut logs = Vec::with_capacity(services.len());
    for service in services {
        let written = service.container.written(LOG_LIMIT).await?;
        let masks = masks.clone();
        let hidden = tokio::task::spawn_blocking(move || masks.hide(&written)).await;
        let hidden = Bytes::from(hidden.unwrap_or_default());
        let object = format!("{prefix}/{}.log", service.name);
        let size = hidden.len() as u64;
        objects.put(&object, hidden).await?;
        let ended = service.container.ended_by_itself().await?;
        let of_hook = job.options.services.iter().find(|it| it.name.as_str() == service.name);
        logs.push(ServiceLog {
            image: of_hook.map_or_else(String::new, |it| it.image.to_string()),
            ended: ended.map(|end| format!("{end}, at {}", end.at)),
            name: service.name,
            size,
            object,
        });
    }
    Ok(store.service_logs_kept(job.id, job.attempt, &prefix, &logs).await?)
}

/// Only folders of a build script that was started have anything new in them.
async fn give_back(worker: &Worker, job: &ClaimedJob, left: &mut Left) -> Result<(), KeepError> {
    let (engine, store) = (&worker.engine, &worker.store);
    let Found::Started(found) = engine.unattended(job.uuid, job.attempt).await? else {
        return Ok(());
    };
    if found.step != Step::Build {
        return Ok(());
    }
    let folders = take_folders(worker, job).await;
    let attempt = (job.uuid, job.attempt);
    for measured in measure(engine, attempt, &found.container, &folders).await {
        if let Some(why) = measured.too_large {
            store.cache_folder_dropped(engine.identity(), &measured.volume).await?;
            left.notes.push(why);
            left.has_dropped = true;
        } else if let Some(bytes) = measured.bytes {
            let now = Timestamp::now();
            let (engine, volume) = (engine.identity(), &measured.volume);
            store.cache_folder_measured(engine, volume, attempt, bytes, now).await?;
        }
    }
    Ok(())
}

/// Removes the volumes that no job gets any more, and networks that nobody owns.
pub(super) async fn sweep(worker: &Worker) {
    let now = Timestamp::now().0;
    let (of_forks, others) = (Timestamp(now - FORKS_DAYS * DAY), Timestamp(now - DAYS * DAY));
    match worker.store.old_cache_folders_dropped(of_forks, others).await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "cache folders that no job used for long go"),
        Err(error) => tracing::warn!(%error, "old cache folders stay"),
    }
    remove_dropped(worker).await;
    if let Err(error) = worker.disk.remove_orphaned_networks().await {
        tracing::warn!(%error, "networks that nobody owns could not be removed");
    }
}

pub(super) async fn remove_dropped(worker: &Worker) {
    let removed: Result<(), DiskError> = worker.disk.remove_dropped_folders().await;
    if let Err(error) = removed {
        tracing::warn!(%error, "cache folders that were dropped could not be removed");
    }
}
