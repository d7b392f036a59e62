//! Webhooks that tell other servers how builds end, sent to a real one.

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use crate::harness::{BASE, Received, Server, Sink, World, eventually, hook, post_form};

const SECRET: &str = "a secret that signs";
/// Where the sinks are.
const HERE: (&str, &str) = ("KOZMIC_WEBHOOK_NETWORKS", "127.0.0.0/8");

/// What anybody does who gets one (docs/webhooks-out.md).
fn is_signed(received: &Received, secret: &str) -> bool {
    let signature = received.header("x-kozmic-signature-256").strip_prefix("sha256=").unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hmac::verify(&key, &received.body, &hex::decode(signature).unwrap()).is_ok()
}

async fn add(world: &World, server: &Server, webhook: &Value) -> Value {
    let url = format!("{}/api/v1/projects/1/webhooks", server.url);
    let token = world.api_token().await;
    let added = world.http.post(url).bearer_auth(token).json(webhook).send().await.unwrap();
    let status = added.status();
    let answer: Value = added.json().await.unwrap();
    assert_eq!(status, 201, "{answer}");
    answer
}

/// The last delivery of the first webhook.
async fn last(world: &World, server: &Server) -> Value {
    let url = format!("{}/api/v1/projects/1/webhooks", server.url);
    world.answer(&url).await["webhooks"][0]["deliveries"][0].clone()
}

