//! What people do on the page of releases.

use anyhow::Context;
use reqwest::Method;
use serde_json::json;

use super::Sim;

impl Sim {
    /// Publishes a release with this tag, made at the tip of the default branch when there is
    /// none yet; its id.
    pub async fn publish_release(
        &self,
        repository: &str,
        login: &str,
        tag: &str,
    ) -> anyhow::Result<u64> {
        let path = format!("/repos/{repository}/releases");
        let body = json!({"tag_name": tag, "name": tag, "body": "What is new."});
        let made = self.rest(login, Method::POST, &path, Some(body)).await?;
        made["id"].as_u64().context("the answer has no id")
    }
}
