//! Webhooks of repositories (GitHub REST, "Repository webhooks").

use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::client::{Client, Result};
use crate::model::FullName;

/// What a webhook of ours must look like at GitHub.
#[derive(Debug, Clone)]
pub struct HookConfig {
    pub url: String,
    pub secret: SecretString,
}

impl Client {
    /// "Create a repository webhook", for pushes and pull requests; its id.
    pub async fn create_hook(
        &self,
        token: &SecretString,
        name: &FullName,
        hook: &HookConfig,
    ) -> Result<i64> {
        #[derive(Deserialize)]
        struct Answer {
            id: i64,
        }
        let body = serde_json::json!({
            "name": "web",
            "active": true,
            "events": ["push", "pull_request"],
            "config": {
                "url": hook.url,
                "content_type": "json",
                "insecure_ssl": "0",
                "secret": hook.secret.expose_secret(),
            },
        });
        let answer: Answer =
            self.send(Method::POST, token, &format!("/repos/{name}/hooks"), Some(&body)).await?;
        Ok(answer.id)
    }
}
