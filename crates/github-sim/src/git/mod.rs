//! Git: bare repositories on disk and how people reach them.
//!
//! - `bare`    one repository: references, history, size of a change, fetching from a fork
//! - `commits` what git says about commits, parsed
//! - `lfs`     where large files lie, and who may have them
//! - `http`    the smart HTTP protocol, by `git http-backend`
//!
//! All of it is the git command line itself: clients must meet git's own behaviour and messages.

pub(crate) mod bare;
pub(crate) mod commits;
pub(crate) mod http;
pub(crate) mod lfs;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::LazyLock;

use tokio::process::Command;

/// A git command that did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GitError {
    #[error("cannot start git: {0}")]
    Start(#[from] std::io::Error),
    #[error("git {command} failed: {stderr}")]
    Failed { command: String, stderr: String },
    #[error("git {command} answered something unexpected")]
    Unexpected { command: &'static str },
}

/// Where git is. With an environment of its own, a program that is named without its folder can't
/// be started by posix_spawn(3), and a fork copies the page tables of all that runs in this
/// process: of many tests, half of their time.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut programs = std::env::split_paths(&path).map(|folder| folder.join("git"));
    programs.find(|program| program.is_file()).unwrap_or_else(|| PathBuf::from("git"))
});

/// A git command that reads no configuration but the repository's own, asks no questions and
/// answers in English, whoever runs it.
pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new(PROGRAM.as_path());
    command
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", "C")
        .env("HOME", folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        // The folder may belong to another user, as in a container with a mounted volume.
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs a command to its end; its output, or what it complained about.
pub(crate) async fn output(mut command: Command) -> Result<Vec<u8>, GitError> {
    let output = command.output().await?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(GitError::Failed {
        command: described(&command),
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

/// Like [`output`], for commands that answer by their exit code: 0 is yes, 1 is no.
pub(crate) async fn answer(mut command: Command) -> Result<bool, GitError> {
    let output = command.output().await?;
    match output.status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => Err(GitError::Failed {
            command: described(&command),
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        }),
    }
}

fn described(command: &Command) -> String {
    command.as_std().get_args().map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
