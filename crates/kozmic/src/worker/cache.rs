//! Whose cached images a job may use, and how many are kept.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::{Engine, EngineError};
use crate::model::{InstallFrom, KnownImages, Script, TrackedPath};

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
    pub(super) fn own(&self) -> String {
        match self.fork {
            Some(number) => format!("{}-pull-{number}", self.project),
            None => self.project.clone(),
        }
    }

    /// Where images are looked for, in this order.
    pub(super) fn readable(&self) -> Vec<String> {
        let mut scopes = vec![self.project.clone()];
        if self.fork.is_some() {
            scopes.push(self.own());
        }
        scopes
    }

    /// Whether an image counts towards the same limit. Forks share one of their
    /// own, so that they can't push the project's images out.
    pub(super) fn shares_limit_with(&self, scope: &str) -> bool {
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

impl CacheKeeper {
    pub fn new(limit: usize) -> Self {
        Self { limit, locks: Arc::default() }
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
