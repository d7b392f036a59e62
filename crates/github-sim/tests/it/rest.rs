//! The REST API as its callers meet it.

use github_sim::client::Push;
use reqwest::{Client, Method};
use serde_json::json;

use crate::github::{GitHub, SITE};

#[tokio::test]
async fn a_status_is_checked_kept_and_combined() {
    let github = GitHub::start().await;
    let sha = github.push("one").await;
    let path = format!("/repos/{SITE}/statuses/{sha}");
    for (body, field) in [
        (json!({}), "state"),
        (json!({"state": "running"}), "state"),
        (json!({"state": "success", "description": "x".repeat(141)}), "description"),
        (json!({"state": "success", "target_url": "/builds/1"}), "target_url"),
    ] {
        let (status, _, answer) = github.wrong_request(Method::POST, &path, Some(body)).await;
        assert_eq!(status, 422);
        assert_eq!(answer["errors"][0]["field"], field);
    }
    let unknown = format!("/repos/{SITE}/statuses/{}", "1".repeat(40));
    let pending = json!({"state": "pending", "context": "CI", "description": "é".repeat(140)});
    let (status, _, answer) = github.request(Method::POST, &unknown, Some(pending.clone())).await;
    assert_eq!(status, 422);
    assert!(answer["message"].as_str().unwrap().starts_with("No commit found for SHA: 1111"));

    let (status, _, made) = github.request(Method::POST, &path, Some(pending)).await;
    assert_eq!(status, 201);
    assert_eq!(made["creator"]["login"], "alice");
    for state in ["success", "failure"] {
        let context = if state == "failure" { "other" } else { "CI" };
        let body =
            json!({"state": state, "context": context, "target_url": "https://ci.example/1"});
        github.request(Method::POST, &path, Some(body)).await;
    }
    let statuses = github.sim.statuses(SITE, "main").await.unwrap();
    let told: Vec<&str> = statuses.iter().map(|one| one.state.as_str()).collect();
    assert_eq!(told, ["failure", "success", "pending"]);
    assert_eq!(statuses[1].target_url.as_deref(), Some("https://ci.example/1"));
    let path = format!("/repos/{SITE}/commits/main/status");
    let (_, _, combined) = github.request(Method::GET, &path, None).await;
    assert_eq!(combined["state"], "failure");
    assert_eq!(combined["total_count"], 2);
    assert_eq!(combined["sha"], json!(sha));
}

#[tokio::test]
async fn statuses_need_a_token_that_may_push() {
    let github = GitHub::start().await;
    let sha = github.push("one").await;
    github.sim.add_user("bob").await.unwrap();
    let path = format!("/repos/{SITE}/statuses/{sha}");
    let body = json!({"state": "success"});
    let error = github.sim.rest("bob", Method::POST, &path, Some(body.clone())).await;
    assert_eq!(error.unwrap_err().to_string(), "Not Found");
    let url = format!("{}{path}", github.sim.api_url());
    let post = || Client::new().post(&url).header("User-Agent", "test").json(&body);
    assert_eq!(post().send().await.unwrap().status(), 401);
    let answer = post().bearer_auth("wrong").send().await.unwrap();
    assert_eq!(answer.status(), 401);
    let answer: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(answer["message"], "Bad credentials");
    assert_eq!(answer["status"], "401");
    let nobody = Client::new().get(format!("{}/user", github.sim.api_url()));
    assert_eq!(nobody.send().await.unwrap().status(), 403, "a User-Agent is required");
}

