//! Tags and releases.

use github_sim::client::Push;
use reqwest::Method;
use serde_json::json;

use crate::github::{GitHub, PATIENCE, Receiver, SITE};

#[tokio::test]
async fn a_release_makes_its_tag_and_tells_of_both() {
    let github = GitHub::start().await;
    let receiver = Receiver::start().await;
    let id = github.webhook(&receiver.url).await;
    let body = json!({"events": ["push", "release"]});
    github.request(Method::PATCH, &format!("/repos/{SITE}/hooks/{id}"), Some(body)).await;
    let sha = github.sim.push(&Push::new(SITE, "alice").write("a", "a")).await.unwrap();
    github.sim.publish_release(SITE, "alice", "v1").await.unwrap();
    // The ping, two pushes, and three actions of the release.
    github.sim.wait_for_deliveries(SITE, 6, PATIENCE).await.unwrap();
    let told = receiver.of("release");
    let actions: Vec<_> = told.iter().map(|event| event["action"].clone()).collect();
    assert_eq!(actions, ["created", "published", "released"]);
    assert_eq!(told[1]["release"]["tag_name"], "v1");
    assert_eq!(receiver.of("push")[1]["ref"], "refs/tags/v1");

    let path = format!("/repos/{SITE}/tags");
    let (_, _, tags) = github.request(Method::GET, &path, None).await;
    assert_eq!((&tags[0]["name"], &tags[0]["commit"]["sha"]), (&json!("v1"), &json!(sha)));
    let releases = format!("/repos/{SITE}/releases");
    let draft = json!({"tag_name": "v2", "draft": true});
    let (status, _, made) = github.request(Method::POST, &releases, Some(draft)).await;
    assert_eq!((status.as_u16(), &made["published_at"]), (201, &json!(null)));
    let (_, _, tags) = github.request(Method::GET, &path, None).await;
    assert_eq!(tags.as_array().unwrap().len(), 1, "a draft has no tag yet");
    let (status, ..) = github.wrong_request(Method::POST, &releases, Some(json!({}))).await;
    assert_eq!(status, 422);
}
