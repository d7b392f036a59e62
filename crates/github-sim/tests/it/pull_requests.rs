//! A person opens a pull request; `pull_request` events follow.

use github_sim::client::Push;
use reqwest::Method;
use serde_json::json;

use crate::github::{GitHub, PATIENCE, Receiver, SITE};

async fn on_branch(github: &GitHub, repository: &str, login: &str, text: &str) -> String {
    let push = Push::new(repository, login).branch("change").write("change", text);
    github.sim.push(&push).await.unwrap()
}

#[tokio::test]
async fn a_pull_request_is_opened_synchronized_closed_and_reopened() {
    let github = GitHub::start().await;
    let receiver = Receiver::start().await;
    let base = github.push("one").await;
    github.webhook(&receiver.url).await;
    let first = on_branch(&github, SITE, "alice", "1").await;
    let number = github
        .sim
        .open_pull_request(SITE, "alice", "change", "main", "A change", "Why")
        .await
        .unwrap();
    assert_eq!(number, 1);
    let second = on_branch(&github, SITE, "alice", "2").await;
    github.sim.close_pull_request(SITE, "alice", 1).await.unwrap();
    github.sim.reopen_pull_request(SITE, "alice", 1).await.unwrap();
    github.sim.wait_for_deliveries(SITE, 7, PATIENCE).await.unwrap();

    assert_eq!(
        receiver.story(),
        [
            "push",
            "pull_request opened",
            "push",
            "pull_request synchronize",
            "pull_request closed",
            "pull_request reopened",
        ]
    );
    let events = receiver.of("pull_request");
    let opened = &events[0]["pull_request"];
    assert_eq!(events[0]["number"], 1);
    assert_eq!(opened["head"]["sha"], json!(first));
    assert_eq!(opened["head"]["ref"], "change");
    assert_eq!(opened["head"]["label"], "alice:change");
    assert_eq!(opened["base"]["sha"], json!(base));
    assert_eq!(opened["commits"], 1);
    assert_eq!(opened["changed_files"], 1);
    assert_eq!(opened["title"], "A change");
    assert_eq!(opened["body"], "Why");
    assert_eq!(events[1]["before"], json!(first));
    assert_eq!(events[1]["after"], json!(second));
    assert_eq!(events[1]["pull_request"]["head"]["sha"], json!(second));
    assert_eq!(events[2]["pull_request"]["state"], "closed");
    assert_eq!(events[3]["pull_request"]["state"], "open");
    let seen =
        github.git(&["ls-remote", &github.clone_url(SITE), "refs/pull/1/head"]).await.unwrap();
    assert!(seen.starts_with(&second), "{seen}");
}

#[tokio::test]
async fn a_fork_s_pull_request_is_fetched_from_the_base_repository() {
    let github = GitHub::start().await;
    let receiver = Receiver::start().await;
    github.push("one").await;
    github.webhook(&receiver.url).await;
    github.sim.add_user("bob").await.unwrap();
    let fork = github.sim.fork(SITE, "bob").await.unwrap();
    assert_eq!(fork, "bob/site");
    let first = on_branch(&github, &fork, "bob", "1").await;
    github
        .sim
        .open_pull_request(SITE, "bob", "bob:change", "main", "From a fork", "")
        .await
        .unwrap();
    let second = on_branch(&github, &fork, "bob", "2").await;
    github.sim.wait_for_deliveries(SITE, 3, PATIENCE).await.unwrap();

    // The fork's own pushes are none of the base repository's business.
    assert_eq!(receiver.story(), ["pull_request opened", "pull_request synchronize"]);
    let opened = &receiver.of("pull_request")[0]["pull_request"];
    assert_eq!(opened["head"]["sha"], json!(first));
    assert_eq!(opened["head"]["repo"]["full_name"], "bob/site");
    assert_eq!(opened["head"]["repo"]["fork"], true);
    assert_eq!(opened["base"]["repo"]["full_name"], SITE);
    assert_eq!(receiver.of("pull_request")[1]["sender"]["login"], "bob");
    github.git(&["init", "-q", "work"]).await.unwrap();
    let url = github.clone_url(SITE);
    let fetch = ["-C", "work", "fetch", "-q", "--depth=1", &url, "refs/pull/1/head"];
    github.git(&fetch).await.unwrap();
    let fetched = github.git(&["-C", "work", "rev-parse", "FETCH_HEAD"]).await.unwrap();
    assert_eq!(fetched, second);
    let (_, _, repository) = github.request(Method::GET, "/repos/bob/site", None).await;
    assert_eq!(repository["parent"]["full_name"], SITE);
}

#[tokio::test]
async fn a_branch_pushed_to_main_is_merged_and_a_deleted_one_closes_its_request() {
    let github = GitHub::start().await;
    let receiver = Receiver::start().await;
    github.push("one").await;
    on_branch(&github, SITE, "alice", "1").await;
    let doomed = Push::new(SITE, "alice").branch("doomed").write("doomed", "1");
    github.sim.push(&doomed).await.unwrap();
    for branch in ["change", "doomed"] {
        let open = github.sim.open_pull_request(SITE, "alice", branch, "main", branch, "");
        open.await.unwrap();
    }
    github.webhook(&receiver.url).await;
    let url = github.clone_url(SITE).replace("http://", &format!("http://alice:{}@", github.token));
    github.git(&["clone", "-q", &url, "copy"]).await.unwrap();
    let merge = ["-C", "copy", "push", "-q", "origin", "origin/change:main"];
    github.git(&merge).await.unwrap();
    github.sim.delete_branch(SITE, "alice", "doomed").await.unwrap();
    github.sim.wait_for_deliveries(SITE, 5, PATIENCE).await.unwrap();
    assert_eq!(receiver.story(), ["push", "pull_request closed", "push", "pull_request closed"]);
    let closed = receiver.of("pull_request");
    assert_eq!(closed[0]["pull_request"]["merged"], true);
    assert_eq!(closed[1]["pull_request"]["merged"], false);
    assert_eq!(closed[1]["number"], 2);
    let error = github.sim.reopen_pull_request(SITE, "alice", 1).await.unwrap_err();
    assert!(error.to_string().contains("merged"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_a_pull_request_is_refused() {
    let github = GitHub::start().await;
    github.push("one").await;
    on_branch(&github, SITE, "alice", "1").await;
    let open = async |head: &str, base: &str| {
        let body = json!({"title": "t", "head": head, "base": base});
        let path = format!("/repos/{SITE}/pulls");
        let (status, _, answer) = github.request(Method::POST, &path, Some(body)).await;
        (status.as_u16(), answer["errors"].clone())
    };
    let (status, errors) = open("nowhere", "main").await;
    assert_eq!(status, 422);
    assert_eq!(errors[0]["field"], "head");
    let (_, errors) = open("change", "nowhere").await;
    assert_eq!(errors[0]["field"], "base");
    let (_, errors) = open("main", "main").await;
    assert_eq!(errors[0]["message"], "No commits between main and main");
    assert_eq!(open("change", "main").await.0, 201);
    let (_, errors) = open("alice:change", "main").await;
    assert_eq!(errors[0]["message"], "A pull request already exists for alice:change.");
    let (status, _, pulls) =
        github.request(Method::GET, &format!("/repos/{SITE}/pulls?head=alice:change"), None).await;
    assert_eq!(status, 200);
    assert_eq!(pulls.as_array().unwrap().len(), 1);
    assert!(pulls[0].get("mergeable").is_none());
}
