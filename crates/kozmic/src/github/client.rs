//! A narrow client of GitHub's REST API: the calls that are made, with the
//! fields that are used.

use std::time::Duration;

use reqwest::{Method, StatusCode, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use url::Url;

use crate::model::{Commit, CommitSha, FullName, GithubUser, RemoteRepository};

/// "API Versions" in GitHub's documentation.
const API_VERSION: &str = "2022-11-28";
const TIMEOUT: Duration = Duration::from_secs(20);
/// Used when a rate limit names no time.
const DEFAULT_PAUSE: Duration = Duration::from_mins(1);

#[derive(Debug, thiserror::Error)]
pub enum GithubError {
    #[error("GitHub did not answer {call}: {problem}")]
    Away { call: String, problem: String },
    #[error("GitHub asks to wait {} s before {call}", .pause.as_secs())]
    RateLimited { call: String, pause: Duration },
    #[error("GitHub does not know the token ({call}); it was revoked or has expired")]
    BadToken { call: String },
    #[error("GitHub has no {call}, or hides it from this token")]
    NotFound { call: String },
    #[error("GitHub refused {call} with {status}: {message}")]
    Refused { call: String, status: u16, message: String },
    #[error("GitHub's answer to {call} can't be read: {problem}")]
    Unreadable { call: String, problem: String },
}

impl GithubError {
    /// Whether the same call may succeed later; and not before this pause.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Away { .. } => Some(Duration::ZERO),
            Self::RateLimited { pause, .. } => Some(*pause),
            _ => None,
        }
    }
}

pub(super) type Result<T> = std::result::Result<T, GithubError>;

/// Cheap to clone; keeps connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    api: Url,
}

/// What a webhook of ours must look like at GitHub.
#[derive(Debug, Clone)]
pub struct HookConfig {
    pub url: String,
    pub secret: SecretString,
    /// Of which it is told.
    pub events: Vec<&'static str>,
}

/// A commit status to be made.
#[derive(Debug, Clone, Serialize)]
pub struct NewStatus {
    /// A word of [`crate::model::GithubState`].
    pub state: &'static str,
    pub target_url: String,
    pub description: String,
    pub context: String,
}

impl Client {
    /// `api` is the root of the REST API: `https://api.github.com`, or
    /// `https://HOST/api/v3` of an Enterprise Server.
    pub fn new(api: &Url) -> Result<Self> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("kozmic/", env!("CARGO_PKG_VERSION")))
            .timeout(TIMEOUT)
            .connect_timeout(Duration::from_secs(5))
            // GitHub redirects where a repository was renamed; a token must not
            // follow to another host.
            .redirect(reqwest::redirect::Policy::custom(|attempt| {
                let from = attempt.previous().last().map(Url::origin);
                if from == Some(attempt.url().origin()) && attempt.previous().len() < 5 {
                    attempt.follow()
                } else {
                    attempt.stop()
                }
            }))
            .build()
            .map_err(|error| GithubError::Away {
                call: "any call".into(),
                problem: error.to_string(),
            })?;
        Ok(Self { http, api: api.clone() })
    }

    /// "Get the authenticated user".
    pub async fn user(&self, token: &SecretString) -> Result<GithubUser> {
        #[derive(Deserialize)]
        struct Answer {
            id: i64,
            login: String,
            name: Option<String>,
            avatar_url: Option<String>,
            email: Option<String>,
        }
        let answer: Answer = self.get(token, "/user").await?;
        Ok(GithubUser {
            gh_id: answer.id,
            name: answer
                .name
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| answer.login.clone()),
            login: answer.login,
            avatar_url: answer.avatar_url,
            email: answer.email,
        })
    }

    /// "Get a repository".
    pub async fn repository(
        &self,
        token: &SecretString,
        name: &FullName,
    ) -> Result<RemoteRepository> {
        #[derive(Deserialize)]
        struct Answer {
            id: i64,
            full_name: String,
            private: bool,
            clone_url: String,
            ssh_url: String,
            default_branch: String,
        }
        let call = format!("/repos/{name}");
        let answer: Answer = self.get(token, &call).await?;
        Ok(RemoteRepository {
            gh_id: answer.id,
            full_name: answer.full_name.parse().map_err(|error: crate::model::Invalid| {
                GithubError::Unreadable { call, problem: error.to_string() }
            })?,
            ssh_clone_url: answer.ssh_url,
            https_clone_url: answer.clone_url,
            default_branch: answer.default_branch,
            is_public: !answer.private,
        })
    }

    /// "Get a commit": its author's name and its message.
    pub async fn commit(
        &self,
        token: &SecretString,
        name: &FullName,
        sha: &CommitSha,
    ) -> Result<Commit> {
        self.commit_at(token, name, sha.as_str()).await
    }

    /// The same of a commit's id, or of `tags/NAME`, percent-encoded.
    pub(super) async fn commit_at(
        &self,
        token: &SecretString,
        name: &FullName,
        at: &str,
    ) -> Result<Commit> {
        #[derive(Deserialize)]
        struct Answer {
            sha: String,
            commit: Inner,
        }
        #[derive(Deserialize)]
        struct Inner {
            message: String,
            author: Option<Person>,
        }
        #[derive(Deserialize)]
        struct Person {
            name: Option<String>,
        }
        let call = format!("/repos/{name}/commits/{at}");
        let answer: Answer = self.get(token, &call).await?;
        Ok(Commit {
            sha: answer.sha.parse().map_err(|error: crate::model::Invalid| {
                GithubError::Unreadable { call, problem: error.to_string() }
            })?,
            author: answer.commit.author.and_then(|person| person.name).unwrap_or_default(),
            message: answer.commit.message,
        })
    }

    /// "Create a repository webhook"; its id.
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
            "events": hook.events,
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

    /// "Create a commit status".
    pub async fn create_status(
        &self,
        token: &SecretString,
        name: &FullName,
        sha: &CommitSha,
        status: &NewStatus,
    ) -> Result<()> {
        let call = format!("/repos/{name}/statuses/{sha}");
        self.send::<serde::de::IgnoredAny>(Method::POST, token, &call, Some(status)).await?;
        Ok(())
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        token: &SecretString,
        path: &str,
    ) -> Result<T> {
        self.send(Method::GET, token, path, None::<&()>).await
    }

    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        token: &SecretString,
        path: &str,
        body: Option<&(impl Serialize + ?Sized)>,
    ) -> Result<T> {
        let call = format!("{method} {path}");
        let away = |error: reqwest::Error| GithubError::Away {
            call: call.clone(),
            problem: cause(&error),
        };
        let url = format!("{}{path}", self.api.as_str().trim_end_matches('/'));
        let mut request = self
            .http
            .request(method, url)
            .bearer_auth(token.expose_secret())
            .header(header::ACCEPT, "application/vnd.github+json")
            .header("X-GitHub-Api-Version", API_VERSION);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(away)?;
        let status = answer.status();
        if status.is_success() {
            let bytes = answer.bytes().await.map_err(away)?;
            // What was deleted has nothing to be told.
            let text = if bytes.is_empty() { b"null" } else { &bytes[..] };
            return serde_json::from_slice(text)
                .map_err(|error| GithubError::Unreadable { call, problem: error.to_string() });
        }
        let limit = pause_of(status, answer.headers());
        let message = answer.text().await.unwrap_or_default();
        Err(refusal(call, status, limit, &message))
    }
}

