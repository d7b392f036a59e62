//! Deliveries made by hand, for what a well-behaved GitHub would not send.

use aws_lc_rs::hmac;
use kozmic::store::Hook;
use reqwest::Response;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::World;

/// `X-Hub-Signature-256` of a body.
pub fn signature(secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("sha256={}", hex::encode(hmac::sign(&key, body)))
}

/// The least that a push to a branch of this repository says.
pub fn push_payload(repository: i64, branch: &str, sha: &str, message: &str) -> Value {
    json!({
        "ref": format!("refs/heads/{branch}"), "after": sha, "deleted": false,
        "head_commit": {"id": sha, "message": message, "author": {"name": "Ada", "username": "ada"}},
        "repository": {"id": repository, "full_name": "octo/orbit"},
    })
}

impl World {
    /// Posts a delivery with a right signature.
    pub async fn deliver(
        &self,
        url: &str,
        hook: &Hook,
        event: &str,
        guid: &str,
        payload: &Value,
    ) -> Response {
        let body = payload.to_string();
        let signature = signature(hook.secret.expose_secret(), body.as_bytes());
        self.post(url, hook.id.0, event, guid, body.into_bytes(), Some(&signature)).await
    }

    pub async fn post(
        &self,
        url: &str,
        hook: i64,
        event: &str,
        guid: &str,
        body: Vec<u8>,
        signature: Option<&str>,
    ) -> Response {
        let mut request = self
            .http
            .post(format!("{url}/_hooks/hook/{hook}/"))
            .header("content-type", "application/json")
            .header("x-github-event", event)
            .header("x-github-delivery", guid)
            .body(body);
        if let Some(signature) = signature {
            request = request.header("x-hub-signature-256", signature);
        }
        request.send().await.unwrap()
    }
}
