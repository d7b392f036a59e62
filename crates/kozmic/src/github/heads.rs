//! What stands at GitHub: branches, tags, open pull requests; and which deliveries of
//! them failed.

use std::str::FromStr as _;

use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::client::{Client, Result};
use super::error::GithubError;
use super::payload::{Event, PullRequestBody, parse};
use crate::model::{CommitSha, FullName, Head};

const PAGE: usize = 100;
/// A list is read no further than this.
const MOST_PAGES: usize = 10;

/// A list, and whether it ends where GitHub's does.
#[derive(Debug, Clone)]
pub struct Listed<T> {
    pub all: Vec<T>,
    pub is_whole: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub struct OpenPullRequest {
    pub number: i64,
    #[serde(flatten)]
    pub body: PullRequestBody,
}

/// A delivery that did not arrive ("hook-delivery-item").
#[derive(Debug, Clone, Deserialize)]
pub struct FailedDelivery {
    pub id: i64,
    pub event: String,
    /// RFC 3339.
    pub delivered_at: String,
    /// As GitHub's page of recent deliveries shows it.
    pub status: String,
    pub status_code: i64,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    commit: Id,
}

#[derive(Deserialize)]
struct Id {
    sha: String,
}

impl Client {
    /// "List branches", by their full names.
    pub async fn branches(&self, token: &SecretString, name: &FullName) -> Result<Listed<Head>> {
        self.heads(token, &format!("/repos/{name}/branches"), "refs/heads/").await
    }

    /// "List repository tags", with the commits they name.
    pub async fn tags(&self, token: &SecretString, name: &FullName) -> Result<Listed<Head>> {
        self.heads(token, &format!("/repos/{name}/tags"), "refs/tags/").await
    }

    /// "List pull requests": those that are open.
    pub async fn open_pull_requests(
        &self,
        token: &SecretString,
        name: &FullName,
    ) -> Result<Listed<OpenPullRequest>> {
        self.list(token, &format!("/repos/{name}/pulls?state=open&")).await
    }

    /// "List deliveries for a repository webhook": of the latest hundred, those that
    /// failed, newest first.
    pub async fn failed_deliveries(
        &self,
        token: &SecretString,
        name: &FullName,
        hook: i64,
    ) -> Result<Vec<FailedDelivery>> {
        let path = format!("/repos/{name}/hooks/{hook}/deliveries?per_page={PAGE}");
        let mut listed: Vec<FailedDelivery> = self.get(token, &path).await?;
        listed.retain(|delivery| !(200..300).contains(&delivery.status_code));
        Ok(listed)
    }

    /// "Get a delivery for a repository webhook": the event it was to tell; none when it
    /// can't be read.
    pub async fn delivered_event(
        &self,
        token: &SecretString,
        name: &FullName,
        hook: i64,
        delivery: &FailedDelivery,
    ) -> Result<Option<Event>> {
        #[derive(Deserialize)]
        struct Answer {
            request: Request,
        }
        #[derive(Deserialize)]
        struct Request {
            payload: serde_json::Value,
        }
        let path = format!("/repos/{name}/hooks/{hook}/deliveries/{}", delivery.id);
        let answer: Answer = self.get(token, &path).await?;
        Ok(parse(&delivery.event, answer.request.payload.to_string().as_bytes()).ok())
    }

    async fn heads(&self, token: &SecretString, path: &str, start: &str) -> Result<Listed<Head>> {
        let listed: Listed<Named> = self.list(token, &format!("{path}?")).await?;
        let head = |named: Named| {
            let sha = CommitSha::from_str(&named.commit.sha).map_err(|problem| {
                GithubError::Unreadable {
                    call: format!("GET {path}"),
                    problem: problem.to_string(),
                }
            })?;
            Ok(Head { name: format!("{start}{}", named.name), sha: Some(sha) })
        };
        let all = listed.all.into_iter().map(head).collect::<Result<_>>()?;
        Ok(Listed { all, is_whole: listed.is_whole })
    }

    /// `path` ends where another parameter may follow.
    async fn list<T: DeserializeOwned>(
        &self,
        token: &SecretString,
        path: &str,
    ) -> Result<Listed<T>> {
        let mut all = Vec::new();
        for page in 1..=MOST_PAGES {
            let found: Vec<T> =
                self.get(token, &format!("{path}per_page={PAGE}&page={page}")).await?;
            let is_last = found.len() < PAGE;
            all.extend(found);
            if is_last {
                return Ok(Listed { all, is_whole: true });
            }
        }
        Ok(Listed { all, is_whole: false })
    }
}
