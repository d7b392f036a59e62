//! An engine of a test's own, which may be killed: Docker's daemon with its own
//! data, bridge and socket, beside the machine's.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::engine::{docker, docker_at};
use super::{PATIENCE, as_root, eventually};

/// Ended, with all that it ran and kept, when it is dropped.
pub struct Daemon {
    pub host: String,
    folder: tempfile::TempDir,
    bridge: Bridge,
    child: Option<Child>,
    /// Containers run on while it is away.
    is_live_restore: bool,
}

impl Daemon {
    /// One that kills its containers when it ends (`live-restore` off), as is the default.
    pub async fn start() -> Self {
        Self::start_as(false).await
    }

    /// One that leaves its containers alone, and finds them again.
    pub async fn start_with_live_restore() -> Self {
        Self::start_as(true).await
    }

    async fn start_as(is_live_restore: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host = format!("unix://{}", folder.path().join("sock").display());
        let mut daemon = Self { host, folder, bridge: Bridge::add(), child: None, is_live_restore };
        daemon.restart().await;
        daemon
    }

    /// After [`Daemon::kill`] or [`Daemon::stop`].
    pub async fn restart(&mut self) {
        self.forget_containerd();
        self.spawn();
        eventually("the test's own engine", async || {
            // It waits 15 s for its containerd, and gives up where the machine is too busy; as
            // a service it would be started again.
            if let Some(Ok(Some(_))) = self.child.as_mut().map(Child::try_wait) {
                self.forget_containerd();
                self.spawn();
            }
            self.answers().then_some(())
        })
        .await;
    }

    /// kill -9; returns when it is gone.
    pub fn kill(&mut self) {
        self.end("-KILL");
    }

    /// As a service is stopped; returns when it is gone.
    pub fn stop(&mut self) {
        self.end("-TERM");
    }

    /// How many processes of its containers live: children of containerd's shims, which
    /// outlive the daemon.
    pub fn children(&self) -> usize {
        let processes: Vec<(String, String)> = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| {
                let pid = entry.ok()?.file_name().into_string().ok()?;
                let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
                let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.to_owned();
                Some((pid, parent))
            })
            .collect();
        let exec = self.path("exec").display().to_string();
        let is_shim = |pid: &str| {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command);
            command.contains("containerd-shim") && command.contains(&exec)
        };
        processes.iter().filter(|(_, parent)| is_shim(parent)).count()
    }

    /// Brings an image of the machine's engine.
    pub async fn load(&self, image: &str) {
        let archive = self.path("image.tar");
        docker(&["save", "--output", text(&archive), image]).await;
        docker_at(Some(&self.host), &["load", "--quiet", "--input", text(&archive)]).await;
        std::fs::remove_file(archive).unwrap();
    }

    fn spawn(&mut self) {
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let pid_file = self.path("pid");
        let data = self.path("data");
        let exec = self.path("exec");
        let group = Command::new("id").arg("-g").output().unwrap();
        let group = String::from_utf8(group.stdout).unwrap();
        let mut command = as_root(&[
            "dockerd",
            "--data-root",
            text(&data),
            "--exec-root",
            text(&exec),
            "--pidfile",
            text(&pid_file),
            "--host",
            &self.host,
            "--group",
            group.trim(),
            "--bridge",
            &self.bridge.0,
            // The host's firewall is the machine's engine's affair.
            "--iptables=false",
            "--ip6tables=false",
            "--userland-proxy=false",
        ]);
        if self.is_live_restore {
            command.arg("--live-restore");
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().expect("Docker's daemon"));
    }

    fn answers(&self) -> bool {
        let mut version = Command::new("docker");
        version.args(["--host", &self.host, "version"]).stdout(Stdio::null()).stderr(Stdio::null());
        version.status().is_ok_and(|status| status.success())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A killed daemon takes its containerd with it, and the next one mistakes a
    /// dead process that nobody has waited for yet for a living one.
    fn forget_containerd(&self) {
        let file = self.path("exec/containerd/containerd.pid");
        let Ok(pid) = std::fs::read_to_string(&file) else { return };
        let executable = format!("/proc/{}/exe", pid.trim());
        let deadline = Instant::now() + PATIENCE;
        while std::fs::read_link(&executable).is_ok() {
            assert!(Instant::now() < deadline, "a killed engine's containerd goes on");
            std::thread::sleep(Duration::from_millis(10));
        }
        as_root(&["rm", text(&file)]).status().unwrap();
    }

    fn end(&mut self, signal: &str) {
        let Some(mut child) = self.child.take() else { return };
        let pid = std::fs::read_to_string(self.path("pid")).unwrap_or_default();
        as_root(&["kill", signal, pid.trim()]).status().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // One that was killed left its containers' processes; the next one ends them.
        if self.child.is_none() {
            self.forget_containerd();
            self.spawn();
            let deadline = Instant::now() + Duration::from_secs(30);
            while !self.answers() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        self.stop();
        // Each kill has left a mount of the data folder on itself.
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let ours = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        for mount in ours.filter(|mount| mount.starts_with(text(self.folder.path()))) {
            let _ = as_root(&["umount", "--lazy", mount]).status();
        }
        // Its files are root's.
        let _ =
            as_root(&["rm", "-rf", text(&self.path("data")), text(&self.path("exec"))]).status();
    }
}

/// A network of its own for the containers.
struct Bridge(String);

impl Bridge {
    fn add() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = std::process::id() + COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("kozmic{number}");
        let address = format!("10.214.{}.1/24", number % 250);
        for arguments in [
            vec!["link", "add", &name, "type", "bridge"],
            vec!["addr", "add", &address, "dev", &name],
            vec!["link", "set", &name, "up"],
        ] {
            let done = as_root(&[&["ip"], &arguments[..]].concat()).status().unwrap();
            assert!(done.success(), "ip {arguments:?} needs root, or sudo without a password");
        }
        Self(name)
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = as_root(&["ip", "link", "delete", &self.0]).status();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
