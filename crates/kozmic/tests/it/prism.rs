//! Each call of GitHub's client fits GitHub's own description of its REST API.

use std::path::Path;

use kozmic::github::{Client, FailedDelivery, HookConfig, KeyPair, NewStatus};
use kozmic::model::{CommitSha, FullName, GitRef};
use secrecy::SecretString;

use crate::harness::Prism;

#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_as_github_describes_it() {
    let prism = Prism::start().await;
    let client = Client::new(&prism.api).unwrap();
    let token = SecretString::from("ghp_any");
    let name: FullName = "octocat/Hello-World".parse().unwrap();
    let sha: CommitSha = "6dcb09b5b57875f334f61aebed695e2e4193db5e".parse().unwrap();

    assert_eq!(client.user(&token).await.unwrap().login, "octocat");
    let repository = client.repository(&token, &name).await.unwrap();
    assert_eq!(repository.full_name, name);
    assert_eq!(client.commit(&token, &name, &sha).await.unwrap().message, "Fix all the bugs");

    let secret = SecretString::from("It's a Secret to Everybody");
    let url = "https://ci.example.com/_hooks/hook/1/".into();
    let hook = HookConfig { url, secret, events: vec!["push", "release"] };
    let id = client.create_hook(&token, &name, &hook).await.unwrap();
    client.hook_listens(&token, &name, id, &["push", "pull_request"]).await.unwrap();
    client.failed_deliveries(&token, &name, id).await.unwrap();
    let failed = FailedDelivery {
        id: 12_345_678,
        event: "star".into(),
        delivered_at: "2026-11-24T12:00:00Z".into(),
        status: "failed to connect to host".into(),
        status_code: 502,
    };
    client.delivered_event(&token, &name, id, &failed).await.unwrap();

    let tag = GitRef::tag("v1/final").unwrap();
    assert!(!client.commit_of_tag(&token, &name, &tag).await.unwrap().message.is_empty());
    let between = client.changed_between(&token, &name, "release/1", sha.as_str()).await;
    assert_eq!(between.unwrap().unwrap(), ["file1.txt"]);
    let changed = client.changed_in_pull_request(&token, &name, 7).await.unwrap().unwrap();
    assert_eq!(changed, ["file1.txt"]);
    assert_eq!(client.branches(&token, &name).await.unwrap().all[0].name, "refs/heads/master");
    assert_eq!(client.tags(&token, &name).await.unwrap().all[0].name, "refs/tags/v0.1");
    assert_eq!(client.open_pull_requests(&token, &name).await.unwrap().all[0].number, 1347);
    let status = NewStatus {
        state: "pending",
        target_url: "https://ci.example.com/".into(),
        description: "Waiting for a worker".into(),
        context: "Kozmic-CI".into(),
    };
    client.create_status(&token, &name, &sha, &status).await.unwrap();

    let key = KeyPair::generate("kozmic").unwrap().public_key;
    let id = client.register_deploy_key(&token, &name, "Kozmic", &key).await.unwrap();
    assert!(client.has_deploy_key(&token, &name, id).await.unwrap());
    client.delete_deploy_key(&token, &name, id).await.unwrap();
}

/// Signing in is no part of the REST API, nor of its description.
const ELSEWHERE: &[&str] = &["oauth.rs"];

#[test]
fn every_call_of_the_client_is_made_here() {
    let room = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/github");
    let here = include_str!("prism.rs");
    for entry in std::fs::read_dir(room).unwrap() {
        let path = entry.unwrap().path();
        if ELSEWHERE.iter().any(|name| path.ends_with(name)) {
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        let calls = source.split("pub async fn ").skip(1);
        for call in calls.filter_map(|rest| rest.split('(').next()) {
            let made = format!("client.{call}(");
            assert!(here.contains(&made), "{} is not made here: {call}", path.display());
        }
    }
}
