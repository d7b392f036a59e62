//! A real SSH server of a test's own, from Debian's package: it serves the
//! repositories of GitHub's stand-in to the keys that are registered there.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::{World, eventually};

/// What GitHub does once a key is let in: it may read its own repository, and
/// those that are public.
const GATE: &str = r#"#!/bin/sh
own=$1
large=
case $SSH_ORIGINAL_COMMAND in
  "git-upload-pack '"*"'") ;;
  "git-lfs-authenticate "*" download") large=yes ;;
  *) echo "ERROR: The key you are authenticating with has been marked as read only." >&2; exit 1 ;;
esac
if [ -n "$large" ]; then
  wanted=${SSH_ORIGINAL_COMMAND#* }
  wanted=${wanted% download}
else
  wanted=${SSH_ORIGINAL_COMMAND#*\'}
fi
wanted=${wanted#\'}
wanted=${wanted%\'}
wanted=${wanted#/}
wanted=${wanted%.git}
if [ "$wanted" != "$own" ] && ! curl --silent --fail --output /dev/null "API/repos/$wanted"; then
  echo "ERROR: Repository not found." >&2
  exit 1
fi
[ -z "$large" ] || exec curl --silent --fail "LFS$wanted"
exec git-upload-pack "ROOT/$wanted.git"
"#;

/// Whoever has a key logs in as the user of the tests, and may only pass the gate.
pub struct Sshd {
    /// What a repository's address begins with.
    pub start: String,
    host: String,
    folder: tempfile::TempDir,
    child: Child,
}

impl Sshd {
    /// At `ssh://user@127.0.0.1:port/`; the stand-in's repositories say so, too.
    pub async fn start(world: &World) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let start = format!("ssh://{}@127.0.0.1:{port}/", user().await);
        Self::at("127.0.0.1", port, start, world).await
    }

    /// At `user@host:`, as GitHub is: that way no other port than 22 can be named.
    pub async fn like_github(world: &World) -> Self {
        let random = kozmic::seal::random_hex().unwrap();
        let byte = |at: usize| u8::from_str_radix(&random[at..at + 2], 16).unwrap();
        // All of 127.0.0.0/8 is this machine.
        let host = format!("127.{}.{}.{}", byte(0) | 1, byte(2), byte(4) | 1);
        std::net::TcpListener::bind((host.as_str(), 22)).expect(
            "this test listens on port 22 of a loopback address, for which it must be root",
        );
        let start = format!("{}@{host}:", user().await);
        Self::at(&host, 22, start, world).await
    }

    async fn at(host: &str, port: u16, start: String, world: &World) -> Self {
        check_account().await;
        let folder = tempfile::tempdir().unwrap();
        let gate = folder.path().join("gate");
        let root = world.folder().join("github").display().to_string();
        let script = GATE.replace("API", &world.sim.api_url()).replace("ROOT", &root);
        let script = script.replace("LFS", &world.sim.lfs_authenticate_url());
        std::fs::write(&gate, script).unwrap();
        std::fs::set_permissions(&gate, PermissionsExt::from_mode(0o755)).unwrap();
        let keys = world.sim.authorized_keys_url(gate.to_str().unwrap());
        let config = format!(
            "ListenAddress {host}:{port}\n\
             HostKey {}\n\
             PidFile none\n\
             UsePAM no\n\
             StrictModes no\n\
             PermitRootLogin forced-commands-only\n\
             AuthenticationMethods publickey\n\
             AuthorizedKeysFile none\n\
             AuthorizedKeysCommand /usr/bin/curl --silent --fail {keys}\n\
             AuthorizedKeysCommandUser {}\n\
             AcceptEnv GIT_PROTOCOL\n",
            folder.path().join("host_key").display(),
            user().await
        );
        std::fs::write(folder.path().join("config"), config).unwrap();
        make_host_key(folder.path()).await;
        world.sim.set_ssh(&start).await.unwrap();
        let address = format!("{host}:{port}");
        let child = listen(folder.path(), &address).await;
        let host = if port == 22 { host.to_owned() } else { format!("[{host}]:{port}") };
        Self { start, host, folder, child }
    }

    /// Its line in a known_hosts file.
    pub fn known_hosts(&self) -> String {
        let key = std::fs::read_to_string(self.folder.path().join("host_key.pub")).unwrap();
        format!("{} {}", self.host, key.trim())
    }

    /// From now on another server answers in its place, as far as one can tell.
    pub async fn change_host_key(&mut self) {
        self.stop().await;
        for name in ["host_key", "host_key.pub"] {
            std::fs::remove_file(self.folder.path().join(name)).unwrap();
        }
        make_host_key(self.folder.path()).await;
        let address = self.host.replace(['[', ']'], "");
        self.child = listen(self.folder.path(), &address).await;
    }

    pub async fn stop(&mut self) {
        self.child.kill().await.unwrap();
    }
}

async fn make_host_key(folder: &Path) {
    let path = folder.join("host_key");
    let arguments = ["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", path.to_str().unwrap()];
    let made = Command::new("ssh-keygen").args(arguments).status().await;
    assert!(made.expect("Debian's package openssh-client").success());
}

async fn listen(folder: &Path, address: &str) -> Child {
    if user().await == "root" {
        // Without it sshd does not start; whoever boots has it made by systemd.
        std::fs::create_dir_all("/run/sshd").unwrap();
    }
    let log = std::fs::File::create(folder.join("log")).unwrap();
    // It starts itself again for each connection, and needs its full path for that.
    let mut child = Command::new("/usr/sbin/sshd")
        .args(["-D", "-e", "-f"])
        .arg(folder.join("config"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .expect("Debian's package openssh-server");
    eventually("the SSH server", async || {
        if let Some(status) = child.try_wait().unwrap() {
            let log = std::fs::read_to_string(folder.join("log")).unwrap();
            panic!("sshd ended at once ({status}): {log}");
        }
        tokio::net::TcpStream::connect(address).await.ok()
    })
    .await;
    child
}

async fn user() -> String {
    let output = Command::new("id").arg("-un").output().await.unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Without PAM, sshd takes an account for locked whose password begins with `!`.
async fn check_account() {
    let user = user().await;
    // Only root can read it.
    let Ok(shadow) = std::fs::read_to_string("/etc/shadow") else { return };
    let is_locked = shadow.lines().any(|line| line.starts_with(&format!("{user}:!")));
    assert!(!is_locked, "sshd lets nobody in as {user}: run `usermod -p '*' {user}`");
}
