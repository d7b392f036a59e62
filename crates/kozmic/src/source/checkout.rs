//! A work tree at one commit, with a `.git` of its own: what the container gets.

use std::path::{Path, PathBuf};

use super::git::{Failed, Git};
use super::{DEPTH, Result, SourceError, Wanted, mirror, on_disk};

/// A folder with the commit checked out. Removed when it is dropped.
#[derive(Debug)]
pub struct Checkout {
    path: PathBuf,
    /// What git calls the tree that is checked out.
    tree: String,
}

impl Checkout {
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn tree(&self) -> &str {
        &self.tree
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

pub(super) fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_dir_all(path) {
        tracing::warn!(path = %path.display(), %error, "a checkout could not be removed");
    }
}

pub(super) async fn make(mirror: &Path, wanted: &Wanted, path: &Path) -> Result<Checkout> {
    // Left over from an attempt that was killed.
    match tokio::fs::remove_dir_all(path).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(on_disk(path)(error));
        }
        _ => tokio::fs::create_dir_all(path).await.map_err(on_disk(path))?,
    }
    let checkout = Checkout { path: path.to_owned(), tree: wanted.sha.to_string() };
    let failed = |failed: Failed| SourceError::Checkout {
        sha: wanted.sha.clone(),
        problem: failed.problem(),
    };
    let branch = branch_of(wanted);
    Git::in_folder(path)
        .args(["-c", &format!("init.defaultBranch={branch}"), "init", "--quiet"])
        .run()
        .await?
        .map_err(failed)?;
    let kept = mirror::kept_ref(&wanted.sha);
    Git::in_folder(path)
        .reading_disk()
        .args(["fetch", "--quiet", "--update-shallow", &format!("--depth={DEPTH}")])
        .args([
            format!("file://{}", absolute(mirror)?.display()),
            format!("+{kept}:refs/remotes/origin/{branch}"),
        ])
        .run()
        .await?
        .map_err(failed)?;
    Git::in_folder(path)
        .args(["remote", "add", "origin", &wanted.clone_url])
        .run()
        .await?
        .map_err(failed)?;
    Git::in_folder(path)
        .args(["checkout", "--quiet", "--force", "-B", &branch, wanted.sha.as_str()])
        .run()
        .await?
        .map_err(failed)?;
    if path.join(".gitmodules").exists() {
        Git::in_folder(path)
            .args([
                "submodule",
                "--quiet",
                "update",
                "--init",
                "--recursive",
                &format!("--depth={DEPTH}"),
            ])
            .run()
            .await?
            .map_err(|failed| SourceError::Submodules(failed.problem()))?;
    }
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

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(on_disk(path))
}
