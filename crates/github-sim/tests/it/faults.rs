//! GitHub on a bad day, and its end.

use std::time::{Duration, Instant};

use github_sim::client::{Fault, FaultKind};
use reqwest::{Client, Method};
use serde_json::json;

use crate::github::{GitHub, SITE};

fn fault(kind: FaultKind) -> Fault {
    Fault {
        method: Some("POST".to_owned()),
        path_contains: "/statuses/".to_owned(),
        kind,
        times: 1,
    }
}

#[tokio::test]
async fn each_fault_is_met_as_often_as_it_says() {
    let github = GitHub::start().await;
    let sha = github.push("one").await;
    let path = format!("/repos/{SITE}/statuses/{sha}");
    let body = json!({"state": "success"});

    github.sim.add_fault(fault(FaultKind::Status(503))).await.unwrap();
    let (status, ..) = github.request(Method::POST, &path, Some(body.clone())).await;
    assert_eq!(status, 503);

    github.sim.add_fault(fault(FaultKind::Drop)).await.unwrap();
    let dropped = Client::new()
        .post(format!("{}{path}", github.sim.api_url()))
        .header("User-Agent", "test")
        .bearer_auth(&github.token)
        .json(&body)
        .send()
        .await;
    assert!(dropped.is_err(), "{dropped:?}");
    assert!(github.sim.statuses(SITE, &sha).await.unwrap().is_empty());

    github.sim.add_fault(fault(FaultKind::Slow(200))).await.unwrap();
    let started = Instant::now();
    let (status, ..) = github.request(Method::POST, &path, Some(body.clone())).await;
    assert_eq!(status, 201);
    assert!(started.elapsed() >= Duration::from_millis(200));

    github.sim.add_fault(fault(FaultKind::Status(429))).await.unwrap();
    github.sim.clear_faults().await.unwrap();
    let (status, ..) = github.request(Method::POST, &path, Some(body)).await;
    assert_eq!(status, 201);
    let statuses: Vec<u16> = github
        .sim
        .requests()
        .await
        .unwrap()
        .iter()
        .filter(|one| one.method == "POST")
        .map(|one| one.status)
        .collect();
    assert_eq!(statuses, [503, 0, 201, 201]);
}

#[tokio::test]
async fn git_meets_faults_too() {
    let github = GitHub::start().await;
    github.push("one").await;
    let fault = Fault {
        method: None,
        path_contains: "git-upload-pack".to_owned(),
        kind: FaultKind::Status(502),
        times: 1,
    };
    github.sim.add_fault(fault).await.unwrap();
    let url = github.clone_url(SITE);
    let error = github.git(&["clone", "-q", &url, "copy"]).await.unwrap_err();
    assert!(error.contains("502"), "{error}");
    github.git(&["clone", "-q", &url, "copy"]).await.unwrap();
}

#[tokio::test]
async fn it_ends_when_told_to_and_starts_only_in_an_empty_folder() {
    let github = GitHub::start().await;
    github.push("one").await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let root = github.folder().join("github");
    let refused = github_sim::serve(listener, root, async {}).await.unwrap_err();
    assert!(refused.to_string().contains("not empty"), "{refused}");
    github.end().await.unwrap();
}
