//! The worker's loop: looks for lost jobs, claims one, has it carried out.

use std::collections::HashMap;
use std::iter;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tracing::Instrument as _;

use super::job::{self, Claimed};
use super::{LEASE, Worker, logs, presence};
use crate::engine::Found;
use crate::model::{JobId, JobUuid, Timestamp};
use crate::shutdown::Shutdown;
use crate::store::{LapsedLease, StoreError};

/// Wake-ups come from this process; the poll finds what others enqueue.
const POLL: Duration = Duration::from_secs(2);
/// A lease that ran out is given up by others after so long.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(15);

/// Runs until shutdown; returns when the jobs under way are finished or given
/// back.
pub async fn run(worker: Worker, shutdown: Shutdown) {
    let places = Arc::new(Semaphore::new(worker.concurrency.get()));
    let (mut jobs, mut seen) = (JoinSet::new(), Lapsed::new());
    let ended = Shutdown::new();
    let presence = tokio::spawn(presence::tell(worker.clone(), ended.clone()));
    loop {
        let place = tokio::select! {
            () = shutdown.requested() => break,
            () = worker.drain.requested() => break,
            place = places.clone().acquire_owned() => place,
        };
        let Ok(place) = place else { break };
        // Taken before looking, so that nothing enqueued meanwhile is missed.
        let changed = worker.store.jobs_changed();
        let others = places.available_permits();
        match claim(&worker, 1 + others, &mut seen).await {
            Ok(claimed) if !claimed.is_empty() => {
                // Nobody else takes places, so there is one for each.
                let more = (0..others).filter_map(|_| places.clone().try_acquire_owned().ok());
                for (claimed, place) in claimed.into_iter().zip(iter::once(place).chain(more)) {
                    let (worker, shutdown) = (worker.clone(), shutdown.clone());
                    let (Claimed::Waiting(job) | Claimed::Running(job)) = &claimed;
                    let span = tracing::info_span!("job", job = %job.uuid, id = %job.id, attempt = job.attempt);
                    let carried = async move {
                        job::carry_out(&worker, &claimed, &shutdown).await;
                        drop(place);
                    };
                    jobs.spawn(carried.instrument(span));
                }
                continue;
            }
            Ok(_) => {}
            Err(error) => {
                // Nobody else could renew a lease meanwhile, either.
                seen.clear();
                tracing::error!(%error, "no job could be claimed");
            }
        }
        drop(place);
        while let Some(ended) = jobs.try_join_next() {
            report_panic(ended);
        }
        tokio::select! {
            () = shutdown.requested() => break,
            () = worker.drain.requested() => break,
            () = changed => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
    while let Some(ended) = jobs.join_next().await {
        report_panic(ended);
    }
    if worker.drain.is_requested() && !shutdown.is_requested() {
        // Nobody else can read them from this disk.
        logs::archive_at_end(&worker).await;
    }
    ended.request();
    if let Err(error) = presence.await {
        tracing::error!(%error, "the worker's presence ended early");
    }
}

/// A job that panicked holds no lease any more, and is then found as lost.
fn report_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a job panicked; it will be taken for lost");
    }
}

/// Jobs of other workers whose leases were seen to have run out, and since when. A worker
/// that is started again has so long to take up what is its own, and after the database
/// was away its workers have so long to renew.
type Lapsed = HashMap<(JobUuid, i64), Instant>;

/// A job that went on without its worker, or else some that wait, as many as there are places.
async fn claim(
    worker: &Worker,
    places: usize,
    seen: &mut Lapsed,
) -> Result<Vec<Claimed>, StoreError> {
    let lapsed = worker.store.leases_lapsed(Timestamp::now()).await?;
    seen.retain(|known, _| lapsed.iter().any(|it| (it.uuid, it.attempt) == *known));
    for LapsedLease { job, uuid, attempt, owner } in lapsed {
        // This process was only slow to renew it: asleep, or the clock jumped.
        if worker.held.contains(uuid) {
            continue;
        }
        // Its log and its container are with that worker, and nobody else's.
        if owner != worker.name {
            let since = *seen.entry((uuid, attempt)).or_insert_with(Instant::now);
            if since.elapsed() >= GIVEN_UP_AFTER {
                lost(worker, job, uuid).await?;
            }
            continue;
        }
        match worker.engine.unattended(uuid, attempt).await {
            Ok(Found::Started(_)) => {
                let now = Timestamp::now();
                let adopted = worker.store.job_adopted(job, &worker.name, LEASE, now).await?;
                if let Some(job) = adopted {
                    return Ok(vec![Claimed::Running(job)]);
                }
            }
            Ok(found) => {
                if let Found::NeverStarted = found {
                    worker.store.script_never_started(job, attempt).await?;
                }
                lost(worker, job, uuid).await?;
            }
            // Whether it goes on is known when the engine answers again.
            Err(error) => tracing::warn!(job = %uuid, %error, "a job can't be looked for"),
        }
    }
    if worker.disk.refusal().is_some() {
        return Ok(Vec::new());
    }
    let claimed = worker.store.claim_jobs(&worker.name, places, LEASE, Timestamp::now()).await?;
    Ok(claimed.into_iter().map(Claimed::Waiting).collect())
}

async fn lost(worker: &Worker, job: JobId, uuid: JobUuid) -> Result<(), StoreError> {
    let Some(lost) = worker.store.job_lost(job, Timestamp::now()).await? else { return Ok(()) };
    tracing::warn!(job = %uuid, retried = lost.retried, "a job's worker was lost");
    if !lost.retried {
        worker.bus.finished(uuid);
        // No later attempt will do it.
        if let Err(error) = worker.engine.remove_of_job(uuid, 0..=i64::MAX).await {
            tracing::warn!(job = %uuid, %error, "its containers stay until the sweep");
        }
        worker.source.remove_checkouts_of(uuid, 0..=i64::MAX);
    }
    Ok(())
}
