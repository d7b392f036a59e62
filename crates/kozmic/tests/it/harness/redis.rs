//! A Redis of a test's own, which may be away for a while.

use std::process::Stdio;

use tokio::process::{Child, Command};

use super::{eventually, free_port};

/// Ends, and forgets all, when it is dropped.
pub struct Redis {
    pub url: String,
    port: u16,
    child: Child,
}

impl Redis {
    pub async fn start() -> Self {
        let port = free_port();
        let child = spawn(port);
        let redis = Self { url: format!("redis://127.0.0.1:{port}/"), port, child };
        redis.until_it_answers().await;
        redis
    }

    /// kill -9; what it had is forgotten.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// After [`Redis::kill`], at the same place.
    pub async fn restart(&mut self) {
        self.child = spawn(self.port);
        self.until_it_answers().await;
    }

    async fn until_it_answers(&self) {
        eventually("Redis to answer", async || {
            let address = ("127.0.0.1", self.port);
            tokio::net::TcpStream::connect(address).await.ok().map(drop)
        })
        .await;
    }
}

/// Debian's package; it keeps nothing.
fn spawn(port: u16) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--save", "", "--appendonly", "no", "--dir", "/tmp"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.kill_on_drop(true).spawn().expect("Debian's package redis-server")
}
