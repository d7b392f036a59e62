//! One bare repository: its references, its history, and how it gets commits from a fork.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use tokio::process::Command;

use super::{
    GitError, answer,
    commits::{self, ChangedFile, Commit},
    output,
};
use crate::state::pull_requests::Size;

/// Full reference name → object id, of branches and tags.
pub(crate) type Refs = BTreeMap<String, String>;

/// What GitHub writes for "no commit": before a creation, after a deletion.
pub(crate) const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

/// The most commits a push event lists,
/// see <https://docs.github.com/webhooks/webhook-events-and-payloads#push>.
const MOST_COMMITS: &str = "--max-count=2048";

/// A bare repository on this disk.
#[derive(Debug, Clone)]
pub(crate) struct Bare {
    path: PathBuf,
}

impl Bare {
    pub(crate) fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Moves it to where another one is to be found, in place of the link that one may have left.
    pub(crate) fn move_to(&self, other: &Self) -> std::io::Result<()> {
        if let Some(folder) = other.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        if other.path.is_symlink() {
            std::fs::remove_file(&other.path)?;
        }
        std::fs::rename(&self.path, &other.path)
    }

    fn git<const N: usize>(&self, args: [&str; N]) -> Command {
        let mut command = super::command(&self.path);
        command.args(args);
        command
    }

    /// Makes an empty repository that behaves like one on GitHub.
    pub(crate) async fn create(&self, default_branch: &str) -> Result<(), GitError> {
        tokio::fs::create_dir_all(&self.path).await?;
        output(self.git([
            "init",
            "--quiet",
            "--bare",
            "--template=",
            "--initial-branch",
            default_branch,
        ]))
        .await?;
        for (key, value) in [
            ("http.receivepack", "true"),
            // Partial clones and fetches of a commit by its id work on GitHub.
            ("uploadpack.allowFilter", "true"),
            ("uploadpack.allowAnySHA1InWant", "true"),
            // GitHub writes pull request references itself and refuses pushes to them.
            ("receive.hideRefs", "refs/pull"),
            // A commit goes away when a test says so and not before.
            ("gc.auto", "0"),
            ("receive.autogc", "false"),
        ] {
            output(self.git(["config", key, value])).await?;
        }
        Ok(())
    }

