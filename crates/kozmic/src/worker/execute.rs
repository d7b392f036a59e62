//! One job: image and checkout, install step, build script, end. Knows neither
//! the store nor where the log is shown, so that the same job runs anywhere.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Stop;
use super::install::{self, CacheKeeper, Install};
use super::script::{self, ScriptRun};
use crate::engine::Engine;
use crate::log::LiveLog;
use crate::model::{DockerImage, JobEnd, JobUuid, Script};
use crate::source::{Checkout, SourceError};

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Work {
    pub job: JobUuid,
    pub attempt: i64,
    pub image: DockerImage,
    pub install: Option<Install>,
    pub build_script: Script,
    pub env: Vec<(String, String)>,
    pub limits: Limits,
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
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Ended(JobEnd),
    /// It has no end yet: another attempt will give it one.
    Stopped(Stop),
}

/// Why a step did not come to its own end.
pub(super) enum Interrupted {
    Ended(JobEnd),
    Stopped(Stop),
    Log(io::Error),
}

pub(super) type Step<T> = Result<T, Interrupted>;

/// Carries out `work`. `checkout` is polled while the image is looked for; `tell`
/// learns each step in words. Fails only when the log can't be written.
pub async fn execute(
    engine: &Engine,
    work: &Work,
    checkout: impl Future<Output = Result<Checkout, SourceError>>,
    log: &mut LiveLog,
    tell: &(dyn Fn(String) + Sync),
    stop: watch::Receiver<Option<Stop>>,
) -> io::Result<Outcome> {
    let deadline = Instant::now() + work.limits.job;
    let interrupts = Interrupts { deadline, limits: work.limits, stop };
    let mut run = Run { engine, work, log, tell, interrupts };
    let ended = steps(&mut run, checkout).await;
    if ended.is_err() {
        // What was dropped half-way may have made a container already.
        let left = engine.remove_of_job(work.job, work.attempt..=work.attempt).await;
        if let Err(error) = left {
            tracing::warn!(job = %work.job, %error, "containers could not be removed");
        }
    }
    match ended {
        Ok(end) | Err(Interrupted::Ended(end)) => Ok(Outcome::Ended(end)),
        Err(Interrupted::Stopped(Stop::Cancel(why))) => Ok(Outcome::Ended(JobEnd::Cancelled(why))),
        Err(Interrupted::Stopped(stop)) => Ok(Outcome::Stopped(stop)),
        Err(Interrupted::Log(error)) => Err(error),
    }
}

/// What every step of one job works with.
pub(super) struct Run<'a> {
    pub(super) engine: &'a Engine,
    pub(super) work: &'a Work,
    pub(super) log: &'a mut LiveLog,
    pub(super) tell: &'a (dyn Fn(String) + Sync),
    pub(super) interrupts: Interrupts,
}

impl Run<'_> {
    /// A line of Kozmic's own in the log.
    pub(super) fn note(&mut self, text: &str) -> Step<()> {
        self.log.note(text).map_err(Interrupted::Log)
    }
}

async fn steps(
    run: &mut Run<'_>,
    checkout: impl Future<Output = Result<Checkout, SourceError>>,
) -> Step<JobEnd> {
    (run.tell)("fetching the commit and looking for the image".into());
    let base_image = ensure_image(run.engine, &run.work.image, run.log, run.tell);
    let (checkout, base_image) = tokio::select! {
        found = async { tokio::join!(checkout, base_image) } => found,
        interrupted = run.interrupts.next() => return Err(interrupted),
    };
    let (checkout, base_image) = (checkout.map_err(JobEnd::from)?, base_image?);
    let chosen = match &run.work.install {
        Some(install) => Some(install::image(run, install, &base_image, &checkout).await?),
        None => None,
    };
    let image_id = chosen.as_ref().map_or(base_image.as_str(), |chosen| &chosen.image_id);
    let script =
        ScriptRun { step: "build", script: &run.work.build_script, image_id, checkout: &checkout };
    let container = script::prepare(run, &script).await?;
    // The container holds its image from here on, and has what was checked out.
    drop(chosen);
    drop(checkout);
    (run.tell)("running the build script".into());
    let ended = script::run(run, &container).await;
    if let Err(error) = container.remove().await {
        tracing::warn!(job = %run.work.job, %error, "a container could not be removed");
    }
    ended
}

async fn ensure_image(
    engine: &Engine,
    image: &DockerImage,
    log: &mut LiveLog,
    tell: &(dyn Fn(String) + Sync),
) -> Step<String> {
    if let Some(id) = engine.image_id(image).await.map_err(JobEnd::from)? {
        return Ok(id);
    }
    tell(format!("pulling the image {image}"));
    let mut told = Instant::now();
    let id = engine
        .pull(image, |progress| {
            if told.elapsed() >= Duration::from_secs(1) {
                told = Instant::now();
                let (done, all) = progress.layers();
                tell(format!("pulling the image {image}: {done} of {all} layers"));
            }
        })
        .await
        .map_err(JobEnd::from)?;
    log.note(&format!("pulled the image {image}")).map_err(Interrupted::Log)?;
    Ok(id)
}

/// What may end a job at any time.
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

async fn asked_to_stop(stop: &mut watch::Receiver<Option<Stop>>) -> Stop {
    // Owned before anything else is awaited: the watch's guard can't be sent.
    let asked = stop.wait_for(Option::is_some).await.map(|stop| stop.clone()).ok().flatten();
    match asked {
        Some(stop) => stop,
        // Nobody is left who could ask.
        None => std::future::pending().await,
    }
}
