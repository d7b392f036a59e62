//! Logins change hands at GitHub. Roles here are of accounts, whatever their name, and so
//! is what the settings give to a login.

use reqwest::{Client, StatusCode};

use crate::harness::{World, location};

async fn status(visitor: &Client, url: &str) -> u16 {
    visitor.get(url).send().await.unwrap().status().as_u16()
}

async fn is_administrator(visitor: &Client, url: &str) -> bool {
    let account = visitor.get(format!("{url}/account/settings/")).send().await.unwrap();
    assert_eq!(account.status(), StatusCode::OK);
    account.text().await.unwrap().contains("administrator of this installation")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_who_was_renamed_stays_one_and_who_took_the_login_is_none() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    let url = &server.url;
    let settings = format!("{url}/projects/1/settings/");
    world.sim.add_user("bob").await.unwrap();
    world.sim.add_collaborator("octo/orbit", "bob", "push").await.unwrap();
    let bob = world.visitor(url, "bob").await;
    world.sim.rename_user("bob", "robert").await.unwrap();
    world.sim.add_user("bob").await.unwrap();
    let other = world.visitor(url, "bob").await;
    assert_eq!(status(&other, &settings).await, 404);
    // Before and after the sign-in that tells the new name.
    assert_eq!(status(&bob, &settings).await, 200);
    let robert = world.visitor(url, "robert").await;
    let page = robert.get(&settings).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("robert</bdi>, manager") && !page.contains(">bob<"), "{page}");
    let synchronize = format!("{url}/projects/1/memberships/sync/");
    assert_eq!(robert.post(&synchronize).send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(status(&other, &settings).await, 404);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_settings_mean_the_account_that_had_a_login_first() {
    let mut world = World::with(&[("KOZMIC_ADMINS", "Ada")]).await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    let mut url = server.url.clone();
    world.sim.add_user("ada").await.unwrap();
    let ada = world.visitor(&url, "ada").await;
    assert!(is_administrator(&ada, &url).await);
    world.sim.rename_user("ada", "countess").await.unwrap();
    world.sim.add_user("Ada").await.unwrap();
    let other = world.visitor(&url, "Ada").await;
    assert!(!is_administrator(&other, &url).await);
    assert_eq!(status(&other, &format!("{url}/projects/1/")).await, 404);
    let token = world.run(&url, &["token", "create", "--user", "ada"]).await.stdout;
    let token = String::from_utf8(token).unwrap();
    let asked = world.http.get(format!("{url}/api/v1/projects/1")).bearer_auth(token.trim());
    assert_eq!(asked.send().await.unwrap().status(), StatusCode::NOT_FOUND);
    server.stop().await;

    // The same where a login is what lets somebody in, after another start.
    world.set("KOZMIC_ALLOWED_USERS", "ada");
    let server = world.serve().await;
    let refused = world.sign_in(&server.url, "Ada").await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let sentence = refused.text().await.unwrap();
    assert!(sentence.contains("mean the account that had this login before yours"), "{sentence}");
    let gone = other.get(format!("{}/account/settings/", server.url)).send().await.unwrap();
    assert!(location(&gone).starts_with("/login/"), "its session ended with that");
    server.stop().await;

    // As the sentence says: out of the settings, and in again.
    world.set("KOZMIC_ADMINS", "");
    world.set("KOZMIC_ALLOWED_USERS", "");
    world.serve().await.stop().await;
    world.set("KOZMIC_ADMINS", "ada");
    let server = world.serve().await;
    url.clone_from(&server.url);
    assert!(is_administrator(&world.visitor(&url, "Ada").await, &url).await);
    assert!(!is_administrator(&world.visitor(&url, "countess").await, &url).await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_here_before_the_settings_named_them_is_meant() {
    let mut world = World::new().await;
    world.sim.add_user("ada").await.unwrap();
    let server = world.serve().await;
    world.visitor(&server.url, "ada").await;
    server.stop().await;
    world.set("KOZMIC_ADMINS", "ada");
    let server = world.serve().await;
    // Renamed before she came again.
    world.sim.rename_user("ada", "countess").await.unwrap();
    world.sim.add_user("ada").await.unwrap();
    let other = world.visitor(&server.url, "ada").await;
    assert!(!is_administrator(&other, &server.url).await);
    server.stop().await;
}
