//! The proxy before two web processes: HAProxy with the settings of packaging/compose, but
//! without TLS.

use std::path::Path;
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::eventually;

/// Ends when it is dropped.
pub struct Proxy {
    folder: tempfile::TempDir,
    _child: Child,
}

impl Proxy {
    /// At `port`, before two processes with these addresses.
    pub async fn start(port: u16, web: [&str; 2]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let packaged =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/compose/haproxy.cfg");
        let settings = std::fs::read_to_string(packaged).unwrap();
        let open = settings.replace(" ssl crt \"${CERTIFICATE}\"", "");
        assert_ne!(open, settings);
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, open).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(&file).env("HTTPS_BIND", &address);
        command.env("WEB_1", web[0]).env("WEB_2", web[1]).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
        let child = command.spawn().expect("Debian's package haproxy");
        let proxy = Self { folder, _child: child };
        eventually("the proxy", async || tokio::net::TcpStream::connect(&address).await.ok()).await;
        proxy
    }

    /// How often it has seen a process come back, by its own words.
    pub fn returns(&self) -> usize {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
        log.lines().filter(|line| line.contains(" is UP")).count()
    }
}
