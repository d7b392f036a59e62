//! Each call of GitHub's client fits GitHub's own description of its REST API.

use std::path::Path;

use kozmic::github::{
    Access, Client, FailedDelivery, GithubError, HookConfig, KeyPair, NewStatus, Team,
};
use kozmic::model::{CommitSha, FullName, GitRef};
use secrecy::SecretString;

use crate::harness::Prism;

/// A list's first page was taken. In the examples the next one is at GitHub, where no
/// token for this server may go.
fn is_taken<T>(answer: Result<T, GithubError>) -> Option<T> {
    match answer {
        Ok(list) => Some(list),
        Err(error) => {
            assert!(error.to_string().ends_with("its next page is on another server"), "{error}");
            None
        }
    }
}

fn is_listed<T>(answer: Result<Vec<T>, GithubError>) {
    assert!(is_taken(answer).is_none_or(|list| !list.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_as_github_describes_it() {
    let prism = Prism::start().await;
    let client = Client::new(&prism.api, &kozmic::config::Trust::default()).unwrap();
    let token = SecretString::from("ghp_any");
    let name: FullName = "octocat/Hello-World".parse().unwrap();
    let sha: CommitSha = "6dcb09b5b57875f334f61aebed695e2e4193db5e".parse().unwrap();

    assert!(client.reach().await.unwrap().clock.is_some());
    assert_eq!(client.user(&token).await.unwrap().login, "octocat");
    let email = client.primary_email(&token).await.unwrap();
    assert_eq!(email.as_deref(), Some("octocat@github.com"));
    // GitHub's example is of an invitation that was not accepted yet.
    assert!(!client.is_member(&token, "invitocat").await.unwrap());
    let repository = client.repository(&token, &name).await.unwrap();
    assert_eq!(repository.repository.full_name, name);
    let known = client.known(&token, &repository.repository).await.unwrap();
    let mut another = repository.repository.clone();
    another.gh_id += 1;
    let error = client.known(&token, &another).await.unwrap_err();
    assert!(error.to_string().contains("another repository now"), "{error}");
    is_listed(client.repositories(&token).await);
    client.primary_email(&token).await.unwrap();
    assert_eq!(known.commit(&sha).await.unwrap().message, "Fix all the bugs");

    let secret = SecretString::from("It's a Secret to Everybody");
    let url = "https://ci.example.com/_hooks/hook/1/".into();
    let hook = HookConfig { url, secret, events: vec!["push", "pull_request", "release"] };
    let id = known.create_hook(&hook).await.unwrap();
    assert!(known.hook(id).await.unwrap().is_some());
    known.edit_hook(id, &hook).await.unwrap();
    known.delete_hook(id).await.unwrap();
    let status = NewStatus {
        state: "pending",
        target_url: "https://ci.example.com/".into(),
        description: "Waiting for a worker".into(),
        context: "Kozmic-CI".into(),
    };
    known.create_status(&sha, &status).await.unwrap();
    assert_ne!(is_taken(known.has_status(&sha, &status).await), Some(true));

    is_listed(known.collaborators().await);
    is_listed(known.teams().await);
    let team = Team { slug: "justice-league".into(), access: Access::Push };
    is_listed(known.team_members(&team).await);
    client.is_member(&token, "github").await.unwrap();

    let branches = is_taken(known.branches().await);
    assert!(branches.is_none_or(|listed| listed.all[0].name == "refs/heads/master"));
    let tags = is_taken(known.tags().await);
    assert!(tags.is_none_or(|listed| listed.all[0].name == "refs/tags/v0.1"));
    let pulls = is_taken(known.open_pull_requests().await);
    assert!(pulls.is_none_or(|listed| listed.all[0].number == 1347));
    let failed = FailedDelivery {
        id: 12_345_678,
        event: "ping".into(),
        delivered_at: "2019-06-03T00:57:16Z".into(),
        status: "OK".into(),
        status_code: 502,
    };
    is_taken(known.failed_deliveries(id).await);
    known.delivered_event(id, &failed).await.unwrap();
    let tag = GitRef::tag("v1").unwrap();
    known.commit_of_ref(&tag).await.unwrap();
    known.commit_called("6dcb09b").await.unwrap();
    known.has_in_history("main", &sha).await.unwrap();
    known.changed_between("main", sha.as_str()).await.unwrap();
    is_taken(known.changed_in_pull_request(1347).await);

    let key = KeyPair::generate("kozmic").unwrap().public_key;
    let id = known.register_deploy_key("Kozmic", &key).await.unwrap();
    assert!(known.has_deploy_key(id).await.unwrap());
    known.delete_deploy_key(id).await.unwrap();
}

/// Signing in and pictures are no part of the REST API, nor of its description; whose token
/// makes a call is no call.
const ELSEWHERE: &[&str] = &["avatar.rs", "oauth.rs", "tokens.rs"];

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
            let is_made =
                ["client", "known"].iter().any(|of| here.contains(&format!("{of}.{call}(")));
            assert!(is_made, "{} is not made here: {call}", path.display());
        }
    }
}