    pub(crate) async fn refs(&self) -> Result<Refs, GitError> {
        let listed = output(self.git([
            "for-each-ref",
            "--format=%(objectname) %(refname)",
            "refs/heads/",
            "refs/tags/",
        ]))
        .await?;
        Ok(String::from_utf8_lossy(&listed)
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(sha, name)| (name.to_owned(), sha.to_owned()))
            .collect())
    }

    /// The commit a branch, tag, full reference or (abbreviated) id stands for.
    pub(crate) async fn commit_of(&self, revision: &str) -> Result<Option<String>, GitError> {
        // Anything with git's own operators (`main~1`, `@{…}`, `a:b`) is no name on GitHub.
        if revision.is_empty() || revision.contains(['~', '^', ':', '@', '\\', ' ', '*', '?', '['])
        {
            return Ok(None);
        }
        for candidate in [
            format!("refs/heads/{revision}"),
            format!("refs/tags/{revision}"),
            format!("refs/{revision}"),
            revision.to_owned(),
        ] {
            let is_id = candidate == revision;
            if is_id && !is_object_id(revision) && !revision.starts_with("refs/") {
                continue;
            }
            if let Some(sha) = self.verify(&format!("{candidate}^{{commit}}")).await? {
                return Ok(Some(sha));
            }
        }
        Ok(None)
    }

    /// The commit below an object id, `None` when the object is missing or is no commit.
    pub(crate) async fn verify(&self, revision: &str) -> Result<Option<String>, GitError> {
        let found = self
            .git(["rev-parse", "--verify", "--quiet", "--end-of-options", revision])
            .output()
            .await?;
        let sha = String::from_utf8_lossy(&found.stdout).trim().to_owned();
        Ok((found.status.success() && is_object_id(&sha)).then_some(sha))
    }

    /// Object id and type (`commit`, `tag`) of exactly this reference, such as `heads/main`.
    pub(crate) async fn reference(&self, name: &str) -> Result<Option<(String, String)>, GitError> {
        let full = format!("refs/{name}");
        let found = self.references(name).await?.into_iter().find(|(name, ..)| *name == full);
        Ok(found.map(|(_, sha, kind)| (sha, kind)))
    }

    pub(crate) async fn is_ancestor(&self, old: &str, new: &str) -> Result<bool, GitError> {
        answer(self.git(["merge-base", "--is-ancestor", old, new])).await
    }

    /// The commits reachable from `include` and from nothing in `exclude`, oldest first.
    pub(crate) async fn commits(
        &self,
        include: &str,
        exclude: &[String],
    ) -> Result<Vec<Commit>, GitError> {
        let mut command = self.git(["log", "--topo-order", MOST_COMMITS]);
        command.args(commits::LOG_OPTIONS).arg(include).arg("--not").args(exclude).arg("--");
        let mut commits = commits::parse_log(&output(command).await?)?;
        // Not `--reverse`: with it git would keep the oldest 2,048 and drop the head.
        commits.reverse();
        Ok(commits)
    }

    pub(crate) async fn commit(&self, sha: &str) -> Result<Commit, GitError> {
        let mut command = self.git(["log", "--max-count=1"]);
        command.args(commits::LOG_OPTIONS).args([sha, "--"]);
        commits::parse_log(&output(command).await?)?
            .pop()
            .ok_or(GitError::Unexpected { command: "log" })
    }

    /// The files a commit changed against its first parent, with counted lines.
    pub(crate) async fn changed_files(&self, sha: &str) -> Result<Vec<ChangedFile>, GitError> {
        let mut command = self.git(["show", "--format=", "--diff-merges=first-parent"]);
        command.args(commits::FILE_OPTIONS).args([sha, "--"]);
        commits::parse_files(&output(command).await?)
    }

    /// The files that differ between two commits, with counted lines.
    pub(crate) async fn files_between(
        &self,
        from: &str,
        to: &str,
    ) -> Result<Vec<ChangedFile>, GitError> {
        let mut command = self.git(["diff"]);
        command.args(commits::FILE_OPTIONS).args([from, to, "--"]);
        commits::parse_files(&output(command).await?)
    }

    /// The commit where two histories parted; `None` when they have nothing in common.
    pub(crate) async fn merge_base(&self, a: &str, b: &str) -> Result<Option<String>, GitError> {
        let found = self.git(["merge-base", a, b]).output().await?;
        let sha = String::from_utf8_lossy(&found.stdout).trim().to_owned();
        Ok((found.status.success() && is_object_id(&sha)).then_some(sha))
    }

    /// Name, object id and type of all references that begin so; `start` is without `refs/`.
    pub(crate) async fn references(
        &self,
        start: &str,
    ) -> Result<Vec<(String, String, String)>, GitError> {
        let listed =
            output(self.git(["for-each-ref", "--format=%(refname) %(objectname) %(objecttype)"]));
        let start = format!("refs/{start}");
        let parse = |line: &str| {
            let mut words = line.split(' ').map(str::to_owned);
            Some((words.next()?, words.next()?, words.next()?))
        };
        Ok(String::from_utf8_lossy(&listed.await?)
            .lines()
            .filter(|line| line.starts_with(&start))
            .filter_map(parse)
            .collect())
    }

    /// What a pull request from `head` into `base` would change since they parted.
    pub(crate) async fn size_of_change(&self, base: &str, head: &str) -> Result<Size, GitError> {
        let range = format!("{base}..{head}");
        let counted = output(self.git(["rev-list", "--count", &range, "--"])).await?;
        let since_parting = format!("{base}...{head}");
        let mut command = self.git(["diff"]);
        command.args(commits::FILE_OPTIONS).args([since_parting.as_str(), "--"]);
        // Without a common ancestor there is nothing to compare with; GitHub shows no diff.
        let files = match output(command).await {
            Ok(listed) => commits::parse_files(&listed)?,
            Err(_) => Vec::new(),
        };
        Ok(Size {
            commits: String::from_utf8_lossy(&counted).trim().parse().unwrap_or(0),
            additions: files.iter().map(|file| file.additions).sum(),
            deletions: files.iter().map(|file| file.deletions).sum(),
            changed_files: files.len() as u64,
        })
    }

    /// Copies what these refspecs (or object ids) name from another repository on this disk.
    pub(crate) async fn fetch(&self, from: &Self, wanted: &[&str]) -> Result<(), GitError> {
        let mut command = self.git([
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-auto-maintenance",
            "--no-write-fetch-head",
        ]);
        command.arg(&from.path).args(wanted);
        output(command).await.map(drop)
    }

    pub(crate) async fn set(&self, reference: &str, sha: &str) -> Result<(), GitError> {
        output(self.git(["update-ref", reference, sha])).await.map(drop)
    }

    /// Renames a branch, and lets `HEAD` follow.
    pub(crate) async fn rename_branch(&self, from: &str, to: &str) -> Result<(), GitError> {
        output(self.git(["check-ref-format", "--branch", to])).await?;
        if self.verify(&format!("refs/heads/{from}")).await?.is_some() {
            output(self.git(["branch", "--move", from, to])).await?;
        }
        output(self.git(["symbolic-ref", "HEAD", &format!("refs/heads/{to}")])).await.map(drop)
    }

    /// The references that keep a commit alive.
    pub(crate) async fn holders(&self, sha: &str) -> Result<Vec<String>, GitError> {
        let listed = output(self.git(["for-each-ref", "--format=%(refname)", "--contains", sha]));
        Ok(String::from_utf8_lossy(&listed.await?).lines().map(str::to_owned).collect())
    }

    /// Deletes every object that no reference reaches.
    pub(crate) async fn collect_garbage(&self) -> Result<(), GitError> {
        output(self.git(["reflog", "expire", "--expire=now", "--all"])).await?;
        output(self.git(["gc", "--quiet", "--prune=now"])).await.map(drop)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

pub(crate) fn is_object_id(text: &str) -> bool {
    (4..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

pub(crate) fn is_full_id(text: &str) -> bool {
    text.len() == 40 && is_object_id(text)
}
