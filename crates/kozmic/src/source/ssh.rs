//! How servers are reached. SSH, for private projects: the key lies on the disk for as long as git runs,
//! and only host keys that are known are trusted.

use std::fs::DirBuilder;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::ExposeSecret as _;
use tempfile::TempDir;
use url::Url;

use super::{Result, Wanted, on_disk};
use crate::model::KnownHosts;

/// Makes sessions.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    folder: PathBuf,
    known_hosts: Arc<str>,
    authorities: Option<Arc<Path>>,
}

/// What one run of git reaches SSH servers with: a private folder with the key,
/// the known host keys and a configuration for ssh. Removed when it is dropped.
pub(super) struct Session {
    folder: TempDir,
}

impl Keys {
    /// In a folder of their own, which is made when it is needed.
    pub(super) fn new(folder: &Path, known_hosts: &KnownHosts) -> Self {
        Self {
            folder: folder.to_owned(),
            known_hosts: known_hosts.as_str().into(),
            authorities: None,
        }
    }

    /// Who answers by TLS must have a certificate by one in this file.
    pub(super) fn trusting(self, authorities: PathBuf) -> Self {
        Self { authorities: Some(authorities.into()), ..self }
    }

    pub(super) fn authorities(&self) -> Option<&Path> {
        self.authorities.as_deref()
    }

    pub(super) fn remove_left(&self) -> Result<()> {
        match std::fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(on_disk(&self.folder)(error))
            }
            _ => Ok(()),
        }
    }

    /// None for a public project.
    pub(super) fn session(&self, wanted: &Wanted) -> Result<Option<Session>> {
        let Some(remote) = &wanted.ssh else { return Ok(None) };
        let make = || {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
            let folder = tempfile::Builder::new()
                .permissions(std::fs::Permissions::from_mode(0o700))
                // ssh gets it as an absolute path: git changes folders.
                .tempdir_in(std::path::absolute(&self.folder)?)?;
            let path = |name: &str| folder.path().join(name);
            write(&path("key"), remote.private_key.expose_secret())?;
            write(&path("known_hosts"), &self.known_hosts)?;
            write(&path("config"), &configuration(folder.path()))?;
            Ok(Session { folder })
        };
        make().map(Some).map_err(on_disk(&self.folder))
    }
}

impl Session {
    /// For GIT_SSH_COMMAND, which a shell reads.
    pub(super) fn command(&self) -> String {
        let path = self.folder.path().join("config").display().to_string();
        format!("ssh -F '{}'", path.replace('\'', r"'\''"))
    }
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

/// ssh_config(5). Nothing of the server's user, and nobody is asked anything.
fn configuration(folder: &Path) -> String {
    let file = |name: &str| {
        let path = folder.join(name).display().to_string();
        format!("\"{}\"", path.replace('\\', r"\\").replace('"', "\\\"").replace('%', "%%"))
    };
    format!(
        "IdentityFile {}\n\
         UserKnownHostsFile {}\n\
         GlobalKnownHostsFile /dev/null\n\
         StrictHostKeyChecking yes\n\
         UpdateHostKeys no\n\
         CheckHostIP no\n\
         IdentitiesOnly yes\n\
         IdentityAgent none\n\
         PreferredAuthentications publickey\n\
         BatchMode yes\n\
         ForwardAgent no\n\
         ControlPath none\n\
         ConnectTimeout 30\n\
         ServerAliveInterval 20\n\
         ServerAliveCountMax 3\n",
        file("key"),
        file("known_hosts"),
    )
}

/// Which service of which host a URL leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    scheme: String,
    pub(super) host: String,
    port: u16,
}

