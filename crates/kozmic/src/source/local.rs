//! A checkout of somebody's own: the commit they are at, with what they changed
//! since.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::checkout::Checkout;
use super::git::{Failed, Git};
use super::submodules::{self, LEVELS};
use super::{DEPTH, Result, SourceError, lfs, on_disk};
use crate::model::CommitSha;

const ADD_ALL: [&str; 4] = [lfs::AS_POINTERS[0], lfs::AS_POINTERS[1], "add", "--all"];

/// A copy under way.
struct Copying<'a> {
    to: &'a Path,
    /// Without what was changed since.
    committed: bool,
    /// As of a [`Checkout`].
    trees: Vec<(PathBuf, String)>,
}

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
        let not_a_tree =
            |problem: String| SourceError::NotATree { path: folder.display().to_string(), problem };
        let asked = ["rev-parse", "--show-toplevel", "HEAD", "--symbolic-full-name", "HEAD"];
        let told = match Git::in_folder(folder).args(asked).run().await? {
            Ok(told) => told,
            Err(failed) if failed.stderr.contains("ambiguous argument 'HEAD'") => {
                return Err(not_a_tree("it has no commit yet".into()));
            }
            Err(failed) => return Err(not_a_tree(failed.problem())),
        };
        // A folder's name may hold newlines; the two after it do not.
        let mut lines = told.trim_end_matches('\n').rsplitn(3, '\n');
        let (Some(head), Some(sha), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(not_a_tree("git tells too little of it".into()));
        };
        Ok(Self {
            root: PathBuf::from(root),
            sha: sha.parse().map_err(|_| not_a_tree(format!("its commit is `{sha}`")))?,
            branch: head.strip_prefix("refs/heads/").map(str::to_owned),
        })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The paths of all its files, below its root: those that are tracked, of submodules
    /// that are checked out as well, and those that are neither tracked nor ignored. Some
    /// may be gone.
    pub async fn files(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        let mut folders = vec![(PathBuf::new(), 0)];
        while let Some((folder, level)) = folders.pop() {
            let at = self.root.join(&folder);
            for path in list(&at).await? {
                let path = folder.join(path);
                let found = fs::symlink_metadata(self.root.join(&path));
                let is_folder = found.is_ok_and(|found| found.is_dir());
                if !is_folder {
                    files.push(path);
                } else if level < LEVELS && self.root.join(&path).join(".git").exists() {
                    folders.push((path, level + 1));
                }
            }
        }
        files.sort();
        files.dedup();
        Ok(files)
    }

    /// A copy at `path`: the commit with its history and its submodules, and, unless only
    /// what is `committed` is wanted, everything that was changed, deleted or added since
    /// and is not ignored, in submodules as well. The trees that are copied from are only
    /// read.
    pub async fn copy(&self, path: &Path, committed: bool) -> Result<Checkout> {
        let mut copy = Copying { to: path, committed, trees: Vec::new() };
        self.copy_level(&mut copy, Path::new("")).await?;
        Ok(Checkout::new(path, copy.trees))
    }

    /// As [`LocalTree::copy`], into a folder of the copy.
    async fn copy_level(&self, copy: &mut Copying<'_>, folder: &Path) -> Result<()> {
        let (path, committed) = (&copy.to.join(folder), copy.committed);
        let place = copy.trees.len();
        copy.trees.push((folder.to_owned(), self.sha.to_string()));
        fs::create_dir_all(path).map_err(on_disk(path))?;
        let changed = async { if committed { Ok(BTreeSet::new()) } else { self.changed().await } };
        let (copied, changed) = tokio::join!(self.copy_commit(path), changed);
        copied?;
        let changed = changed?;
        for name in &changed {
            let (from, to) = (self.root.join(name), path.join(name));
            copy_one(&from, &to).map_err(on_disk(&from))?;
        }
        // What is tracked of them is the commit that is checked out there.
        self.copy_submodules(copy, folder).await?;
        if changed.is_empty() {
            return lfs::copy(&self.root, path).await;
        }
        // What is tracked is looked up in the tree as it is now. It is made with an
        // index of its own, so that the changes stay uncommitted and unstaged.
        let index = path.join(".git/kozmic-index");
        let with_index = |arguments: &'static [&'static str]| {
            Git::in_folder(path).index(&index).args(arguments).run()
        };
        let failed = |failed| self.failed(&failed);
        with_index(&ADD_ALL).await?.map_err(failed)?;
        let tree = with_index(&["write-tree"]).await?.map_err(failed)?;
        fs::remove_file(&index).map_err(on_disk(&index))?;
        tree.trim().clone_into(&mut copy.trees[place].1);
        lfs::copy(&self.root, path).await
    }

    /// The submodules of what was copied into a folder, each from where it is checked out here.
    async fn copy_submodules(&self, copy: &mut Copying<'_>, folder: &Path) -> Result<()> {
        let (path, committed) = (&copy.to.join(folder), copy.committed);
        if !submodules::has_any(path) {
            return Ok(());
        }
        if submodules::level(folder, &copy.trees) >= LEVELS {
            return Err(submodules::too_deep());
        }
        // One that was added and is not committed yet is in the index here.
        let links = submodules::links(if committed { path } else { &self.root }).await?;
        for (name, sha) in links.into_iter().filter(|(name, _)| is_inside(name)) {
            let from = self.root.join(&name);
            let missing = || SourceError::NotUpdated { path: from.display().to_string() };
            if !from.join(".git").exists() {
                if submodules::is_left_alone(path, &name).await? {
                    continue;
                }
                return Err(missing());
            }
            let mut tree = Self::open(&from).await?;
            if committed && tree.sha != sha {
                let commit = format!("{sha}^{{commit}}");
                let found = Git::in_folder(&from).args(["cat-file", "-e", &commit]).run().await?;
                found.map_err(|_| missing())?;
                tree.sha = sha;
            }
            let folder = folder.join(&name);
            Box::pin(tree.copy_level(copy, &folder)).await?;
        }
        Ok(())
    }

    async fn copy_commit(&self, path: &Path) -> Result<()> {
        let git = async |arguments: &[&str]| {
            let git = Git::in_folder(path).reading_disk().args(arguments);
            git.run().await?.map_err(|failed| self.failed(&failed))
        };
        let branch = self.branch.as_deref().unwrap_or("detached");
        git(&["init", "--quiet", "--template="]).await?;
        // As `git symbolic-ref` does it.
        let head = path.join(".git/HEAD");
        fs::write(&head, format!("ref: refs/heads/{branch}\n")).map_err(on_disk(&head))?;
        git(&[
            "fetch",
            "--quiet",
            "--update-shallow",
            "--update-head-ok",
            &format!("--depth={DEPTH}"),
            &format!("file://{}", self.root.display()),
            &format!("+{}:refs/heads/{branch}", self.sha),
        ])
        .await?;
        git(&["reset", "--quiet", "--hard"]).await?;
        Ok(())
    }

    fn failed(&self, failed: &Failed) -> SourceError {
        SourceError::Checkout { sha: self.sha.clone(), problem: failed.problem() }
    }

    /// Paths that were changed, deleted or added since the commit, without those
    /// that are ignored.
    async fn changed(&self) -> Result<BTreeSet<PathBuf>> {
        let arguments = [
            // It is only read: not even its index is refreshed.
            "--no-optional-locks",
            "status",
            "--porcelain",
            "--untracked-files=all",
            "--no-renames",
            "-z",
        ];
        let git = Git::in_folder(&self.root).args(lfs::AS_POINTERS).args(arguments);
        let listed = git.run_bytes().await?;
        let listed = listed.map_err(|failed| SourceError::NotATree {
            path: self.root.display().to_string(),
            problem: failed.problem(),
        })?;
        // `XY <path>`, each ended by NUL.
        let names = listed.split(|byte| *byte == 0).filter_map(|entry| entry.get(3..));
        Ok(names
            .filter(|name| !name.is_empty())
            .map(path_of)
            .filter(|path| is_inside(path))
            .collect())
    }
}

/// As git lists them. A repository inside that is no submodule ends with a slash: git
/// takes no notice of its files.
async fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let arguments =
        ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"];
    let listed = Git::in_folder(folder).args(arguments).run_bytes().await?;
    let listed = listed.map_err(|failed| SourceError::NotATree {
        path: folder.display().to_string(),
        problem: failed.problem(),
    })?;
    let names = listed.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let names = names.filter(|name| !name.ends_with(b"/"));
    Ok(names.map(path_of).filter(|path| is_inside(path)).collect())
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
        // A submodule: it is copied with the others.
        Ok(())
    }
}
