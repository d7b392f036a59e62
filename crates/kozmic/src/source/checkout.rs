//! A work tree at one commit, with a `.git` of its own: what the container gets.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use super::git::{Failed, Git};
use super::{DEPTH, Result, SourceError, Wanted, mirror, on_disk};
use crate::model::GitRef;

/// Folders are removed by a thread with a stack of this size: their depth is for
/// strangers to choose.
const REMOVER_STACK: usize = 64 << 20;

/// A folder with the commit checked out. Removed, soon after it is dropped.
#[derive(Debug)]
pub struct Checkout {
    path: PathBuf,
    /// What git calls the trees that are checked out, and where below it: its own, then its
    /// submodules', each behind the one that it lies in.
    trees: Vec<(PathBuf, String)>,
}

impl Checkout {
    pub(super) fn new(path: &Path, trees: Vec<(PathBuf, String)>) -> Self {
        Self { path: path.to_owned(), trees }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a commit of whatever lies there, in a repository of its own on the branch that
    /// is named. What is ignored lies there because it is tracked.
    pub async fn commit_all(self, git_ref: &GitRef, message: &str) -> Result<Self> {
        let path = self.path();
        let git = async |arguments: &[&str]| {
            let who = ["-c", "user.name=Kozmic", "-c", "user.email=kozmic@localhost"];
            let git = Git::in_folder(path).args(who).args(arguments);
            git.run().await?.map_err(|failed| SourceError::Tried(failed.problem().into()))
        };
        let branch = format!("refs/heads/{}", git_ref.branch_name().unwrap_or("detached"));
        git(&["init", "--quiet", "--template="]).await?;
        git(&["symbolic-ref", "HEAD", &branch]).await?;
        git(&["add", "--all", "--force"]).await?;
        let tree = git(&["write-tree"]).await?.trim().to_owned();
        let commit = git(&["commit-tree", &tree, "-m", message]).await?;
        git(&["update-ref", &branch, commit.trim()]).await?;
        Ok(self.with_trees(vec![(PathBuf::new(), tree)]))
    }

    pub(super) fn with_trees(mut self, trees: Vec<(PathBuf, String)>) -> Self {
        self.trees = trees;
        self
    }

    pub(super) fn trees(&self) -> &[(PathBuf, String)] {
        &self.trees
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let _goes_on = remove(self.path.clone());
    }
}

/// In a thread of its own: a hundred thousand files take their time.
pub(super) fn remove(path: PathBuf) -> Option<JoinHandle<()>> {
    let shown = path.display().to_string();
    let removed = std::thread::Builder::new().stack_size(REMOVER_STACK).spawn(move || {
        if let Err(error) = std::fs::remove_dir_all(&path) {
            tracing::warn!(path = %path.display(), %error, "a checkout could not be removed");
        }
    });
    match removed {
        Ok(removal) => Some(removal),
        Err(error) => {
            tracing::warn!(path = shown, %error, "a checkout could not be removed");
            None
        }
    }
}

/// A folder with nothing in it.
pub(super) async fn empty(path: &Path) -> Result<Checkout> {
    // Left by a worker that was killed in this very attempt.
    if path.exists() {
        let removal = remove(path.to_owned());
        tokio::task::spawn_blocking(move || removal.map(JoinHandle::join)).await.ok();
    }
    tokio::fs::create_dir_all(path).await.map_err(on_disk(path))?;
    Ok(Checkout::new(path, Vec::new()))
}

pub(super) async fn make(mirror: &Path, wanted: &Wanted, path: &Path) -> Result<Checkout> {
    let checkout = empty(path).await?;
    let git = async |arguments: &[&str]| {
        let failed = |failed: Failed| SourceError::Checkout {
            sha: wanted.sha.clone(),
            problem: failed.problem(),
        };
        Git::in_folder(path).reading_disk().args(arguments).run().await?.map_err(failed)
    };
    let branch = branch_of(wanted);
    let mirror = std::path::absolute(mirror).map_err(on_disk(mirror))?;
    git(&["init", "--quiet"]).await?;
    git(&[
        "fetch",
        "--quiet",
        &format!("--depth={DEPTH}"),
        &format!("file://{}", mirror.display()),
        &format!("+{}:refs/remotes/origin/{branch}", mirror::kept_ref(&wanted.sha)),
    ])
    .await?;
    git(&["remote", "add", "origin", wanted.clone_url()]).await?;
    git(&["update-ref", &format!("refs/heads/{branch}"), wanted.sha.as_str()]).await?;
    // Not by `checkout -B`: a branch may be called -x, or HEAD.
    git(&["symbolic-ref", "HEAD", &format!("refs/heads/{branch}")]).await?;
    git(&["reset", "--quiet", "--hard"]).await?;
    Ok(checkout)
}

/// The branch that is checked out: the one that was pushed, or a name that
/// says which pull request or tag it is.
fn branch_of(wanted: &Wanted) -> String {
    match wanted.git_ref.branch_name() {
        Some(branch) => branch.to_owned(),
        None => wanted.git_ref.as_full().trim_start_matches("refs/").to_owned(),
    }
}
