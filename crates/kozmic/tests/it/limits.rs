//! GitHub's limits: what has not changed costs nothing, and whoever is asked to wait waits.

use std::time::Duration;

use github_sim::client::{Fault, FaultKind, LoggedRequest};

use crate::harness::{Server, World, eventually};

const QUICK: &str = "#!/bin/sh\n:\n";

/// What Kozmic has asked since the first `before` requests.
async fn asked(world: &World, before: usize) -> Vec<LoggedRequest> {
    world.sim.requests().await.unwrap().split_off(before)
}

async fn post(world: &World, url: &str) -> String {
    world.owner(url).await.post(url).send().await.unwrap().text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_before_costs_nothing_the_second_time() {
    let world = World::with(&[("KOZMIC_RECONCILE_INTERVAL", "1")]).await;
    let server = world.serve_with(QUICK).await;
    // A list of repositories that is large, and has more than one page.
    for number in 0..20 {
        world.sim.add_repository("octo", &format!("r{number}")).await.unwrap();
    }
    let sha = world.push(&[("a", b"a")]).await;
    world.told(&sha, "Kozmic-CI", "success").await;
    world.told(&sha, "Kozmic-CI/Tests", "success").await;
    world.sim.set_largest_page(15).await.unwrap();
    for round in ["first", "second"] {
        let before = world.sim.requests().await.unwrap().len();
        let synchronized =
            post(&world, &format!("{}/projects/1/memberships/sync/", server.url)).await;
        assert!(synchronized.contains("Up to date with GitHub."), "{synchronized}");
        post(&world, &format!("{}/repositories/sync/", server.url)).await;
        // Signing in may have changed whose token is used, amid a comparison: the second one
        // from here on began afterwards.
        let from = world.sim.requests().await.unwrap().len();
        eventually("a comparison", async || {
            let asked = asked(&world, from).await;
            let pulls = asked.iter().filter(|request| request.path.ends_with("/orbit/pulls"));
            (pulls.count() >= 2).then_some(())
        })
        .await;
        if round == "second" {
            let asked = asked(&world, before).await;
            let pages = asked.iter().filter(|request| request.path == "/api/v3/user/repos");
            assert_eq!(pages.count(), 2, "{asked:#?}");
            assert!(asked.iter().all(|request| request.status == 304), "{asked:#?}");
        }
    }
    server.stop().await;
}

/// The page says that GitHub asks to wait; nothing is asked until that is over.
async fn waits(world: &World, server: Server, before: usize) {
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.build_of(&server.url, &sha).await;
    eventually("the limit to be told of", async || {
        let page = world.page(&build.url).await;
        page.contains("not learned this yet: GitHub asks to wait").then_some(())
    })
    .await;
    // More to tell makes no more calls.
    world.finished(&server.url, &sha).await;
    world.told(&sha, "Kozmic-CI", "success").await;
    world.told(&sha, "Kozmic-CI/Tests", "success").await;
    let asked = asked(world, before).await;
    // The list of the owner's repositories may still be under way since the sign-in.
    let is_refused = |request: &&LoggedRequest| {
        request.status == 403 && request.path.starts_with("/api/v3/repos/")
    };
    assert_eq!(asked.iter().filter(is_refused).count(), 1, "{asked:#?}");
    for context in ["Kozmic-CI", "Kozmic-CI/Tests"] {
        let states = world.states(&sha, context).await;
        let latest = states.iter().filter(|state| *state == "success").count();
        assert_eq!(latest, 1, "{context}: {states:?}");
    }
    server.stop().await;
}

/// A server whose owner has signed in, and how often GitHub was asked for that.
async fn signed_in(world: &World) -> (Server, usize) {
    let server = world.serve_with(QUICK).await;
    world.page(&format!("{}/repositories/", server.url)).await;
    let before = world.sim.requests().await.unwrap().len();
    (server, before)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_hour_is_waited_for() {
    let world = World::new().await;
    let (server, before) = signed_in(&world).await;
    world.sim.set_rate_limit(Some("octo"), 0, Duration::from_secs(20)).await.unwrap();
    waits(&world, server, before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_limit_is_waited_for() {
    let world = World::new().await;
    let (server, before) = signed_in(&world).await;
    let limit = Fault::on("POST /statuses/", FaultKind::SecondaryLimit(20));
    world.sim.add_fault(limit).await.unwrap();
    waits(&world, server, before).await;
}
