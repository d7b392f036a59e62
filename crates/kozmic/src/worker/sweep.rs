//! Removes what nobody owns any more, again and again.

use std::time::Duration;

use super::{Worker, artifacts, beside, trees};
use crate::shutdown::Shutdown;
use crate::telemetry::count;

const EVERY: Duration = Duration::from_mins(1);
/// A project that another process deleted is noticed so soon.
const LOOK: Duration = Duration::from_secs(5);

/// Sweeps at once and from then on every minute, until shutdown; what a deleted project
/// left goes as soon as it is known.
pub async fn run(worker: Worker, shutdown: Shutdown) {
    let mut timer = tokio::time::interval(EVERY);
    let mut look = tokio::time::interval(LOOK);
    loop {
        // Taken before looking, so that nothing left meanwhile is missed.
        let left = worker.store.leavings_changed();
        tokio::select! {
            () = shutdown.requested() => return,
            () = left => {
                remove_leavings(&worker).await;
                beside::remove_dropped(&worker).await;
            }
            () = worker.engine.sandboxes_changed() => tend_networks(&worker).await,
            _ = look.tick() => {
                let (free, used) = worker.engine.sandboxes();
                count::job_networks(free, used);
                remove_leavings(&worker).await;
            }
            _ = timer.tick() => sweep(&worker).await,
        }
    }
}

async fn remove_leavings(worker: &Worker) {
    if let Err(error) = worker.disk.remove_leavings().await {
        tracing::warn!(%error, "what deleted projects have left could not be removed");
    }
}

/// Some are ready before there is a job; not where there is no project yet.
async fn tend_networks(worker: &Worker) {
    let tended = async {
        let has_projects = worker.store.has_projects().await.map_err(|error| error.to_string())?;
        let ready = if has_projects { worker.concurrency.get() } else { 0 };
        worker.engine.tend_sandboxes(ready).await.map_err(|error| error.to_string())
    };
    if let Err(error) = tended.await {
        tracing::warn!(error, "networks of jobs could not be looked after");
    }
}

async fn sweep(worker: &Worker) {
    let orphans = worker.disk.orphans().await.unwrap_or_else(|error| {
        tracing::warn!(%error, "what nobody owns could not be looked for");
        Vec::new()
    });
    for orphan in orphans {
        let (kind, job, attempt) = (orphan.kind.singular(), orphan.job, orphan.attempt);
        match worker.disk.remove_orphan(&orphan).await {
            Ok(true) => tracing::info!(kind, %job, attempt, "what nobody owned was removed"),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(kind, %job, %error, "what nobody owns could not be removed");
            }
        }
    }
    if let Err(error) = worker.disk.remove_left_here().await {
        tracing::warn!(%error, "what deleted projects have left here could not be removed");
    }
    beside::sweep(worker).await;
    tend_networks(worker).await;
    artifacts::sweep(worker).await;
    trees::sweep(worker).await;
    if let Err(error) = worker.engine.remove_nameless().await {
        tracing::warn!(%error, "images without a name could not be swept");
    }
}
