//! Nothing is missed: what no delivery told of is found by comparing with GitHub.

use std::collections::BTreeMap;

use github_sim::client::{Fault, FaultKind, Push};

use crate::harness::{BASE, Build, Server, World, eventually, hook};

const QUICK: &str = "#!/bin/sh\n:\n";
/// Where nobody listens: every delivery to it is lost.
const NOWHERE: &str = "http://127.0.0.1:9";

/// A world that compares every second.
async fn world() -> World {
    World::with(&[("KOZMIC_RECONCILE_INTERVAL", "1")]).await
}

async fn push(world: &World, branch: &str, file: &str, message: &str) -> String {
    let push = Push::new("octo/orbit", "octo").branch(branch).message(message);
    world.sim.push(&push.write(file, message)).await.unwrap()
}

/// Waits until GitHub was asked for its branches `more` times from now on.
async fn compared_again(world: &World, more: usize) {
    let asked = async || {
        let requests = world.sim.requests().await.unwrap();
        let asked = requests.iter().filter(|request| request.path.ends_with("/orbit/branches"));
        asked.count()
    };
    let before = asked().await;
    eventually("comparisons", async || (asked().await >= before + more).then_some(())).await;
}

fn heads(builds: &[Build]) -> BTreeMap<&str, &str> {
    builds.iter().map(|build| (build.git_ref.as_str(), build.sha.as_str())).collect()
}

