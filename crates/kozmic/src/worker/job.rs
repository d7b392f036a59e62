//! One job from its claim to its end. Whatever goes wrong is an end, too.

use std::io;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::cache::{CacheScope, Install};
use super::end::log_error;
use super::environment;
use super::execute::{Outcome, execute, resume};
use super::kept;
use super::lease::Lease;
use super::run::{Limits, Work, asked_to_stop};
use super::secrets::{self, JobSecrets};
use super::trees;
use super::wanted::wanted;
use super::{LEASE, Progress, Stop, Worker, beside, collect, logs};
use crate::engine::{Found, Step};
use crate::log::{LiveLog, Masked, Sink as _};
use crate::model::{ErrorKind, JobEnd, KnownImages, Phase, Timestamp, Trigger};
use crate::shutdown::Shutdown;
use crate::store::{ClaimedJob, LeaseState, StoreError};

/// Attempts to write a job's end to a store that does not take it, and the pause
/// between them.
pub(super) const STORE_ATTEMPTS: u32 = 15;
pub(super) const STORE_PAUSE: Duration = Duration::from_secs(2);
/// How often in turn an engine may come back only to go away again.
const ENGINE_RETURNS: u32 = 5;
/// One that answers for so long is back.
const ENGINE_STAYS: Duration = Duration::from_secs(10);
/// Between two looks whether it answers again.
const ENGINE_POLL: Duration = Duration::from_millis(250);

/// How a job came to this worker.
pub(super) enum Claimed {
    /// From the queue.
    Waiting(ClaimedJob),
    /// One of its scripts was started by a worker that is gone.
    Running(ClaimedJob),
}

pub(super) async fn carry_out(worker: &Worker, claimed: &Claimed, shutdown: &Shutdown) {
    let (Claimed::Waiting(job) | Claimed::Running(job)) = claimed;
    tracing::info!(job = %job.uuid, attempt = job.attempt, title = %job.title, "job started");
    let _holding = worker.held.hold(job.uuid);
    let secrets = match secrets::of(worker, claimed).await {
        Ok(Some(secrets)) => secrets,
        Ok(None) => return tracing::warn!(job = %job.uuid, "another attempt has it by now"),
        Err(end) => return finish(worker, job, &end).await,
    };
    let mut log = match LiveLog::open(worker.logs.folder(), job.uuid, &worker.bus) {
        Ok(log) => Masked::new(log, secrets.masks.clone()),
        Err(error) => return finish(worker, job, &log_error(&error)).await,
    };
    worker.bus.share(job.uuid, job.attempt);
    let lease = Lease::keep(worker.store.clone(), job, shutdown.clone());
    let outcome = pursue(worker, claimed, &secrets, &mut log, &lease).await;
    let mut left = beside::Left::default();
    let outcome = match outcome {
        Ok(Outcome::Ended(end)) => {
            left = beside::before_end(worker, job, &secrets.masks).await;
            Ok(collect::before_end(worker, job, &secrets.masks, end, &lease).await)
        }
        other => other,
    };
    lease.end().await;
    match outcome {
        Ok(Outcome::Ended(end)) => {
            let end = secrets::hide(&secrets.masks, end);
            let mut kept = None;
            // Not even the log's last line may come from an attempt that is stale.
            if is_ours(worker, job).await {
                // Before its end: from then on it is nobody's.
                kept = kept::keep(worker, job, &end, &mut log).await;
                let told = left.notes.iter().try_for_each(|note| log.note(note));
                if let Err(error) = told.and_then(|()| explain(&mut log, job, &end)) {
                    tracing::error!(job = %job.uuid, %error, "the log could not be completed");
                }
                match end {
                    JobEnd::Error(ErrorKind::LostEngine, _) => start_again(worker, job).await,
                    end => finish(worker, job, &end).await,
                }
            } else {
                tracing::warn!(job = %job.uuid, attempt = job.attempt, "its end came too late");
            }
            // Not before its end is kept: until then it could be found again.
            match kept {
                Some(kept) => {
                    kept::remove_but(worker, job, &kept).await;
                    remove_networks(worker, job, job.attempt..=job.attempt).await;
                }
                None => remove_containers(worker, job, job.attempt..=job.attempt).await,
            }
            if left.has_dropped {
                beside::remove_dropped(worker).await;
            }
        }
        Ok(Outcome::Unattended) => {
            if let Err(error) = log.inner().sync() {
                tracing::error!(job = %job.uuid, %error, "the log could not be synced");
            }
            let why = "the worker stopped; the script goes on and will be attended to again";
            if let Err(error) = worker.store.job_is(job.id, job.attempt, why).await {
                tracing::warn!(job = %job.uuid, %error, "that the job goes on could not be noted");
            }
        }
        Ok(Outcome::Stopped(stop)) => {
            remove_containers(worker, job, job.attempt..=job.attempt).await;
            if stop == Stop::Shutdown {
                give_back(worker, job).await;
            } else {
                logs::given_up(worker, job).await;
                tracing::warn!(job = %job.uuid, attempt = job.attempt, ?stop, "this attempt was given up");
            }
        }
        Err(error) => {
            finish(worker, job, &log_error(&error)).await;
            remove_containers(worker, job, job.attempt..=job.attempt).await;
        }
    }
}

