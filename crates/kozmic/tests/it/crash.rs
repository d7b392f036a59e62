//! A server that ends, politely or not, loses nothing.

use std::process::Stdio;

use tokio::process::Child;

use crate::harness::{World, eventually};

async fn start(world: &World, url: &str) -> Child {
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(world.folder().join("serve.log"))
        .unwrap();
    let mut child =
        world.command(url, &["serve"]).stdout(Stdio::null()).stderr(log).spawn().unwrap();
    eventually("the server to be ready", async || {
        assert!(child.try_wait().unwrap().is_none(), "{}", said(world));
        let answer = world.http.get(format!("{url}/readyz")).send().await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
    child
}

fn said(world: &World) -> String {
    std::fs::read_to_string(world.folder().join("serve.log")).unwrap()
}

fn free_url() -> String {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("http://127.0.0.1:{port}")
}

/// Runs long in its first attempt only.
const SLOW_ONCE: &str = "#!/bin/bash\necho begin $KOZMIC_JOB_ATTEMPT\n[ $KOZMIC_JOB_ATTEMPT -gt 1 ] || sleep 600\necho end\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_starts_its_jobs_again() {
    let world = World::new().await;
    let url = free_url();
    let mut server = start(&world, &url).await;
    world.project(&url, &[crate::harness::hook("Tests", crate::harness::BASE, SLOW_ONCE)]).await;
    let sha = world.push(&[("a", b"a")]).await;
    eventually("the job's first line", async || {
        let build = world.build_of(&url, &sha).await;
        (world.log(build.job("Tests")).await == b"begin 1\n").then_some(())
    })
    .await;
    server.kill().await.unwrap();
    let mut server = start(&world, &url).await;
    let build = world.finished(&url, &sha).await;
    assert_eq!(build.status, "success");
    let log = world.log_text(build.job("Tests")).await;
    assert_eq!(log, "begin 1\n[kozmic] attempt 2\nbegin 2\nend\n");
    world.told(&sha, "Kozmic-CI", "success").await;
    assert_eq!(world.states(&sha, "Kozmic-CI").await, ["pending", "success"]);
    server.kill().await.unwrap();
    world.nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_worker_is_lost_twice_is_an_error() {
    let world = World::new().await;
    let url = free_url();
    let mut server = start(&world, &url).await;
    let script = "#!/bin/bash\necho begin $KOZMIC_JOB_ATTEMPT\nsleep 600\n";
    world.project(&url, &[crate::harness::hook("Tests", crate::harness::BASE, script)]).await;
    let sha = world.push(&[("a", b"a")]).await;
    for attempt in 1..=2 {
        eventually("the attempt's first line", async || {
            let build = world.build_of(&url, &sha).await;
            world
                .log_text(build.job("Tests"))
                .await
                .contains(&format!("begin {attempt}\n"))
                .then_some(())
        })
        .await;
        server.kill().await.unwrap();
        server = start(&world, &url).await;
    }
    let build = world.finished(&url, &sha).await;
    assert_eq!(build.status, "error");
    assert_eq!(build.job("Tests").reason, "the worker was lost 2 times while it ran this job");
    world.told(&sha, "Kozmic-CI", "error").await;
    world.nothing_left().await;
    server.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_asked_to_stop_gives_its_jobs_back() {
    let world = World::new().await;
    let url = free_url();
    let mut server = start(&world, &url).await;
    world.project(&url, &[crate::harness::hook("Tests", crate::harness::BASE, SLOW_ONCE)]).await;
    let sha = world.push(&[("a", b"a")]).await;
    eventually("the job's first line", async || {
        let build = world.build_of(&url, &sha).await;
        (world.log(build.job("Tests")).await == b"begin 1\n").then_some(())
    })
    .await;
    let terminated =
        tokio::process::Command::new("kill").arg(server.id().unwrap().to_string()).status().await;
    assert!(terminated.unwrap().success());
    assert_eq!(server.wait().await.unwrap().code(), Some(0), "{}", said(&world));
    assert!(said(&world).ends_with("kozmic: stopped\n"), "{}", said(&world));
    world.nothing_left().await;
    let mut server = start(&world, &url).await;
    let build = world.finished(&url, &sha).await;
    assert_eq!(build.status, "success");
    let log = world.log_text(build.job("Tests")).await;
    assert_eq!(
        log,
        "begin 1\n[kozmic] Kozmic is stopping; this job will start again\n[kozmic] attempt 2\nbegin 2\nend\n"
    );
    server.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_built_after_a_kill() {
    let world = World::new().await;
    let url = free_url();
    let mut server = start(&world, &url).await;
    world.project(&url, &[crate::harness::hook("Tests", crate::harness::BASE, "echo ran\n")]).await;
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
