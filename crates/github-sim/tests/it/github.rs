//! A stand-in of its own for each test, and a receiver that keeps what it is told.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use github_sim::{
    Watch,
    client::{Push, Sim},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const SITE: &str = "alice/site";

/// A running stand-in with the user alice and her empty repository `alice/site`.
pub(crate) struct GitHub {
    pub(crate) sim: Sim,
    pub(crate) token: String,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<anyhow::Result<()>>,
    root: tempfile::TempDir,
    _honest: Honest,
}

/// Fails the test at its end when something was not as GitHub describes it.
struct Honest(Watch);

impl Drop for Honest {
    fn drop(&mut self) {
        let violations = self.0.violations();
        assert!(violations.is_empty() || std::thread::panicking(), "{violations:#?}");
    }
}

impl GitHub {
    pub(crate) async fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sim = Sim::new(&format!("http://{}", listener.local_addr().unwrap()));
        let (stop, stopped) = oneshot::channel();
        let watch = Watch::default();
        let folder = root.path().join("github");
        let serving = github_sim::serve_watched(listener, folder, watch.clone(), async {
            let _ = stopped.await;
        });
        let server = tokio::spawn(serving);
        let token = sim.add_user("alice").await.unwrap();
        sim.add_repository("alice", "site").await.unwrap();
        Self { sim, token, stop: Some(stop), server, root, _honest: Honest(watch) }
    }

    /// Stops it and waits until it has ended.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        self.stop.take().unwrap().send(()).unwrap();
        tokio::time::timeout(PATIENCE, &mut self.server).await.expect("it ends in time").unwrap()
    }

    pub(crate) fn clone_url(&self, repository: &str) -> String {
        format!("{}/{repository}.git", self.sim.url())
    }

    /// A webhook of `alice/site` that is told about pushes and pull requests; its ping is over.
    pub(crate) async fn webhook(&self, url: &str) -> u64 {
        let before = self.sim.deliveries(SITE).await.unwrap().len();
        let hook = self
            .sim
            .rest(
                "alice",
                reqwest::Method::POST,
                &format!("/repos/{SITE}/hooks"),
                Some(json!({
                    "config": {"url": url, "content_type": "json", "secret": SECRET},
                    "events": ["push", "pull_request"],
                })),
            )
            .await
            .unwrap();
        self.sim.wait_for_deliveries(SITE, before + 1, PATIENCE).await.unwrap();
        hook["id"].as_u64().unwrap()
    }

    pub(crate) async fn push(&self, text: &str) -> String {
        let push = Push::new(SITE, "alice").write("README", text).message(text);
        self.sim.push(&push).await.unwrap()
    }

    /// One REST request with alice's token.
    pub(crate) async fn request(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<Value>,
    ) -> (reqwest::StatusCode, HeaderMap, Value) {
        self.ask(method, path, body, &[]).await
    }

    /// The same, but wrong on purpose: GitHub does not describe it.
    pub(crate) async fn wrong_request(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<Value>,
    ) -> (reqwest::StatusCode, HeaderMap, Value) {
        self.ask(method, path, body, &[("x-sim-deliberate", "wrong")]).await
    }

    /// The same with more headers.
    pub(crate) async fn ask(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> (reqwest::StatusCode, HeaderMap, Value) {
        let mut request = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap()
            .request(method, format!("{}{path}", self.sim.api_url()))
            .header("User-Agent", "test")
            .bearer_auth(&self.token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.text().await.unwrap();
        (status, headers, serde_json::from_str(&body).unwrap_or_default())
    }

    /// Git in a folder, as a program that knows nothing of the stand-in; its output when it
    /// succeeds.
    pub(crate) async fn git(&self, arguments: &[&str]) -> Result<String, String> {
        let output = tokio::process::Command::new("git")
            .args(arguments)
            .current_dir(self.root.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .output()
            .await
            .unwrap();
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.root.path()
    }
}

pub(crate) const SECRET: &str = "It's a Secret to Everybody";

/// What a receiver got.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A receiver of webhooks that answers each with the same status.
pub(crate) struct Receiver {
    pub(crate) url: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        Self::answering(StatusCode::ACCEPTED).await
    }

    pub(crate) async fn answering(status: StatusCode) -> Self {
        type Shared = (Arc<Mutex<Vec<Received>>>, StatusCode);
        async fn receive(
            State((received, status)): State<Shared>,
            headers: HeaderMap,
            body: String,
        ) -> (StatusCode, &'static str) {
            received.lock().unwrap().push(Received { headers, body });
            (status, "thank you")
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let received = Arc::default();
        let router =
            Router::new().route("/hook", post(receive)).with_state((Arc::clone(&received), status));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, received }
    }

    pub(crate) fn all(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// Payloads of one event, oldest first.
    pub(crate) fn of(&self, event: &str) -> Vec<Value> {
        self.all()
            .iter()
            .filter(|one| one.header("x-github-event") == event)
            .map(Received::json)
            .collect()
    }

    /// Event and action of everything but pings, oldest first.
    pub(crate) fn story(&self) -> Vec<String> {
        self.all()
            .iter()
            .filter(|one| one.header("x-github-event") != "ping")
            .map(|one| {
                let event = one.header("x-github-event").to_owned();
                match one.json()["action"].as_str() {
                    Some(action) => format!("{event} {action}"),
                    None => event,
                }
            })
            .collect()
    }
}
