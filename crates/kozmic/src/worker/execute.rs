//! One job: image and checkout, install step, build script, end. Knows neither
//! the store nor where the log is shown, so that the same job runs anywhere.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::run::{Interrupted, Run, Stepped, Work};
use super::script::{self, ScriptRun};
use super::{Progress, Stop, install};
use crate::engine::{Container, Engine, Step, Unattended};
use crate::log::Sink;
use crate::model::{DockerImage, JobEnd};
use crate::source::{Checkout, SourceError};

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Ended(JobEnd),
    /// It has no end yet: another attempt will give it one.
    Stopped(Stop),
    /// It goes on without this worker, and waits to be attended to again.
    Unattended,
}

/// Carries out `work`. `checkout` is polled while the image is looked for; `tell`
/// learns each step in words. The containers stay until the caller, who keeps the
/// end, has them removed. Fails only when the log can't be written.
pub async fn execute(
    engine: &Engine,
    work: &Work,
    checkout: impl Future<Output = Result<Checkout, SourceError>>,
    log: &mut dyn Sink,
    tell: &(dyn Fn(Progress) + Sync),
    stop: watch::Receiver<Option<Stop>>,
) -> io::Result<Outcome> {
    let mut run = Run::new(engine, work, log, tell, stop);
    // Boxed: it holds everything on the way, and is moved with each of its callers.
    let ended = match Box::pin(steps(&mut run, checkout)).await {
        Ok(container) => {
            tell(Progress::Builds("running the build script".into()));
            script::run(&mut run, &container).await.map_err(Interrupted::unattended)
        }
        Err(interrupted) => Err(interrupted),
    };
    outcome(ended)
}

/// Attends again to a build script that was started before.
pub async fn resume(
    engine: &Engine,
    work: &Work,
    found: Unattended<'_>,
    log: &mut dyn Sink,
    tell: &(dyn Fn(Progress) + Sync),
    stop: watch::Receiver<Option<Stop>>,
) -> io::Result<Outcome> {
    let mut run = Run::new(engine, work, log, tell, stop);
    tell(Progress::Builds("running the build script".into()));
    let written = run.log.length().saturating_sub(found.log_offset);
    let output = found.container.replay(written);
    let ended = script::attend(&mut run, &found.container, output).await;
    outcome(ended.map_err(Interrupted::unattended))
}

fn outcome(ended: Stepped<JobEnd>) -> io::Result<Outcome> {
    match ended {
        Ok(end) | Err(Interrupted::Ended(end)) => Ok(Outcome::Ended(end)),
        Err(Interrupted::Stopped(Stop::Cancel(why))) => Ok(Outcome::Ended(JobEnd::Cancelled(why))),
        Err(Interrupted::Stopped(stop)) => Ok(Outcome::Stopped(stop)),
        Err(Interrupted::Unattended) => Ok(Outcome::Unattended),
        Err(Interrupted::Log(error)) => Err(error),
    }
}

/// Everything up to the build script: its container, ready to start.
async fn steps<'a>(
    run: &mut Run<'a>,
    checkout: impl Future<Output = Result<Checkout, SourceError>>,
) -> Stepped<Container<'a>> {
    (run.tell)(Progress::Prepares("fetching the commit and looking for the image".into()));
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
    let script = ScriptRun {
        step: Step::Build,
        script: &run.work.build_script,
        image_id,
        checkout: &checkout,
        becomes: None,
    };
    // From here on the container holds its image, and has what was checked out.
    script::prepare(run, &script).await
}

async fn ensure_image(
    engine: &Engine,
    image: &DockerImage,
    log: &mut dyn Sink,
    tell: &(dyn Fn(Progress) + Sync),
) -> Stepped<String> {
    let here = engine.local_image(image).await.map_err(JobEnd::from)?;
    if let Some(here) = here.as_ref().filter(|here| !here.has_moved) {
        return Ok(here.id.clone());
    }
    tell(Progress::Prepares(format!("pulling the image {image}")));
    let mut told = Instant::now();
    let pulled = engine
        .pull(image, |progress| {
            if told.elapsed() >= Duration::from_secs(1) {
                told = Instant::now();
                let (done, all) = progress.layers();
                let words = format!("pulling the image {image}: {done} of {all} layers");
                tell(Progress::Prepares(words));
            }
        })
        .await;
    let (id, note) = match (pulled, here) {
        (Ok(id), None) => (id, format!("pulled the image {image}")),
        (Ok(id), Some(_)) => (id, format!("pulled the image {image}, which has changed")),
        (Err(error), None) => return Err(JobEnd::from(error).into()),
        // An older one is better than none; the log says so.
        (Err(error), Some(here)) => {
            (here.id, format!("{error}; going on with the one that is here"))
        }
    };
    log.note(&note).map_err(Interrupted::Log)?;
    Ok(id)
}
