//! A checkout of somebody's own: the commit they are at, with what they changed
//! since.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::checkout::Checkout;
use super::git::{Failed, Git};
use super::{DEPTH, Result, SourceError, on_disk};
use crate::model::CommitSha;

/// A git work tree on this machine.
#[derive(Debug, Clone)]
pub struct LocalTree {
    root: PathBuf,
    pub sha: CommitSha,
    /// None when no branch is checked out.
    pub branch: Option<String>,
}

impl LocalTree {
    /// The work tree that `folder` lies in.
    pub async fn open(folder: &Path) -> Result<Self> {
        let git = async |arguments: &[&str]| Git::in_folder(folder).args(arguments).run().await;
        let not_a_tree = |failed: Failed| SourceError::NotATree {
            path: folder.display().to_string(),
            problem: failed.problem(),
        };
        let root = git(&["rev-parse", "--show-toplevel"]).await?.map_err(not_a_tree)?;
        let sha = git(&["rev-parse", "--verify", "HEAD"]).await?.map_err(not_a_tree)?;
        let sha = sha.trim().parse().map_err(|_| SourceError::NotATree {
            path: folder.display().to_string(),
            problem: "it has no commit yet".into(),
        })?;
        let branch = git(&["symbolic-ref", "--quiet", "--short", "HEAD"]).await?.ok();
        let branch = branch.map(|name| name.trim().to_owned());
        Ok(Self { root: PathBuf::from(root.trim_end_matches('\n')), sha, branch })
    }

    /// A copy at `path`: the commit with its history, and, unless only what is
    /// `committed` is wanted, everything that was changed, deleted or added since
    /// and is not ignored. The tree that is copied from is only read.
    pub async fn copy(&self, path: &Path, committed: bool) -> Result<Checkout> {
        fs::create_dir_all(path).map_err(on_disk(path))?;
        let failed = |failed: Failed| SourceError::Checkout {
            sha: self.sha.clone(),
            problem: failed.problem(),
        };
        let git = async |arguments: &[&str]| {
            Git::in_folder(path).reading_disk().args(arguments).run().await?.map_err(failed)
        };
        let branch = self.branch.as_deref().unwrap_or("detached");
        git(&["init", "--quiet"]).await?;
        git(&[
            "fetch",
            "--quiet",
            "--update-shallow",
            &format!("--depth={DEPTH}"),
            &format!("file://{}", self.root.display()),
            "HEAD",
        ])
        .await?;
        git(&["update-ref", &format!("refs/heads/{branch}"), self.sha.as_str()]).await?;
        git(&["symbolic-ref", "HEAD", &format!("refs/heads/{branch}")]).await?;
        git(&["reset", "--quiet", "--hard"]).await?;
        if committed {
            return Ok(Checkout::new(path, self.sha.to_string()));
        }
        self.overlay(path).await?;
        // What is tracked is looked up in the tree as it is now. It is made with an
        // index of its own, so that the changes stay uncommitted and unstaged.
        let index = path.join(".git/kozmic-index");
        let with_index = |arguments: &'static [&'static str]| {
            Git::in_folder(path).index(&index).args(arguments).run()
        };
        with_index(&["add", "--all"]).await?.map_err(failed)?;
        let tree = with_index(&["write-tree"]).await?.map_err(failed)?;
        fs::remove_file(&index).map_err(on_disk(&index))?;
        Ok(Checkout::new(path, tree.trim().to_owned()))
    }

    /// Puts what differs from the commit over the copy.
    async fn overlay(&self, path: &Path) -> Result<()> {
        for name in self.changed().await? {
            let (from, to) = (self.root.join(&name), path.join(&name));
            copy_one(&from, &to).map_err(on_disk(&from))?;
        }
        Ok(())
    }

    /// Paths that were changed, deleted or added since the commit, without those
    /// that are ignored.
    async fn changed(&self) -> Result<BTreeSet<PathBuf>> {
        let listed = |failed: Failed| SourceError::NotATree {
            path: self.root.display().to_string(),
            problem: failed.problem(),
        };
        let git = async |arguments: &[&str]| {
            Git::in_folder(&self.root).args(arguments).run_bytes().await?.map_err(listed)
        };
        let changed = git(&["diff", "--name-only", "--no-renames", "-z", "HEAD"]).await?;
        let added = git(&["ls-files", "--others", "--exclude-standard", "-z"]).await?;
        let names = changed.split(|byte| *byte == 0).chain(added.split(|byte| *byte == 0));
        Ok(names
            .filter(|name| !name.is_empty())
            .map(path_of)
            .filter(|path| is_inside(path))
            .collect())
    }
}

fn path_of(name: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    PathBuf::from(std::ffi::OsStr::from_bytes(name))
}

fn is_inside(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// Makes `to` what `from` is now: a file with its mode, a link, or nothing.
fn copy_one(from: &Path, to: &Path) -> io::Result<()> {
    match fs::symlink_metadata(to) {
        Ok(there) if there.is_dir() => fs::remove_dir_all(to)?,
        Ok(_) => fs::remove_file(to)?,
        Err(_) => {}
    }
    let Ok(found) = fs::symlink_metadata(from) else { return Ok(()) };
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    if found.is_symlink() {
        std::os::unix::fs::symlink(fs::read_link(from)?, to)
    } else if found.is_file() {
        fs::copy(from, to).map(|_| ())
    } else {
        // A submodule: its own commit is checked out with the others.
        Ok(())
    }
}
