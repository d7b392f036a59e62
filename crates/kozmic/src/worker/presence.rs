//! Says that this worker runs, what it has, and why it takes no job, for those that wait.

use std::time::{Duration, Instant};

use super::Worker;
use crate::model::{Timestamp, WorkerAbout};
use crate::shutdown::Shutdown;
use crate::store::WorkerState;

/// Without news it says so again after this long; it is taken for gone after 2 ½ times that.
const EVERY: Duration = Duration::from_mins(1);
/// Looks for news this often.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Runs until shutdown, and then says that the worker has ended.
pub(super) async fn tell(worker: Worker, shutdown: Shutdown) {
    let mut told: Option<(WorkerState, Instant)> = None;
    let engine = match worker.engine.version().await {
        Ok(version) => version.to_string(),
        Err(error) => {
            tracing::warn!(%error, "the engine does not tell its version");
            String::new()
        }
    };
    let mut timer = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            () = shutdown.requested() => break,
            _ = timer.tick() => {}
        }
        let state = WorkerState {
            name: worker.name.clone(),
            labels: worker.labels.clone(),
            concurrency: i64::try_from(worker.concurrency.get()).unwrap_or(i64::MAX),
            trouble: if worker.drain.is_requested() {
                Some("it was asked to stop, and finishes what it has".into())
            } else {
                worker.disk.refusal()
            },
            about: about(&worker, &engine),
        };
        let is_known =
            |(known, at): &(WorkerState, Instant)| *known == state && at.elapsed() < EVERY;
        if told.as_ref().is_some_and(is_known) {
            continue;
        }
        let before = told.as_ref().and_then(|(known, _)| known.trouble.as_ref());
        if let Some(why) = state.trouble.as_ref().filter(|why| before != Some(why)) {
            tracing::warn!("jobs wait: {why}");
        }
        match worker.store.worker_runs(&state, Timestamp::now()).await {
            Ok(()) => told = Some((state, Instant::now())),
            Err(error) => tracing::warn!(%error, "that the worker runs could not be noted"),
        }
    }
    if let Err(error) = worker.store.worker_ended(&worker.name).await {
        tracing::warn!(%error, "that the worker ended could not be noted");
    }
}

fn about(worker: &Worker, engine: &str) -> WorkerAbout {
    let counted = worker.disk.account();
    WorkerAbout {
        version: env!("CARGO_PKG_VERSION").into(),
        engine: engine.to_owned(),
        counted_at: counted.as_ref().map(|(_, at)| at.0),
        disk: counted.map(|(account, _)| account),
    }
}
