//! What GitHub asks of its callers, and tells them.

use std::time::Duration;

use github_sim::client::{Fault, FaultKind, Method, Push};
use serde_json::json;

use crate::github::{GitHub, PATIENCE, Receiver, SITE};

#[tokio::test]
async fn an_hour_of_requests_is_used_up_and_unchanged_answers_cost_nothing() {
    let github = GitHub::start().await;
    github.sim.set_rate_limit(Some("alice"), 3, Duration::from_mins(10)).await.unwrap();
    let left = |headers: &reqwest::header::HeaderMap| {
        headers["x-ratelimit-remaining"].to_str().unwrap().to_owned()
    };
    let (_, headers, _) = github.request(Method::GET, "/user", None).await;
    assert_eq!(left(&headers), "2");
    assert!(headers.contains_key("x-github-request-id"));
    let tag = headers["etag"].to_str().unwrap().to_owned();
    for _ in 0..3 {
        let (status, headers, _) =
            github.ask(Method::GET, "/user", None, &[("if-none-match", &tag)]).await;
        assert_eq!((status.as_u16(), left(&headers).as_str()), (304, "2"));
    }
    let (_, _, shown) = github.request(Method::GET, "/rate_limit", None).await;
    assert_eq!(shown["resources"]["core"]["remaining"], 2);
    for remaining in ["1", "0"] {
        let (status, headers, _) = github.request(Method::GET, "/user/repos", None).await;
        assert_eq!((status.as_u16(), left(&headers).as_str()), (200, remaining));
    }
    let (status, headers, answer) = github.request(Method::GET, "/user", None).await;
    assert_eq!((status.as_u16(), left(&headers).as_str()), (403, "0"));
    assert!(answer["message"].as_str().unwrap().starts_with("API rate limit exceeded"));
    let reset: i64 = headers["x-ratelimit-reset"].to_str().unwrap().parse().unwrap();
    assert!(reset > jiff::Timestamp::now().as_second());
    // People go on by their browsers and their git.
    github.push("one").await;
    github.sim.set_rate_limit(Some("alice"), 0, Duration::ZERO).await.unwrap();
    assert_eq!(github.request(Method::GET, "/user", None).await.0, 200);
}

#[tokio::test]
async fn an_api_version_must_exist() {
    let github = GitHub::start().await;
    for (version, expected) in [("2022-11-28", 200), ("2020-01-01", 400)] {
        let headers = [("x-github-api-version", version)];
        let (status, ..) = github.ask(Method::GET, "/user", None, &headers).await;
        assert_eq!(status, expected, "{version}");
    }
}

#[tokio::test]
async fn limits_and_lost_answers_come_on_demand_and_for_a_route() {
    let github = GitHub::start().await;
    let sha = github.push("one").await;
    let sim = &github.sim;
    let statuses = format!("/repos/{SITE}/statuses/{sha}");
    let route = "POST /repos/{owner}/{repo}/statuses/{sha}";
    let post =
        async || github.request(Method::POST, &statuses, Some(json!({"state": "success"}))).await;
    sim.add_fault(Fault::on(route, FaultKind::SecondaryLimit(7))).await.unwrap();
    sim.add_fault(Fault::on(route, FaultKind::PrimaryLimit(9))).await.unwrap();
    let away =
        sim.add_fault(Fault::on(route, FaultKind::Status(401)).until_lifted()).await.unwrap();
    let (status, headers, _) = post().await;
    assert_eq!((status.as_u16(), headers["retry-after"].to_str().unwrap()), (403, "7"));
    let (status, headers, _) = post().await;
    assert_eq!(status, 403);
    assert_eq!(headers["x-ratelimit-remaining"], "0");
    for _ in 0..3 {
        assert_eq!(post().await.0, 401);
    }
    assert_eq!(github.request(Method::GET, "/user", None).await.0, 200);
    sim.lift_fault(away).await.unwrap();
    assert_eq!(post().await.0, 201);

    sim.add_fault(Fault::on(route, FaultKind::LostAnswer)).await.unwrap();
    let url = format!("{}{statuses}", sim.api_url());
    let request = reqwest::Client::new().post(url).header("User-Agent", "test");
    let request = request.bearer_auth(&github.token).json(&json!({"state": "failure"}));
    request.send().await.unwrap_err();
    assert_eq!(sim.statuses(SITE, &sha).await.unwrap()[0].state, "failure");
}

