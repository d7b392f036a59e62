//! Storage that speaks S3: moto's server, which keeps everything in its memory.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::eventually;

/// Ends, and forgets all, when it is dropped.
pub struct S3 {
    pub url: String,
    _child: Child,
}

impl S3 {
    /// With one bucket of this name.
    pub async fn start(port: u16, bucket: &str) -> Self {
        let program = tools().join("moto/bin/moto_server");
        assert!(program.exists(), "there is no {}; scripts/test brings it", program.display());
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.kill_on_drop(true).spawn().unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let http = reqwest::Client::new();
        eventually("the object storage to answer", async || {
            // It checks no signature, but takes a request without one for a web page's.
            let signature = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request";
            let made = http.put(format!("{url}/{bucket}")).header("authorization", signature);
            made.send().await.ok()?.status().is_success().then_some(())
        })
        .await;
        Self { url, _child: child }
    }

    /// What a server is told to use it.
    pub fn environment<'a>(url: &'a str, place: &'a str) -> [(&'a str, &'a str); 4] {
        [
            ("KOZMIC_LOG_URL", place),
            ("AWS_ENDPOINT_URL", url),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test-secret"),
        ]
    }
}

/// Where scripts/test puts what it brings.
fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools")
}