#[tokio::test]
async fn commits_branches_and_references_are_found_by_their_names() {
    let github = GitHub::start().await;
    let (status, ..) =
        github.request(Method::GET, &format!("/repos/{SITE}/commits/main"), None).await;
    assert_eq!(status, 409, "an empty repository has no commits");
    let first = github.push("one").await;
    let branch = Push::new(SITE, "alice").branch("feature/x").write("a/b", "1\n2\n");
    let tip = github.sim.push(&branch).await.unwrap();
    github.sim.tag(SITE, "alice", "v1").await.unwrap();

    for (revision, sha) in [
        ("main", &first),
        ("feature/x", &tip),
        ("feature%2Fx", &tip),
        ("heads/feature/x", &tip),
        ("v1", &first),
        (&tip[..8], &tip),
    ] {
        let path = format!("/repos/{SITE}/commits/{revision}");
        let (status, _, commit) = github.request(Method::GET, &path, None).await;
        assert_eq!(status, 200, "{revision}");
        assert_eq!(commit["sha"], json!(sha), "{revision}");
    }
    let (_, _, commit) =
        github.request(Method::GET, &format!("/repos/{SITE}/commits/{tip}"), None).await;
    assert_eq!(commit["files"][0]["filename"], "a/b");
    assert_eq!(commit["files"][0]["additions"], 2);
    assert_eq!(commit["parents"][0]["sha"], json!(first));
    for unknown in ["nowhere", "main~1", "main:README", &"1".repeat(40)] {
        let path = format!("/repos/{SITE}/commits/{unknown}");
        assert_eq!(github.request(Method::GET, &path, None).await.0, 422, "{unknown}");
    }
    let (_, _, branch) =
        github.request(Method::GET, &format!("/repos/{SITE}/branches/feature/x"), None).await;
    assert_eq!(branch["commit"]["sha"], json!(tip));
    let (_, _, branches) =
        github.request(Method::GET, &format!("/repos/{SITE}/branches"), None).await;
    assert_eq!(branches.as_array().unwrap().len(), 2);
    let (_, _, found) =
        github.request(Method::GET, &format!("/repos/{SITE}/git/ref/tags/v1"), None).await;
    assert_eq!(found["ref"], "refs/tags/v1");
    assert_eq!(found["object"]["sha"], json!(first));
    let (status, ..) =
        github.request(Method::GET, &format!("/repos/{SITE}/git/ref/heads/feature"), None).await;
    assert_eq!(status, 404, "a part of a name is no name");
}

#[tokio::test]
async fn lists_come_in_pages_and_unchanged_answers_are_not_sent_again() {
    let github = GitHub::start().await;
    for name in ["b", "c"] {
        github.sim.add_repository("alice", name).await.unwrap();
    }
    let (_, headers, repositories) =
        github.request(Method::GET, "/user/repos?per_page=2", None).await;
    assert_eq!(repositories[0]["full_name"], "alice/b");
    assert_eq!(repositories[1]["permissions"]["admin"], true);
    let link = headers["link"].to_str().unwrap();
    let next = link.split(['<', '>']).nth(1).unwrap();
    assert!(link.contains("rel=\"next\"") && next.contains("page=2"), "{link}");
    let get = || Client::new().get(next).header("User-Agent", "test").bearer_auth(&github.token);
    let rest: serde_json::Value = get().send().await.unwrap().json().await.unwrap();
    assert_eq!(rest[0]["full_name"], SITE);
    let tag = headers["etag"].to_str().unwrap();
    let first = format!("{}/user/repos?per_page=2", github.sim.api_url());
    let again = Client::new()
        .get(first)
        .header("User-Agent", "test")
        .header("If-None-Match", tag)
        .bearer_auth(&github.token);
    let again = again.send().await.unwrap();
    assert_eq!(again.status(), 304);
    assert!(again.headers().contains_key("x-ratelimit-remaining"));
    assert_eq!(again.text().await.unwrap(), "");
}

#[tokio::test]
async fn requests_are_logged_with_their_caller() {
    let github = GitHub::start().await;
    github.wrong_request(Method::GET, "/repos/alice/nothing?x=1", None).await;
    let logged = github.sim.requests().await.unwrap();
    let last = logged.last().unwrap();
    assert_eq!(last.path, "/api/v3/repos/alice/nothing");
    assert_eq!(last.query.as_deref(), Some("x=1"));
    assert_eq!((last.method.as_str(), last.status), ("GET", 404));
    assert_eq!(last.login.as_deref(), Some("alice"));
}
