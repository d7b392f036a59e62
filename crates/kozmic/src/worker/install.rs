//! The install step: its result is an image, kept until one of its inputs
//! changes.

use tokio::sync::OwnedMutexGuard;

use super::Progress;
use super::cache::Install;
use super::run::{Run, Stepped};
use super::script::{self, ScriptRun};
use crate::engine::{CachedImage, Engine, EngineError, NewCachedImage, Step, cached_image_name};
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
    let name = cached_image_name(&print.id, &install.scope.own());
    (run.tell)(Progress::Prepares("waiting for the image of the install step".into()));
    // Another job that needs the same image may be making it.
    let hold = tokio::select! {
        hold = run.work.cache.lock_of(&name).lock_owned() => hold,
        interrupted = run.interrupts.next() => return Err(interrupted),
    };
    for scope in install.scope.readable() {
        let found = run.engine.use_cached(&print.id, &scope).await.map_err(JobEnd::from)?;
        if let Some(found) = found {
            run.note(&format!(
                "install step skipped: the base image, the install script and the tracked files are \
                 those of the cached image {:.12}, {} old",
                print.id.as_str(),
                age(found.created)
            ))?;
            return Ok(Chosen { image_id: found.id, _hold: hold });
        }
    }
    let why = reason(run.engine, install, &print).await.map_err(JobEnd::from)?;
    run.note(&format!("install step: {why}"))?;
    (run.tell)(Progress::Installs(format!("running the install script: {why}")));
    let image_id = make(run, install, base_image, checkout, &print).await?;
    if let Err(error) = run.work.cache.prune(run.engine, &install.scope).await {
        tracing::warn!(%error, "old cached images could not be removed");
    }
    Ok(Chosen { image_id, _hold: hold })
}

/// Runs the install script and keeps its container as an image.
async fn make(
    run: &mut Run<'_>,
    install: &Install,
    base_image: &str,
    checkout: &Checkout,
    print: &Fingerprint,
) -> Stepped<String> {
    let started = std::time::Instant::now();
    let scope = install.scope.own();
    let new = NewCachedImage {
        cache_id: &print.id,
        scope: &scope,
        hook: &install.hook,
        inputs: &print.parts,
    };
    let script = ScriptRun {
        step: Step::Install,
        script: &install.script,
        image_id: base_image,
        checkout,
        becomes: Some(new),
    };
    let container = script::prepare(run, &script).await?;
    let image_id = match script::run(run, &container).await {
        Ok(JobEnd::Exited(0)) => {
            (run.tell)(Progress::Installs("keeping the image of the install step".into()));
            run.engine.commit(&container, new).await.map_err(|error| JobEnd::from(error).into())
        }
        Ok(JobEnd::Exited(code)) => Err(JobEnd::InstallFailed(code).into()),
        Ok(other) => Err(other.into()),
        Err(interrupted) => Err(interrupted),
    };
    if let Err(error) = container.remove().await {
        tracing::warn!(job = %run.work.job, %error, "a container could not be removed");
    }
    let image_id = image_id?;
    run.note(&format!(
        "install step done in {}; its image is kept as {:.12}",
        readable(started.elapsed()),
        print.id.as_str()
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
