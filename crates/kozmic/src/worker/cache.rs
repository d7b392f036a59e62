//! Whose cached images a job may use, and how many are kept.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::engine::{Engine, EngineError};
use crate::model::{InstallFrom, KnownImages, Script, TrackedPath};

/// Pushing an image may take so long.
const PUSH_TIME: Duration = Duration::from_mins(30);

/// A hook's install step.
#[derive(Debug, Clone)]
pub struct Install {
    pub script: Script,
    pub tracked: Vec<TrackedPath>,
    pub env: Vec<(String, String)>,
    /// Those of `env` that the image depends on.
    pub variables: BTreeMap<String, String>,
    /// The hook's title, by which an older image of it is found.
    pub hook: String,
    pub scope: CacheScope,
    pub from: InstallFrom,
    /// What a server knows of the project's images.
    pub known: KnownImages,
}

/// Whose cached images a job may use and make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheScope {
    project: String,
    /// None: the project's own jobs.
    apart: Option<Apart>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Apart {
    /// Of this pull request.
    Fork(i64),
    Try,
}

impl CacheScope {
    /// `fork` is the number of a pull request from a fork. It may use what the
    /// project made, and makes images that no other job ever uses: a fork can
    /// change what an install script runs without touching a tracked file.
    pub fn new(project: &str, fork: Option<i64>) -> Self {
        Self { project: project.to_owned(), apart: fork.map(Apart::Fork) }
    }

    /// Of a tree that somebody tries. What is not committed may change what an install
    /// script does as well, so the images of tries are for tries.
    pub fn of_try(project: &str) -> Self {
        Self { project: project.to_owned(), apart: Some(Apart::Try) }
    }

    /// What images that are made here are tagged with.
    pub(super) fn own(&self) -> String {
        match self.apart {
            Some(Apart::Fork(number)) => format!("{}-pull-{number}", self.project),
            Some(Apart::Try) => format!("{}-try", self.project),
            None => self.project.clone(),
        }
    }

    /// Where images are looked for, in this order.
    pub(super) fn readable(&self) -> Vec<String> {
        let mut scopes = vec![self.project.clone()];
        if self.apart.is_some() {
            scopes.push(self.own());
        }
        scopes
    }

    /// Whether an image counts towards the same limit. Forks share one of their
    /// own, so that they can't push the project's images out.
    pub(super) fn shares_limit_with(&self, scope: &str) -> bool {
        match self.apart {
            Some(Apart::Fork(_)) => scope.starts_with(&format!("{}-pull-", self.project)),
            Some(Apart::Try) | None => scope == self.own(),
        }
    }
}

/// Keeps two jobs from building the same image at once, and an image from being
/// removed between its choice and its use.
#[derive(Debug, Clone)]
pub struct CacheKeeper {
    /// Cached images kept per project.
    limit: usize,
    locks: Arc<Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>>,
    /// Where workers share their images; none: each makes its own.
    registry: Option<Shared>,
}

#[derive(Clone)]
struct Shared {
    engine: Arc<Engine>,
    registry: Arc<str>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("registry", &self.registry).finish_non_exhaustive()
    }
}

impl CacheKeeper {
    pub fn new(limit: usize) -> Self {
        Self { limit, locks: Arc::default(), registry: None }
    }

    /// With a registry in which workers share their images.
    #[must_use]
    pub fn shared(self, engine: &Arc<Engine>, registry: Option<&str>) -> Self {
        let shared = |registry: &str| Shared { engine: engine.clone(), registry: registry.into() };
        Self { registry: registry.map(shared), ..self }
    }

    /// Where workers share their images.
    pub(super) fn registry(&self) -> Option<&str> {
        self.registry.as_ref().map(|shared| &*shared.registry)
    }

    /// Sends an image to the registry in the background; that it is not there is no error,
    /// and another worker makes its own.
    pub(super) fn share(&self, name: String) {
        let Some(Shared { engine, registry }) = self.registry.clone() else { return };
        // Nobody waits for it: its second name keeps the image.
        tokio::spawn(async move {
            match tokio::time::timeout(PUSH_TIME, engine.push_cached(&registry, &name)).await {
                Ok(Ok(())) => tracing::info!(image = name, "a cached image was shared"),
                Ok(Err(error)) => {
                    tracing::warn!(image = name, %error, "a cached image is not shared");
                }
                Err(_) => tracing::warn!(image = name, "sharing a cached image takes too long"),
            }
        });
    }

    /// One for all scopes: a fork's job may use the project's image.
    pub(super) fn lock_of(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let name = name.rsplit_once(':').map_or(name, |(cache_id, _scope)| cache_id);
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody holds or waits for.
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        locks.entry(name.to_owned()).or_default().clone()
    }

    /// Removes the scope's images beyond the limit, least recently used first,
    /// none in use.
    pub(super) async fn prune(
        &self,
        engine: &Engine,
        scope: &CacheScope,
    ) -> Result<(), EngineError> {
        let images = engine.cached_images().await?;
        let beyond =
            images.iter().filter(|image| scope.shares_limit_with(&image.scope)).skip(self.limit);
        for image in beyond {
            let lock = self.lock_of(&image.name);
            let Ok(_held) = lock.try_lock() else { continue };
            if engine.remove_image(&image.name).await? {
                tracing::info!(image = %image.name, "a cached image was removed");
            }
        }
        Ok(())
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
        assert_eq!(CacheScope::of_try("7").readable(), ["7", "7-try"]);
        assert!(!ours.readable().contains(&fork.own()));
        assert!(!other.readable().contains(&fork.own()));
        assert!(
            !CacheScope::new("7", None).readable().contains(&CacheScope::new("70", None).own())
        );
    }

    #[test]
    fn an_image_is_held_for_whoever_may_use_it() {
        let keeper = CacheKeeper::new(3);
        let of_fork = keeper.lock_of("kozmic-cache/ab:7-pull-3");
        let _held = of_fork.try_lock().unwrap();
        assert!(keeper.lock_of("kozmic-cache/ab:7").try_lock().is_err());
        assert!(keeper.lock_of("kozmic-cache/ac:7").try_lock().is_ok());
    }

    #[test]
    fn forks_push_none_of_the_project_s_images_out() {
        let (ours, fork) = (CacheScope::new("7", None), CacheScope::new("7", Some(3)));
        assert!(ours.shares_limit_with("7") && !ours.shares_limit_with("7-pull-3"));
        assert!(fork.shares_limit_with("7-pull-9") && !fork.shares_limit_with("7"));
        assert!(!fork.shares_limit_with("77-pull-3") && !ours.shares_limit_with("77"));
    }
}
