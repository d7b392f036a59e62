//! Another repository has taken the name of a project's: it is told and given nothing.

use github_sim::client::{Fault, FaultKind, LoggedRequest, Push};
use reqwest::header;

use crate::harness::{BASE, Server, World, eventually};

const NAME: &str = "octo/orbit";
const QUICK: &str = "#!/bin/sh\n:\n";
const SAID: &str = "octo/orbit at GitHub is another repository now than this project&#39;s";

/// A build of which GitHub could not be told yet; the commit, and the fault.
async fn untold(world: &World, server: &Server) -> (String, u64) {
    let statuses = Fault::on("POST /statuses/", FaultKind::Status(502)).until_lifted();
    let fault = world.sim.add_fault(statuses).await.unwrap();
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&server.url, &sha).await;
    eventually("the reports to fail", async || {
        world.page(&build.url).await.contains("has not learned this yet").then_some(())
    })
    .await;
    (sha, fault)
}

async fn post(world: &World, server: &Server, path: &str, form: &[(&str, &str)]) -> String {
    let url = format!("{}{path}", server.url);
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = world.owner(&url).await.post(&url).body(body);
    let form = "application/x-www-form-urlencoded";
    let answer = request.header(header::CONTENT_TYPE, form).send().await.unwrap();
    answer.text().await.unwrap().replace("&#x27;", "&#39;")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_was_made_anew_under_the_name_gets_nothing() {
    let world = World::with(&[("KOZMIC_RECONCILE_INTERVAL", "1")]).await;
    let server = world.serve_with(QUICK).await;
    let (sha, fault) = untold(&world, &server).await;
    world.sim.delete_repository(NAME).await.unwrap();
    world.sim.add_repository("octo", "orbit").await.unwrap();
    world.sim.set_private(NAME, true).await.unwrap();
    let theirs = Push::new(NAME, "octo").message("Of somebody else").write("a", "theirs");
    let theirs = world.sim.push(&theirs).await.unwrap();
    let before = world.sim.requests().await.unwrap().len();
    world.sim.lift_fault(fault).await.unwrap();

    let build = world.finished(&server.url, &sha).await;
    let page = eventually("the reports to be given up", async || {
        let page = world.page(&build.url).await.replace("&#x27;", "&#39;");
        (page.contains("GitHub will not learn this") && !page.contains("not learned this yet"))
            .then_some(page)
    })
    .await;
    assert!(page.contains(SAID), "{page}");
    let history = format!("{}/projects/1/history/", server.url);
    eventually("the comparison to say it", async || {
        world.page(&history).await.replace("&#x27;", "&#39;").contains(SAID).then_some(())
    })
    .await;
    let ensured = post(&world, &server, "/projects/1/hooks/ensure/", &[]).await;
    assert!(ensured.contains(SAID), "{ensured}");
    let more = [("title", "More"), ("image", BASE), ("build_script", QUICK), ("options", "")];
    let added = post(&world, &server, "/projects/1/hooks/add/", &more).await;
    assert!(added.contains(SAID), "{added}");
    let synchronized = post(&world, &server, "/projects/1/memberships/sync/", &[]).await;
    assert!(synchronized.contains("GitHub has no octo/orbit any more"), "{synchronized}");
    assert!(world.sim.webhooks(NAME).await.unwrap().is_empty());
    assert!(world.sim.deploy_keys(NAME).await.unwrap().is_empty());
    let builds = world.builds(&server.url).await;
    assert!(builds.iter().all(|build| build.sha != theirs), "{builds:?}");
    // It was looked at by its name, and nothing more.
    let requests = world.sim.requests().await.unwrap();
    let at_it = |request: &&LoggedRequest| request.path.starts_with("/api/v3/repos/");
    let asked: Vec<_> = requests[before..].iter().filter(at_it).collect();
    let is_look = |request: &&LoggedRequest| {
        request.method == "GET" && request.path == "/api/v3/repos/octo/orbit"
    };
    // What was under way as the old one went has met the fault.
    let is_fault = |request: &&LoggedRequest| request.status == 502;
    let others: Vec<_> = asked.iter().filter(|one| !is_look(one) && !is_fault(one)).collect();
    assert!(!asked.is_empty() && others.is_empty(), "{others:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_repository_is_found_again_though_another_has_its_name() {
    let world = World::new().await;
    let server = world.serve_with(QUICK).await;
    let (sha, fault) = untold(&world, &server).await;
    world.sim.rename_repository(NAME, "starship").await.unwrap();
    world.sim.add_repository("octo", "orbit").await.unwrap();
    world.sim.lift_fault(fault).await.unwrap();
    let build = world.finished(&server.url, &sha).await;
    eventually("the reports to be given up", async || {
        let page = world.page(&build.url).await;
        (page.contains("is another repository now") && !page.contains("not learned this yet"))
            .then_some(())
    })
    .await;
    let synchronized = post(&world, &server, "/projects/1/memberships/sync/", &[]).await;
    assert!(synchronized.contains("<h1>octo/starship</h1>"), "{synchronized}");
    // What was given up under the old name arrives under the new one.
    let statuses = eventually("green statuses", async || {
        let statuses = world.sim.statuses("octo/starship", &sha).await.unwrap();
        let green = statuses.iter().filter(|status| status.state == "success").count();
        (green == 2).then_some(statuses)
    })
    .await;
    assert_eq!(statuses.len(), 2, "each context once: {statuses:?}");
    assert!(!world.page(&build.url).await.contains("will not learn"));
    let again = Push::new("octo/starship", "octo").message("Go on").write("a", "b");
    let again = world.sim.push(&again).await.unwrap();
    world.finished(&server.url, &again).await;
    server.stop().await;
}
