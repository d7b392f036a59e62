//! A server in a process of its own, and the memory it takes.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Child;

use crate::harness::{World, eventually, free_port};

pub struct Process {
    pub url: String,
    child: Child,
}

impl Process {
    pub async fn start(world: &World) -> Self {
        let url = format!("http://127.0.0.1:{}", free_port());
        let log = std::fs::File::create(world.folder().join("serve.log")).unwrap();
        let mut command = world.command(&url, &["serve"]);
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        eventually("the server to be ready", async || {
            let answer = world.http.get(format!("{url}/readyz")).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        Self { url, child }
    }

    /// Bytes in memory now.
    pub fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most bytes that were in memory since [`Process::forget_peak`].
    pub fn peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// Time on a processor since its threads began.
    pub fn worked(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        let nanoseconds = tasks.filter_map(|task| {
            let text = std::fs::read_to_string(task.unwrap().path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    /// proc(5): 5 into `clear_refs` sets the peak to what is in memory now.
    pub fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").unwrap();
    }

    fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    fn status(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    pub async fn stop(mut self) {
        let pid = self.pid().to_string();
        tokio::process::Command::new("kill").arg(pid).status().await.unwrap();
        self.child.wait().await.unwrap();
    }
}
