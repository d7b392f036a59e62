//! Git: one commit onto this disk. Runs the git program, whose words people
//! know, in an environment that takes no configuration, prompt or credential
//! from the machine.

mod checkout;
mod git;
mod local;
mod mirror;
mod submodules;
mod tidy;
mod tracked;

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::model::{CommitSha, GitRef, JobUuid, ProjectId};

pub use checkout::Checkout;
pub use local::LocalTree;
pub use tidy::HeldMirror;

/// Commits of history that a checkout has.
const DEPTH: u32 = 50;

#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("the commit {sha} is no longer in the repository; was {git_ref} force-pushed?")]
    CommitVanished { sha: CommitSha, git_ref: GitRef },
    #[error("can't fetch from {url}: {problem}")]
    Fetch { url: String, problem: String },
    #[error("can't check out {sha}: {problem}")]
    Checkout { sha: CommitSha, problem: String },
    #[error("can't fetch the submodules: {0}")]
    Submodules(String),
    #[error("{path} is not a git checkout that can be built: {problem}")]
    NotATree { path: String, problem: String },
    #[error("can't look up the tracked files: {0}")]
    Tracked(String),
    #[error("git can't be run: {0}")]
    Git(std::io::Error),
    #[error("{path}: {source}")]
    Disk { path: String, source: std::io::Error },
}

type Result<T> = std::result::Result<T, SourceError>;

/// What to check out.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub project: ProjectId,
    pub clone_url: String,
    pub git_ref: GitRef,
    pub sha: CommitSha,
    /// A stranger's commit: less is fetched for it.
    pub is_from_fork: bool,
}

/// Mirrors and checkouts of this worker.
#[derive(Debug, Clone)]
pub struct Source {
    mirrors: PathBuf,
    checkouts: PathBuf,
    /// One fetch at a time per project: the next finds the commit there.
    locks: Arc<Mutex<HashMap<ProjectId, Arc<tokio::sync::Mutex<()>>>>>,
}

impl Source {
    /// Below the data folder; folders are made when they are needed.
    pub fn new(data_dir: &Path) -> Self {
        Self {
            mirrors: data_dir.join("mirrors"),
            checkouts: data_dir.join("checkouts"),
            locks: Arc::default(),
        }
    }

    /// The checkouts that lie here, with the job and attempt of each.
    pub fn checkouts(&self) -> Vec<(String, JobUuid, i64)> {
        let Ok(entries) = std::fs::read_dir(&self.checkouts) else { return Vec::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names
            .filter_map(|name| {
                let (job, attempt) = name.rsplit_once('-')?;
                let (job, attempt) = (job.parse().ok()?, attempt.parse().ok()?);
                Some((name, job, attempt))
            })
            .collect()
    }

    /// Removes a checkout whose owner is gone.
    pub fn remove_checkout(&self, name: &str) {
        let _goes_on = checkout::remove(self.checkouts.join(name));
    }

    /// Removes what these attempts of a job left here.
    pub fn remove_checkouts_of(&self, job: JobUuid, attempts: RangeInclusive<i64>) {
        for (name, owner, attempt) in self.checkouts() {
            if owner == job && attempts.contains(&attempt) {
                self.remove_checkout(&name);
            }
        }
    }

    /// Fetches one commit into the project's mirror, unless it is there, and
    /// checks it out with its submodules into a folder of this attempt's.
    pub async fn check_out(&self, wanted: &Wanted, job: JobUuid, attempt: i64) -> Result<Checkout> {
        let mirror = {
            let lock = self.lock_of(wanted.project);
            let _held = lock.lock().await;
            mirror::fetch(&self.mirrors, wanted).await?
        };
        checkout::make(&mirror, wanted, &self.checkouts.join(format!("{job}-{attempt}"))).await
    }

    /// The folder of checkouts; made when it is needed.
    pub fn checkouts_folder(&self) -> &Path {
        &self.checkouts
    }

    fn lock_of(&self, project: ProjectId) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        locks.entry(project).or_default().clone()
    }
}

fn on_disk(path: &Path) -> impl FnOnce(std::io::Error) -> SourceError {
    let path = path.display().to_string();
    move |source| SourceError::Disk { path, source }
}