/// Carries the job to its end, also when the engine goes away under it and comes
/// back: whatever of it runs there then, or has ended, is attended to again.
async fn pursue(
    worker: &Worker,
    claimed: &Claimed,
    secrets: &JobSecrets,
    log: &mut Masked<LiveLog>,
    lease: &Lease,
) -> io::Result<Outcome> {
    let mut outcome = match claimed {
        Claimed::Waiting(job) => begin(worker, job, secrets, log, lease).await?,
        Claimed::Running(job) => go_on(worker, job, secrets, log, lease).await?,
    };
    let (Claimed::Waiting(job) | Claimed::Running(job)) = claimed;
    let mut returns = 0;
    while returns < ENGINE_RETURNS {
        let Outcome::Ended(JobEnd::Error(ErrorKind::EngineAway, why)) = &outcome else { break };
        tracing::warn!(job = %job.uuid, why, "the engine went away under a job");
        lease.tell(Progress::Prepares(format!("waiting for the engine: {why}")));
        outcome = match engine_back(worker, lease.stop()).await {
            EngineBack::Yes => {
                let back = Instant::now();
                let outcome = go_on(worker, job, secrets, log, lease).await?;
                returns = if back.elapsed() > ENGINE_STAYS { 0 } else { returns + 1 };
                outcome
            }
            EngineBack::No => break,
            // One that stops now leaves to the next what may run at the engine.
            EngineBack::Stopped(Stop::Shutdown) => Outcome::Unattended,
            EngineBack::Stopped(Stop::Cancel(why)) => Outcome::Ended(JobEnd::Cancelled(why)),
            EngineBack::Stopped(stop) => Outcome::Stopped(stop),
        };
    }
    Ok(outcome)
}

enum EngineBack {
    Yes,
    No,
    Stopped(Stop),
}

async fn engine_back(worker: &Worker, mut stop: watch::Receiver<Option<Stop>>) -> EngineBack {
    let answers = async {
        while worker.engine.ping().await.is_err() {
            tokio::time::sleep(ENGINE_POLL).await;
        }
    };
    tokio::select! {
        back = tokio::time::timeout(worker.engine_timeout, answers) => match back {
            Ok(()) => EngineBack::Yes,
            Err(_) => EngineBack::No,
        },
        stop = asked_to_stop(&mut stop) => EngineBack::Stopped(stop),
    }
}

