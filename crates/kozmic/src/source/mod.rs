//! Git: one commit onto this disk. Runs the git program, whose words people
//! know, in an environment that takes no configuration, prompt or credential
//! from the machine.

mod checkout;
mod git;
mod lfs;
mod local;
mod mirror;
mod programs;
mod refusal;
mod ssh;
mod submodules;
mod tidy;
mod tracked;

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use secrecy::SecretString;

use crate::config::Trust;
use crate::model::{CommitSha, FullName, GitRef, JobUuid, KnownHosts, ProjectId};
use crate::outgoing;

pub use checkout::Checkout;
pub use local::LocalTree;
pub use programs::{git_lfs, programs};
pub use tidy::HeldMirror;

/// Commits of history that a checkout has.
const DEPTH: u32 = 50;

#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("the commit {sha} is no longer in the repository; was {git_ref} force-pushed?")]
    CommitVanished { sha: CommitSha, git_ref: GitRef },
    #[error("can't fetch from {url}: {problem}")]
    Fetch { url: String, problem: String },
    #[error(
        "the SSH host key of {host} is not known: compare what `{scan}` prints with the key that its \
         administrator publishes, then put that into KOZMIC_SSH_KNOWN_HOSTS"
    )]
    UnknownHostKey { host: String, scan: String },
    #[error(
        "{host} shows another SSH host key than the one it is known by: if its administrator has \
         changed it, put the new one into KOZMIC_SSH_KNOWN_HOSTS; if not, somebody may be in between"
    )]
    OtherHostKey { host: String },
    #[error(
        "{host} refuses the deploy key of {project} ({problem}); if it was removed from the \
         repository, `kozmic project add {project}` makes a new one"
    )]
    KeyRefused { host: String, project: FullName, problem: String },
    #[error(
        "can't fetch the submodule {url}: {host} refuses the deploy key of {project} ({problem}); \
         a deploy key opens one repository only, and others when they are public"
    )]
    SubmoduleRefused { url: String, host: String, project: FullName, problem: String },
    #[error(
        "can't reach {host} by SSH: {problem}; see whether the name is right and this machine may \
         connect to it"
    )]
    Unreachable { host: String, problem: String },
    #[error("can't check out {sha}: {problem}")]
    Checkout { sha: CommitSha, problem: String },
    #[error("can't fetch the submodules: {0}")]
    Submodules(String),
    #[error("{path} is not a git checkout that can be built: {problem}")]
    NotATree { path: String, problem: String },
    /// Of a tree that somebody sent.
    #[error("can't bring the files that were sent to be tried: {0}")]
    Tried(Arc<str>),
    #[error(
        "the commit's files in Git LFS have {bytes}, and KOZMIC_LFS_LIMIT allows {limit} of one commit"
    )]
    LargeFiles { bytes: String, limit: String },
    #[error(
        "{path} is in Git LFS ({count} files are), and git-lfs is not installed where this job runs: \
         install Debian's package git-lfs there, then run the job again"
    )]
    NoLfs { path: String, count: usize },
    #[error("can't fetch the files in Git LFS of {url}: {problem}")]
    LfsFetch { url: String, problem: String },
    #[error("can't bring {path}, which is in Git LFS: {problem}")]
    LargeFile { path: String, problem: String },
    #[error("{path} is in Git LFS and its contents are not here: run `git lfs pull` first")]
    NotPulled { path: String },
    #[error(
        "the submodule {path} is not here as the commit has it: run `git submodule update --init \
         --recursive` first"
    )]
    NotUpdated { path: String },
    #[error("can't look up the tracked files: {0}")]
    Tracked(String),
    #[error("git can't be run: {0}")]
    Git(std::io::Error),
    #[error("{path}: {source}")]
    Disk { path: String, source: std::io::Error },
}

type Result<T> = std::result::Result<T, SourceError>;

/// How a private repository is reached.
#[derive(Debug, Clone)]
pub struct SshRemote {
    /// `git@HOST:OWNER/NAME.git` or `ssh://…`.
    pub url: String,
    /// The deploy key, in OpenSSH's format.
    pub private_key: SecretString,
}

