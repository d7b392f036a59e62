//! Keeps what Kozmic has on disks within bounds: counts it, removes what was used
//! longest ago, and has no job started when there is no room for it.

mod account;
mod folders;
mod leavings;
mod measure;
mod orphans;
mod plan;
mod room;
mod tidy;

use std::any::Any;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::CacheKeeper;
use crate::engine::{Engine, EngineError};
use crate::log::{LogError, Logs};
use crate::model::{ProjectId, Timestamp};
use crate::shutdown::Shutdown;
use crate::source::{Source, SourceError};
use crate::store::{Store, StoreError};
use room::Room;

pub use tidy::{Removed, Tidied};

/// While jobs wait for room, and to see whether they would.
const EVERY: Duration = Duration::from_mins(1);
/// Counting is dear.
const COUNT_EVERY: Duration = Duration::from_mins(10);
/// Without a budget it is counted only for those who look.
const TELL_EVERY: Duration = Duration::from_hours(1);
/// After an image has come; more than one may.
const SETTLE: Duration = Duration::from_secs(1);
const CHORES_EVERY: Duration = Duration::from_hours(24);
/// Milliseconds that the chores look back.
const LATELY: i64 = 30 * 24 * 60 * 60 * 1_000;
/// A project's newest builds, whose commits its mirror keeps.
const MIRROR_KEEPS: i64 = 50;

#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("{path}: {source}")]
    Disk { path: String, source: std::io::Error },
}

type Result<T> = std::result::Result<T, DiskError>;

/// Takes the data folder for itself, as long as what it returns lives; none when
/// somebody has it.
pub type Alone = Box<dyn Fn() -> Option<Box<dyn Any + Send>> + Send + Sync>;

/// How a process knows what is in use.
pub enum Beside {
    /// It carries the jobs out itself.
    Nobody,
    /// A server may do that in another process.
    Server(Alone),
}

/// What bounds are kept, and with what.
pub struct DiskParts {
    pub store: Store,
    pub engine: Arc<Engine>,
    pub source: Source,
    pub logs: Logs,
    pub cache: CacheKeeper,
    pub data_dir: PathBuf,
    /// Where the database is a file.
    pub database: Option<PathBuf>,
    /// Bytes.
    pub budget: Option<u64>,
    /// Bytes.
    pub reserve: Option<u64>,
    pub beside: Beside,
}

/// The disks of one installation on one machine. Cheap to clone.
#[derive(Clone)]
pub struct Disk {
    parts: Arc<DiskParts>,
    room: Arc<Mutex<Room>>,
}

/// When what is dear was done last.
#[derive(Default)]
struct Last {
    counted: Option<Instant>,
    chores: Option<Instant>,
}

impl Disk {
    pub fn new(parts: DiskParts) -> Self {
        Self { parts: Arc::new(parts), room: Arc::default() }
    }

    /// Notes the images that are pulled, and keeps the bounds, until shutdown. What it
    /// is at then is left as it is, and found again after the next start.
    pub async fn keep(self, shutdown: Shutdown) {
        let rounds = async {
            let mut last = Last::default();
            let mut timer = tokio::time::interval(EVERY);
            loop {
                let has_new_image = tokio::select! {
                    () = self.parts.engine.images_changed() => true,
                    _ = timer.tick() => false,
                };
                self.round(&mut last, has_new_image).await;
            }
        };
        tokio::select! {
            () = shutdown.requested() => {}
            () = rounds => {}
        }
        self.note_pulled().await;
    }

    async fn round(&self, last: &mut Last, has_new_image: bool) {
        if has_new_image {
            tokio::time::sleep(SETTLE).await;
        }
        self.note_pulled().await;
        let is_due = |at: Option<Instant>, every| at.is_none_or(|at| at.elapsed() >= every);
        let must_count = has_new_image || is_due(last.counted, COUNT_EVERY);
        if (self.parts.budget.is_some() && must_count) || self.refusal().is_some() {
            match self.tidy(false).await {
                Ok(tidied) => tidied.log(),
                Err(error) => tracing::warn!(%error, "the disks could not be counted"),
            }
            last.counted = Some(Instant::now());
        // The first round is not held up by what nobody waits for.
        } else if last.chores.is_some() && is_due(last.counted, TELL_EVERY) {
            match self.count().await {
                Ok(counted) => self.set_account(counted.account),
                Err(error) => tracing::warn!(%error, "the disks could not be counted"),
            }
            last.counted = Some(Instant::now());
        }
        if is_due(last.chores, CHORES_EVERY) {
            self.remove_leftovers().await;
            self.tidy_mirrors().await;
            last.chores = Some(Instant::now());
        }
    }

    /// What removals that were cut off have left.
    async fn remove_leftovers(&self) {
        self.parts.source.remove_leftovers().await;
        let lately = Timestamp(Timestamp::now().0 - LATELY);
        match self.parts.store.logs_removed_since(lately).await {
            Ok(removed) => {
                for job in removed {
                    if let Err(error) = self.parts.logs.remove(job).await {
                        tracing::warn!(%job, %error, "what is left of a log stays");
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "leftovers of logs could not be looked for"),
        }
    }

    /// One that is not noted counts as somebody else's, and stays.
    async fn note_pulled(&self) {
        let engine = &self.parts.engine;
        for image in engine.take_pulled() {
            let noted =
                self.parts.store.image_pulled(engine.identity(), &image, Timestamp::now()).await;
            if let Err(error) = noted {
                tracing::warn!(image = image.name, %error, "that an image was pulled was not noted");
            }
        }
    }

    async fn tidy_mirrors(&self) {
        for (project, _) in self.parts.source.mirrors() {
            if let Err(error) = self.tidy_mirror(project).await {
                tracing::warn!(%project, %error, "a mirror could not be tidied");
            }
        }
    }

    async fn tidy_mirror(&self, project: ProjectId) -> Result<()> {
        // Held before the store is asked: a job that comes later fetches later.
        let Some(mirror) = self.parts.source.hold_mirror(project) else { return Ok(()) };
        let needed = self.parts.store.commits_needed(project, MIRROR_KEEPS).await?;
        Ok(mirror.tidy(&needed).await?)
    }
}