async fn begin(
    worker: &Worker,
    job: &ClaimedJob,
    secrets: &JobSecrets,
    log: &mut Masked<LiveLog>,
    lease: &Lease,
) -> io::Result<Outcome> {
    lease.tell(Progress::Begins(Phase::Fetch));
    if job.attempt > 1 {
        log.note(&format!("attempt {}", job.attempt))?;
        // What an attempt before this one left running must not go on beside it.
        remove_containers(worker, job, 0..=job.attempt - 1).await;
        worker.source.remove_checkouts_of(job.uuid, 0..=job.attempt - 1);
    }
    if let Some(note) = &secrets.note {
        log.note(note)?;
    }
    carry_on(worker, job, secrets, log, lease).await
}

/// All of the job's steps; an install script that runs already is gone on with.
async fn carry_on(
    worker: &Worker,
    job: &ClaimedJob,
    secrets: &JobSecrets,
    log: &mut Masked<LiveLog>,
    lease: &Lease,
) -> io::Result<Outcome> {
    lease.tell(Progress::Begins(Phase::Fetch));
    let tell = |step| lease.tell(step);
    let known = known_images(worker, job).await;
    if job.trigger == Trigger::Try && !job.is_of_commit {
        let object = match trees::object(job) {
            Ok(object) => object,
            Err(end) => return Ok(Outcome::Ended(end)),
        };
        let checkout = async {
            let checkout = trees::check_out(worker, job, object).await;
            lease.tell(Progress::Over(Phase::Fetch));
            checkout
        };
        let folders = beside::prepare(worker, job).await;
        let work = Work { folders, ..work_of(worker, job, secrets, known) };
        return execute(&worker.engine, &work, checkout, log, &tell, lease.stop()).await;
    }
    if !job.project.repository.is_public {
        (worker.before_fetch)(job.project.clone()).await;
    }
    let wanted = match wanted(&worker.store, job).await {
        Ok(wanted) => wanted,
        Err(end) => return Ok(Outcome::Ended(end)),
    };
    let checkout = async {
        let checkout = worker.source.check_out(&wanted, job.uuid, job.attempt).await;
        lease.tell(Progress::Over(Phase::Fetch));
        checkout
    };
    let folders = beside::prepare(worker, job).await;
    let work = Work { folders, ..work_of(worker, job, secrets, known) };
    execute(&worker.engine, &work, checkout, log, &tell, lease.stop()).await
}

/// Goes on with what was started before. The script may have ended meanwhile; its
/// end is found as if it ended now.
async fn go_on(
    worker: &Worker,
    job: &ClaimedJob,
    secrets: &JobSecrets,
    log: &mut Masked<LiveLog>,
    lease: &Lease,
) -> io::Result<Outcome> {
    let found = worker.engine.unattended(job.uuid, job.attempt).await;
    match found {
        Ok(Found::Started(found)) if found.step == Step::Install => {
            carry_on(worker, job, secrets, log, lease).await
        }
        Ok(Found::Started(found)) => {
            let tell = |step| lease.tell(step);
            // Its install step is over.
            let work = work_of(worker, job, secrets, KnownImages::default());
            resume(&worker.engine, &work, found, log, &tell, lease.stop()).await
        }
        Ok(found) => {
            if let Found::NeverStarted = found {
                never_started(worker, job).await;
            }
            let why = "the container engine ended, or lost the job's container".into();
            Ok(Outcome::Ended(JobEnd::Error(ErrorKind::LostEngine, why)))
        }
        Err(error) => Ok(Outcome::Ended(error.into())),
    }
}

/// What explains a cached image that is missing. The job runs as well without it.
async fn known_images(worker: &Worker, job: &ClaimedJob) -> KnownImages {
    if job.install_script.is_none() {
        return KnownImages::default();
    }
    worker.store.known_images(job.project.id).await.unwrap_or_else(|error| {
        tracing::warn!(job = %job.uuid, %error, "what is known of cached images can't be told");
        KnownImages::default()
    })
}

