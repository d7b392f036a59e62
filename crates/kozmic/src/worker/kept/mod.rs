//! What is left of a failed job, for people to look into: kept for a while, opened with
//! a shell or brought home as an image, and removed.
//!
//! That a container is kept says the store, by which every process knows whether it may
//! be removed. Somebody who is at it holds it for a little while, again and again.

mod image;
mod keep;
mod open;
mod session;
mod starter;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, Semaphore};
use tokio::task::JoinSet;

use super::Worker;
use crate::model::{JobUuid, Timestamp};
use crate::shutdown::Shutdown;
use crate::terminal::{Ask, Asks};

pub(super) use keep::{keep, remove_but};

/// How often it is looked for what has been kept long enough.
const LOOK: Duration = Duration::from_secs(2);
/// And for what nobody keeps any more.
const SWEEP: Duration = Duration::from_mins(1);
/// And at most so long after something changed. Each superseded build is such a change, and an engine
/// reads all its images to list some.
const AFTER_CHANGE: Duration = Duration::from_secs(5);
/// Who is at a container has it for so long, and asks again.
const HOLD: Duration = Duration::from_secs(90);
const HOLD_AGAIN: Duration = Duration::from_secs(30);
/// Who is at it when its time is over may stay so much longer.
const LONGER: Duration = Duration::from_hours(1);
/// Images that are made and sent at the same time: each is read and written whole.
const PULLS: usize = 2;
/// An image that was sent stays so long: an engine that is both ours and that of whoever
/// pulls has it already, and they still have to name it.
const LINGER: Duration = Duration::from_secs(30);

/// What the tasks of one worker share. Cheap to clone.
#[derive(Clone)]
struct Kept {
    worker: Worker,
    /// Who is at a job, by job; locked while its container of shells is made or halted.
    uses: Arc<Mutex<HashMap<JobUuid, Arc<tokio::sync::Mutex<Use>>>>>,
    pulls: Arc<Semaphore>,
    shutdown: Shutdown,
}

/// How many are at a job.
#[derive(Debug, Default)]
struct Use {
    shells: usize,
    pulls: usize,
}

/// Looks after kept containers and those who look into them, until shutdown.
pub async fn run(worker: Worker, mut asks: Asks, shutdown: Shutdown) {
    let kept = Kept {
        worker,
        uses: Arc::default(),
        pulls: Arc::new(Semaphore::new(PULLS)),
        shutdown: shutdown.clone(),
    };
    kept.take_over().await;
    let (mut look, mut sweep) = (tokio::time::interval(LOOK), tokio::time::interval(SWEEP));
    // A project that is deleted is told in this way, among other things.
    let mut changes = kept.worker.store.leases_changed();
    let mut at_work = JoinSet::new();
    let mut after_change = tokio::time::interval(AFTER_CHANGE);
    loop {
        tokio::select! {
            () = shutdown.requested() => break,
            ask = asks.next() => match ask {
                None => break,
                Some(Ask::Shell(ask)) => {
                    let kept = kept.clone();
                    at_work.spawn(async move { kept.shell(ask).await });
                }
                Some(Ask::Image(ask)) => {
                    let kept = kept.clone();
                    at_work.spawn(async move { kept.image(ask).await });
                }
            },
            _ = look.tick() => kept.remove_due().await,
            _ = sweep.tick() => kept.sweep().await,
            _ = after_change.tick() => {
                if changes.has_changed().is_ok_and(|has_changed| has_changed) {
                    changes.mark_unchanged();
                    kept.sweep().await;
                }
            }
            Some(ended) = at_work.join_next(), if !at_work.is_empty() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "somebody's look into a job panicked");
                }
            }
        }
    }
    while at_work.join_next().await.is_some() {}
}

impl Kept {
    async fn use_of(&self, job: JobUuid) -> OwnedMutexGuard<Use> {
        let of_job = {
            let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
            // Those that nobody has or waits for.
            uses.retain(|of, it| *of == job || Arc::strong_count(it) > 1 || is_used(it));
            uses.entry(job).or_default().clone()
        };
        of_job.lock_owned().await
    }

    /// What a server that ended at once has left: shells that run on, and half an image.
    async fn take_over(&self) {
        let engine = &self.worker.engine;
        let left = async {
            for (job, shells) in engine.running_shells().await? {
                tracing::info!(%job, "shells that a server before had left are ended");
                shells.halt().await?;
            }
            for image in engine.kept_images().await?.iter().filter(|it| it.is_on_its_way) {
                engine.remove_image(&image.name).await?;
            }
            Ok::<_, crate::engine::EngineError>(())
        };
        if let Err(error) = left.await {
            tracing::warn!(%error, "what shells have left could not be looked for");
        }
    }

    /// What was kept long enough goes.
    async fn remove_due(&self) {
        let Worker { store, engine, .. } = &self.worker;
        let now = Timestamp::now();
        let kept = match store.kept_containers(engine.identity()).await {
            Ok(kept) => kept,
            Err(error) => return tracing::warn!(%error, "kept containers could not be listed"),
        };
        for it in kept.iter().filter(|it| !it.is_there(now)) {
            match store.kept_container_goes(it.job, "its time was over", false, now).await {
                Ok(true) => match engine.remove_kept(it.uuid, it.attempt).await {
                    Ok(()) => tracing::info!(job = %it.uuid, "a kept container was removed"),
                    // What is left of it is nobody's from now on.
                    Err(error) => {
                        tracing::warn!(job = %it.uuid, %error, "a kept container stays for now");
                    }
                },
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "a kept container could not be given up"),
            }
        }
    }

    /// Images go with what they were made of, however that went.
    async fn sweep(&self) {
        let Worker { store, engine, .. } = &self.worker;
        let images = match engine.kept_images().await {
            Ok(images) => images,
            Err(error) => return tracing::warn!(%error, "kept images could not be listed"),
        };
        for image in images {
            let (job, attempt) = (image.job, image.attempt);
            match store.is_kept(job, attempt, Timestamp::now()).await {
                Ok(true) => {}
                Ok(false) => {
                    if let Err(error) = engine.remove_kept(job, attempt).await {
                        tracing::warn!(%job, %error, "what was kept of a job stays for now");
                    }
                }
                Err(error) => return tracing::warn!(%error, "who keeps an image is not known"),
            }
        }
    }
}

fn is_used(of_job: &tokio::sync::Mutex<Use>) -> bool {
    of_job.try_lock().map_or(true, |it| it.shells + it.pulls > 0)
}