async fn with_state(world: &World, server: &Server, state: &str) -> Value {
    eventually(&format!("the delivery to be {state}"), async || {
        Some(last(world, server).await).filter(|last| last["state"] == state)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_s_end_is_told_signed_and_to_a_chat() {
    let (sink, chat) = (Sink::start().await, Sink::start().await);
    let world = World::with(&[HERE]).await;
    let server = world.serve().await;
    let script = "#!/bin/sh\necho told by webhooks\ntest -e green\n";
    world.project(&server.url, &[hook("Tests <b> & @all", BASE, script)]).await;
    let url = format!("{}/ci/hidden-path", sink.url);
    let events = json!(["finished"]);
    add(
        &world,
        &server,
        &json!({"format": "json", "url": url, "secret": SECRET, "events": events}),
    )
    .await;
    let events = json!(["failed", "fixed"]);
    add(&world, &server, &json!({"format": "slack", "url": chat.url, "events": events})).await;

    let red = world.push(&[("a", b"a")]).await;
    let build = world.finished(&server.url, &red).await;
    let received = sink.arrived(1).await.remove(0);
    assert!(is_signed(&received, SECRET) && !is_signed(&received, "another secret"));
    assert_eq!(received.path, "/ci/hidden-path");
    assert_eq!(received.header("x-kozmic-event"), "failed");
    assert_eq!(received.header("content-type"), "application/json");
    let body = received.json();
    assert_eq!(body["delivery"], received.header("x-kozmic-delivery"));
    assert_eq!(body["project"]["full_name"], "octo/orbit");
    let told = &body["build"];
    assert_eq!((&told["status"], &told["sha"]), (&json!("failure"), &json!(red)));
    assert_eq!((&told["ref"], &told["url"]), (&json!("refs/heads/main"), &json!(build.url)));
    assert_eq!(told["previous_status"], Value::Null);
    assert_eq!(told["jobs"][0]["return_code"], 1);
    let text = chat.arrived(1).await.remove(0);
    assert!(text.header("x-kozmic-signature-256").is_empty());
    let text = text.json()["text"].as_str().unwrap().to_owned();
    assert!(
        text.contains("|octo/orbit>: main is red: #1 Tests &lt;b&gt; &amp; @\u{200b}all failed"),
        "{text}"
    );

    let green = world.push(&[("green", b"")]).await;
    world.finished(&server.url, &green).await;
    let body = sink.arrived(2).await.remove(1).json();
    assert_eq!(
        (&body["event"], &body["build"]["previous_status"]),
        (&json!("fixed"), &json!("failure"))
    );
    assert!(
        chat.arrived(2).await[1].json()["text"].as_str().unwrap().contains("main is green again")
    );
    let still = world.push(&[("b", b"")]).await;
    world.finished(&server.url, &still).await;
    assert_eq!(sink.arrived(3).await[2].json()["event"], "finished");
    with_state(&world, &server, "sent").await;
    assert_eq!(chat.received().len(), 2, "that it stays green is no news");

    let page = world.page(&format!("{}/projects/1/notifications/", server.url)).await;
    assert!(page.contains("✓ arrived") && page.contains("200 OK"), "{page}");
    assert!(!page.contains("hidden-path") && !page.contains(SECRET), "{page}");
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_is_sent_and_what_did_not_arrive_is_sent_again() {
    let sink = Sink::start().await;
    let world = World::with(&[HERE]).await;
    let server = world.serve().await;
    world.add_project(&server.url).await;
    let owner = world.visitor(&server.url, "octo").await;
    let at = |path: &str| format!("{}/projects/1/{path}/", server.url);
    let form =
        [("format", "json"), ("url", sink.url.as_str()), ("secret", "short"), ("event", "failed")];
    let refused = post_form(&owner, &at("webhooks/add"), &form).await;
    assert_eq!(refused.status(), 422);
    assert!(refused.text().await.unwrap().contains("16 to 500 characters"));
    let form =
        [("format", "json"), ("url", sink.url.as_str()), ("secret", SECRET), ("event", "failed")];
    assert_eq!(post_form(&owner, &at("webhooks/add"), &form).await.status(), 303);

    // What may pass is tried again, by itself.
    sink.answer(&[503]);
    assert_eq!(post_form(&owner, &at("webhooks/1/test"), &[]).await.status(), 303);
    let received = sink.arrived(2).await;
    assert_eq!(received[0].body, received[1].body);
    assert_eq!(received[0].header("x-kozmic-delivery"), received[1].header("x-kozmic-delivery"));
    assert!(is_signed(&received[1], SECRET));
    assert_eq!(received[1].json()["event"], "test");
    let sent = with_state(&world, &server, "sent").await;
    assert_eq!((&sent["attempts"], &sent["status"]), (&json!(2), &json!(200)));

    // What does not is given up, and sent again when somebody says so. No redirect is followed.
    for (status, said) in [(404, "404 Not Found"), (302, "redirects are not followed")] {
        sink.answer(&[status]);
        post_form(&owner, &at("webhooks/1/test"), &[]).await;
        let refused = with_state(&world, &server, "refused").await;
        assert!(refused["answer"].as_str().unwrap().contains(said), "{refused}");
        let page = owner.get(at("notifications")).send().await.unwrap().text().await.unwrap();
        let again = page.split("/deliveries/").nth(1).unwrap().split('/').next().unwrap();
        let again = post_form(&owner, &at(&format!("deliveries/{again}/again")), &[]).await;
        assert_eq!(again.status(), 303);
        with_state(&world, &server, "sent").await;
    }
    assert!(sink.received().iter().all(|received| received.path == "/"));
    assert_eq!(post_form(&owner, &at("webhooks/1/remove"), &[]).await.status(), 303);
    assert_eq!(post_form(&owner, &at("webhooks/1/test"), &[]).await.status(), 404);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_webhook_leads_to_the_server_s_own_networks() {
    let sink = Sink::start().await;
    let world = World::new().await;
    let server = world.serve().await;
    world.add_project(&server.url).await;
    let owner = world.visitor(&server.url, "octo").await;
    let port = sink.url.rsplit(':').next().unwrap();
    // By its address, in other words for it, and by a name that leads there.
    for (index, host) in [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "localhost",
        "169.254.169.254",
    ]
    .into_iter()
    .enumerate()
    {
        let id = index + 1;
        let url = format!("http://{host}:{port}/");
        add(&world, &server, &json!({"format": "slack", "url": url, "events": ["failed"]})).await;
        let test = format!("{}/projects/1/webhooks/{id}/test/", server.url);
        post_form(&owner, &test, &[]).await;
        let answer = eventually("the refusal", async || {
            let url = format!("{}/api/v1/projects/1/webhooks", server.url);
            let webhooks = world.answer(&url).await;
            let last = webhooks["webhooks"][index]["deliveries"][0].clone();
            (last["state"] != "waiting").then_some(last)
        })
        .await;
        assert_eq!(answer["state"], "refused", "{host}: {answer}");
        assert!(answer["answer"].as_str().unwrap().contains("KOZMIC_WEBHOOK_NETWORKS"), "{answer}");
    }
    assert_eq!(sink.received().len(), 0);
    server.stop().await;
}