impl Address {
    /// Of `https://…`, `http://…`, `ssh://…` and `user@host:path`; none of anything
    /// else, and none where programs could disagree on the host.
    pub(super) fn of(url: &str) -> Option<Self> {
        let (scheme, authority) = match url.split_once("://") {
            Some(("ssh", rest)) => ("ssh", rest.split('/').next()?),
            Some(_) => return Self::of_web(&url.parse().ok()?),
            None => ("ssh", scp_like(url)?),
        };
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(user, host)| if user.bytes().all(is_plain) { host } else { "" });
        let (host, port) = match host.strip_prefix('[') {
            // [::1]:22, and in `user@host:path` [host:22].
            Some(rest) => {
                let (inside, after) = rest.split_once(']')?;
                match (inside.parse::<std::net::Ipv6Addr>(), inside.split_once(':')) {
                    (Err(_), Some((host, port))) if after.is_empty() => (host, port),
                    (Ok(_), _) => (inside, after.strip_prefix(':').unwrap_or(after)),
                    (Err(_), _) => return None,
                }
            }
            None => host.split_once(':').unwrap_or((host, "")),
        };
        let port = if port.is_empty() { 22 } else { port.parse().ok()? };
        let is_host = !host.is_empty() && host.bytes().all(|byte| is_plain(byte) || byte == b':');
        is_host.then(|| Self { scheme: scheme.into(), host: host.to_lowercase(), port })
    }

    fn of_web(url: &Url) -> Option<Self> {
        let is_web = matches!(url.scheme(), "http" | "https");
        let (host, port) = (url.host_str()?.to_owned(), url.port_or_known_default()?);
        is_web.then(|| Self { scheme: url.scheme().into(), host, port })
    }

    /// What prints the host key of it.
    pub(super) fn scan(&self) -> String {
        match self.port {
            22 => format!("ssh-keyscan {}", self.host),
            port => format!("ssh-keyscan -p {port} {}", self.host),
        }
    }
}

/// What stands before the path in `user@host:path` (git-clone(1), "GIT URLS").
fn scp_like(url: &str) -> Option<&str> {
    let bracket = url.find(']').map_or(0, |at| at + 1);
    let colon = bracket + url[bracket..].find(':')?;
    let (authority, path) = (&url[..colon], &url[colon + 1..]);
    // `name::` names a helper program; a slash before the colon means a folder.
    (!authority.contains('/') && !path.starts_with(':')).then_some(authority)
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_service_of_a_host() {
        let address =
            |url: &str| Address::of(url).map(|it| format!("{} {} {}", it.scheme, it.host, it.port));
        for (url, expected) in [
            ("git@github.com:octo/orbit.git", "ssh github.com 22"),
            ("GitHub.com:octo/orbit.git", "ssh github.com 22"),
            ("ssh://git@github.com/octo/orbit.git", "ssh github.com 22"),
            ("ssh://git@ssh.github.com:443/octo/orbit.git", "ssh ssh.github.com 443"),
            ("git@[git.example.org:2222]:octo/orbit.git", "ssh git.example.org 2222"),
            ("ssh://git@[::1]:2222/octo/orbit.git", "ssh ::1 2222"),
            ("git@[::1]:octo/orbit.git", "ssh ::1 22"),
            ("https://github.com/octo/orbit.git", "https github.com 443"),
            ("http://127.0.0.1:8080/octo/orbit.git", "http 127.0.0.1 8080"),
        ] {
            assert_eq!(address(url).as_deref(), Some(expected), "{url}");
        }
        for url in [
            "../orbit.git",
            "/etc",
            "./a:b",
            "ext::sh -c true",
            "ssh://git@evil.example:22@github.com/x",
            "ssh://git@github.com%2eevil.example/x",
            "ssh://git@github.com:x/y",
            "git://github.com/octo/orbit.git",
            "file:///etc",
            "",
        ] {
            assert_eq!(address(url), None, "{url}");
        }
    }

    #[test]
    fn a_session_is_private_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("100% \"it's\" here");
        let keys = Keys::new(&folder, &KnownHosts::with("").unwrap());
        let wanted = super::super::refusal::tests::wanted(Some("git@github.com:octo/orbit.git"));
        let session = keys.session(&wanted).unwrap().unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(session.folder.path()), 0o700);
        for name in ["key", "known_hosts", "config"] {
            assert_eq!(mode(&session.folder.path().join(name)), 0o600, "{name}");
        }
        // As git and ssh read it.
        let shown = std::process::Command::new("sh")
            .args(["-c", &format!("{} -G github.com", session.command())])
            .output()
            .unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        let key = session.folder.path().join("key").display().to_string();
        let unescaped = shown.replace("%%", "%");
        assert!(unescaped.contains(&format!("identityfile {key}")), "{shown}");
        drop(session);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        keys.remove_left().unwrap();
        keys.remove_left().unwrap();
        assert!(!folder.exists());
    }
}
