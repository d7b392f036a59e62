//! Removes what nobody owns any more, again and again.

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
    if let Err(error) = worker.engine.remove_nameless().await {
        tracing::warn!(%error, "images without a name could not be swept");
    }
}
