//! Deploy keys: made, shown, refused, removed.

use reqwest::Method;
use serde_json::json;

use crate::github::{GitHub, SITE};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

#[tokio::test]
async fn a_deploy_key_is_made_listed_and_removed() {
    let github = GitHub::start().await;
    let keys = format!("/repos/{SITE}/keys");
    let body = json!({"title": "CI", "key": format!("{KEY} a comment"), "read_only": true});
    let (status, _, made) = github.request(Method::POST, &keys, Some(body)).await;
    assert_eq!(status, 201);
    assert_eq!(
        (&made["key"], &made["title"], &made["read_only"], &made["added_by"]),
        (&json!(KEY), &json!("CI"), &json!(true), &json!("alice"))
    );
    let (_, _, listed) = github.request(Method::GET, &keys, None).await;
    assert_eq!(listed, json!([made]));
    let one = format!("{keys}/{}", made["id"]);
    assert_eq!(github.request(Method::GET, &one, None).await.2, made);
    // What sshd is told; one more line for each key.
    let url = github.sim.authorized_keys_url("/bin/gate");
    let authorized = reqwest::get(&url).await.unwrap().text().await.unwrap();
    assert_eq!(authorized, format!("restrict,command=\"/bin/gate {SITE} read-only\" {KEY}\n"));
    assert_eq!(github.request(Method::DELETE, &one, None).await.0, 204);
    assert_eq!(github.request(Method::GET, &one, None).await.0, 404);
    assert_eq!(reqwest::get(&url).await.unwrap().text().await.unwrap(), "");
}

#[tokio::test]
async fn what_cannot_be_a_deploy_key_is_refused() {
    let github = GitHub::start().await;
    github.sim.add_repository("alice", "other").await.unwrap();
    let body = json!({"key": KEY});
    let (status, ..) = github.request(Method::POST, "/repos/alice/other/keys", Some(body)).await;
    assert_eq!(status, 201);
    let keys = format!("/repos/{SITE}/keys");
    let refused = async |body| {
        let (status, _, answer) = github.wrong_request(Method::POST, &keys, Some(body)).await;
        assert_eq!((status.as_u16(), &answer["message"]), (422, &json!("Validation Failed")));
        answer["errors"][0].clone()
    };
    assert_eq!(refused(json!({})).await["code"], "missing_field");
    let format = refused(json!({"key": "ssh-ed25519 AAAA"})).await;
    assert_eq!(
        format["message"],
        "key is invalid. You must supply a key in OpenSSH public key format"
    );
    // In another repository, as it is on GitHub.
    assert_eq!(refused(json!({"key": KEY})).await["message"], "key is already in use");
    github.sim.allow_deploy_keys(SITE, false).await.unwrap();
    let disabled = refused(json!({"key": KEY})).await;
    assert_eq!(disabled["message"], "Deploy keys are disabled for this repository");
}

#[tokio::test]
async fn deploy_keys_are_for_administrators() {
    let github = GitHub::start().await;
    let keys = format!("/repos/{SITE}/keys");
    github.sim.add_user("bob").await.unwrap();
    for role in [None, Some("write")] {
        if let Some(role) = role {
            github.sim.set_private(SITE, true).await.unwrap();
            github.sim.add_collaborator(SITE, "bob", role).await.unwrap();
        }
        let body = json!({"key": KEY});
        let error = github.sim.rest("bob", Method::POST, &keys, Some(body)).await.unwrap_err();
        assert_eq!(error.to_string(), "Not Found");
    }
    github.sim.add_collaborator(SITE, "bob", "admin").await.unwrap();
    github.sim.rest("bob", Method::POST, &keys, Some(json!({"key": KEY}))).await.unwrap();
    assert_eq!(github.sim.deploy_keys(SITE).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_repository_tells_where_its_ssh_is() {
    let github = GitHub::start().await;
    let ssh_url = async || {
        let path = format!("/repos/{SITE}");
        github.request(Method::GET, &path, None).await.2["ssh_url"].clone()
    };
    assert_eq!(ssh_url().await, "git@127.0.0.1:alice/site.git");
    github.sim.set_ssh("ssh://git@127.0.0.1:2222/").await.unwrap();
    assert_eq!(ssh_url().await, "ssh://git@127.0.0.1:2222/alice/site.git");
}
