//! What a person does with git: clone, change files, commit, push. By the real git command
//! line, over HTTP, in a temporary folder.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::process::Command;

use crate::git;

/// One commit and the push of it.
///
/// A branch that does not exist begins at `main`, or with no parent when the repository is
/// empty.
#[derive(Debug, Clone, Default)]
pub struct Push {
    /// `owner/name`.
    pub repository: String,
    /// Who commits and pushes.
    pub login: String,
    /// Without `refs/heads/`; `main` when empty.
    pub branch: String,
    /// A plain sentence when empty.
    pub message: String,
    /// Paths in the repository and what becomes of them; applied after `from_dir`.
    pub files: Vec<(String, FileChange)>,
    /// Replace the tip of the branch by this commit (as `git commit --amend`) and push it with
    /// `--force`: the old tip is no longer reachable from the branch.
    pub force: bool,
    /// Replace the whole tree by the content of this folder; symbolic links and modes are kept,
    /// `.git` is left out.
    pub from_dir: Option<PathBuf>,
    /// Add a submodule: path and URL.
    pub submodule: Option<(String, String)>,
}

/// What becomes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileChange {
    /// It is there, with this content.
    Write {
        /// The whole content.
        bytes: Vec<u8>,
        /// Mode 755, else 644.
        executable: bool,
    },
    /// It is gone.
    Delete,
}

impl Push {
    /// A push to `main` that changes nothing yet.
    pub fn new(repository: impl Into<String>, login: impl Into<String>) -> Self {
        Self {
            repository: repository.into(),
            login: login.into(),
            branch: "main".to_owned(),
            ..Self::default()
        }
    }

    /// To another branch.
    #[must_use]
    pub fn branch(mut self, branch: impl Into<String>) -> Self {
        self.branch = branch.into();
        self
    }

    /// With this commit message.
    #[must_use]
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// Writes a file.
    #[must_use]
    pub fn write(self, path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        self.file(path, content.into(), false)
    }

    /// Writes an executable file.
    #[must_use]
    pub fn executable(self, path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        self.file(path, content.into(), true)
    }

    fn file(mut self, path: impl Into<String>, bytes: Vec<u8>, executable: bool) -> Self {
        let change = FileChange::Write { bytes, executable };
        self.files.push((path.into(), change));
        self
    }

    /// Deletes a file.
    #[must_use]
    pub fn delete(mut self, path: impl Into<String>) -> Self {
        self.files.push((path.into(), FileChange::Delete));
        self
    }

    /// Replaces the whole tree by the content of a folder.
    #[must_use]
    pub fn from_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.from_dir = Some(folder.into());
        self
    }

    /// Adds a submodule.
    #[must_use]
    pub fn submodule(mut self, path: impl Into<String>, url: impl Into<String>) -> Self {
        self.submodule = Some((path.into(), url.into()));
        self
    }

    /// Amends the tip of the branch and pushes with `--force`.
    #[must_use]
    pub fn force(mut self) -> Self {
        self.force = true;
        self
    }
}

/// Someone with an account and an address at the stand-in.
pub(crate) struct Person {
    /// The stand-in's base URL.
    pub(crate) url: String,
    pub(crate) login: String,
    pub(crate) email: String,
    pub(crate) token: String,
}

impl Person {
    /// Carries out a push; the id of the new commit.
    pub(crate) async fn push(&self, push: &Push) -> anyhow::Result<String> {
        let branch = if push.branch.is_empty() { "main" } else { &push.branch };
        let clone = self.clone_of(&push.repository).await?;
        let tip = clone.start(branch).await?;
        if let Some(folder) = &push.from_dir {
            clone.replace_tree(folder).await?;
        }
        for (path, change) in &push.files {
            clone.apply(path, change).await?;
        }
        if let Some((path, url)) = &push.submodule {
            clone.git(&["submodule", "--quiet", "add", "--", url, path]).await?;
        }
        let message = if push.message.is_empty() { "Change the content" } else { &push.message };
        let mut commit = vec!["commit", "--quiet", "--allow-empty", "--message", message];
        if push.force && tip {
            commit.extend(["--amend", "--reset-author"]);
        }
        clone.git(&commit).await?;
        let target = format!("HEAD:refs/heads/{branch}");
        let mut arguments = vec!["push", "--quiet", "origin", &target];
        if push.force {
            arguments.push("--force");
        }
        clone.git(&arguments).await?;
        clone.head().await
    }

    /// Tags the default branch and pushes the tag; the id of the tagged commit.
    pub(crate) async fn tag(&self, repository: &str, name: &str) -> anyhow::Result<String> {
        let clone = self.clone_of(repository).await?;
        if !clone.start("main").await? {
            bail!("{repository} has no branch main to tag");
        }
        clone.git(&["tag", "--", name]).await?;
        let target = format!("refs/tags/{name}");
        clone.git(&["push", "--quiet", "origin", &target]).await?;
        clone.head().await
    }

    /// Makes a branch at the tip of another one, without a commit of its own.
    pub(crate) async fn branch(
        &self,
        repository: &str,
        branch: &str,
        from: &str,
    ) -> anyhow::Result<String> {
        let clone = self.clone_of(repository).await?;
        if !clone.start(from).await? {
            bail!("{repository} has no branch {from}");
        }
        let target = format!("HEAD:refs/heads/{branch}");
        clone.git(&["push", "--quiet", "origin", &target]).await?;
        clone.head().await
    }