/// The pause that a primary or secondary rate limit asks for (GitHub
/// documentation, "Rate limits for the REST API").
fn pause_of(status: StatusCode, headers: &header::HeaderMap) -> Option<Duration> {
    if !matches!(status, StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS) {
        return None;
    }
    let number = |name: &str| headers.get(name)?.to_str().ok()?.parse::<u64>().ok();
    if let Some(seconds) = number("retry-after") {
        return Some(Duration::from_secs(seconds));
    }
    if number("x-ratelimit-remaining") == Some(0) {
        let reset = number("x-ratelimit-reset").unwrap_or(0);
        let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0);
        return Some(Duration::from_secs(reset.saturating_sub(now).max(1)));
    }
    (status == StatusCode::TOO_MANY_REQUESTS).then_some(DEFAULT_PAUSE)
}

fn refusal(call: String, status: StatusCode, pause: Option<Duration>, body: &str) -> GithubError {
    #[derive(Deserialize)]
    struct Body {
        message: String,
        #[serde(default)]
        errors: Vec<serde_json::Value>,
    }
    let message = match serde_json::from_str::<Body>(body) {
        Ok(body) => {
            let details = body
                .errors
                .iter()
                .filter_map(|error| error["message"].as_str().or_else(|| error.as_str()));
            std::iter::once(body.message.as_str()).chain(details).collect::<Vec<_>>().join(": ")
        }
        Err(_) => status.canonical_reason().unwrap_or("no reason given").to_owned(),
    };
    match (status, pause) {
        (_, Some(pause)) => GithubError::RateLimited { call, pause },
        (StatusCode::UNAUTHORIZED, _) => GithubError::BadToken { call },
        (StatusCode::NOT_FOUND, _) => GithubError::NotFound { call },
        _ if message.to_lowercase().contains("secondary rate limit") => {
            GithubError::RateLimited { call, pause: DEFAULT_PAUSE }
        }
        _ if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
            GithubError::Away { call, problem: format!("it answered {status}") }
        }
        _ => GithubError::Refused { call, status: status.as_u16(), message },
    }
}

/// reqwest's own text repeats the URL; the innermost cause is what helps.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".into();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> header::HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_403_is_a_limit_only_when_it_says_so() {
        let forbidden = StatusCode::FORBIDDEN;
        assert_eq!(pause_of(forbidden, &headers(&[])), None);
        assert_eq!(
            pause_of(forbidden, &headers(&[("retry-after", "7")])),
            Some(Duration::from_secs(7))
        );
        let spent = headers(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1")]);
        assert_eq!(pause_of(forbidden, &spent), Some(Duration::from_secs(1)));
        assert_eq!(pause_of(StatusCode::NOT_FOUND, &spent), None);
        let error = refusal(
            "x".into(),
            forbidden,
            None,
            r#"{"message":"You have exceeded a secondary rate limit"}"#,
        );
        assert_eq!(error.retry_after(), Some(DEFAULT_PAUSE));
    }

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        let error = |status| refusal("x".into(), status, None, "");
        assert!(error(StatusCode::BAD_GATEWAY).retry_after().is_some());
        assert!(error(StatusCode::UNPROCESSABLE_ENTITY).retry_after().is_none());
        assert!(error(StatusCode::UNAUTHORIZED).retry_after().is_none());
    }

    #[test]
    fn github_s_details_are_part_of_the_message() {
        let body = r#"{"message":"Validation Failed","errors":[{"resource":"Hook","message":"Hook already exists"}]}"#;
        let error =
            refusal("POST /x".into(), StatusCode::UNPROCESSABLE_ENTITY, None, body).to_string();
        assert_eq!(
            error,
            "GitHub refused POST /x with 422: Validation Failed: Hook already exists"
        );
    }
}
