//! One job from its claim to its end. Whatever goes wrong is an end, too.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::end::log_error;
use super::environment::environment;
use super::execute::{Outcome, Work, execute};
use super::install::{CacheScope, Install};
use super::lease::Lease;
use super::{LEASE, Stop, Worker};
use crate::log::LiveLog;
use crate::model::{JobEnd, JobUuid, Timestamp};
use crate::shutdown::Shutdown;
use crate::source::Wanted;
use crate::store::{ClaimedJob, LeaseState, StoreError};

/// Attempts to write a job's end to a store that does not take it, and the pause
/// between them.
const STORE_ATTEMPTS: u32 = 15;
const STORE_PAUSE: Duration = Duration::from_secs(2);

/// The jobs that this process carries out now.
#[derive(Debug, Clone, Default)]
pub struct Held(Arc<Mutex<HashSet<JobUuid>>>);

/// Ends with the job, however that ends.
struct Holding(Held, JobUuid);

impl Held {
    pub(super) fn contains(&self, job: JobUuid) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&job)
    }

    fn hold(&self, job: JobUuid) -> Holding {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(job);
        Holding(self.clone(), job)
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

pub(super) async fn carry_out(worker: &Worker, job: &ClaimedJob, shutdown: &Shutdown) {
    tracing::info!(job = %job.uuid, attempt = job.attempt, title = %job.title, "job started");
    let _holding = worker.held.hold(job.uuid);
    let mut log = match LiveLog::open(&worker.logs, job.uuid, &worker.bus) {
        Ok(log) => log,
        Err(error) => return finish(worker, job, &log_error(&error)).await,
    };
    let lease = Lease::keep(worker.store.clone(), job, shutdown.clone());
    let outcome = attempt(worker, job, &mut log, &lease).await;
    lease.end().await;
    match outcome {
        Ok(Outcome::Ended(end)) => {
            // Not even the log's last line may come from an attempt that is stale.
            if !is_ours(worker, job).await {
                tracing::warn!(job = %job.uuid, attempt = job.attempt, "this attempt's end came too late");
                return;
            }
            if let Err(error) = explain(&mut log, job, &end) {
                tracing::error!(job = %job.uuid, %error, "the log could not be completed");
            }
            finish(worker, job, &end).await;
        }
        Ok(Outcome::Stopped(Stop::Shutdown)) => give_back(worker, job, &mut log).await,
        Ok(Outcome::Stopped(stop)) => {
            tracing::warn!(job = %job.uuid, attempt = job.attempt, ?stop, "this attempt was given up");
        }
        Err(error) => finish(worker, job, &log_error(&error)).await,
    }
}

async fn attempt(
    worker: &Worker,
    job: &ClaimedJob,
    log: &mut LiveLog,
    lease: &Lease,
) -> io::Result<Outcome> {
    if job.attempt > 1 {
        log.note(&format!("attempt {}", job.attempt))?;
        // What an attempt before this one left running must not go on beside it.
        let removed = worker.engine.remove_of_job(job.uuid, 0..=job.attempt - 1).await;
        if let Err(error) = removed {
            tracing::warn!(job = %job.uuid, %error, "an earlier attempt's containers stay");
        }
    }
    let wanted = Wanted {
        project: job.project.id,
        clone_url: job.project.repository.https_clone_url.clone(),
        git_ref: job.git_ref.clone(),
        sha: job.sha.clone(),
        is_from_fork: job.is_from_fork,
    };
    let scope =
        CacheScope::new(&job.project.id.to_string(), job.pull_request.filter(|_| job.is_from_fork));
    let work = Work {
        job: job.uuid,
        attempt: job.attempt,
        image: job.image.clone(),
        install: job.install_script.clone().map(|script| Install {
            script,
            tracked: job.tracked.clone(),
            hook: job.title.clone(),
            scope,
        }),
        build_script: job.build_script.clone(),
        env: environment(job, &worker.public_url),
        limits: worker.limits,
        cache: worker.cache.clone(),
    };
    let checkout = worker.source.check_out(&wanted, job.uuid, job.attempt);
    let tell = |step| lease.tell(step);
    execute(&worker.engine, &work, checkout, log, &tell, lease.stop()).await
}

/// The last line of a log that did not end by the script's own word.
fn explain(log: &mut LiveLog, job: &ClaimedJob, end: &JobEnd) -> io::Result<()> {
    match end {
        JobEnd::Exited(code @ (126 | 127)) if log.length() < 4096 => {
            if let Some(interpreter) = job.build_script.interpreter() {
                log.note(&format!(
                    "the script ended with {code}; if it did not start, see whether {interpreter} \
                     is in the image {}",
                    job.image
                ))?;
            }
        }
        JobEnd::Exited(_) => {}
        other => log.note(&other.to_string())?,
    }
    log.sync()
}

/// Whether this attempt still holds the job. A store that does not answer has
/// not said no, and refuses the end itself later.
async fn is_ours(worker: &Worker, job: &ClaimedJob) -> bool {
    let renewed = worker.store.lease_renewed(job.id, job.attempt, LEASE, Timestamp::now()).await;
    !matches!(renewed, Ok(LeaseState::Lost))
}

/// Keeps trying: a finished job must not be run again because the store was
/// away for a moment. The lease ends meanwhile, and the fence decides.
async fn finish(worker: &Worker, job: &ClaimedJob, end: &JobEnd) {
    for _ in 0..STORE_ATTEMPTS {
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
                tokio::time::sleep(STORE_PAUSE).await;
            }
        }
    }
}

async fn give_back(worker: &Worker, job: &ClaimedJob, log: &mut LiveLog) {
    let noted = log.note("Kozmic is stopping; this job will start again").and_then(|()| log.sync());
    if let Err(error) = noted {
        tracing::warn!(job = %job.uuid, %error, "the log could not be written");
    }
    let why = "the worker stopped; waiting to start again";
    let released = worker.store.job_released(job.id, job.attempt, why, Timestamp::now()).await;
    if let Err(error) = released {
        tracing::error!(job = %job.uuid, %error, "the job could not be given back");
    }
    worker.bus.waiting(job.uuid);
}
