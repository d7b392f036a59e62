//! Each call of GitHub's client fits GitHub's own description of its REST API.

use std::path::Path;

use kozmic::github::{
    Access, Client, FailedDelivery, GithubError, HookConfig, KeyPair, NewStatus, Team,
};
use kozmic::model::{CommitSha, FullName, GitRef};
use secrecy::SecretString;

use crate::harness::Prism;

/// A list's first page was taken. In the example the next one is at GitHub, where no
/// token for this server may go.
fn is_listed<T>(answer: Result<Vec<T>, GithubError>) {
    match answer {
        Ok(list) => assert!(!list.is_empty()),
        Err(error) => {
            assert!(error.to_string().ends_with("its next page is on another server"), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_as_github_describes_it() {
    let prism = Prism::start().await;
    let client = Client::new(&prism.api).unwrap();
    let token = SecretString::from("ghp_any");
    let name: FullName = "octocat/Hello-World".parse().unwrap();
    let sha: CommitSha = "6dcb09b5b57875f334f61aebed695e2e4193db5e".parse().unwrap();

    assert_eq!(client.user(&token).await.unwrap().login, "octocat");
    let email = client.primary_email(&token).await.unwrap();
    assert_eq!(email.as_deref(), Some("octocat@github.com"));
    // GitHub's example is of an invitation that was not accepted yet.
    assert!(!client.is_member(&token, "invitocat").await.unwrap());
    let repository = client.repository(&token, &name).await.unwrap();
    assert_eq!(repository.repository.full_name, name);
    is_listed(client.repositories(&token).await);
    client.primary_email(&token).await.unwrap();
    assert_eq!(client.commit(&token, &name, &sha).await.unwrap().message, "Fix all the bugs");

    let secret = SecretString::from("It's a Secret to Everybody");
    let url = "https://ci.example.com/_hooks/hook/1/".into();
    let hook = HookConfig { url, secret, events: vec!["push", "pull_request", "release"] };
    let id = client.create_hook(&token, &name, &hook).await.unwrap();
    assert!(client.hook(&token, &name, id).await.unwrap().is_some());
    client.edit_hook(&token, &name, id, &hook).await.unwrap();
    client.delete_hook(&token, &name, id).await.unwrap();
    let status = NewStatus {
        state: "pending",
        target_url: "https://ci.example.com/".into(),
        description: "Waiting for a worker".into(),
        context: "Kozmic-CI".into(),
    };
    client.create_status(&token, &name, &sha, &status).await.unwrap();
    assert!(!client.has_status(&token, &name, &sha, &status).await.unwrap());

    is_listed(client.collaborators(&token, &name).await);
    is_listed(client.teams(&token, &name).await);
    let team = Team { slug: "justice-league".into(), access: Access::Push };
    is_listed(client.team_members(&token, "github", &team).await);
    client.is_member(&token, "github").await.unwrap();

    assert_eq!(client.branches(&token, &name).await.unwrap().all[0].name, "refs/heads/master");
    assert_eq!(client.tags(&token, &name).await.unwrap().all[0].name, "refs/tags/v0.1");
    assert_eq!(client.open_pull_requests(&token, &name).await.unwrap().all[0].number, 1347);
    let failed = FailedDelivery {
        id: 12_345_678,
        event: "ping".into(),
        delivered_at: "2019-06-03T00:57:16Z".into(),
        status: "OK".into(),
        status_code: 502,
    };
    client.failed_deliveries(&token, &name, id).await.unwrap();
    client.delivered_event(&token, &name, id, &failed).await.unwrap();
    let tag = GitRef::tag("v1").unwrap();
    client.commit_of_tag(&token, &name, &tag).await.unwrap();
    client.changed_between(&token, &name, "main", sha.as_str()).await.unwrap();
    client.changed_in_pull_request(&token, &name, 1347).await.unwrap();

    let key = KeyPair::generate("kozmic").unwrap().public_key;
    let id = client.register_deploy_key(&token, &name, "Kozmic", &key).await.unwrap();
    assert!(client.has_deploy_key(&token, &name, id).await.unwrap());
    client.delete_deploy_key(&token, &name, id).await.unwrap();
}

/// Signing in is no part of the REST API, nor of its description; whose token makes a call
/// is no call.
const ELSEWHERE: &[&str] = &["oauth.rs", "tokens.rs"];

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
