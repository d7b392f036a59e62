//! Where GitHub delivers: what is refused, and what is taken only once.

use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::harness::{BASE, World, hook, push_payload, signature};

const SHA: &str = "1111111111111111111111111111111111111111";

#[tokio::test(flavor = "multi_thread")]
async fn only_what_github_signed_is_read() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    let hook = world.hook(1).await;
    let body = br#"{"hook_id": 1, "zen": "x"}"#.to_vec();
    let right = signature(hook.secret.expose_secret(), &body);
    let wrong = [
        None,
        Some(String::new()),
        Some(right.replace("sha256=", "")),
        Some(right.replace("sha256=", "sha1=")),
        Some(right.replace("sha256=", "SHA256=")),
        Some(right[..right.len() - 1].to_owned()),
        Some(format!("{right}0")),
        Some(signature("another secret", &body)),
        Some(signature(hook.secret.expose_secret(), b"another body")),
    ];
    for signature in wrong {
        let answer =
            world.post(&server.url, 1, "ping", "g", body.clone(), signature.as_deref()).await;
        assert_eq!(answer.status(), 401, "{signature:?}");
        let text = answer.text().await.unwrap();
        assert!(
            text.starts_with("Refused: ") && !text.contains(hook.secret.expose_secret()),
            "{text}"
        );
    }
    let gh_id = hook.gh_id.unwrap();
    let pong = world.deliver(&server.url, &hook, "ping", "g1", &json!({"hook_id": gh_id})).await;
    assert_eq!((pong.status().as_u16(), pong.text().await.unwrap().as_str()), (200, "pong"));
    let other =
        world.deliver(&server.url, &hook, "ping", "g2", &json!({"hook_id": gh_id + 1})).await;
    assert_eq!(other.status(), 400);
    let unknown = world.post(&server.url, 77, "ping", "g", body.clone(), Some(&right)).await;
    assert_eq!(unknown.status(), 404);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_delivery_gets_a_sentence() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    let hook = world.hook(1).await;
    let secret = hook.secret.expose_secret();
    for (body, expected) in [
        (b"not json".to_vec(), "can't be read"),
        (b"{}".to_vec(), "missing field"),
        (b"payload=%7B%7D".to_vec(), "application/json"),
        (b"\xff\xfe".to_vec(), "not UTF-8"),
    ] {
        let signed = signature(secret, &body);
        let answer = world.post(&server.url, 1, "push", "g", body, Some(&signed)).await;
        assert_eq!(answer.status(), 400);
        let text = answer.text().await.unwrap();
        assert!(text.contains(expected), "{text}");
    }
    let limit = 25 * 1024 * 1024;
    let mut body = vec![b' '; limit - 2];
    body.splice(0..0, *b"{}");
    let signed = signature(secret, &body);
    let largest = world.post(&server.url, 1, "star", "g", body.clone(), Some(&signed)).await;
    assert_eq!(largest.status(), 200, "GitHub's largest payload is taken");
    body.push(b' ');
    let signed = signature(secret, &body);
    let too_large = world.post(&server.url, 1, "star", "g2", body, Some(&signed)).await;
    assert_eq!(too_large.status(), 413);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_taken_once_and_a_commit_is_built_once() {
    let world = World::new().await;
    let server = world.serve().await;
    world.project(&server.url, &[hook("One", BASE, ":\n"), hook("Two", BASE, ":\n")]).await;
    let (one, two) = (world.hook(1).await, world.hook(2).await);
    let project = world.store().await.project(one.project).await.unwrap().unwrap();
    let push = push_payload(project.repository.gh_id, "main", SHA, "Fix");
    let said = async |hook, event, guid, payload: &serde_json::Value| {
        let answer = world.deliver(&server.url, hook, event, guid, payload).await;
        assert_eq!(answer.status(), 200);
        answer.text().await.unwrap()
    };
    // GitHub's second webhook may come first, and the first one never.
    assert_eq!(said(&two, "push", "g1", &push).await, "Build #1 with 2 jobs is enqueued.");
    assert_eq!(
        said(&two, "push", "g1", &push).await,
        "This delivery was taken before: Build #1 with 2 jobs is enqueued."
    );
    assert_eq!(said(&two, "push", "g2", &push).await, "Build #1 of this commit exists already.");
    assert_eq!(said(&one, "push", "g1", &push).await, "Build #1 of this commit exists already.");
    let pull = json!({
        "action": "opened", "number": 4, "repository": {"id": project.repository.gh_id},
        "pull_request": {"title": "Fix", "body": null, "user": {"login": "ada"},
            "head": {"ref": "main", "sha": SHA, "repo": {"id": project.repository.gh_id}}},
    });
    assert_eq!(
        said(&one, "pull_request", "g3", &pull).await,
        "Build #1 of this commit exists already."
    );
    // The same commit on another branch is another build.
    let elsewhere = push_payload(project.repository.gh_id, "stable", SHA, "Fix");
    assert_eq!(said(&one, "push", "g4", &elsewhere).await, "Build #2 with 2 jobs is enqueued.");
    let builds = world.builds(&server.url).await;
    assert_eq!(builds.iter().map(|build| build.jobs.len()).collect::<Vec<_>>(), [2, 2]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_deliveries_at_once_make_one_build() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    let hook = world.hook(1).await;
    let project = world.store().await.project(hook.project).await.unwrap().unwrap();
    let push = push_payload(project.repository.gh_id, "main", SHA, "Fix");
    let guids: Vec<String> = (0..20).map(|n| format!("guid-{}", n / 2)).collect();
    let deliveries =
        guids.iter().map(|guid| world.deliver(&server.url, &hook, "push", guid, &push));
    for answer in futures_util::future::join_all(deliveries).await {
        assert_eq!(answer.status(), 200);
    }
    let builds = world.builds(&server.url).await;
    assert_eq!((builds.len(), builds[0].jobs.len()), (1, 1));
    server.stop().await;
}
