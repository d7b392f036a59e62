//! An engine that ends, politely or not, or whose connection is cut, loses nothing.

use crate::crash::{free_url, start, terminate};
use crate::harness::{
    BASE, CuttableEngine, Daemon, World, busybox, docker_at, eventually, hook, touch_at,
};

/// Says which attempt it is, lets itself not be stopped, and goes on for long in the
/// first one only.
const SCRIPT: &str = "#!/bin/sh
trap 'echo asked to end; exit 0' TERM
echo begin $KOZMIC_JOB_ATTEMPT
n=0; while [ $KOZMIC_JOB_ATTEMPT = 1 ] && [ $n -lt 600 ]; do n=$((n+1)); sleep 0.1; done
echo end
";

const MAY_LACK: &str = "[kozmic] the container engine was not there all the time until the script \
                        ended: what the script wrote last may be missing here\n";

async fn logged(world: &World, url: &str, sha: &str, text: &str) {
    eventually(&format!("`{text}` in the log"), async || {
        let build = world.build_of(url, sha).await;
        world.log_text(build.job("Tests")).await.contains(text).then_some(())
    })
    .await;
}

/// Attempt 1 ended with the engine, and attempt 2 by itself.
async fn started_again(world: &World, url: &str, sha: &str) {
    let build = world.finished(url, sha).await;
    let log = world.log_text(build.job("Tests")).await;
    assert_eq!(build.status, "success", "{log}");
    assert_eq!(
        log,
        "begin 1\n[kozmic] the container engine ended while the script ran, and the script with it; \
         what the engine kept of its output ends here\n[kozmic] attempt 2\nbegin 2\nend\n"
    );
    world.told(sha, "Kozmic-CI", "success").await;
}