/// What to check out.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub project: ProjectId,
    pub name: FullName,
    pub https_url: String,
    /// None: the repository is public.
    pub ssh: Option<SshRemote>,
    pub git_ref: GitRef,
    pub sha: CommitSha,
    /// A stranger's commit: less is fetched for it.
    pub is_from_fork: bool,
}

impl Wanted {
    fn clone_url(&self) -> &str {
        self.ssh.as_ref().map_or(&self.https_url, |ssh| &ssh.url)
    }
}

/// Mirrors and checkouts of this worker.
#[derive(Debug, Clone)]
pub struct Source {
    mirrors: PathBuf,
    checkouts: PathBuf,
    keys: ssh::Keys,
    /// Bytes of a commit's files in Git LFS.
    lfs_limit: u64,
    /// One fetch at a time per project: the next finds the commit there.
    locks: Arc<Mutex<HashMap<ProjectId, Arc<tokio::sync::Mutex<()>>>>>,
}

impl Source {
    /// Below the data folder; folders are made when they are needed.
    pub fn new(data_dir: &Path, known_hosts: &KnownHosts) -> Self {
        Self {
            mirrors: data_dir.join("mirrors"),
            checkouts: data_dir.join("checkouts"),
            keys: ssh::Keys::new(&data_dir.join("keys"), known_hosts),
            lfs_limit: u64::MAX,
            locks: Arc::default(),
        }
    }

    /// With authorities of one's own trusted beside the system's: git takes one file for all.
    pub fn trusting(self, trust: &Trust, data_dir: &Path) -> Result<Self> {
        let Some(all) = outgoing::all_trusted(trust) else { return Ok(self) };
        let file = data_dir.join("authorities.pem");
        let write = || {
            let mut new = tempfile::NamedTempFile::new_in(data_dir)?;
            std::io::Write::write_all(&mut new, all.as_bytes())?;
            new.persist(&file).map_err(|error| error.error)?;
            // git is run in other folders.
            std::path::absolute(&file)
        };
        let written = write().map_err(on_disk(&file))?;
        Ok(Self { keys: self.keys.trusting(written), ..self })
    }

    /// Takes so many bytes of a commit's files in Git LFS, and no commit with more.
    #[must_use]
    pub fn limiting_lfs(self, bytes: u64) -> Self {
        Self { lfs_limit: bytes, ..self }
    }

    /// Removes the keys that a process which was killed left on the disk. Only
    /// before anything is fetched.
    pub fn remove_left_keys(&self) -> Result<()> {
        self.keys.remove_left()
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
    /// checks it out with its submodules, and its files in Git LFS, into a folder of this
    /// attempt's.
    pub async fn check_out(&self, wanted: &Wanted, job: JobUuid, attempt: i64) -> Result<Checkout> {
        let mirror = {
            let lock = self.lock_of(wanted.project);
            let _held = lock.lock().await;
            mirror::fetch(&self.mirrors, &self.keys, wanted).await?
        };
        let path = self.checkouts.join(format!("{job}-{attempt}"));
        let checkout = checkout::make(&mirror, wanted, &path).await?;
        let folders = submodules::update(checkout.path(), &self.keys, wanted).await?;
        let hold = async { self.lock_of(wanted.project).lock_owned().await };
        lfs::check_out((&mirror, &folders), &self.keys, wanted, self.lfs_limit, hold).await?;
        let trees = folders.iter().filter_map(|folder| {
            let below = folder.strip_prefix(&path).ok()?;
            let is_its_own = below.as_os_str().is_empty();
            let tree = if is_its_own { wanted.sha.to_string() } else { "HEAD".to_owned() };
            Some((below.to_owned(), tree))
        });
        Ok(checkout.with_trees(trees.collect()))
    }

    /// An empty folder of this attempt's, to be filled and committed.
    pub async fn empty_checkout(&self, job: JobUuid, attempt: i64) -> Result<Checkout> {
        checkout::empty(&self.checkouts.join(format!("{job}-{attempt}"))).await
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
