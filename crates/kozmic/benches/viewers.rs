//! How long a line is on its way to one viewer of a job, and to each of 1,000, one browser
//! among them, and what memory a viewer takes.
//!
//! Fails where a viewer misses a line or sees one twice, not where it takes longer than it
//! should.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::figures::Figure;
use crate::harness::World;
use crate::latency::{Latencies, watch};
use crate::process::Process;
use crate::{harness, latency};

/// Lines a second.
const RATE: usize = 50;
const MEDIAN: Duration = Duration::from_millis(100);
const P99: Duration = Duration::from_millis(500);
const MOST_MEMORY: u64 = 100;

/// A page that follows the log, in Chromium: `browser/bench/watch.mjs`.
struct Browser {
    _child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Browser {
    async fn open(world: &World, server: &str, page: &str) -> Self {
        let cookie = harness::cookies(&world.sign_in(server, "octo").await);
        let chromium = std::env::var("CHROMIUM").unwrap_or("/usr/bin/chromium".into());
        let mut child = Command::new("node")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../browser/bench/watch.mjs"))
            .envs([("PAGE", page), ("COOKIE", &cookie), ("CHROMIUM", &chromium)])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(said.next_line().await.unwrap().as_deref(), Some("ready"));
        Self { _child: child, said }
    }

    async fn end(mut self) -> String {
        self.said.next_line().await.unwrap().expect("what the browser saw")
    }
}

async fn watched_by(viewers: usize, seconds: usize) {
    let world = World::new().await;
    let server = Process::start(&world).await;
    // They come before its first line.
    let wait = "sleep(0.1) until -e '/tmp/go';\nmy $start";
    let script = latency::script(RATE, seconds).replacen("my $start", wait, 1);
    world.project(&server.url, &[harness::hook("Tests", harness::BASE, &script)]).await;
    let sha = world.push(&[("a", b"a")]).await;
    let uuid = world.build_of(&server.url, &sha).await.job("Tests").uuid.clone();
    let instance = world.instance().await;
    let container = harness::eventually("the script", async || {
        let build = world.build_of(&server.url, &sha).await;
        let is_running = build.job("Tests").reason == "running the build script";
        let filter = format!("label=kozmic.instance={instance}");
        let found = harness::docker(&["ps", "--quiet", "--filter", &filter]).await;
        is_running.then(|| found.trim().to_owned())
    })
    .await;
    let rest = server.memory();
    let mut sockets = Vec::new();
    for _ in 0..viewers {
        sockets.push(tokio::spawn(watch(&world, &server.url, &uuid).await));
    }
    let browser = if viewers > 1 {
        let page = world.build_of(&server.url, &sha).await.url;
        Some(Browser::open(&world, &server.url, &page).await)
    } else {
        None
    };
    harness::touch(&container, "/tmp/go").await;
    tokio::time::sleep(Duration::from_secs(seconds as u64 / 2)).await;
    let with = server.memory();
    let mut latencies = Latencies::default();
    for socket in sockets {
        latencies.add(socket.await.unwrap(), RATE * seconds);
    }
    assert_eq!(world.finished(&server.url, &sha).await.status, "success");
    if let Some(browser) = browser {
        println!("in a browser among {viewers} viewers: {}", browser.end().await);
    }
    server.stop().await;
    let each = with.saturating_sub(rest) / 1024 / viewers as u64;
    let what = format!("from a line to each of {viewers} viewers");
    let figure = |of, most: Duration| {
        let figure = Figure::times("viewers", &what, latencies.times());
        figure.at_most(of, most.as_secs_f64() * 1000.0)
    };
    figure("median", MEDIAN).write();
    figure("p99", P99).write();
    if viewers > 1 {
        Figure::value("viewers", "memory for each of them", "KiB", each as f64)
            .at_most("median", MOST_MEMORY as f64)
            .write();
    }
    println!(
        "{viewers} viewers, {RATE} lines a second for {seconds} s: {latencies} (median at most \
         {MEDIAN:?}, p99 at most {P99:?}); memory {each} KiB for each (at most {MOST_MEMORY})"
    );
}

#[tokio::main]
pub async fn main() {
    let seconds = latency::seconds();
    watched_by(1, seconds).await;
    watched_by(1_000, seconds).await;
}
