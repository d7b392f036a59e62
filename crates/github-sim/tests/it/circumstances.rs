//! Repositories move, change and go away, and those who want to know are told.

use github_sim::client::{Method, Push};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::github::{GitHub, PATIENCE, Receiver, SECRET, SITE};

async fn github() -> (GitHub, Receiver) {
    let github = GitHub::start().await;
    github.push("one").await;
    let receiver = Receiver::start().await;
    let hook = json!({
        "config": {"url": receiver.url, "content_type": "json", "secret": SECRET},
        "events": ["repository", "member", "team_add", "public", "meta"],
    });
    let (status, ..) =
        github.request(Method::POST, &format!("/repos/{SITE}/hooks"), Some(hook)).await;
    assert_eq!(status, 201);
    (github, receiver)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_while_one_goes_and_another_comes_gets_one_of_them_or_nothing() {
    let (github, _) = github().await;
    let path = format!("/repos/{SITE}/branches");
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let asked = async {
        let mut seen = std::collections::BTreeSet::new();
        while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
            seen.insert(github.request(Method::GET, &path, None).await.0.as_u16());
        }
        seen
    };
    let changed = async {
        for _ in 0..30 {
            github.sim.delete_repository(SITE).await.unwrap();
            github.sim.add_repository("alice", "site").await.unwrap();
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    let (seen, ()) = tokio::join!(asked, changed);
    assert!(seen.iter().all(|status| [200, 404].contains(status)), "{seen:?}");
}

#[tokio::test]
async fn a_renamed_repository_is_found_by_its_old_name_and_by_its_id() {
    let (github, receiver) = github().await;
    let new = github.sim.rename_repository(SITE, "home").await.unwrap();
    assert_eq!(new, "alice/home");
    let (_, _, found) = github.request(Method::GET, "/repos/alice/home", None).await;
    let id = found["id"].as_u64().unwrap();
    let (status, headers, answer) =
        github.request(Method::GET, "/repos/alice/site/commits/main?page=1", None).await;
    assert_eq!((status.as_u16(), &answer["message"]), (301, &"Moved Permanently".into()));
    let to = format!("/repositories/{id}/commits/main?page=1");
    assert!(headers["location"].to_str().unwrap().ends_with(&to), "{headers:?}");
    let (status, _, commit) = github.request(Method::GET, &to, None).await;
    assert_eq!((status, &commit["commit"]["message"]), (StatusCode::OK, &"one".into()));
    let sha = commit["sha"].as_str().unwrap();
    let success = Some(json!({"state": "success"}));
    let path = format!("/repos/alice/site/statuses/{sha}");
    let (status, ..) = github.request(Method::POST, &path, success.clone()).await;
    assert_eq!(status, 307);
    let path = format!("/repositories/{id}/statuses/{sha}");
    assert_eq!(github.request(Method::POST, &path, success).await.0, 201);
    assert_eq!(github.request(Method::GET, "/repositories/1", None).await.0, 404);

    // Git is led there as well, and pushes go on.
    github.git(&["clone", "-q", &github.clone_url(SITE), "copy"]).await.unwrap();
    github.sim.push(&Push::new(SITE, "alice").write("a", "b")).await.unwrap();
    // Whoever takes the old name has it.
    github.sim.add_repository("alice", "site").await.unwrap();
    let (_, _, other) = github.request(Method::GET, "/repos/alice/site", None).await;
    assert_ne!(other["id"], id);
    let (_, _, branches) = github.request(Method::GET, "/repos/alice/site/branches", None).await;
    assert_eq!(branches, json!([]), "nothing of it is the other one's");

    github.sim.wait_for_deliveries("alice/home", 2, PATIENCE).await.unwrap();
    let told = &receiver.of("repository")[0];
    assert_eq!(told["action"], "renamed");
    assert_eq!(told["changes"]["repository"]["name"]["from"], "site");
    assert_eq!(told["repository"]["full_name"], "alice/home");
}

#[tokio::test]
async fn a_transferred_repository_keeps_its_hooks_and_follows_a_renamed_owner() {
    let (github, receiver) = github().await;
    github.sim.add_organization("acme", "alice").await.unwrap();
    let new = github.sim.transfer_repository(SITE, "acme").await.unwrap();
    assert_eq!(new, "acme/site");
    assert_eq!(github.sim.webhooks("acme/site").await.unwrap().len(), 1);
    github.sim.rename_user("acme", "apex").await.unwrap();
    for old in ["/repos/alice/site", "/repos/acme/site"] {
        assert_eq!(github.request(Method::GET, old, None).await.0, 301, "{old}");
    }
    assert_eq!(github.request(Method::GET, "/repos/apex/site", None).await.0, 200);
    github.sim.wait_for_deliveries("apex/site", 2, PATIENCE).await.unwrap();
    let told = &receiver.of("repository")[0];
    assert_eq!(told["action"], "transferred");
    assert_eq!(told["changes"]["owner"]["from"]["user"]["login"], "alice");
    assert_eq!(told["organization"]["login"], "acme");
}

#[tokio::test]
async fn an_archived_repository_is_read_only() {
    let (github, receiver) = github().await;
    let sha = github.push("two").await;
    github.sim.set_archived(SITE, true).await.unwrap();
    let (_, _, shown) = github.request(Method::GET, &format!("/repos/{SITE}"), None).await;
    assert_eq!(shown["archived"], true);
    let path = format!("/repos/{SITE}/statuses/{sha}");
    let (status, _, refused) =
        github.request(Method::POST, &path, Some(json!({"state": "success"}))).await;
    assert_eq!(status, 403);
    assert_eq!(refused["message"], "Repository was archived so is read-only.");
    let refused = github.sim.push(&Push::new(SITE, "alice").write("a", "b")).await.unwrap_err();
    assert!(format!("{refused:#}").contains("403"), "{refused:#}");
    github.sim.set_archived(SITE, false).await.unwrap();
    github.push("three").await;
    github.sim.wait_for_deliveries(SITE, 3, PATIENCE).await.unwrap();
    assert_eq!(receiver.story(), ["repository archived", "repository unarchived"]);
}

#[tokio::test]
async fn visibility_members_and_the_default_branch_change() {
    let (github, receiver) = github().await;
    let sim = &github.sim;
    sim.add_user("bob").await.unwrap();
    sim.set_private(SITE, true).await.unwrap();
    sim.set_private(SITE, true).await.unwrap();
    sim.add_collaborator(SITE, "bob", "write").await.unwrap();
    sim.add_collaborator(SITE, "bob", "admin").await.unwrap();
    sim.remove_collaborator(SITE, "bob").await.unwrap();
    sim.set_private(SITE, false).await.unwrap();
    sim.rename_default_branch(SITE, "trunk").await.unwrap();
    sim.wait_for_deliveries(SITE, 8, PATIENCE).await.unwrap();
    assert_eq!(
        receiver.story(),
        [
            "repository privatized",
            "member added",
            "member edited",
            "member removed",
            "repository publicized",
            "public",
            "repository edited",
        ]
    );
    let (_, _, shown) = github.request(Method::GET, &format!("/repos/{SITE}"), None).await;
    assert_eq!(shown["default_branch"], "trunk");
    let (_, _, branches) =
        github.request(Method::GET, &format!("/repos/{SITE}/branches"), None).await;
    assert_eq!(branches[0]["name"], "trunk");
}

#[tokio::test]
async fn a_webhook_deleted_by_hand_and_a_deleted_repository_are_gone() {
    let (github, receiver) = github().await;
    let id = github.sim.webhooks(SITE).await.unwrap()[0].id;
    github.sim.delete_webhook(SITE, id).await.unwrap();
    github.sim.wait_for_deliveries(SITE, 2, PATIENCE).await.unwrap();
    assert_eq!(receiver.of("meta")[0]["hook_id"], id);
    let hook = format!("/repos/{SITE}/hooks/{id}");
    assert_eq!(github.request(Method::GET, &hook, None).await.0, 404);
    github.sim.delete_repository(SITE).await.unwrap();
    assert_eq!(github.request(Method::GET, &format!("/repos/{SITE}"), None).await.0, 404);
    // The name is free again.
    github.sim.add_repository("alice", "site").await.unwrap();
    github.push("anew").await;
}

#[tokio::test]
async fn a_deleted_user_is_gone_with_tokens_and_repositories() {
    let (github, _) = github().await;
    let sim = &github.sim;
    sim.add_user("bob").await.unwrap();
    sim.add_collaborator(SITE, "bob", "write").await.unwrap();
    let sha = github.push("two").await;
    let success = json!({"state": "success"});
    let path = format!("/repos/{SITE}/statuses/{sha}");
    sim.rest("bob", Method::POST, &path, Some(success)).await.unwrap();
    sim.fork(SITE, "bob").await.unwrap();
    sim.delete_user("bob").await.unwrap();
    assert_eq!(github.request(Method::GET, "/repos/bob/site", None).await.0, 404);
    let path = format!("/repos/{SITE}/commits/{sha}/statuses");
    let (_, _, statuses) = github.request(Method::GET, &path, None).await;
    assert_eq!((&statuses[0]["state"], &statuses[0]["creator"]), (&"success".into(), &Value::Null));
    let path = format!("/repos/{SITE}/collaborators");
    let (_, _, left) = github.request(Method::GET, &path, None).await;
    assert_eq!(left.as_array().unwrap().len(), 1);
    sim.delete_user("alice").await.unwrap();
    assert_eq!(github.request(Method::GET, "/user", None).await.0, 401);
}
