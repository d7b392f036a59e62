//! What a script costs that writes much: 1,000,000 lines (101 MB) beside `docker run` of
//! the same script, and 20 jobs that write 2,000 lines a second each.
//!
//! Fails where a line is lost, doubled or changed, not where it takes longer than it should.

use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use tokio::process::Command;

use crate::figures::Figure;
use crate::harness::{BASE, World, eventually, hook};
use crate::latency::{Latencies, watch};
use crate::process::Process;
use crate::{harness, latency, timing};

const RUNS: usize = 3;
const LINES: usize = 1_000_000;
/// As fast as the container's pipe takes them: 100 letters and a newline.
const FAST: &str = r#"awk 'BEGIN { t = sprintf("%092d", 0); gsub("0", "x", t); for (i = 1; i <= 1000000; i++) printf "%07d %s\n", i, t }'"#;

const JOBS: usize = 20;
const PER_SECOND: usize = 2_000;

const LONGEST: f64 = 1.5;
const MOST_MEMORY: u64 = 64 * 1024 * 1024;
const MEDIAN: Duration = Duration::from_millis(250);

fn expected() -> Vec<u8> {
    let text = "x".repeat(92);
    (1..=LINES).flat_map(|line| format!("{line:07} {text}\n").into_bytes()).collect()
}

/// The program's whole output goes to a file; the time until it ends, and the bytes.
async fn timed(program: &str, arguments: &[&str]) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("output");
    let file = std::fs::File::create(&path).unwrap();
    let started = Instant::now();
    let status = Command::new(program).args(arguments).stdout(file).status().await.unwrap();
    let took = started.elapsed();
    assert!(status.success(), "{arguments:?}");
    let bytes = std::fs::metadata(&path).unwrap().len();
    assert!(bytes >= 101 * LINES as u64, "{bytes} bytes of {arguments:?}");
    took
}

async fn docker_run(options: &[&str]) -> Duration {
    let arguments = [&["run", "--rm"], options, &[BASE, "/bin/sh", "-c", FAST]].concat();
    timed("docker", &arguments).await
}

/// As `kozmic` would without attaching: what the engine's copy has, while it is written.
async fn docker_logs() -> Duration {
    let create = ["create", "--log-driver", "local", "--log-opt", "max-size=4g"];
    let run = [&create[..], &["--log-opt", "max-file=1", "--log-opt", "compress=false"]].concat();
    let container = harness::docker(&[&run[..], &[BASE, "/bin/sh", "-c", FAST]].concat()).await;
    let command = format!("docker start {0} >/dev/null && docker logs -f {0}", container.trim());
    let took = timed("sh", &["-c", &command]).await;
    harness::docker(&["rm", "--force", container.trim()]).await;
    took
}

/// Into a file of the container, which is fetched when the script has ended.
async fn docker_file() -> Duration {
    let script = format!("{FAST} > /output");
    let container = harness::docker(&["create", BASE, "/bin/sh", "-c", &script]).await;
    let command = format!("docker start --attach {0} && docker cp {0}:/output -", container.trim());
    let took = timed("sh", &["-c", &command]).await;
    harness::docker(&["rm", "--force", container.trim()]).await;
    took
}

