//! Webhooks of repositories (GitHub REST, "Repository webhooks").

use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::client::Result;
use super::error::GithubError;
use super::known::KnownRepository;

/// What a webhook of ours must look like at GitHub.
#[derive(Debug, Clone)]
pub struct HookConfig {
    pub url: String,
    pub secret: SecretString,
    /// GitHub's names of the events that are to be delivered.
    pub events: Vec<&'static str>,
}

/// A webhook as GitHub has it. Its secret is never shown.
#[derive(Debug, Clone)]
pub struct KnownHook {
    pub url: Option<String>,
    pub content_type: Option<String>,
    pub has_secret: bool,
    pub checks_certificates: bool,
    pub events: Vec<String>,
    pub is_active: bool,
}

#[derive(Deserialize)]
struct Answer {
    id: i64,
    active: bool,
    events: Vec<String>,
    config: Config,
}

#[derive(Deserialize)]
struct Config {
    url: Option<String>,
    content_type: Option<String>,
    secret: Option<String>,
    /// A text or a number, by GitHub's description.
    insecure_ssl: Option<serde_json::Value>,
}

impl HookConfig {
    fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "active": true,
            "events": self.events,
            "config": {
                "url": self.url,
                "content_type": "json",
                "insecure_ssl": "0",
                "secret": self.secret.expose_secret(),
            },
        })
    }
}

impl KnownHook {
    /// What is not as it must be, in words.
    pub fn differs_from(&self, wanted: &HookConfig) -> Vec<&'static str> {
        let has_events = wanted.events.iter().all(|event| self.events.iter().any(|it| it == event));
        let differences = [
            ("it called another URL", self.url.as_deref() != Some(&wanted.url)),
            ("its content type was not JSON", self.content_type.as_deref() != Some("json")),
            ("it had no secret", !self.has_secret),
            ("it did not check certificates", !self.checks_certificates),
            ("it lacked events", !has_events || self.events.len() != wanted.events.len()),
            ("it was not active", !self.is_active),
        ];
        differences.into_iter().filter(|(_, differs)| *differs).map(|(words, _)| words).collect()
    }
}

impl KnownRepository {
    /// "Create a repository webhook"; its id.
    pub async fn create_hook(&self, hook: &HookConfig) -> Result<i64> {
        let name = &self.name;
        let mut body = hook.to_json();
        body["name"] = "web".into();
        let call = format!("/repos/{name}/hooks");
        Ok(self.send::<Answer>(Method::POST, &call, Some(&body)).await?.id)
    }

    /// "Get a repository webhook"; none when it was deleted.
    pub async fn hook(&self, id: i64) -> Result<Option<KnownHook>> {
        let name = &self.name;
        match self.get::<Answer>(&format!("/repos/{name}/hooks/{id}")).await {
            Ok(answer) => Ok(Some(KnownHook {
                url: answer.config.url,
                content_type: answer.config.content_type,
                has_secret: answer.config.secret.is_some(),
                checks_certificates: answer
                    .config
                    .insecure_ssl
                    .is_none_or(|value| value == "0" || value == 0),
                events: answer.events,
                is_active: answer.active,
            })),
            Err(GithubError::NotFound { .. }) => {
                self.sees(&format!("/repos/{name}/hooks")).await?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// "Update a repository webhook": all that is wanted of it, the secret as well.
    pub async fn edit_hook(&self, id: i64, hook: &HookConfig) -> Result<()> {
        let name = &self.name;
        let call = format!("/repos/{name}/hooks/{id}");
        self.send::<serde::de::IgnoredAny>(Method::PATCH, &call, Some(&hook.to_json())).await?;
        Ok(())
    }

    /// "Delete a repository webhook"; one that is gone already is no error.
    pub async fn delete_hook(&self, id: i64) -> Result<()> {
        let name = &self.name;
        let call = format!("/repos/{name}/hooks/{id}");
        match self.send::<serde::de::IgnoredAny>(Method::DELETE, &call, None::<&()>).await {
            Err(GithubError::NotFound { .. }) => self.sees(&format!("/repos/{name}/hooks")).await,
            answer => answer.map(drop),
        }
    }
}
