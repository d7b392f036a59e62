//! Repositories that are archived at GitHub: nothing of them can be changed there.

use github_sim::client::Method;
use reqwest::{Client, StatusCode};
use serde_json::json;

use crate::harness::{BASE, World, hook, location};

async fn page(visitor: &Client, url: &str) -> String {
    let answer = visitor.get(url).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{url}");
    answer.text().await.unwrap()
}

async fn post(visitor: &Client, url: &str) -> reqwest::Response {
    visitor.post(url).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_repository_is_turned_on_once_it_is_unarchived() {
    let world = World::new().await;
    let attic = world.sim.add_repository("octo", "attic").await.unwrap();
    world.sim.set_archived("octo/attic", true).await.unwrap();
    let server = world.serve().await;
    let octo = world.owner(&server.url).await;
    let repositories = format!("{}/repositories/", server.url);
    let offered = page(octo, &repositories).await;
    assert!(offered.contains("<span class=\"meta\">archived</span>"), "{offered}");
    assert!(offered.contains("can be turned on once it is unarchived at GitHub."), "{offered}");
    assert!(offered.contains("Turn on octo/orbit"), "{offered}");
    assert!(!offered.contains("Turn on octo/attic"), "{offered}");
    let on = format!("{repositories}{attic}/on/");
    let refused = post(octo, &on).await.text().await.unwrap();
    assert!(refused.contains("octo/attic is archived at GitHub, where nobody can"), "{refused}");
    let added = world.run(&server.url, &["project", "add", "octo/attic"]).await;
    let said = String::from_utf8_lossy(&added.stderr).into_owned();
    assert!(said.contains("octo/attic is archived at GitHub"), "{said}");
    assert!(world.sim.webhooks("octo/attic").await.unwrap().is_empty());
    world.sim.set_archived("octo/attic", false).await.unwrap();
    // As GitHub stands now, whatever the list was told before.
    assert_eq!(location(&post(octo, &on).await), "/projects/1/hooks/add/");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_says_that_it_is_archived_and_goes_on_afterwards() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    let octo = world.owner(&server.url).await;
    let project = format!("{}/projects/1/", server.url);
    let synchronize = format!("{project}memberships/sync/");
    let sentence = "octo/orbit is archived at GitHub";
    let sha = world.push(&[("a", b"a")]).await;
    world.finished(&server.url, &sha).await;
    world.sim.set_archived("octo/orbit", true).await.unwrap();
    let settings = post(octo, &synchronize).await.text().await.unwrap();
    assert!(settings.contains(sentence) && settings.contains("Up to date"), "{settings}");
    assert!(page(octo, &format!("{project}history/")).await.contains(sentence));
    assert!(page(octo, &format!("{project}builds/1/")).await.contains(sentence));
    // What people want changed there is refused with GitHub's reason.
    let form = "title=More&image=x&build_script=%3A";
    let request = octo.post(format!("{project}hooks/add/")).body(form);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let refused = request.send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let refused = refused.text().await.unwrap();
    assert!(refused.contains("archived so is read-only"), "{refused}");

    world.sim.set_archived("octo/orbit", false).await.unwrap();
    let settings = post(octo, &synchronize).await.text().await.unwrap();
    assert!(!settings.contains(sentence), "{settings}");
    let sha = world.push(&[("a", b"b")]).await;
    world.told(&sha, "Kozmic-CI", "success").await;
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_private_project_is_deleted_with_what_stays_at_github_named() {
    let world = World::new().await;
    world.sim.set_private("octo/orbit", true).await.unwrap();
    let server = world.serve().await;
    world.project(&server.url, &[hook("Tests", BASE, ":\n")]).await;
    world.sim.set_archived("octo/orbit", true).await.unwrap();
    // The key is not missed as long as none can be added.
    let key = world.sim.deploy_keys("octo/orbit").await.unwrap().remove(0);
    let rest = format!("/repos/octo/orbit/keys/{}", key.id);
    let refused = world.sim.rest("octo", Method::DELETE, &rest, Some(json!({}))).await;
    assert!(format!("{refused:?}").contains("read-only"), "{refused:?}");
    let synchronized = world.run(&server.url, &["project", "sync", "octo/orbit"]).await;
    assert!(synchronized.status.success(), "{synchronized:?}");
    let deleted = world.run(&server.url, &["project", "delete", "octo/orbit", "--yes"]).await;
    let said = String::from_utf8_lossy(&deleted.stdout).into_owned();
    assert!(said.contains("Deleted octo/orbit."), "{said}");
    assert!(said.contains("the webhook of `Tests`") && said.contains("the deploy key"), "{said}");
    server.stop().await;
}
