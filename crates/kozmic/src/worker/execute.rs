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
use super::{Progress, Stop, install, services};
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
        Ok(container) => {
            let ended = script::run(&mut run, &container, Step::Build).await;
            services::tell_of_ended(&mut run, &ended).await?;
            ended
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
    let ended = script::attend_again(&mut run, &found).await;
    services::tell_of_ended(&mut run, &ended).await?;
    outcome(ended)
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
    /// The build script's container is made, of this image.
    Create(String),
    /// The build script's container, which was made meanwhile, is filled.
    Fill(Made<'a>),
}

/// What the build script's container is made of, or that container.
enum Ready<'a> {
    Image(String, Option<install::Chosen>),
    Made(Made<'a>),
}

/// Everything up to the build script: its container, ready to start.
async fn steps<'a>(
    run: &mut Run<'a>,
    checkout: impl Future<Output = Result<Checkout, SourceError>>,
) -> Stepped<Container<'a>> {
    (run.tell)(Progress::Prepares("fetching the commit and looking for the image".into()));
    for folder in &run.work.folders {
        run.note(&folder.told())?;
    }
    let mut services = Box::pin(services::start(run.engine, run.work, run.tell));
    let mut up = None;
    let prepared = {
        let preparing = prepare(run, checkout);
        tokio::pin!(preparing);
        loop {
            tokio::select! {
                prepared = &mut preparing => break Ok(prepared?),
                started = &mut services, if up.is_none() => match started {
                    Ok(started) => up = Some(started),
                    // Nothing else of the job is of use any more.
                    Err(down) => break Err(down),
                },
            }
        }
    };
    let (checkout, ready) = match prepared {
        Ok(prepared) => prepared,
        Err(down) => return Err(down.told(run)?),
    };
    let up = match up {
        Some(up) => up,
        None => {
            (run.tell)(Progress::Prepares("waiting for the services to be ready".into()));
            let started = tokio::select! {
                started = &mut services => started,
                interrupted = run.interrupts.next() => return Err(interrupted),
            };
            match started {
                Ok(up) => up,
                Err(down) => return Err(down.told(run)?),
            }
        }
    };
    for note in &up.notes {
        run.note(note)?;
    }
    (run.tell)(Progress::Begins(Phase::Build));
    let made = match ready {
        Ready::Made(made) => made,
        Ready::Image(image_id, chosen) => {
            let network = up.network.as_ref();
            let made = script::create_next(run, Step::Build, &image_id, None, network).await?;
            // From now on the container holds the image.
            drop(chosen);
            made
        }
    };
    let work = run.work;
    script::fill(run, made, &work.build_script, &work.env, &checkout).await
}

/// The checkout, and what the build script's container is made of.
async fn prepare<'a>(
    run: &mut Run<'a>,
    checkout: impl Future<Output = Result<Checkout, SourceError>>,
) -> Stepped<(Checkout, Ready<'a>)> {
    let (engine, work) = (run.engine, run.work);
    (run.tell)(Progress::Begins(Phase::Image));
    let image = async {
        let here = ensure_image(engine, &work.image, run.tell).await?;
        if let Some(note) = here.note {
            run.log.note(&note).map_err(Interrupted::Log)?;
        }
        let next = if let Some(install) = &work.install {
            Next::Install(install, here.id)
        } else if work.services.is_empty() {
            let length = run.log.length();
            let made = script::create(engine, work, Step::Build, &here.id, None, None, length);
            Next::Fill(made.await.map_err(JobEnd::from)?)
        } else {
            // What is to be said of services comes before the script's output.
            Next::Create(here.id)
        };
        (run.tell)(Progress::Over(Phase::Image));
        Ok::<_, Interrupted>(next)
    };
    let (checkout, next) = tokio::select! {
        found = async { tokio::join!(checkout, image) } => found,
        interrupted = run.interrupts.next() => return Err(interrupted),
    };
    let checkout = checkout.map_err(JobEnd::from)?;
    let ready = match next? {
        Next::Fill(made) => Ready::Made(made),
        Next::Create(image_id) => Ready::Image(image_id, None),
        Next::Install(install, base_image) => {
            (run.tell)(Progress::Begins(Phase::Install));
            let chosen = install::image(run, install, &base_image, &checkout).await?;
            (run.tell)(Progress::Over(Phase::Install));
            Ready::Image(chosen.image_id.clone(), Some(chosen))
        }
    };
    Ok((checkout, ready))
}

/// An image that is here, and what the log is to say of its coming.
pub(super) struct Here {
    pub(super) id: String,
    pub(super) note: Option<String>,
}

/// Pulls it where it is missing, or has changed in its registry.
pub(super) async fn ensure_image(
    engine: &Engine,
    image: &DockerImage,
    tell: &(dyn Fn(Progress) + Sync),
) -> Result<Here, JobEnd> {
    let here = engine.local_image(image).await?;
    if let Some(here) = here.as_ref().filter(|here| !here.has_moved) {
        return Ok(Here { id: here.id.clone(), note: None });
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
        (Err(error), None) => return Err(error.into()),
        // An older one is better than none; the log says so.
        (Err(error), Some(here)) => {
            (here.id, format!("{error}; going on with the one that is here"))
        }
    };
    Ok(Here { id, note: Some(note) })
}