async fn show(world: &World) -> String {
    let shown = world.run(NOWHERE, &["project", "show", "octo/orbit"]).await;
    String::from_utf8(shown.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_delivery_is_found_and_the_build_says_why_it_was_lost() {
    let world = world().await;
    push(&world, "main", "a", "Before the hook").await;
    let server = world.serve().await;
    world.project(NOWHERE, &[hook("Tests", BASE, QUICK)]).await;
    let sha = push(&world, "main", "b", "Lost").await;
    let build = world.finished(&server.url, &sha).await;
    assert_eq!((build.status.as_str(), build.trigger.as_str()), ("success", "reconciliation"));
    let because = build.missed_because.clone().unwrap();
    assert!(because.starts_with("GitHub's delivery failed at 2"), "{because}");
    assert!(because.contains("status code 502 (failed to connect to host)."), "{because}");
    let page = world.page(&build.url).await;
    assert!(page.contains("Found by reconciliation") && page.contains("status code 502"), "{page}");
    assert!(page.contains("Lost"), "the commit's message is known");
    world.told(&sha, "Kozmic-CI", "success").await;
    compared_again(&world, 2).await;
    assert_eq!(world.builds(&server.url).await.len(), 1, "what was there before is not built");

    // The delivery arrives after all.
    let deliveries = world.sim.deliveries("octo/orbit").await.unwrap();
    let lost = deliveries.iter().find(|delivery| delivery.event == "push").unwrap();
    let tests = world.hook(1).await;
    let late = world.deliver(&server.url, &tests, "push", &lost.guid, &lost.payload).await;
    assert_eq!(late.text().await.unwrap(), "Build #1 of this commit exists already.");
    world.end(server).await;
}

/// A server's project with commits on several branches, and the server stopped.
async fn stopped(world: &World, hooks: &[String]) {
    let server = world.serve().await;
    world.project(&server.url, hooks).await;
    for branch in ["main", "busy", "calm", "doomed"] {
        let sha = push(world, branch, branch, "Begin").await;
        world.finished(&server.url, &sha).await;
    }
    server.stop().await;
}

async fn built(world: &World, server: &Server, count: usize) -> Vec<Build> {
    eventually("the missed builds", async || {
        let mut builds = world.builds(&server.url).await;
        builds.retain(|build| build.trigger == "reconciliation");
        (builds.len() >= count).then_some(builds)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_down_for_a_day_catches_up_without_a_storm() {
    let world = world().await;
    let docs = "# kozmic: path = !docs/**\n# kozmic: image";
    let tests = hook("Tests", BASE, QUICK).replacen("# kozmic: image", docs, 1);
    stopped(&world, &[tests]).await;
    let mut last = BTreeMap::new();
    for round in ["one", "two", "three"] {
        for branch in ["main", "busy", "new"] {
            let sha = push(&world, branch, round, round).await;
            last.insert(branch, sha);
        }
    }
    push(&world, "calm", "x", "Not now [skip ci]").await;
    push(&world, "written", "docs/a", "Only words").await;
    world.sim.delete_branch("octo/orbit", "octo", "doomed").await.unwrap();
    let open = async |login: &str, head: &str| {
        world.sim.open_pull_request("octo/orbit", login, head, "main", "Better", "").await.unwrap()
    };
    open("octo", "busy").await;
    world.sim.add_user("mallory").await.unwrap();
    world.sim.fork("octo/orbit", "mallory").await.unwrap();
    let theirs = Push::new("mallory/orbit", "mallory").branch("theirs").write("b", "theirs");
    let theirs = world.sim.push(&theirs).await.unwrap();
    open("mallory", "mallory:theirs").await;

    let server = world.serve().await;
    let builds = built(&world, &server, 4).await;
    let expected = BTreeMap::from([
        ("main", last["main"].as_str()),
        ("busy", &last["busy"]),
        ("new", &last["new"]),
        ("refs/pull/2/head", &theirs),
    ]);
    assert_eq!(heads(&builds), expected, "the newest commit of each, and no other");
    compared_again(&world, 2).await;
    let builds = world.builds(&server.url).await;
    assert_eq!(builds.len(), 4 + 4, "nothing more is found by looking again");
    let of = |name: &str| builds.iter().find(|build| build.git_ref == name).unwrap();
    assert_eq!(of("busy").pull_request_title.as_deref(), Some("Better"));
    assert_eq!(of("refs/pull/2/head").approval, "awaited", "a fork is asked about as ever");
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn github_may_be_away_and_the_project_says_so_until_it_is_back() {
    let world = world().await;
    let server = world.serve().await;
    world.project(NOWHERE, &[hook("Tests", BASE, QUICK)]).await;
    let fault = |kind| Fault {
        method: Some("GET".into()),
        path_contains: "/orbit/branches".into(),
        kind,
        times: 1_000,
    };
    world.sim.add_fault(fault(FaultKind::Status(502))).await.unwrap();
    let sha = push(&world, "main", "a", "Lost").await;
    let page = format!("{}/projects/1/history/", server.url);
    eventually("the page to say it", async || {
        let page = world.page(&page).await;
        (page.contains("GitHub can&#39;t be asked") || page.contains("GitHub can't be asked"))
            .then(|| assert!(page.contains("502 Bad Gateway"), "{page}"))
    })
    .await;
    world.sim.clear_faults().await.unwrap();
    world.sim.add_fault(fault(FaultKind::Status(401))).await.unwrap();
    eventually("the dead token to be told of", async || {
        show(&world).await.contains("nobody who may do this has a token").then_some(())
    })
    .await;
    assert!(world.builds(&server.url).await.is_empty());
    world.sim.clear_faults().await.unwrap();
    world.visitor(&server.url, "octo").await;
    assert_eq!(world.finished(&server.url, &sha).await.trigger, "reconciliation");
    eventually("all to be well", async || {
        show(&world).await.contains("compared            with GitHub").then_some(())
    })
    .await;
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_tags_are_found_when_a_hook_wants_tags() {
    let world = world().await;
    push(&world, "main", "a", "Begin").await;
    world.sim.tag("octo/orbit", "octo", "v1").await.unwrap();
    let server = world.serve().await;
    let wish = "# kozmic: event = tag\n# kozmic: image";
    let publish = hook("Publish", BASE, QUICK).replacen("# kozmic: image", wish, 1);
    world.project(NOWHERE, &[publish]).await;
    let sha = push(&world, "main", "b", "Release").await;
    world.sim.tag("octo/orbit", "octo", "v2").await.unwrap();
    let builds = built(&world, &server, 1).await;
    assert_eq!(heads(&builds), BTreeMap::from([("refs/tags/v2", sha.as_str())]));
    world.finished(&server.url, &sha).await;
    compared_again(&world, 2).await;
    assert_eq!(world.builds(&server.url).await.len(), 1);
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_not_full_is_not_the_last() {
    let world = world().await;
    stopped(&world, &[hook("Tests", BASE, QUICK)]).await;
    let mut last = BTreeMap::new();
    for branch in ["busy", "calm", "main"] {
        last.insert(branch, push(&world, branch, "lost", branch).await);
    }
    world.sim.set_largest_page(1).await.unwrap();
    let server = world.serve().await;
    let builds = built(&world, &server, 3).await;
    assert_eq!(heads(&builds), last.iter().map(|(name, sha)| (*name, sha.as_str())).collect());
    world.end(server).await;
}
