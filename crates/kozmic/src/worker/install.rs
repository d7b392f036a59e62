//! The install step: its result is an image, kept until one of its inputs
//! changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

use super::Progress;
use super::execute::{Run, Stepped};
use super::script::{self, ScriptRun};
use crate::engine::{CachedImage, Engine, EngineError, NewCachedImage, Step, cached_image_name};
use crate::model::{CacheInputs, Fingerprint, JobEnd, Script, Timestamp, TrackedPath};
use crate::source::Checkout;

/// A hook's install step.
#[derive(Debug, Clone)]
pub struct Install {
    pub script: Script,
    pub tracked: Vec<TrackedPath>,
    /// The hook's title, by which an older image of it is found.
    pub hook: String,
    pub scope: CacheScope,
}

/// Whose cached images a job may use and make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheScope {
    project: String,
    fork: Option<i64>,
}

impl CacheScope {
    /// `fork` is the number of a pull request from a fork. It may use what the
    /// project made, and makes images that no other job ever uses: a fork can
    /// change what an install script runs without touching a tracked file.
    pub fn new(project: &str, fork: Option<i64>) -> Self {
        Self { project: project.to_owned(), fork }
    }

    /// What images that are made here are tagged with.
    fn own(&self) -> String {
        match self.fork {
            Some(number) => format!("{}-pull-{number}", self.project),
            None => self.project.clone(),
        }
    }

    /// Where images are looked for, in this order.
    fn readable(&self) -> Vec<String> {
        let mut scopes = vec![self.project.clone()];
        if self.fork.is_some() {
            scopes.push(self.own());
        }
        scopes
    }

    /// Whether an image counts towards the same limit. Forks share one of their
    /// own, so that they can't push the project's images out.
    fn shares_limit_with(&self, scope: &str) -> bool {
        let forks = format!("{}-pull-", self.project);
        if self.fork.is_some() { scope.starts_with(&forks) } else { scope == self.project }
    }
}

/// Keeps two jobs from building the same image at once, and an image from being
/// removed between its choice and its use.
#[derive(Debug, Clone)]
pub struct CacheKeeper {
    /// Cached images kept per project.
    limit: usize,
    locks: Arc<Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>>,
}

/// A chosen image. It is not removed as long as this lives.
pub(super) struct Chosen {
    pub(super) image_id: String,
    _hold: OwnedMutexGuard<()>,
}

impl CacheKeeper {
    pub fn new(limit: usize) -> Self {
        Self { limit, locks: Arc::default() }
    }

    fn lock_of(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody holds or waits for.
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        locks.entry(name.to_owned()).or_default().clone()
    }

    /// Removes the scope's images beyond the limit, least recently used first,
    /// none in use.
    async fn prune(&self, engine: &Engine, scope: &CacheScope) -> Result<(), EngineError> {
        let images = engine.cached_images().await?;
        let beyond =
            images.iter().filter(|image| scope.shares_limit_with(&image.scope)).skip(self.limit);
        for image in beyond {
            let lock = self.lock_of(&image.name);
            let Ok(_held) = lock.try_lock() else { continue };
            if engine.remove_cached(&image.name).await? {
                tracing::info!(image = %image.name, "a cached image was removed");
            }
        }
        Ok(())
    }
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
    let script =
        ScriptRun { step: Step::Install, script: &install.script, image_id: base_image, checkout };
    let container = script::prepare(run, &script).await?;
    let image_id = match script::run(run, &container).await {
        Ok(JobEnd::Exited(0)) => {
            (run.tell)(Progress::Installs("keeping the image of the install step".into()));
            let new = NewCachedImage {
                cache_id: &print.id,
                scope: &install.scope.own(),
                hook: &install.hook,
                inputs: &print.parts,
            };
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
        "install step done in {:.1} s; its image is kept as {:.12}",
        started.elapsed().as_secs_f64(),
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
    let age = Timestamp::now().since(created);
    match age.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fork_s_images_are_its_own() {
        let (ours, fork, other) = (
            CacheScope::new("7", None),
            CacheScope::new("7", Some(3)),
            CacheScope::new("7", Some(4)),
        );
        assert_eq!(ours.readable(), ["7"]);
        assert_eq!(fork.readable(), ["7", "7-pull-3"]);
        assert!(!ours.readable().contains(&fork.own()));
        assert!(!other.readable().contains(&fork.own()));
        assert!(
            !CacheScope::new("7", None).readable().contains(&CacheScope::new("70", None).own())
        );
    }

    #[test]
    fn forks_push_none_of_the_project_s_images_out() {
        let (ours, fork) = (CacheScope::new("7", None), CacheScope::new("7", Some(3)));
        assert!(ours.shares_limit_with("7") && !ours.shares_limit_with("7-pull-3"));
        assert!(fork.shares_limit_with("7-pull-9") && !fork.shares_limit_with("7"));
        assert!(!fork.shares_limit_with("77-pull-3") && !ours.shares_limit_with("77"));
    }
}
