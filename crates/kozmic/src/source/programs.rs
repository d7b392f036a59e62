//! The programs of this machine that a fetch needs.

use std::io;
use std::process::Stdio;

use tokio::process::Command;

/// What `git` and `ssh` say they are, or why they can't be run.
pub async fn programs() -> [(&'static str, io::Result<String>); 2] {
    [
        ("git", version("git", "--version").await),
        // It says so on standard error.
        ("ssh", version("ssh", "-V").await),
    ]
}

/// As [`programs`], of what only repositories with files in Git LFS need.
pub async fn git_lfs() -> io::Result<String> {
    version("git-lfs", "version").await
}

async fn version(program: &str, flag: &str) -> io::Result<String> {
    let output = Command::new(program).arg(flag).stdin(Stdio::null()).output().await?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    Ok(said.lines().next().unwrap_or_default().trim().to_owned())
}