async fn one_large_log() {
    let mut world = World::new().await;
    world.set("KOZMIC_LOG_LIMIT", "1G");
    let server = Process::start(&world).await;
    world.project(&server.url, &[hook("Tests", BASE, &format!("#!/bin/sh\n{FAST}\n"))]).await;
    let whole = digest(&SHA256, &expected());
    let local = ["--log-driver", "local", "--log-opt", "max-size=4g", "--log-opt", "max-file=1"];
    let local = [&local[..], &["--log-opt", "compress=false"]].concat();
    let (mut ours, mut run) = (Vec::new(), Vec::new());
    let mut others = [const { Vec::new() }; 5];
    let mut peak = 0;
    for number in 0..RUNS {
        run.push(docker_run(&local).await);
        let rest = server.memory();
        server.forget_peak();
        let started = Instant::now();
        let sha = world.push(&[("number", number.to_string().as_bytes())]).await;
        let build = world.finished(&server.url, &sha).await;
        ours.push(started.elapsed());
        peak = peak.max(server.peak().saturating_sub(rest));
        assert_eq!(build.status, "success", "{}", build.job("Tests").reason);
        let log = world.log(build.job("Tests")).await;
        assert_eq!(digest(&SHA256, &log).as_ref(), whole.as_ref(), "{} bytes", log.len());
        others[0].push(docker_run(&["--log-driver", "local"]).await);
        others[1].push(docker_run(&["--log-driver", "none"]).await);
        others[2].push(docker_run(&["--log-driver", "none", "--tty"]).await);
        others[3].push(docker_logs().await);
        others[4].push(docker_file().await);
    }
    server.stop().await;
    let [rotated, none, tty, logs, file] = others;
    let mut rows = [
        ("from a push to the job's end, log kept", ours),
        ("docker run, local, kept whole", run),
        ("docker run, local, as it comes", rotated),
        ("docker run, no copy at the engine", none),
        ("docker run, no copy, a terminal", tty),
        ("docker logs --follow, local, kept whole", logs),
        ("a file in the container, fetched afterwards", file),
    ];
    let title = format!("{LINES} lines, {RUNS} runs in turn");
    let medians = timing::table(&title, &mut rows);
    Figure::times("log_throughput", "a push to the end of a job of 1,000,000 lines", &rows[0].1)
        .beside("docker run, log kept whole", &rows[1].1)
        .at_most("ratio", LONGEST)
        .write();
    let mebibytes = |bytes: u64| (bytes / 1024 / 1024) as f64;
    Figure::value("log_throughput", "memory above rest meanwhile", "MiB", mebibytes(peak))
        .at_most("median", mebibytes(MOST_MEMORY))
        .write();
    println!(
        "ratio of the medians: {:.2} (at most {LONGEST}); memory above rest: {} MiB (at most {})",
        medians[0] / medians[1],
        peak / 1024 / 1024,
        MOST_MEMORY / 1024 / 1024
    );
}

async fn many_steady_logs() {
    let seconds = latency::seconds();
    let world = World::with(&[("KOZMIC_CONCURRENCY", "20")]).await;
    let server = Process::start(&world).await;
    let script = latency::script(PER_SECOND, seconds);
    let hooks: Vec<String> =
        (0..JOBS).map(|number| hook(&format!("Job {number}"), BASE, &script)).collect();
    world.project(&server.url, &hooks).await;
    let rest = server.memory();
    server.forget_peak();
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.build_of(&server.url, &sha).await;
    let mut viewers = Vec::new();
    for job in &build.jobs {
        viewers.push(tokio::spawn(watch(&world, &server.url, &job.uuid).await));
    }
    let mut latencies = Latencies::default();
    for viewer in viewers {
        latencies.add(viewer.await.unwrap(), PER_SECOND * seconds);
    }
    let build = world.finished(&server.url, &sha).await;
    assert_eq!(build.status, "success");
    let peak = server.peak().saturating_sub(rest);
    server.stop().await;
    let what = format!("from a line to its viewer, {JOBS} jobs of {PER_SECOND} lines a second");
    Figure::times("log_throughput", &what, latencies.times())
        .at_most("median", MEDIAN.as_secs_f64() * 1000.0)
        .write();
    println!(
        "{JOBS} jobs, {PER_SECOND} lines a second each for {seconds} s: line to viewer {latencies} \
         (median at most {MEDIAN:?}); memory above rest: {} MiB",
        peak / 1024 / 1024
    );
}

#[tokio::main]
pub async fn main() {
    one_large_log().await;
    many_steady_logs().await;
}
