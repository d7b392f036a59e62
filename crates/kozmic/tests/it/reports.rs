//! GitHub learns the latest state, however it behaves meanwhile.

use github_sim::client::{Fault, FaultKind, LoggedRequest};
use sqlx::AnyPool;

use crate::harness::{World, eventually};

async fn survives(kind: FaultKind) {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    let fault =
        Fault { method: Some("POST".into()), path_contains: "/statuses/".into(), kind, times: 3 };
    world.sim.add_fault(fault).await.unwrap();
    let sha = world.push(&[("a", b"a")]).await;
    world.told(&sha, "Kozmic-CI", "success").await;
    world.told(&sha, "Kozmic-CI/Tests", "success").await;
    let requests = world.sim.requests().await.unwrap();
    let refused = requests
        .iter()
        .filter(|request| request.path.contains("/statuses/") && request.status != 201);
    assert_eq!(refused.filter(|request| request.method == "POST").count(), 3);
    // Whatever was skipped, the last state came last and once.
    for context in ["Kozmic-CI", "Kozmic-CI/Tests"] {
        let states = world.states(&sha, context).await;
        assert_eq!(states.last().map(String::as_str), Some("success"));
        assert_eq!(states.iter().filter(|state| *state == "success").count(), 1, "{states:?}");
    }
    let build = world.finished(&server.url, &sha).await;
    assert!(!world.page(&build.url).await.contains("has not learned"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_github_that_answers_5xx_is_told_again() {
    survives(FaultKind::Status(502)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_github_that_does_not_answer_is_told_again() {
    survives(FaultKind::Drop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrived_without_an_answer_is_not_told_twice() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    answer_statuses(&world, FaultKind::LostAnswer, 3).await;
    let sha = world.push(&[("a", b"a")]).await;
    world.told(&sha, "Kozmic-CI", "success").await;
    world.told(&sha, "Kozmic-CI/Tests", "success").await;
    let build = world.finished(&server.url, &sha).await;
    eventually("GitHub to have been told of all", async || {
        (!world.page(&build.url).await.contains("not learned")).then_some(())
    })
    .await;
    for context in ["Kozmic-CI", "Kozmic-CI/Tests"] {
        let states = world.states(&sha, context).await;
        let mut once = states.clone();
        once.dedup();
        assert_eq!(states, once, "{context}");
        assert_eq!(states.last().map(String::as_str), Some("success"), "{context}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_is_obeyed() {
    survives(FaultKind::Status(429)).await;
}

/// From now on GitHub answers each status so.
async fn answer_statuses(world: &World, kind: FaultKind, times: u32) {
    let (method, path_contains) = (Some("POST".into()), "/statuses/".into());
    world.sim.add_fault(Fault { method, path_contains, kind, times }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_github_will_never_take_is_given_up_and_said() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    for code in [404, 422] {
        answer_statuses(&world, FaultKind::Status(code), u32::MAX).await;
        let sha = world.push(&[("a", code.to_string().as_bytes())]).await;
        let build = world.finished(&server.url, &sha).await;
        eventually("the reason on the build's page", async || {
            let page = world.page(&build.url).await;
            page.contains("GitHub will not learn this: GitHub").then_some(())
        })
        .await;
        assert!(!world.page(&build.url).await.contains("not learned this yet"));
        world.sim.clear_faults().await.unwrap();
    }
    // What comes later is told as ever.
    let sha = world.push(&[("a", b"later")]).await;
    world.told(&sha, "Kozmic-CI", "success").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_said_and_a_new_one_tells_what_waits() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    answer_statuses(&world, FaultKind::Status(401), u32::MAX).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&server.url, &sha).await;
    eventually("the refused token on the build's page", async || {
        let page = world.page(&build.url).await;
        let is_said = page.contains("GitHub has not accepted the token of octo")
            && page.contains("GitHub has not learned this yet: nobody who may do this");
        is_said.then_some(())
    })
    .await;
    assert!(
        world.page(&format!("{}/projects/1/history/", server.url)).await.contains("not accepted")
    );
    // GitHub is not asked again and again with it.
    world.sim.clear_faults().await.unwrap();
    assert!(world.states(&sha, "Kozmic-CI").await.is_empty());
    world.run(&server.url, &["project", "add", "octo/orbit"]).await;
    world.told(&sha, "Kozmic-CI", "success").await;
    world.told(&sha, "Kozmic-CI/Tests", "success").await;
    let page = world.page(&build.url).await;
    assert!(!page.contains("not accepted") && !page.contains("not learned"), "{page}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_build_of_a_commit_speaks_for_it() {
    let world = World::new().await;
    // Red on main, green on the branch that has the same commit.
    let server = world.serve_with("#!/bin/bash\n[ $KOZMIC_BUILD_REF = again ]\n").await;
    let sha = world.push(&[("a", b"a")]).await;
    world.told(&sha, "Kozmic-CI", "failure").await;
    world.sim.branch("octo/orbit", "octo", "again", "main").await.unwrap();
    world.told(&sha, "Kozmic-CI", "success").await;
    assert_eq!(world.states(&sha, "Kozmic-CI").await, ["pending", "failure", "pending", "success"]);
    assert_eq!(world.builds(&server.url).await.len(), 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_can_t_note_what_was_sent_does_not_flood_github() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    let _drivers = world.store().await;
    let database = AnyPool::connect(&world.settings().database_url).await.unwrap();
    // As a full disk would: what was sent can't be noted as sent.
    let breaks = "CREATE TRIGGER broken BEFORE UPDATE OF sent_version ON outbox \
                  BEGIN SELECT RAISE(FAIL, 'broken'); END";
    sqlx::query(breaks).execute(&database).await.unwrap();
    let sha = world.push(&[("a", b"a")]).await;
    world.finished(&server.url, &sha).await;
    let posted = async || {
        let requests = world.sim.requests().await.unwrap();
        let is_status = |request: &&LoggedRequest| {
            request.method == "POST" && request.path.contains("/statuses/")
        };
        requests.iter().filter(is_status).count()
    };
    eventually("a first status", async || (posted().await > 0).then_some(())).await;
    sqlx::query("DROP TRIGGER broken").execute(&database).await.unwrap();
    world.told(&sha, "Kozmic-CI", "success").await;
    let count = posted().await;
    assert!(count <= 12, "{count} statuses were posted");
    server.stop().await;
}
