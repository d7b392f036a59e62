//! One job: image and checkout, container, upload, script, end. Knows neither
//! the store nor where the log is shown, so that the same job runs anywhere.

use std::future::Future;
use std::io;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::script::{SCRIPT, STARTER, STARTER_SCRIPT};
use super::{GRACE, Stop};
use crate::engine::{Account, Container, ContainerSpec, Engine, Labels, Output, Upload};
use crate::log::LiveLog;
use crate::model::{DockerImage, JobEnd, JobUuid, Script};
use crate::source::{Checkout, SourceError};

/// How long output that was written before a kill is waited for.
const DRAIN: Duration = Duration::from_secs(5);

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Work {
    pub job: JobUuid,
    pub attempt: i64,
    pub image: DockerImage,
    pub build_script: Script,
    pub env: Vec<(String, String)>,
    pub limits: Limits,
}

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest time without output.
    pub stall: Duration,
    /// Longest time in all, the pull included.
    pub job: Duration,
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

type Step<T> = Result<T, Interrupted>;

/// Carries out `work`. `checkout` is polled while the image is prepared; `tell`
/// learns each step in words. Fails only when the log can't be written.
pub async fn execute(
    engine: &Engine,
    work: &Work,
    checkout: impl Future<Output = Result<Checkout, SourceError>>,
    log: &mut LiveLog,
    tell: &(dyn Fn(String) + Sync),
    stop: watch::Receiver<Option<Stop>>,
) -> io::Result<Outcome> {
    let mut interrupts =
        Interrupts { deadline: Instant::now() + work.limits.job, limits: work.limits, stop };
    let prepared = {
        let preparing = prepare(engine, work, checkout, log, tell);
        tokio::select! {
            prepared = preparing => prepared,
            interrupted = interrupts.next() => Err(interrupted),
        }
    };
    let ended = match prepared {
        Ok(container) => {
            tell("running the build script".into());
            let ended = run_script(&container, log, &mut interrupts).await;
            if let Err(error) = container.remove().await {
                tracing::warn!(job = %work.job, %error, "a container could not be removed");
            }
            ended
        }
        Err(interrupted) => {
            // What was dropped half-way may have made a container already.
            if let Err(error) = engine.remove_of_job(work.job, work.attempt..=work.attempt).await {
                tracing::warn!(job = %work.job, %error, "containers could not be removed");
            }
            Err(interrupted)
        }
    };
    match ended {
        Ok(end) | Err(Interrupted::Ended(end)) => Ok(Outcome::Ended(end)),
        Err(Interrupted::Stopped(Stop::Cancel(by))) => Ok(Outcome::Ended(JobEnd::Cancelled(by))),
        Err(Interrupted::Stopped(stop)) => Ok(Outcome::Stopped(stop)),
        Err(Interrupted::Log(error)) => Err(error),
    }
}

/// A container that holds the checkout and the script, ready to start.
async fn prepare<'engine>(
    engine: &'engine Engine,
    work: &Work,
    checkout: impl Future<Output = Result<Checkout, SourceError>>,
    log: &mut LiveLog,
    tell: &(dyn Fn(String) + Sync),
) -> Step<Container<'engine>> {
    tell("fetching the commit and preparing the image".into());
    let (checkout, created) = tokio::join!(checkout, async {
        let image_id = ensure_image(engine, &work.image, log, tell).await?;
        create_container(engine, work, image_id).await
    });
    // Both have come to their end, so that neither leaves anything half done.
    let checkout = checkout.map_err(JobEnd::from)?;
    let (container, account) = created?;
    upload(&container, &account, work, &checkout).await?;
    Ok(container)
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

async fn create_container<'engine>(
    engine: &'engine Engine,
    work: &Work,
    image_id: String,
) -> Step<(Container<'engine>, Account)> {
    let labels = Labels { job: work.job, attempt: work.attempt, step: "build" };
    let account = engine.account(&work.image, &image_id, &labels).await.map_err(JobEnd::from)?;
    let mut env = work.env.clone();
    // The engine sets HOME only for a user that it finds by itself.
    env.extend(account.home.clone().map(|home| ("HOME".to_owned(), home)));
    let spec = ContainerSpec {
        image_id,
        user: account.user.clone(),
        command: vec!["/bin/sh".into(), STARTER.into()],
        env,
        labels,
    };
    let container = engine.create(&spec).await.map_err(JobEnd::from)?;
    Ok((container, account))
}

async fn upload(
    container: &Container<'_>,
    account: &Account,
    work: &Work,
    checkout: &Checkout,
) -> Step<()> {
    let upload = Upload::new(account.owner)
        .folder("kozmic/")
        .file(STARTER.trim_start_matches('/'), STARTER_SCRIPT, 0o644)
        .file(SCRIPT.trim_start_matches('/'), work.build_script.as_str(), 0o755)
        .tree("kozmic/src", checkout.path());
    Ok(container.upload(upload).await.map_err(JobEnd::from)?)
}

/// Starts the script and keeps what it writes, until it ends or is ended.
async fn run_script(
    container: &Container<'_>,
    log: &mut LiveLog,
    interrupts: &mut Interrupts,
) -> Step<JobEnd> {
    let mut output = container.start().await.map_err(JobEnd::from)?;
    let followed = follow(&mut output, log, interrupts).await;
    let interrupted = match followed {
        Ok(()) => {
            let exit = container.exit().await.map_err(JobEnd::from)?;
            return Ok(match exit.code {
                0 => JobEnd::Exited(0),
                _ if exit.out_of_memory => JobEnd::OutOfMemory,
                code => JobEnd::Exited(code),
            });
        }
        Err(interrupted) => interrupted,
    };
    match &interrupted {
        // Nothing of this attempt may be kept, so it needs no grace.
        Interrupted::Stopped(Stop::LeaseLost) | Interrupted::Log(_) => {}
        _ => {
            let (stopped, drained) = tokio::join!(
                container.stop(GRACE),
                timeout(GRACE + DRAIN, drain(&mut output, log))
            );
            stopped.map_err(JobEnd::from)?;
            if let Ok(drained) = drained {
                drained?;
            }
        }
    }
    Err(interrupted)
}

/// Everything the container writes goes into the log, until it writes no more.
async fn follow(output: &mut Output, log: &mut LiveLog, interrupts: &mut Interrupts) -> Step<()> {
    let stall = interrupts.limits.stall;
    let mut silent_since = Instant::now();
    let mut sync = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            chunk = output.next() => match chunk {
                Some(chunk) => {
                    silent_since = Instant::now();
                    log.append(&chunk.map_err(JobEnd::from)?).map_err(Interrupted::Log)?;
                }
                None => return Ok(()),
            },
            () = sleep_until(silent_since + stall) => return Err(JobEnd::Stalled(stall).into()),
            interrupted = interrupts.next() => return Err(interrupted),
            _ = sync.tick() => log.sync_when_due().map_err(Interrupted::Log)?,
        }
    }
}

async fn drain(output: &mut Output, log: &mut LiveLog) -> Step<()> {
    while let Some(Ok(chunk)) = output.next().await {
        log.append(&chunk).map_err(Interrupted::Log)?;
    }
    Ok(())
}

/// What may end a job at any time.
struct Interrupts {
    deadline: Instant,
    limits: Limits,
    stop: watch::Receiver<Option<Stop>>,
}

impl Interrupts {
    async fn next(&mut self) -> Interrupted {
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
