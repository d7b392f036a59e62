//! Claims jobs and carries them out: one flow per job, each step of it a
//! function named after it.

mod artifacts;
mod beside;
mod cache;
mod claim;
mod collect;
mod disk;
mod end;
mod environment;
mod execute;
mod folders;
mod held;
mod install;
mod job;
mod kept;
mod lease;
mod logs;
mod miss;
mod presence;
mod run;
mod script;
mod secrets;
mod services;
mod stall;
mod sweep;
mod trees;
mod wanted;

use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::Engine;
use crate::log::{Bus, Logs};
use crate::model::{InstallStep, JobEnd, Labels, Phase};
use crate::shutdown::Shutdown;
use crate::source::Source;
use crate::store::{Project, Store};

pub use artifacts::ArtifactRules;
pub use cache::{CacheKeeper, CacheScope, Install};
pub use claim::run;
pub use collect::{collect, folder_variables};
pub use disk::{Alone, Beside, Disk, DiskError, DiskParts, Removed, Tidied};
pub use execute::{Outcome, execute, resume};
pub use folders::{Folder, Measured, measure};
pub use held::Held;
pub use kept::run as look_after_kept;
pub use logs::run as keep_logs;
pub use run::{Limits, Work};
pub use sweep::run as sweep;

/// A job stays a worker's for this long after its last renewal.
const LEASE: Duration = Duration::from_secs(30);
/// SIGTERM comes this long before SIGKILL.
const GRACE: Duration = Duration::from_secs(10);

/// Why a running job is to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// For this reason: by whom, or by what it was superseded.
    Cancel(String),
    /// The worker ends. A script that runs goes on, and is attended to again
    /// later; what has not come so far starts again.
    Shutdown,
    /// Another attempt has the job; this one must leave no trace.
    LeaseLost,
}

/// What a job is doing, in words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Nothing of the hook's runs.
    Prepares(String),
    /// A cached image stands in for the install script, or why none does.
    Install(InstallStep),
    /// The install script's image is kept; the script took so long.
    Installed(Duration),
    /// The install script runs: its only effect is an image.
    Installs(String),
    /// The build script runs, and may have effects of its own.
    Builds(String),
    /// A part of it that people wait for; the end of the last one is the job's.
    Begins(Phase),
    Over(Phase),
    /// Its script is being stopped; whatever that looks like afterwards, this is why.
    Ends(JobEnd),
}

/// What is done for a private project before its commit is fetched.
pub type BeforeFetch =
    Arc<dyn Fn(Project) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// What a worker works with. Cheap to clone.
#[derive(Clone)]
pub struct Worker {
    pub before_fetch: BeforeFetch,
    pub store: Store,
    pub engine: Arc<Engine>,
    pub source: Source,
    pub logs: Logs,
    pub bus: Bus,
    pub limits: Limits,
    pub artifacts: ArtifactRules,
    pub cache: CacheKeeper,
    pub disk: Disk,
    pub held: Held,
    pub concurrency: NonZeroUsize,
    /// What it has; it takes only jobs that need nothing else.
    pub labels: Labels,
    /// How long a failed job's container is kept; zero: not kept.
    pub keep_failed: Duration,
    /// How long a job waits for an engine that went away under it.
    pub engine_timeout: Duration,
    /// Once requested, no more jobs are taken.
    pub drain: Shutdown,
    /// Names this worker in its leases.
    pub name: String,
    /// The root of links to pages, without a trailing slash.
    pub public_url: String,
}
