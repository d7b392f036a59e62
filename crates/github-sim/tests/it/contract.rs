//! The stand-in is held to GitHub's own descriptions.

use std::process::Command;

use github_sim::{Watch, client::Sim};
use tokio::net::TcpListener;

/// A stand-in that may be asked wrong things.
async fn watched() -> (Sim, Watch, tempfile::TempDir) {
    let root = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sim = Sim::new(&format!("http://{}", listener.local_addr().unwrap()));
    let watch = Watch::default();
    let serving = github_sim::serve_watched(
        listener,
        root.path().join("github"),
        watch.clone(),
        std::future::pending(),
    );
    tokio::spawn(serving);
    (sim, watch, root)
}

#[tokio::test]
async fn whoever_asks_what_github_does_not_describe_is_stopped_and_told_why() {
    for (method, path, body, expected) in [
        ("GET", "/user/repos?sort=stars", None, "GET /user/repos: query at /sort: \"stars\""),
        ("GET", "/user/stars", None, "no operation: request at the whole: GitHub describes no"),
        (
            "POST",
            "/repos/alice/site/hooks",
            Some(r#"{"config": {"url": "http://ci.example"}, "id": 7}"#),
            "POST /repos/{owner}/{repo}/hooks: request at the whole: Additional properties",
        ),
        (
            "POST",
            "/repos/alice/site/keys",
            Some(r#"{"title": "x", "key": 7}"#),
            "POST /repos/{owner}/{repo}/keys: request at /key: 7 is not of type \"string\"",
        ),
    ] {
        let (sim, watch, _root) = watched().await;
        let token = sim.add_user("alice").await.unwrap();
        sim.add_repository("alice", "site").await.unwrap();
        let method = method.parse().unwrap();
        let mut request = reqwest::Client::new()
            .request(method, format!("{}{path}", sim.api_url()))
            .header("User-Agent", "test")
            .bearer_auth(token);
        if let Some(body) = body {
            request = request.body(body);
        }
        request.send().await.unwrap();
        let found = watch.violations();
        assert!(found[0].starts_with(expected), "{found:?}");
        let stopped = sim.add_user("bob").await.unwrap_err().to_string();
        assert!(stopped.contains(expected), "{stopped}");
    }
}

#[test]
fn the_description_is_what_the_script_makes_of_github_s_own() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/contract/describe.mjs");
    let run = Command::new("node").args([script, "--check"]).output().unwrap();
    assert!(
        run.status.success(),
        "{}\nscripts/test installs GitHub's descriptions with npm",
        String::from_utf8_lossy(&run.stderr)
    );
}
