//! What every step of one job works with, and what may end it at any time.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::cache::{CacheKeeper, Install};
use super::folders::Folder;
use super::{Progress, Stop};
use crate::engine::{ContainerLimits, Engine};
use crate::log::Sink;
use crate::model::{DockerImage, HookOptions, JobEnd, JobUuid, NoNewPrivileges, Script, Services};

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Work {
    pub job: JobUuid,
    pub attempt: i64,
    pub image: DockerImage,
    pub install: Option<Install>,
    pub build_script: Script,
    pub env: Vec<(String, String)>,
    /// Variables that no container's configuration, image or log may hold. The log that
    /// the work is carried out with must hide them.
    pub secrets: BTreeMap<String, SecretString>,
    pub limits: Limits,
    pub no_new_privileges: NoNewPrivileges,
    /// What runs beside the build script.
    pub services: Services,
    /// What a service may use.
    pub service_limits: ContainerLimits,
    /// What the build script finds again.
    pub folders: Vec<Folder>,
    /// How much of its time was used before now, by who carried it out before.
    pub spent: Duration,
    /// The end that was decided on by who carried it out before, but is not kept yet.
    pub decided: Option<JobEnd>,
    pub cache: CacheKeeper,
}

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest time without output.
    pub stall: Duration,
    /// Longest time in all, the pull included.
    pub job: Duration,
    /// Bytes of log.
    pub log: u64,
    /// Bytes of a cache folder whose hook says nothing else.
    pub cache_folder: u64,
    pub container: ContainerLimits,
}

impl Limits {
    /// With what a hook asks for instead.
    #[must_use]
    pub fn with(self, options: &HookOptions) -> Self {
        let seconds = |given: Option<u64>, default| given.map_or(default, Duration::from_secs);
        Self {
            stall: seconds(options.stall_timeout, self.stall),
            job: seconds(options.job_timeout, self.job),
            log: self.log,
            cache_folder: self.cache_folder,
            container: ContainerLimits {
                memory: options.memory.or(self.container.memory),
                cpus: options.cpus.or(self.container.cpus),
                pids: options.pids.unwrap_or(self.container.pids),
            },
        }
    }
}

/// Why a step did not come to its own end.
pub(super) enum Interrupted {
    Ended(JobEnd),
    Stopped(Stop),
    Unattended,
    Log(io::Error),
}

pub(super) type Stepped<T> = Result<T, Interrupted>;

impl Interrupted {
    /// A script that was started goes on when its worker stops.
    pub(super) fn unattended(self) -> Self {
        match self {
            Self::Stopped(Stop::Shutdown) => Self::Unattended,
            other => other,
        }
    }
}

/// What every step of one job works with.
pub(super) struct Run<'a> {
    pub(super) engine: &'a Engine,
    pub(super) work: &'a Work,
    pub(super) log: &'a mut dyn Sink,
    /// Bytes that the log had before this run wrote anything.
    pub(super) log_start: u64,
    pub(super) tell: &'a (dyn Fn(Progress) + Sync),
    pub(super) interrupts: Interrupts,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        engine: &'a Engine,
        work: &'a Work,
        log: &'a mut dyn Sink,
        tell: &'a (dyn Fn(Progress) + Sync),
        stop: watch::Receiver<Option<Stop>>,
    ) -> Self {
        let deadline = Instant::now() + work.limits.job.saturating_sub(work.spent);
        let log_start = log.length();
        let interrupts = Interrupts { deadline, limits: work.limits, stop };
        Self { engine, work, log, log_start, tell, interrupts }
    }

    /// A line of Kozmic's own in the log.
    pub(super) fn note(&mut self, text: &str) -> Stepped<()> {
        self.log.note(text).map_err(Interrupted::Log)
    }
}

/// What may end a job at any time.
#[derive(Clone)]
pub(super) struct Interrupts {
    deadline: Instant,
    pub(super) limits: Limits,
    stop: watch::Receiver<Option<Stop>>,
}

impl Interrupts {
    pub(super) async fn next(&mut self) -> Interrupted {
        tokio::select! {
            () = sleep_until(self.deadline) => JobEnd::TimedOut(self.limits.job).into(),
            stop = asked_to_stop(&mut self.stop) => Interrupted::Stopped(stop),
        }
    }
}

/// Resolves when the job is to stop.
pub(super) async fn asked_to_stop(stop: &mut watch::Receiver<Option<Stop>>) -> Stop {
    // Owned before anything else is awaited: the watch's guard can't be sent.
    let asked = stop.wait_for(Option::is_some).await.map(|stop| stop.clone()).ok().flatten();
    match asked {
        Some(stop) => stop,
        // Nobody is left who could ask.
        None => std::future::pending().await,
    }
}