async fn world_of(daemon: &Daemon) -> World {
    daemon.load(busybox().await).await;
    World::at(&daemon.host, &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_starts_again_when_its_engine_is_killed_or_stopped() {
    let mut daemon = Daemon::start().await;
    let world = world_of(&daemon).await;
    let server = world.serve().await;
    world.project(&server.url, &[hook("Tests", busybox().await, SCRIPT)]).await;
    for (branch, kill) in [("a", true), ("b", false)] {
        let sha = world.push(&[(branch, b"x")]).await;
        logged(&world, &server.url, &sha, "begin 1").await;
        if kill {
            daemon.kill();
        } else {
            daemon.stop();
        }
        eventually("the job to wait for the engine", async || {
            let build = world.build_of(&server.url, &sha).await;
            build.job("Tests").reason.starts_with("waiting for the engine: ").then_some(())
        })
        .await;
        daemon.restart().await;
        started_again(&world, &server.url, &sha).await;
    }
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_ended_while_its_engine_was_dead_has_its_own_end() {
    let mut daemon = Daemon::start().await;
    let world = world_of(&daemon).await;
    let server = world.serve().await;
    let script = "#!/bin/sh\necho begin $KOZMIC_JOB_ATTEMPT\nsleep 3\necho unheard\nexit 7\n";
    world.project(&server.url, &[hook("Tests", busybox().await, script)]).await;
    let sha = world.push(&[("a", b"a")]).await;
    logged(&world, &server.url, &sha, "begin 1").await;
    daemon.kill();
    // What an engine runs outlives it when it is killed; what holds the job's network stays.
    eventually("the script's end", async || (daemon.children() == 1).then_some(())).await;
    daemon.restart().await;
    let build = world.finished(&server.url, &sha).await;
    let job = build.job("Tests");
    assert_eq!((job.status.as_str(), job.return_code), ("failure", Some(7)), "{}", job.reason);
    let log = world.log_text(job).await;
    assert!(log.starts_with("begin 1\n") && log.ends_with(MAY_LACK), "{log}");
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_engine_had_in_hand_when_it_was_killed_may_be_missing() {
    let mut daemon = Daemon::start_with_live_restore().await;
    let world = world_of(&daemon).await;
    let url = free_url();
    let mut server = start(&world, &url).await;
    let script = "#!/bin/sh\necho begin\nuntil [ -e /tmp/go ]; do sleep 0.1; done\nexit 7\n";
    world.project(&url, &[hook("Tests", busybox().await, script)]).await;
    let sha = world.push(&[("a", b"a")]).await;
    logged(&world, &url, &sha, "begin").await;
    let at = Some(daemon.host.clone());
    let docker = async |words: &[&str]| docker_at(at.as_deref(), words).await;
    let running = ["ps", "--quiet", "--no-trunc", "--filter", "label=kozmic.step=build"];
    let script = docker(&running).await.trim().to_owned();
    server.start_kill().unwrap();
    daemon.kill();
    server.wait().await.unwrap();
    daemon.restart().await;
    touch_at(at.as_deref(), &script, "/tmp/go").await;
    // The next one sees the end, and nobody what the one before had read and not kept.
    eventually("the script's end", async || docker(&running).await.is_empty().then_some(())).await;
    let mut server = start(&world, &url).await;
    let build = world.finished(&url, &sha).await;
    let job = build.job("Tests");
    assert_eq!((job.status.as_str(), job.return_code), ("failure", Some(7)), "{}", job.reason);
    assert_eq!(world.log_text(job).await, format!("begin\n{MAY_LACK}"));
    world.nothing_left().await;
    terminate(&mut server, &world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_starts_again_when_server_and_engine_are_killed_at_once() {
    let mut daemon = Daemon::start().await;
    let world = world_of(&daemon).await;
    let url = free_url();
    let mut server = start(&world, &url).await;
    world.project(&url, &[hook("Tests", busybox().await, SCRIPT)]).await;
    let sha = world.push(&[("a", b"x")]).await;
    logged(&world, &url, &sha, "begin 1").await;
    server.start_kill().unwrap();
    daemon.kill();
    server.wait().await.unwrap();
    daemon.restart().await;
    let mut server = start(&world, &url).await;
    started_again(&world, &url, &sha).await;
    world.nothing_left().await;
    server.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_loses_its_engine_twice_is_an_error() {
    let mut daemon = Daemon::start().await;
    let world = world_of(&daemon).await;
    let server = world.serve().await;
    let script = "#!/bin/sh\necho begin $KOZMIC_JOB_ATTEMPT\nsleep 60\n";
    world.project(&server.url, &[hook("Tests", busybox().await, script)]).await;
    let sha = world.push(&[("a", b"x")]).await;
    for attempt in 1..=2 {
        logged(&world, &server.url, &sha, &format!("begin {attempt}")).await;
        daemon.kill();
        daemon.restart().await;
    }
    let build = world.finished(&server.url, &sha).await;
    let job = build.job("Tests");
    let expected =
        "this job was lost 2 times while its script ran; at last its container engine was lost";
    assert_eq!((job.status.as_str(), job.reason.as_str()), ("error", expected));
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_costs_not_a_byte() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = CuttableEngine::start(folder.path()).await;
    let world = World::with(&[("KOZMIC_DOCKER_HOST", &engine.host)]).await;
    let script = "#!/bin/bash\nfor n in $(seq 60); do printf 'line %s \\xff' $n; sleep 0.1; echo; done\nexit 3\n";
    let server = world.serve_with(script).await;
    let sha = world.push(&[("a", b"a")]).await;
    for seen in ["line 5", "line 20", "line 40"] {
        eventually("more of the log", async || {
            let build = world.build_of(&server.url, &sha).await;
            let log = world.log(build.job("Tests")).await;
            String::from_utf8_lossy(&log).contains(seen).then_some(())
        })
        .await;
        engine.cut();
        engine.mend().await;
    }
    let build = world.finished(&server.url, &sha).await;
    let job = build.job("Tests");
    assert_eq!((job.status.as_str(), job.return_code), ("failure", Some(3)), "{}", job.reason);
    let expected: Vec<u8> = (1..=60)
        .flat_map(|n| format!("line {n} ").into_bytes().into_iter().chain([0xff, b'\n']))
        .collect();
    assert!(world.log(job).await == expected);
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_install_script_goes_on_when_its_server_is_killed() {
    let world = World::new().await;
    let url = free_url();
    let mut server = start(&world, &url).await;
    let install = "#!/bin/sh\nfor n in 1 2 3 4 5 6 7 8; do echo installing $n; sleep 0.5; done\n";
    let build_hook = hook("Tests", BASE, "echo built in attempt $KOZMIC_JOB_ATTEMPT\n");
    let tracked = build_hook.replacen("# kozmic: image", "# kozmic: track = a\n# kozmic: image", 1);
    world.add_project(&url).await;
    world.apply_files(&url, &[("tests.sh", &tracked), ("tests.install.sh", install)]).await;
    let sha = world.push(&[("a", b"a")]).await;
    logged(&world, &url, &sha, "installing 3").await;
    server.kill().await.unwrap();
    let mut server = start(&world, &url).await;
    let build = world.finished(&url, &sha).await;
    let log = world.log_text(build.job("Tests")).await;
    assert_eq!(build.status, "success", "{log}");
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[0], "[kozmic] install step: no image is cached yet");
    let installing: Vec<String> = (1..=8).map(|n| format!("installing {n}")).collect();
    assert_eq!(lines[1..9], installing);
    assert!(lines[9].starts_with("[kozmic] install step done in "), "{log}");
    assert_eq!(lines[10..], ["built in attempt 1"]);
    world.nothing_left().await;
    server.kill().await.unwrap();
    let instance = world.instance().await;
    let filter = format!("label=kozmic.instance={instance}");
    let format = "{{.Repository}}:{{.Tag}}";
    let images = docker_at(None, &["images", "--filter", &filter, "--format", format]).await;
    assert_eq!(images.lines().count(), 1, "{images}");
    docker_at(None, &["rmi", images.trim()]).await;
}