    /// Deletes a branch or a tag by its full name.
    pub(crate) async fn delete(&self, repository: &str, reference: &str) -> anyhow::Result<()> {
        let clone = self.clone_of(repository).await?;
        let target = format!(":{reference}");
        clone.git(&["push", "--quiet", "origin", &target]).await?;
        Ok(())
    }

    async fn clone_of(&self, repository: &str) -> anyhow::Result<Clone> {
        let folder = tempfile::Builder::new()
            .prefix("github-sim-person-")
            .tempdir()
            .context("cannot make a temporary folder")?;
        let credentials = STANDARD.encode(format!("{}:{}", self.login, self.token));
        let clone = Clone {
            folder,
            authorization: format!("Authorization: Basic {credentials}"),
            name: self.login.clone(),
            email: self.email.clone(),
            written_at: some_time_ago(),
        };
        let remote = format!("{}/{repository}.git", self.url);
        clone.git(&["init", "--quiet", "--template=", "--initial-branch=work"]).await?;
        clone.git(&["remote", "add", "origin", &remote]).await?;
        Ok(clone)
    }
}

/// A working copy that goes away with its folder.
struct Clone {
    folder: tempfile::TempDir,
    authorization: String,
    name: String,
    email: String,
    /// Seconds since 1970; see [`some_time_ago`].
    written_at: i64,
}

impl Clone {
    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Checks out a branch, or `main` when it does not exist yet; whether the branch existed.
    async fn start(&self, branch: &str) -> anyhow::Result<bool> {
        let wanted = format!("refs/heads/{branch}");
        let listed = self.git(&["ls-remote", "origin", &wanted, "refs/heads/main"]).await?;
        let has = |reference: &str| {
            let end = format!("\t{reference}");
            listed.lines().any(|line| line.ends_with(&end))
        };
        let exists = has(&wanted);
        let from = if exists { &wanted } else { "refs/heads/main" };
        if exists || has("refs/heads/main") {
            self.git(&["fetch", "--quiet", "--no-tags", "origin", from]).await?;
            self.git(&["reset", "--quiet", "--hard", "FETCH_HEAD"]).await?;
        }
        Ok(exists)
    }

    async fn apply(&self, path: &str, change: &FileChange) -> anyhow::Result<()> {
        let inside = Path::new(path)
            .components()
            .all(|part| matches!(part, Component::Normal(name) if name != ".git"));
        if path.is_empty() || !inside {
            bail!("{path:?} is not a path inside a repository");
        }
        let full = self.path().join(path);
        match change {
            FileChange::Write { bytes, executable } => {
                if let Some(folder) = full.parent() {
                    fs::create_dir_all(folder).with_context(|| format!("cannot make {path}"))?;
                }
                fs::write(&full, bytes).with_context(|| format!("cannot write {path}"))?;
                let mode = if *executable { 0o755 } else { 0o644 };
                fs::set_permissions(&full, fs::Permissions::from_mode(mode))
                    .with_context(|| format!("cannot change the mode of {path}"))?;
                // Named by hand, so it is meant even when a .gitignore says otherwise.
                self.git(&["add", "--force", "--", path]).await?;
            }
            FileChange::Delete => {
                self.git(&["rm", "-r", "--quiet", "--", path]).await?;
            }
        }
        Ok(())
    }

    async fn replace_tree(&self, source: &Path) -> anyhow::Result<()> {
        self.git(&["rm", "-r", "--quiet", "--force", "--ignore-unmatch", "--", "."]).await?;
        copy(source, self.path())
            .with_context(|| format!("cannot copy the folder {}", source.display()))?;
        self.git(&["add", "--all"]).await?;
        Ok(())
    }

    async fn head(&self) -> anyhow::Result<String> {
        let sha = self.git(&["rev-parse", "HEAD"]).await?;
        Ok(sha.trim().to_owned())
    }

    async fn git(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = self.command();
        command.args(arguments);
        let output = git::output(command).await?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    fn command(&self) -> Command {
        let mut command = git::command(self.path());
        // In the environment and not among the arguments, which other users can read.
        let settings = [
            ("http.extraHeader", self.authorization.as_str()),
            ("core.hooksPath", "/dev/null"),
            ("commit.gpgSign", "false"),
            ("protocol.file.allow", "always"),
        ];
        command.env("GIT_CONFIG_COUNT", settings.len().to_string());
        for (index, (key, value)) in settings.iter().enumerate() {
            command
                .env(format!("GIT_CONFIG_KEY_{index}"), key)
                .env(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        command
            .env("GIT_AUTHOR_NAME", &self.name)
            .env("GIT_AUTHOR_DATE", format!("@{} +0000", self.written_at))
            .env("GIT_AUTHOR_EMAIL", &self.email)
            .env("GIT_COMMITTER_NAME", &self.name)
            .env("GIT_COMMITTER_EMAIL", &self.email);
        command
    }
}

/// When the content of a commit was written: at some time in the last hour, and committed now.
///
/// Git counts in seconds: two commits of the same content made in the same second would else be
/// one and the same commit, and a test that makes two would fail now and then.
fn some_time_ago() -> i64 {
    let (random, ..) = uuid::Uuid::new_v4().as_fields();
    jiff::Timestamp::now().as_second() - i64::from(random % 3600)
}

/// Copies the content of a folder; links stay links, modes stay as they are.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_name() == ".git" {
            continue;
        }
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, &target)?;
        } else if kind.is_dir() {
            fs::create_dir_all(&target)?;
            copy(&entry.path(), &target)?;
        } else if kind.is_file() {
            // Copies the mode as well.
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