#[tokio::test]
async fn a_delivery_is_lost_on_its_way_and_sent_again() {
    let github = GitHub::start().await;
    let receiver = Receiver::start().await;
    let id = github.webhook(&receiver.url).await;
    let lost = Fault::on("DELIVER /hook", FaultKind::Status(502));
    github.sim.add_fault(lost).await.unwrap();
    github.push("one").await;
    github.push("two").await;
    let ended = github.sim.wait_for_deliveries(SITE, 3, PATIENCE).await.unwrap();
    assert_eq!(ended[1].status_code, 502);
    assert_eq!(receiver.of("push").len(), 1);

    let path = format!("/repos/{SITE}/hooks/{id}/deliveries");
    let (_, _, failed) = github.request(Method::GET, &format!("{path}?status=failure"), None).await;
    assert_eq!(failed[0]["status"], "failed to connect to host");
    let delivery = failed[0]["id"].as_u64().unwrap();
    let (_, headers, page) = github.request(Method::GET, &format!("{path}?per_page=2"), None).await;
    assert_eq!(page.as_array().unwrap().len(), 2);
    let next = headers["link"].to_str().unwrap().split(['<', '>']).nth(1).unwrap().to_owned();
    let next = next.strip_prefix(&github.sim.api_url()).unwrap();
    let (_, headers, rest) = github.request(Method::GET, next, None).await;
    assert_eq!(rest[0]["event"], "ping");
    assert!(!headers.contains_key("link"));
    let again = format!("{path}/{delivery}/attempts");
    assert_eq!(github.request(Method::POST, &again, None).await.0, 202);
    github.sim.wait_for_deliveries(SITE, 4, PATIENCE).await.unwrap();
    assert_eq!(receiver.of("push").len(), 2);
}

#[tokio::test]
async fn histories_are_compared_and_references_found_by_their_beginning() {
    let github = GitHub::start().await;
    let base = github.push("one").await;
    let change = Push::new(SITE, "alice").branch("feature/x").write("a/b", "1\n").message("change");
    let head = github.sim.push(&change).await.unwrap();
    let main = github.push("two").await;
    let path = format!("/repos/{SITE}/compare/main...feature/x");
    let (_, _, compared) = github.request(Method::GET, &path, None).await;
    assert_eq!(compared["status"], "diverged");
    assert_eq!((&compared["ahead_by"], &compared["behind_by"]), (&1.into(), &1.into()));
    assert_eq!(compared["merge_base_commit"]["sha"], json!(base));
    assert_eq!(compared["commits"][0]["sha"], json!(head));
    assert_eq!(compared["files"].as_array().unwrap().len(), 1);
    assert_eq!(compared["files"][0]["filename"], "a/b");
    let path = format!("/repos/{SITE}/compare/{base}...{main}");
    assert_eq!(github.request(Method::GET, &path, None).await.2["status"], "ahead");
    let path = format!("/repos/{SITE}/compare/{base}...nowhere");
    assert_eq!(github.request(Method::GET, &path, None).await.0, 404);

    github.sim.add_user("bob").await.unwrap();
    let fork = github.sim.fork(SITE, "bob").await.unwrap();
    github.sim.push(&Push::new(&fork, "bob").write("c", "2\n")).await.unwrap();
    let path = format!("/repos/{SITE}/compare/main...bob:main");
    let (_, _, compared) = github.request(Method::GET, &path, None).await;
    assert_eq!(
        (&compared["status"], &compared["files"][0]["filename"]),
        (&"ahead".into(), &"c".into())
    );

    let path = format!("/repos/{SITE}/git/matching-refs/heads/fea");
    let (_, _, found) = github.request(Method::GET, &path, None).await;
    assert_eq!(found[0]["ref"], "refs/heads/feature/x");
    assert_eq!(found[0]["object"]["sha"], json!(head));
    let opened = github.sim.open_pull_request(SITE, "alice", "feature/x", "main", "X", "").await;
    let path = format!("/repos/{SITE}/pulls/{}/files", opened.unwrap());
    let (_, _, files) = github.request(Method::GET, &path, None).await;
    assert_eq!(files[0]["filename"], "a/b");
}
