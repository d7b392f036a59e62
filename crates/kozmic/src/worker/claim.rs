//! The worker's loop: claim, carry out, finish.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::environment::environment;
use super::execute::{Outcome, Work, execute};
use super::install::{CacheScope, Install};
use super::lease::Lease;
use super::{LEASE, Stop, Worker};
use crate::log::LiveLog;
use crate::model::{ErrorKind, JobEnd, Timestamp};
use crate::shutdown::Shutdown;
use crate::source::Wanted;
use crate::store::{ClaimedJob, StoreError};

/// Wake-ups come from this process; the poll finds what others enqueue.
const POLL: Duration = Duration::from_secs(2);
/// Between two attempts to write a job's end to a store that does not take it.
const STORE_RETRY: Duration = Duration::from_secs(2);

/// Runs until shutdown; returns when the jobs under way are finished or given
/// back.
pub async fn run(worker: Worker, shutdown: Shutdown) {
    let places = Arc::new(Semaphore::new(worker.concurrency.get()));
    let mut jobs = tokio::task::JoinSet::new();
    loop {
        let place = tokio::select! {
            () = shutdown.requested() => break,
            place = places.clone().acquire_owned() => place,
        };
        let Ok(place) = place else { break };
        // Registered before looking, so that nothing enqueued meanwhile is missed.
        let changed = worker.store.jobs_changed();
        match claim(&worker).await {
            Ok(Some(job)) => {
                let (worker, shutdown) = (worker.clone(), shutdown.clone());
                jobs.spawn(async move {
                    carry_out(&worker, &job, &shutdown).await;
                    drop(place);
                });
                continue;
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "no job could be claimed"),
        }
        drop(place);
        while jobs.try_join_next().is_some() {}
        tokio::select! {
            () = shutdown.requested() => break,
            () = changed => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
    while jobs.join_next().await.is_some() {}
}

async fn claim(worker: &Worker) -> Result<Option<ClaimedJob>, StoreError> {
    for lost in worker.store.leases_expired(Timestamp::now()).await? {
        tracing::warn!(job = %lost.uuid, retried = lost.retried, "a job's worker was lost");
        if !lost.retried {
            worker.bus.finished(lost.uuid);
            // No later attempt will do it.
            if let Err(error) = worker.engine.remove_of_job(lost.uuid, 0..=i64::MAX).await {
                tracing::warn!(job = %lost.uuid, %error, "a lost job's containers stay until the sweep");
            }
        }
    }
    worker.store.claim_job(&worker.name, LEASE, Timestamp::now()).await
}

/// One job from its claim to its end. Whatever goes wrong is an end, too.
async fn carry_out(worker: &Worker, job: &ClaimedJob, shutdown: &Shutdown) {
    tracing::info!(job = %job.uuid, attempt = job.attempt, title = %job.title, "job started");
    let mut log = match LiveLog::open(&worker.logs, job.uuid, &worker.bus) {
        Ok(log) => log,
        Err(error) => {
            let end =
                JobEnd::Error(ErrorKind::DiskFull, format!("the log can't be written: {error}"));
            finish(worker, job, &end).await;
            return;
        }
    };
    let lease = Lease::keep(worker.store.clone(), job, shutdown.clone());
    let outcome = attempt(worker, job, &mut log, &lease).await;
    lease.end().await;
    match outcome {
        Ok(Outcome::Ended(end)) => {
            if let Err(error) = explain(&mut log, job, &end) {
                tracing::error!(job = %job.uuid, %error, "the log could not be completed");
            }
            finish(worker, job, &end).await;
        }
        Ok(Outcome::Stopped(Stop::Shutdown)) => {
            let _ =
                log.note("Kozmic is stopping; this job will start again").and_then(|()| log.sync());
            let why = "the worker stopped; waiting to start again";
            if let Err(error) =
                worker.store.job_released(job.id, job.attempt, why, Timestamp::now()).await
            {
                tracing::error!(job = %job.uuid, %error, "the job could not be given back");
            }
            worker.bus.waiting(job.uuid);
        }
        Ok(Outcome::Stopped(stop)) => {
            tracing::warn!(job = %job.uuid, attempt = job.attempt, ?stop, "this attempt was given up");
        }
        Err(error) => {
            let end =
                JobEnd::Error(ErrorKind::DiskFull, format!("the log can't be written: {error}"));
            finish(worker, job, &end).await;
        }
    }
}

async fn attempt(
    worker: &Worker,
    job: &ClaimedJob,
    log: &mut LiveLog,
    lease: &Lease,
) -> std::io::Result<Outcome> {
    if job.attempt > 1 {
        log.note(&format!("attempt {}", job.attempt))?;
        // What an attempt before this one left running must not go on beside it.
        if let Err(error) = worker.engine.remove_of_job(job.uuid, 0..=job.attempt - 1).await {
            tracing::warn!(job = %job.uuid, %error, "an earlier attempt's containers could not be removed");
        }
    }
    let wanted = Wanted {
        project: job.project.id,
        clone_url: job.project.repository.https_clone_url.clone(),
        git_ref: job.git_ref.clone(),
        sha: job.sha.clone(),
    };
    let work = Work {
        job: job.uuid,
        attempt: job.attempt,
        image: job.image.clone(),
        install: job.install_script.clone().map(|script| Install {
            script,
            tracked: job.tracked.clone(),
            hook: job.title.clone(),
            scope: CacheScope::new(
                &job.project.id.to_string(),
                job.pull_request.filter(|_| job.is_from_fork),
            ),
        }),
        build_script: job.build_script.clone(),
        env: environment(job, &worker.public_url),
        limits: worker.limits,
        cache: worker.cache.clone(),
    };
    let checkout = worker.source.check_out(&wanted, job.uuid, job.attempt);
    execute(&worker.engine, &work, checkout, log, &|step| lease.tell(step), lease.stop()).await
}

/// The last line of a log that did not end by the script's own word.
fn explain(log: &mut LiveLog, job: &ClaimedJob, end: &JobEnd) -> std::io::Result<()> {
    match end {
        JobEnd::Exited(code @ (126 | 127)) if log.length() < 4096 => {
            if let Some(interpreter) = job.build_script.interpreter() {
                log.note(&format!(
                    "the script ended with {code}; if it did not start, see whether {interpreter} is in the image {}",
                    job.image
                ))?;
            }
        }
        JobEnd::Exited(_) => {}
        other => log.note(&other.to_string())?,
    }
    log.sync()
}

/// Keeps trying: a finished job must not be run again because the store was
/// away for a moment. The lease ends meanwhile, and the fence decides.
async fn finish(worker: &Worker, job: &ClaimedJob, end: &JobEnd) {
    for _ in 0..15 {
        match worker.store.job_finished(job.id, job.attempt, end, Timestamp::now()).await {
            Ok(()) => {
                tracing::info!(job = %job.uuid, status = %end.status(), cause = end.cause(), "job finished");
                worker.bus.finished(job.uuid);
                return;
            }
            Err(StoreError::Stale) => {
                tracing::warn!(job = %job.uuid, attempt = job.attempt, "this attempt's end came too late");
                return;
            }
            Err(error) => {
                tracing::error!(job = %job.uuid, %error, "a job's end could not be stored; trying again");
                tokio::time::sleep(STORE_RETRY).await;
            }
        }
    }
}
