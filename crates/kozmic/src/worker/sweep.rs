//! Removes what nobody owns any more: containers, with their volumes, and
//! checkouts of attempts that hold no lease. Only what carries this
//! installation's labels, or lies in its own folder, is looked at.

use std::time::Duration;

use super::Worker;
use crate::shutdown::Shutdown;

const EVERY: Duration = Duration::from_mins(1);

/// Sweeps at once and from then on every minute, until shutdown.
pub async fn run(worker: Worker, shutdown: Shutdown) {
    let mut timer = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            _ = timer.tick() => {}
        }
        sweep(&worker).await;
    }
}

async fn sweep(worker: &Worker) {
    // What exists is listed before the leases are asked for: whatever belongs
    // to an attempt that starts meanwhile is not on the list.
    let containers = worker.engine.containers_by_job().await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the containers could not be swept");
        Vec::new()
    });
    for (job, attempt) in containers {
        if is_orphan(worker, job, attempt).await {
            match worker.engine.remove_of_job(job, attempt..=attempt).await {
                Ok(()) => tracing::info!(%job, attempt, "an orphaned container was removed"),
                Err(error) => tracing::warn!(%job, %error, "a container could not be removed"),
            }
        }
    }
    if let Err(error) = worker.engine.remove_nameless().await {
        tracing::warn!(%error, "images without a name could not be swept");
    }
    for (name, job, attempt) in worker.source.checkouts() {
        if is_orphan(worker, job, attempt).await {
            worker.source.remove_checkout(&name);
            tracing::info!(%job, attempt, "an orphaned checkout was removed");
        }
    }
}

/// A store that does not answer says nothing of what is orphaned.
async fn is_orphan(worker: &Worker, job: crate::model::JobUuid, attempt: i64) -> bool {
    matches!(worker.store.is_leased(job, attempt).await, Ok(false))
}
