//! The install step: its result is an image, kept until one of its inputs
//! changes.

use tokio::sync::OwnedMutexGuard;

use super::Progress;
use super::cache::Install;
use super::run::{Run, Stepped, Work};
use super::script;
use crate::engine::{
    CachedImage, Container, Engine, EngineError, Found, NewCachedImage, Step, Unattended,
    cached_image_name,
};
use crate::model::{CacheInputs, Fingerprint, JobEnd, Timestamp, readable};
use crate::source::Checkout;

/// A chosen image. It is not removed as long as this lives.
pub(super) struct Chosen {
    pub(super) image_id: String,
    _hold: OwnedMutexGuard<()>,
}

/// The image to build on: a cached one, or one that the install script makes now.
pub(super) async fn image(
    run: &mut Run<'_>,
    install: &Install,
    base_image: &str,
    checkout: &Checkout,
) -> Stepped<Chosen> {
    let tracked = checkout.tracked(&install.tracked).await.map_err(JobEnd::from)?;
    let print = CacheInputs::new(base_image, &install.script, tracked).fingerprint();
    let scope = install.scope.own();
    let new = NewCachedImage {
        cache_id: &print.id,
        scope: &scope,
        hook: &install.hook,
        inputs: &print.parts,
    };
    let name = cached_image_name(&print.id, &scope);
    (run.tell)(Progress::Prepares("waiting for the image of the install step".into()));
    // Another job that needs the same image may be making it.
    let hold = tokio::select! {
        hold = run.work.cache.lock_of(&name).lock_owned() => hold,
        interrupted = run.interrupts.next() => return Err(interrupted),
    };
    let started = started_before(run.engine, run.work).await?;
    for scope in install.scope.readable() {
        let found = run.engine.use_cached(&print.id, &scope).await.map_err(JobEnd::from)?;
        if let Some(found) = found {
            remove_started(run.work, started).await;
            run.note(&format!(
                "install step skipped: the base image, the install script and the tracked files are \
                 those of the cached image {:.12}, {} old",
                print.id.as_str(),
                age(found.created)
            ))?;
            return Ok(Chosen { image_id: found.id, _hold: hold });
        }
    }
    let (container, exit) = match started {
        Some(started) if started.image_id == base_image => {
            let exit = script::attend_again(run, &started).await?;
            (started.container, exit)
        }
        other => {
            remove_started(run.work, other).await;
            let why = reason(run.engine, install, &print).await.map_err(JobEnd::from)?;
            run.note(&format!("install step: {why}"))?;
            run_script(run, install, base_image, checkout, new).await?
        }
    };
    let image_id = keep(run, container, exit, new).await?;
    if let Err(error) = run.work.cache.prune(run.engine, &install.scope).await {
        tracing::warn!(%error, "old cached images could not be removed");
    }
    Ok(Chosen { image_id, _hold: hold })
}

/// What a worker before this one had started in the same attempt.
async fn started_before<'engine>(
    engine: &'engine Engine,
    work: &Work,
) -> Stepped<Option<Unattended<'engine>>> {
    match engine.unattended(work.job, work.attempt).await.map_err(JobEnd::from)? {
        Found::Started(found) if found.step == Step::Install => Ok(Some(found)),
        _ => Ok(None),
    }
}

async fn remove_started(work: &Work, started: Option<Unattended<'_>>) {
    let Some(started) = started else { return };
    if let Err(error) = started.container.remove().await {
        tracing::warn!(job = %work.job, %error, "a container stays until its job's end");
    }
}

/// Runs the install script; its container stays.
async fn run_script<'engine>(
    run: &mut Run<'engine>,
    install: &Install,
    base_image: &str,
    checkout: &Checkout,
    new: NewCachedImage<'_>,
) -> Stepped<(Container<'engine>, JobEnd)> {
    let made = script::create_next(run, Step::Install, base_image, Some(new), None).await?;
    let container = script::fill(run, made, &install.script, checkout).await?;
    let exit = script::run(run, &container, Step::Install).await?;
    Ok((container, exit))
}

/// Keeps what a successful install script left in its container as an image.
async fn keep(
    run: &mut Run<'_>,
    container: Container<'_>,
    exit: JobEnd,
    new: NewCachedImage<'_>,
) -> Stepped<String> {
    match exit {
        JobEnd::Exited(0) => {}
        JobEnd::Exited(code) => return Err(JobEnd::InstallFailed(code).into()),
        other => return Err(other.into()),
    }
    (run.tell)(Progress::Installs("keeping the image of the install step".into()));
    let image_id = tokio::select! {
        committed = run.engine.commit(&container, new) => committed.map_err(JobEnd::from)?,
        interrupted = run.interrupts.next() => return Err(interrupted.unattended()),
    };
    let took = container.lifetime().await.map_err(JobEnd::from)?;
    if let Err(error) = container.remove().await {
        tracing::warn!(job = %run.work.job, %error, "a container could not be removed");
    }
    run.note(&format!(
        "install step done in {}; its image is kept as {:.12}",
        readable(took),
        new.cache_id.as_str()
    ))?;
    Ok(image_id)
}

/// Which input is another one than that of the hook's latest image.
async fn reason(
    engine: &Engine,
    install: &Install,
    print: &Fingerprint,
) -> Result<String, EngineError> {
    let readable = install.scope.readable();
    let of_hook =
        |image: &CachedImage| image.hook == install.hook && readable.contains(&image.scope);
    let Some(latest) = engine.cached_images().await?.into_iter().find(of_hook) else {
        return Ok("no image is cached yet".into());
    };
    let changed = print.changed_since(&latest.inputs);
    Ok(match changed.as_slice() {
        [] => format!(
            "fewer files are tracked than in the cached image of {} ago",
            age(latest.created)
        ),
        [one] => {
            format!("{one} is another than in the cached image of {} ago", age(latest.created))
        }
        many => format!(
            "{} are others than in the cached image of {} ago",
            many.join(", "),
            age(latest.created)
        ),
    })
}

fn age(created: Timestamp) -> String {
    readable(Timestamp::now().since(created))
}
