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
async fn a_rate_limit_is_obeyed() {
    survives(FaultKind::Status(429)).await;
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
