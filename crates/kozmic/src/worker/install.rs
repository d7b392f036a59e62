//! The install step: its result is an image, kept until one of its inputs
//! changes.

use tokio::sync::OwnedMutexGuard;

use super::Progress;
use super::cache::Install;
use super::miss::{self, Miss, age};
use super::run::{Run, Stepped, Work};
use super::script;
use crate::engine::{
    CachedImage, Container, Engine, Found, NewCachedImage, Step, Unattended, cached_image_name,
};
use crate::model::{CacheInputs, Fingerprint, InstallOutcome, InstallStep, JobEnd, readable};
use crate::source::Checkout;
use crate::telemetry::count;

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
    let inputs = CacheInputs::new(base_image, &install.script, tracked);
    let inputs = inputs.with_variables(&install.variables);
    let print = inputs.starting_from(install.from).fingerprint();
    let scope = install.scope.own();
    let new = NewCachedImage {
        cache_id: &print.id,
        scope: &scope,
        hook: &install.hook,
        inputs: &print.parts,
        generation: 0,
    };
    let name = cached_image_name(&print.id, &scope);
    (run.tell)(Progress::Prepares("waiting for the image of the install step".into()));
    // Another job that needs the same image may be making it.
    let hold = tokio::select! {
        hold = run.work.cache.lock_of(&name).lock_owned() => hold,
        interrupted = run.interrupts.next() => return Err(interrupted),
    };
    let started = started_before(run.engine, run.work).await?;
    if let Some(found) = find(run, install, &print).await? {
        remove_started(run.work, started).await;
        return Ok(Chosen { image_id: found.id, _hold: hold });
    }
    if started.is_none()
        && bring(run, install, &print).await?
        && let Some(found) = find(run, install, &print).await?
    {
        return Ok(Chosen { image_id: found.id, _hold: hold });
    }
    let (container, exit) = match started {
        Some(started) if started.inputs == print.parts => {
            let exit = script::attend_again(run, &started).await?;
            (started.container, exit)
        }
        other => {
            remove_started(run.work, other).await;
            make(run, install, base_image, checkout, new).await?
        }
    };
    let image_id = keep(run, container, exit, new).await?;
    run.work.cache.share(name);
    if let Err(error) = run.work.cache.prune(run.engine, &install.scope).await {
        tracing::warn!(%error, "old cached images could not be removed");
    }
    Ok(Chosen { image_id, _hold: hold })
}

/// A cached image of the same inputs that nobody dropped.
async fn find(
    run: &mut Run<'_>,
    install: &Install,
    print: &Fingerprint,
) -> Stepped<Option<CachedImage>> {
    for scope in install.scope.readable() {
        let found = run.engine.use_cached(&print.id, &scope).await.map_err(JobEnd::from)?;
        let is_dropped =
            |found: &CachedImage| install.known.dropped(print.id.as_str(), found.created).is_some();
        let Some(found) = found.filter(|found| !is_dropped(found)) else { continue };
        let saves = found.took.map_or_else(String::new, |took| {
            format!("; that saves {}, as long as making it took", readable(took))
        });
        let because = "the base image, the install script and the tracked files are those of the \
                       cached image";
        count::cache(true);
        run.note(&format!(
            "install step skipped: {because} {:.12}, {} old{saves}",
            print.id.as_str(),
            age(found.created)
        ))?;
        (run.tell)(Progress::Install(InstallStep {
            cache_id: print.id.to_string(),
            outcome: InstallOutcome::Found,
            because: because.into(),
            started_from: None,
            made_at: Some(found.created),
            took: found.took,
        }));
        return Ok(Some(found));
    }
    Ok(None)
}

/// Brings an image of the same inputs from the registry where workers share them. A
/// registry that is away is no error: the image is made here.
async fn bring(run: &mut Run<'_>, install: &Install, print: &Fingerprint) -> Stepped<bool> {
    let cache = run.work.cache.clone();
    let Some(registry) = cache.registry() else { return Ok(false) };
    for scope in install.scope.readable() {
        (run.tell)(Progress::Prepares(
            "asking the registry for the image of the install step".into(),
        ));
        let pulled = tokio::select! {
            pulled = run.engine.pull_cached(registry, &print.id, &scope) => pulled,
            interrupted = run.interrupts.next() => return Err(interrupted),
        };
        match pulled {
            Ok(true) => {
                run.note(&format!("the image of the install step comes from {registry}"))?;
                return Ok(true);
            }
            Ok(false) => {}
            Err(error) => {
                run.note(&format!("no cached image can be had from {registry}: {error}"))?;
                return Ok(false);
            }
        }
    }
    Ok(false)
}

/// Runs the install script; its container stays.
async fn make<'engine>(
    run: &mut Run<'engine>,
    install: &Install,
    base_image: &str,
    checkout: &Checkout,
    new: NewCachedImage<'_>,
) -> Stepped<(Container<'engine>, JobEnd)> {
    let print = Fingerprint { id: new.cache_id.clone(), parts: new.inputs.to_vec() };
    let missed = miss::look(run.engine, run.work, install, &print).await;
    let Miss { why, start } = missed.map_err(JobEnd::from)?;
    let from = start.as_ref().map_or_else(String::new, |start| {
        let (id, age) = (start.cache_id(), age(start.image.created));
        format!("; it starts from the cached image {id:.12}, {age} old")
    });
    count::cache(false);
    run.note(&format!("install step: {why}{from}"))?;
    (run.tell)(Progress::Install(InstallStep {
        cache_id: new.cache_id.to_string(),
        outcome: InstallOutcome::Unfinished,
        because: why,
        started_from: start.as_ref().map(|start| start.cache_id().to_owned()),
        made_at: None,
        took: None,
    }));
    let (image, generation) = match &start {
        Some(start) => (start.image.id.as_str(), start.image.generation + 1),
        None => (base_image, 0),
    };
    let new = NewCachedImage { generation, ..new };
    let made = script::create_next(run, Step::Install, image, Some(new), None).await?;
    // From then on the container holds the image.
    drop(start);
    let container = script::fill(run, made, &install.script, &install.env, checkout).await?;
    let exit = script::run(run, &container, Step::Install).await?;
    Ok((container, exit))
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
    let took = container.lifetime().await.map_err(JobEnd::from)?;
    let image_id = tokio::select! {
        committed = run.engine.commit(container, new, took) => committed.map_err(JobEnd::from)?,
        interrupted = run.interrupts.next() => return Err(interrupted.unattended()),
    };
    run.note(&format!(
        "install step done in {}; its image is kept as {:.12}",
        readable(took),
        new.cache_id.as_str()
    ))?;
    (run.tell)(Progress::Installed(took));
    Ok(image_id)
}