fn work_of(worker: &Worker, job: &ClaimedJob, secrets: &JobSecrets, known: KnownImages) -> Work {
    let limits = worker.limits.with(&job.options);
    Work {
        job: job.uuid,
        attempt: job.attempt,
        image: job.image.clone(),
        install: job.install_script.clone().map(|script| {
            let (env, variables) = environment::of_install(job, &script, &worker.public_url);
            Install {
                script,
                tracked: job.tracked.clone(),
                env,
                variables,
                hook: job.hook_title.clone(),
                scope: scope_of(job),
                from: job.options.install_from,
                known,
            }
        }),
        build_script: job.build_script.clone(),
        env: environment::of_build(job, &worker.public_url),
        secrets: secrets.given.clone(),
        limits,
        no_new_privileges: job.options.no_new_privileges,
        services: job.options.services.clone(),
        service_limits: worker.limits.container,
        folders: Vec::new(),
        decided: decided(job, &limits),
        spent: Timestamp::now().since(job.started_at),
        cache: worker.cache.clone(),
    }
}

fn scope_of(job: &ClaimedJob) -> CacheScope {
    let project = job.project.id.to_string();
    match job.trigger {
        Trigger::Try => CacheScope::of_try(&project),
        _ => CacheScope::new(&project, job.pull_request.filter(|_| job.is_from_fork)),
    }
}

/// The end that was decided on before this worker took the job up.
fn decided(job: &ClaimedJob, limits: &Limits) -> Option<JobEnd> {
    if let Some(why) = &job.cancel_reason {
        return Some(JobEnd::Cancelled(why.clone()));
    }
    let ends =
        [JobEnd::Stalled(limits.stall), JobEnd::TimedOut(limits.job), JobEnd::LogLimit(limits.log)];
    let ends_by = job.ends_by.as_deref()?;
    ends.into_iter().find(|end| end.cause() == ends_by)
}

async fn remove_containers(worker: &Worker, job: &ClaimedJob, attempts: RangeInclusive<i64>) {
    if let Err(error) = worker.engine.remove_of_job(job.uuid, attempts.clone()).await {
        tracing::warn!(job = %job.uuid, %error, "containers stay until the sweep");
    }
    remove_networks(worker, job, attempts).await;
}

async fn remove_networks(worker: &Worker, job: &ClaimedJob, attempts: RangeInclusive<i64>) {
    worker.engine.sandbox_is_over();
    if job.options.services.is_empty() {
        return;
    }
    if let Err(error) = worker.engine.remove_networks_of_job(job.uuid, attempts).await {
        tracing::warn!(job = %job.uuid, %error, "a network stays until the sweep");
    }
}

/// The last line of a log that did not end by the script's own word.
fn explain(log: &mut Masked<LiveLog>, job: &ClaimedJob, end: &JobEnd) -> io::Result<()> {
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
        other => {
            log.settle()?;
            log.inner().note_at_end(&other.to_string())?;
        }
    }
    log.settle()?;
    log.inner().sync()
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

/// A store that does not take it counts an attempt too many.
async fn never_started(worker: &Worker, job: &ClaimedJob) {
    if let Err(error) = worker.store.script_never_started(job.id, job.attempt).await {
        tracing::warn!(job = %job.uuid, %error, "that a script was not started could not be noted");
    }
}

/// The engine was lost under it; the log has told so.
async fn start_again(worker: &Worker, job: &ClaimedJob) {
    match worker.store.job_lost_with_engine(job.id, job.attempt, Timestamp::now()).await {
        Ok(lost) if lost.retried => worker.bus.waiting(job.uuid),
        Ok(_) => worker.bus.finished(job.uuid),
        // Its lease ends, and then it is found as lost.
        Err(error) => tracing::error!(job = %job.uuid, %error, "a lost job could not be noted"),
    }
}

/// Its script was not started yet.
async fn give_back(worker: &Worker, job: &ClaimedJob) {
    let why = "the worker stopped; waiting to start again";
    let released = worker.store.job_released(job.id, job.attempt, why, Timestamp::now()).await;
    if let Err(error) = released {
        tracing::error!(job = %job.uuid, %error, "the job could not be given back");
    }
    worker.bus.waiting(job.uuid);
}
