//! A mock server that knows GitHub's own description of its REST API, and nothing else: it
//! checks requests and answers with GitHub's examples.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};
use url::Url;

use super::{eventually, free_port};

/// Ends when it is dropped.
pub struct Prism {
    pub api: Url,
    _child: Child,
    _folder: tempfile::TempDir,
}

impl Prism {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let description = folder.path().join("github.json");
        let script = contract().join("describe.mjs");
        let written =
            Command::new("node").arg(script).arg("--openapi").arg(&description).output().await;
        let written = written.unwrap();
        assert!(
            written.status.success(),
            "{}\nscripts/test installs GitHub's descriptions with npm",
            String::from_utf8_lossy(&written.stderr)
        );
        let port = free_port();
        let api: Url = format!("http://127.0.0.1:{port}").parse().unwrap();
        let mut command = Command::new("node");
        command.arg(contract().join("node_modules/@stoplight/prism-cli/dist/index.js"));
        command.args(["mock", "-h", "127.0.0.1", "-p", &port.to_string(), "-v", "warn"]);
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        command.arg(&description).stdin(Stdio::null()).stderr(log.try_clone().unwrap());
        let child = command.stdout(log).kill_on_drop(true).spawn().unwrap();
        let http = reqwest::Client::new();
        eventually("prism to answer", async || {
            let answer = http.get(api.join("rate_limit").unwrap()).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        Self { api, _child: child, _folder: folder }
    }
}

/// Where GitHub's descriptions and the tools for them are.
fn contract() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../github-sim/contract")
}
