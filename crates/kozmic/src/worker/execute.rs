//! One job: image and checkout, install step, build script, end. Knows neither
//! the store nor where the log is shown, so that the same job runs anywhere.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::cache::Install;
use super::run::{Interrupted, Run, Stepped, Work};
use super::script::{self, Made};
use super::{Progress, Stop, install};
use crate::engine::{Container, Engine, Step, Unattended};
use crate::log::Sink;
use crate::model::{DockerImage, JobEnd, Phase};
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
        Ok(container) => script::run(&mut run, &container, Step::Build).await,
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
    outcome(script::attend_again(&mut run, &found).await)
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

/// What follows when the hook's image is here and the commit is checked out.
enum Next<'a> {
    /// The install step, on this image.
    Install(&'a Install, String),
    /// The build script's container, which was made meanwhile, is filled.
    Fill(Made<'a>),
}

/// Everything up to the build script: its container, ready to start.
async fn steps<'a>(
    run: &mut Run<'a>,
    checkout: impl Future<Output = Result<Checkout, SourceError>>,
) -> Stepped<Container<'a>> {
    (run.tell)(Progress::Prepares("fetching the commit and looking for the image".into()));
    let (engine, work) = (run.engine, run.work);
    (run.tell)(Progress::Begins(Phase::Image));
    let image = async {
        let base_image = ensure_image(engine, &work.image, run.log, run.tell).await?;
        let next = if let Some(install) = &work.install {
            Next::Install(install, base_image)
        } else {
            let length = run.log.length();
            let made = script::create(engine, work, Step::Build, &base_image, None, length);
            Next::Fill(made.await.map_err(JobEnd::from)?)
        };
        (run.tell)(Progress::Over(Phase::Image));
        Ok::<_, Interrupted>(next)
    };
    let (checkout, next) = tokio::select! {
        found = async { tokio::join!(checkout, image) } => found,
        interrupted = run.interrupts.next() => return Err(interrupted),
    };
    let checkout = checkout.map_err(JobEnd::from)?;
    let made = match next? {
        Next::Fill(made) => {
            (run.tell)(Progress::Begins(Phase::Build));
            made
        }
        Next::Install(install, base_image) => {
            (run.tell)(Progress::Begins(Phase::Install));
            let chosen = install::image(run, install, &base_image, &checkout).await?;
            (run.tell)(Progress::Over(Phase::Install));
            (run.tell)(Progress::Begins(Phase::Build));
            // From then on the container holds the image.
            script::create_next(run, Step::Build, &chosen.image_id, None).await?
        }
    };
    script::fill(run, made, &work.build_script, &work.env, &checkout).await
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
