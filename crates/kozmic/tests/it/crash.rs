//! A server that ends, politely or not, loses nothing.

use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::harness::{BASE, World, docker, eventually, free_port, hook};

pub async fn start(world: &World, url: &str) -> Child {
    start_as(world, url, &mut world.command(url, &["serve"])).await
}

/// As [`start`], by another command that becomes the server.
pub async fn start_as(world: &World, url: &str, command: &mut Command) -> Child {
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(world.folder().join("serve.log"))
        .unwrap();
    let program = command.as_std().get_program().to_owned();
    let spawned = command.stdout(Stdio::null()).stderr(log).spawn();
    let mut child = spawned.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    eventually("the server to be ready", async || {
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none(), "{ended:?} of {url}: {}", said(world));
        let answer = world.http.get(format!("{url}/readyz")).send().await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
    child
}

pub fn said(world: &World) -> String {
    std::fs::read_to_string(world.folder().join("serve.log")).unwrap()
}

pub fn free_url() -> String {
    format!("http://127.0.0.1:{}", free_port())
}

/// Writes for some seconds, in pieces of lines and in bytes that are no text.
const STEADY: &str = "#!/bin/bash
printf 'begin %s\\n' $KOZMIC_JOB_ATTEMPT
for n in $(seq 60); do printf 'line %s \\xff' $n; sleep 0.1; printf ' goes on\\r\\n'; done
printf 'no newline at the end'
exit 5
";

fn steady() -> Vec<u8> {
    let mut log = b"begin 1\n".to_vec();
    for n in 1..=60 {
        log.extend(format!("line {n} ").bytes().chain([0xff]).chain(*b" goes on\r\n"));
    }
    log.extend(b"no newline at the end");
    log
}

async fn begun(world: &World, url: &str, sha: &str) {
    eventually("the script's first lines", async || {
        let build = world.build_of(url, sha).await;
        (world.log(build.job("Tests")).await.len() > 100).then_some(())
    })
    .await;
}

/// The job came to its own end, once, and its log is what the script wrote.
async fn is_whole(world: &World, url: &str, sha: &str) {
    let build = world.finished(url, sha).await;
    let job = build.job("Tests");
    assert_eq!((build.status.as_str(), job.return_code), ("failure", Some(5)), "{}", said(world));
    let (log, expected) = (world.log(job).await, steady());
    assert!(log == expected, "{}", String::from_utf8_lossy(&log));
    world.told(sha, "Kozmic-CI", "failure").await;
    assert_eq!(world.states(sha, "Kozmic-CI").await, ["pending", "failure"]);
}

pub async fn terminate(server: &mut Child, world: &World) {
    let pid = server.id().unwrap().to_string();
    assert!(Command::new("kill").arg(pid).status().await.unwrap().success());
    assert_eq!(server.wait().await.unwrap().code(), Some(0), "{}", said(world));
    assert!(said(world).ends_with("kozmic: stopped\n"), "{}", said(world));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_goes_on_when_its_server_is_killed() {
    let world = World::new().await;
    let url = free_url();
    let mut server = start(&world, &url).await;
    world.project(&url, &[hook("Tests", BASE, STEADY)]).await;
    let sha = world.push(&[("a", b"a")]).await;
    begun(&world, &url, &sha).await;
    server.kill().await.unwrap();
    let mut server = start(&world, &url).await;
    begun(&world, &url, &sha).await;
    server.kill().await.unwrap();
    let mut server = start(&world, &url).await;
    is_whole(&world, &url, &sha).await;
    world.nothing_left().await;
    server.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_goes_on_when_its_server_is_asked_to_stop() {
    let world = World::new().await;
    let url = free_url();
    let mut server = start(&world, &url).await;
    world.project(&url, &[hook("Tests", BASE, STEADY)]).await;
    let sha = world.push(&[("a", b"a")]).await;
    begun(&world, &url, &sha).await;
    terminate(&mut server, &world).await;
    let mut server = start(&world, &url).await;
    is_whole(&world, &url, &sha).await;
    terminate(&mut server, &world).await;
    world.nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_ended_while_no_server_ran_has_its_own_end() {
    let world = World::new().await;
    let url = free_url();
    let mut server = start(&world, &url).await;
    world.project(&url, &[hook("Tests", BASE, STEADY)]).await;
    let sha = world.push(&[("a", b"a")]).await;
    begun(&world, &url, &sha).await;
    server.kill().await.unwrap();
    let instance = world.instance().await;
    eventually("the script's end", async || {
        let filters = ["--filter", &format!("label=kozmic.instance={instance}")];
        let running = docker(&[&["ps", "--quiet"], &filters[..]].concat()).await;
        running.is_empty().then_some(())
    })
    .await;
    let mut server = start(&world, &url).await;
    is_whole(&world, &url, &sha).await;
    world.nothing_left().await;
    server.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_is_stopped_as_its_server_is_killed_ends_by_the_same_cause() {
    let world = World::with(&[("KOZMIC_STALL_TIMEOUT", "4")]).await;
    let url = free_url();
    let mut server = start(&world, &url).await;
    let script = "#!/bin/bash
trap 'trap \"\" TERM; for n in $(seq 30); do echo ending $n; sleep 0.2; done; exit 7' TERM
echo begin
sleep 600 & wait
";
    world.project(&url, &[hook("Tests", BASE, script)]).await;
    let sha = world.push(&[("a", b"a")]).await;
    eventually("the script to be asked to end", async || {
        let build = world.build_of(&url, &sha).await;
        world.log_text(build.job("Tests")).await.contains("ending 2\n").then_some(())
    })
    .await;
    server.kill().await.unwrap();
    let mut server = start(&world, &url).await;
    let build = world.finished(&url, &sha).await;
    let job = build.job("Tests");
    assert_eq!(job.reason, "stalled: no output for 4 s", "{}", said(&world));
    assert_eq!((job.status.as_str(), job.return_code), ("failure", Some(124)));
    let log = world.log_text(job).await;
    let (output, notes): (Vec<&str>, Vec<&str>) =
        log.lines().partition(|line| !line.starts_with("[kozmic] "));
    let ending = (1..=30).map(|n| format!("ending {n}"));
    let expected: Vec<String> = std::iter::once("begin".to_owned()).chain(ending).collect();
    assert_eq!(output, expected, "{log}");
    assert!(notes.iter().any(|note| note.ends_with("sleep 600")), "{log}");
    let said_last = "[kozmic] stalled: no output for 4 s";
    assert_eq!(notes.iter().filter(|note| **note == said_last).count(), 1, "{log}");
    world.nothing_left().await;
    server.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_lost_starts_again_once() {
    let world = World::new().await;
    let url = free_url();
    let mut server = start(&world, &url).await;
    let script = "#!/bin/bash\necho begin $KOZMIC_JOB_ATTEMPT\nsleep 600\n";
    world.project(&url, &[hook("Tests", BASE, script)]).await;
    let sha = world.push(&[("a", b"a")]).await;
    for attempt in 1..=2 {
        eventually("the attempt's first line", async || {
            let build = world.build_of(&url, &sha).await;
            let log = world.log_text(build.job("Tests")).await;
            log.ends_with(&format!("begin {attempt}\n")).then_some(())
        })
        .await;
        server.kill().await.unwrap();
        // As a machine that went down would: the container is gone as well.
        for left in world.leftovers().await {
            if let Some(id) = left.strip_prefix("container ") {
                docker(&["rm", "--force", "--volumes", id]).await;
            }
        }
        server = start(&world, &url).await;
    }
    let build = world.finished(&url, &sha).await;
    assert_eq!(build.status, "error");
    let job = build.job("Tests");
    assert_eq!(
        job.reason,
        "this job was lost 2 times while its script ran; at last its worker was lost"
    );
    assert_eq!(world.log_text(job).await, "begin 1\n[kozmic] attempt 2\nbegin 2\n");
    world.told(&sha, "Kozmic-CI", "error").await;
    world.nothing_left().await;
    server.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_built_after_a_kill() {
    let world = World::new().await;
    let url = free_url();
    let mut server = start(&world, &url).await;
    world.project(&url, &[hook("Tests", BASE, "echo ran\n")]).await;
    let sha = world.push(&[("a", b"a")]).await;
    // The ping and the push were answered; nothing else is waited for.
    let deliveries =
        world.sim.wait_for_deliveries("octo/orbit", 2, crate::harness::PATIENCE).await.unwrap();
    assert!(deliveries.iter().all(|delivery| delivery.status_code == 200));
    server.kill().await.unwrap();
    let mut server = start(&world, &url).await;
    let build = world.finished(&url, &sha).await;
    assert_eq!((build.status.as_str(), build.jobs.len()), ("success", 1));
    world.told(&sha, "Kozmic-CI", "success").await;
    server.kill().await.unwrap();
}
