//! Webhooks: made, changed, told, told again.

use axum::http::StatusCode;
use reqwest::Method;
use serde_json::json;

use crate::github::{GitHub, PATIENCE, Receiver, SITE};

#[tokio::test]
async fn a_new_webhook_is_pinged_and_keeps_its_secret() {
    let github = GitHub::start().await;
    let receiver = Receiver::start().await;
    let id = github.webhook(&receiver.url).await;
    let ping = &receiver.of("ping")[0];
    assert_eq!(ping["hook_id"], json!(id));
    assert_eq!(ping["hook"]["config"]["secret"], "********");
    let path = format!("/repos/{SITE}/hooks/{id}");
    let (status, _, hook) = github.request(Method::GET, &path, None).await;
    assert_eq!(status, 200);
    assert_eq!(hook["config"]["secret"], "********");
    assert_eq!(hook["last_response"]["code"], 202);
    let hooks = github.sim.webhooks(SITE).await.unwrap();
    assert_eq!(hooks.len(), 1);
    assert_eq!(hooks[0].events, ["push", "pull_request"]);
    assert!(hooks[0].has_secret && hooks[0].active);

    let (status, ..) = github.request(Method::POST, &format!("{path}/pings"), None).await;
    assert_eq!(status, 204);
    github.sim.wait_for_deliveries(SITE, 2, PATIENCE).await.unwrap();
    let body = json!({"active": false, "add_events": ["issues"], "remove_events": ["push"]});
    let (_, _, changed) = github.request(Method::PATCH, &path, Some(body)).await;
    assert_eq!(changed["active"], false);
    assert_eq!(changed["events"], json!(["pull_request", "issues"]));
    let (status, ..) = github.request(Method::DELETE, &path, None).await;
    assert_eq!(status, 204);
    let (status, ..) = github.request(Method::GET, &path, None).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn what_cannot_be_a_webhook_is_refused() {
    let github = GitHub::start().await;
    let receiver = Receiver::start().await;
    github.webhook(&receiver.url).await;
    let path = format!("/repos/{SITE}/hooks");
    for (body, part) in [
        (json!({"events": ["push"]}), "must contain URL"),
        (json!({"config": {"url": "ftp://x"}}), "http(s)"),
        (json!({"config": {"url": "http://x", "content_type": "xml"}}), "content_type"),
        (json!({"config": {"url": "http://x"}, "events": ["pushed"]}), "pushed"),
        (json!({"config": {"url": "http://x"}, "name": "mail"}), "web"),
        (
            json!({"config": {"url": receiver.url}, "events": ["pull_request", "push"]}),
            "Hook already exists on this repository",
        ),
    ] {
        let (status, _, answer) = github.request(Method::POST, &path, Some(body)).await;
        assert_eq!(status, 422);
        assert_eq!(answer["message"], "Validation Failed");
        let message = answer["errors"][0]["message"].as_str().unwrap();
        assert!(message.contains(part), "{message}");
    }
    github.sim.add_user("bob").await.unwrap();
    let error = github.sim.rest("bob", Method::GET, &path, None).await.unwrap_err();
    assert_eq!(error.to_string(), "Not Found");
}

#[tokio::test]
async fn all_webhooks_of_an_event_share_its_guid_and_a_redelivery_keeps_it() {
    let github = GitHub::start().await;
    let (one, two) = (Receiver::start().await, Receiver::start().await);
    github.webhook(&one.url).await;
    github.webhook(&two.url).await;
    github.push("one").await;
    let deliveries = github.sim.wait_for_deliveries(SITE, 4, PATIENCE).await.unwrap();
    let pushes: Vec<_> = deliveries.iter().filter(|one| one.event == "push").collect();
    assert_eq!(pushes.len(), 2);
    assert_eq!(pushes[0].guid, pushes[1].guid);
    assert_ne!(pushes[0].hook_id, pushes[1].hook_id);
    assert_eq!(pushes[0].status_code, 202);
    assert_eq!(pushes[0].response_body, "thank you");

    assert_eq!(github.sim.redeliver(&pushes[0].guid).await.unwrap(), 2);
    let deliveries = github.sim.wait_for_deliveries(SITE, 6, PATIENCE).await.unwrap();
    assert!(deliveries[5].redelivery);
    assert_eq!(deliveries[5].guid, pushes[0].guid);
    let bodies: Vec<String> = one
        .all()
        .into_iter()
        .filter(|one| one.header("x-github-event") == "push")
        .map(|one| one.body)
        .collect();
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies[0], bodies[1]);
}

#[tokio::test]
async fn a_failed_delivery_is_recorded_and_not_tried_again() {
    let github = GitHub::start().await;
    let angry = Receiver::answering(StatusCode::INTERNAL_SERVER_ERROR).await;
    let hook = github.webhook(&angry.url).await;
    github.webhook("http://127.0.0.1:1/nobody").await;
    github.push("one").await;
    let deliveries = github.sim.wait_for_deliveries(SITE, 4, PATIENCE).await.unwrap();
    let mut codes: Vec<u16> = deliveries.iter().map(|one| one.status_code).collect();
    codes.sort_unstable();
    assert_eq!(codes, [500, 500, 502, 502]);
    let path = format!("/repos/{SITE}/hooks/{hook}/deliveries");
    let (_, _, listed) = github.request(Method::GET, &path, None).await;
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert_eq!(listed[0]["event"], "push");
    let path = format!("{path}/{}", listed[0]["id"]);
    let (_, _, one) = github.request(Method::GET, &path, None).await;
    assert_eq!(one["response"]["payload"], "thank you");
    assert_eq!(one["request"]["payload"]["ref"], "refs/heads/main");
    let (status, ..) = github.request(Method::POST, &format!("{path}/attempts"), None).await;
    assert_eq!(status, 202);
    github.sim.wait_for_deliveries(SITE, 5, PATIENCE).await.unwrap();
    assert_eq!(angry.of("push").len(), 2);
}

#[tokio::test]
async fn a_form_webhook_gets_its_payload_in_a_field() {
    let github = GitHub::start().await;
    let receiver = Receiver::start().await;
    let body = json!({"config": {"url": receiver.url}});
    let path = format!("/repos/{SITE}/hooks");
    let (status, _, hook) = github.request(Method::POST, &path, Some(body)).await;
    assert_eq!(status, 201);
    assert_eq!(hook["config"]["content_type"], "form");
    github.sim.wait_for_deliveries(SITE, 1, PATIENCE).await.unwrap();
    let ping = &receiver.all()[0];
    assert_eq!(ping.header("content-type"), "application/x-www-form-urlencoded");
    assert_eq!(ping.header("x-hub-signature-256"), "");
    let mut fields = url::form_urlencoded::parse(ping.body.as_bytes());
    let (name, value) = fields.next().unwrap();
    assert_eq!(name, "payload");
    let payload: serde_json::Value = serde_json::from_str(&value).unwrap();
    assert_eq!(payload["hook_id"], hook["id"]);
}
