//! The git program, with nothing of the machine's own configuration.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::ssh::Session;
use super::{Result, SourceError};
use crate::outgoing;

/// Protocols that a remote or a submodule may use. `ext` and the like would run
/// commands; `file` would read this machine's disk.
const PROTOCOLS: &str = "http:https:ssh:git";

/// No configuration, key or agent of the server's user, and no key of a project's.
const SSH: &str = "ssh -F /dev/null -o BatchMode=yes -o IdentitiesOnly=yes -o IdentityAgent=none \
                   -o IdentityFile=/dev/null -o StrictHostKeyChecking=yes -o UserKnownHostsFile=/dev/null";

/// A folder that is not there: curl would read a `.netrc` in a real one.
const NO_HOME: &str = "/nonexistent";

/// What the environment keeps: where programs, certificates and proxies are.
const KEPT: &[&str] = &[
    "PATH",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "no_proxy",
    "NO_PROXY",
    "all_proxy",
    "ALL_PROXY",
];

/// The output of a run that failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) stderr: String,
}

impl Failed {
    /// The lines that tell why, joined: what git marks as fatal or an error,
    /// or else the last line.
    pub(super) fn problem(&self) -> String {
        let told: Vec<&str> = self
            .stderr
            .lines()
            .map(str::trim)
            .filter_map(|line| {
                ["fatal: ", "error: ", "remote: "]
                    .iter()
                    .find_map(|prefix| line.strip_prefix(prefix))
            })
            .collect();
        if told.is_empty() {
            self.stderr.lines().last().unwrap_or("git gave no reason").trim().to_owned()
        } else {
            told.join("; ")
        }
    }
}

/// Where git is. With an environment of its own, a program that is named without its folder can't
/// be started by posix_spawn(3), and a fork copies the page tables of the whole server each time.
fn program(path: Option<&OsStr>) -> PathBuf {
    let name = Path::new("git");
    let folders = path.into_iter().flat_map(std::env::split_paths);
    // A path that is not absolute would mean the folder git works in.
    let can_be_run = |it: &PathBuf| {
        it.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
    };
    let is_program = |it: &PathBuf| it.is_absolute() && can_be_run(it);
    folders.map(|folder| folder.join(name)).find(is_program).unwrap_or_else(|| name.to_owned())
}

/// One run of git; killed when it is dropped.
pub(super) struct Git(Command);

impl Git {
    pub(super) fn in_folder(folder: &Path) -> Self {
        let mut command = Command::new(program(std::env::var_os("PATH").as_deref()));
        command
            .arg("-C")
            .arg(folder)
            .env_clear()
            .envs(KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ALLOW_PROTOCOL", PROTOCOLS)
            .env("GIT_SSH_COMMAND", SSH)
            // Not the home of the server's user: a URL may come from a stranger.
            .env("HOME", NO_HOME)
            .env("LC_ALL", "C")
            // Ctrl-C in the server's terminal is for the server to handle.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // curl does not know this one in capitals; others do.
        if let Some(proxy) = std::env::var_os("HTTP_PROXY")
            && std::env::var_os("http_proxy").is_none()
        {
            command.env("http_proxy", proxy);
        }
        // A peer that sends nothing for a minute is gone.
        for setting in [
            "http.lowSpeedLimit=1",
            "http.lowSpeedTime=60",
            "advice.detachedHead=false",
            "gc.auto=0",
            // Another process after each fetch, only to find that nothing is to be done.
            "maintenance.auto=false",
        ] {
            command.arg("-c").arg(setting);
        }
        Self(command)
    }

    /// Lets this run read a repository on this disk, of ours.
    pub(super) fn reading_disk(mut self) -> Self {
        self.0.env("GIT_ALLOW_PROTOCOL", "file");
        self
    }

    /// Reaches SSH servers with the key of this session, if there is one.
    pub(super) fn with_key(mut self, session: Option<&Session>) -> Self {
        if let Some(session) = session {
            self.0.env("GIT_SSH_COMMAND", session.command());
        }
        self
    }

    /// Trusts who has a certificate in this file, and nobody else.
    pub(super) fn trusting(mut self, authorities: Option<&Path>) -> Self {
        if let Some(file) = authorities {
            self.0.env("GIT_SSL_CAINFO", file);
        }
        self
    }

    pub(super) fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, args: I) -> Self {
        self.0.args(args);
        self
    }

    /// Works on this index instead of the repository's own.
    pub(super) fn index(mut self, path: &Path) -> Self {
        self.0.env("GIT_INDEX_FILE", path);
        self
    }

    /// Reads this repository's objects instead of those where it works.
    pub(super) fn objects(mut self, path: &Path) -> Self {
        self.0.env("GIT_OBJECT_DIRECTORY", path);
        self
    }

    /// Its standard output, or what it said when it failed.
    pub(super) async fn run(self) -> Result<std::result::Result<String, Failed>> {
        let bytes = self.run_bytes().await?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// As [`Git::run`], for output that may be no text: names of files.
    pub(super) async fn run_bytes(mut self) -> Result<std::result::Result<Vec<u8>, Failed>> {
        let output = self.0.output().await.map_err(SourceError::Git)?;
        if output.status.success() {
            Ok(Ok(output.stdout))
        } else {
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            Ok(Err(Failed { stderr: outgoing::without_passwords(stderr) }))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    #[test]
    fn the_program_is_the_first_of_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
        let path = std::env::join_paths([Path::new("."), &first, &second]).unwrap();
        assert_eq!(program(Some(&path)), Path::new("git"), "it is told that it can't be found");
        for at in [&second, &first] {
            std::fs::create_dir(at).unwrap();
            let before = program(Some(&path));
            std::fs::write(at.join("git"), "").unwrap();
            assert_eq!(program(Some(&path)), before, "it can't be run");
            std::fs::set_permissions(at.join("git"), Permissions::from_mode(0o755)).unwrap();
            assert_eq!(program(Some(&path)), at.join("git"));
        }
        assert_eq!(program(None), Path::new("git"));
    }

    #[test]
    fn the_reason_is_what_git_marks_as_one() {
        let failed = |text: &str| Failed { stderr: text.to_owned() }.problem();
        assert_eq!(
            failed("warning: x\nfatal: repository 'u' not found\n"),
            "repository 'u' not found"
        );
        assert_eq!(failed("Permission denied (publickey).\n"), "Permission denied (publickey).");
        assert_eq!(failed(""), "git gave no reason");
    }
}
