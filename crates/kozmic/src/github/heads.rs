//! What stands at GitHub: branches, tags, open pull requests; and which deliveries of
//! them failed.

use std::str::FromStr as _;

use serde::Deserialize;

use super::client::{Listed, Result};
use super::error::GithubError;
use super::known::KnownRepository;
use super::payload::{Event, PullRequestBody, parse};
use crate::model::{CommitSha, Head};

/// Pages of a list of heads that are read, of a hundred each.
const MOST_PAGES: usize = 20;
/// The same of a webhook's deliveries, which GitHub keeps for some days.
const DELIVERY_PAGES: usize = 3;

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

impl KnownRepository {
    /// "List branches", by their full names.
    pub async fn branches(&self) -> Result<Listed<Head>> {
        let name = &self.name;
        self.heads(&format!("/repos/{name}/branches"), "refs/heads/").await
    }

    /// "List repository tags", with the commits they name.
    pub async fn tags(&self) -> Result<Listed<Head>> {
        let name = &self.name;
        self.heads(&format!("/repos/{name}/tags"), "refs/tags/").await
    }

    /// "List pull requests": those that are open.
    pub async fn open_pull_requests(&self) -> Result<Listed<OpenPullRequest>> {
        let name = &self.name;
        self.get_pages(&format!("/repos/{name}/pulls?state=open"), MOST_PAGES).await
    }

    /// "List deliveries for a repository webhook": of the latest three hundred, those that
    /// failed, newest first.
    pub async fn failed_deliveries(&self, hook: i64) -> Result<Vec<FailedDelivery>> {
        let name = &self.name;
        let path = format!("/repos/{name}/hooks/{hook}/deliveries");
        let mut listed = self.get_pages::<FailedDelivery>(&path, DELIVERY_PAGES).await?.all;
        listed.retain(|delivery| !(200..300).contains(&delivery.status_code));
        Ok(listed)
    }

    /// "Get a delivery for a repository webhook": the event it was to tell; none when it
    /// can't be read.
    pub async fn delivered_event(
        &self,
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
        let (name, id) = (&self.name, delivery.id);
        let path = format!("/repos/{name}/hooks/{hook}/deliveries/{id}");
        let answer: Answer = self.once().get(&path).await?;
        Ok(parse(&delivery.event, answer.request.payload.to_string().as_bytes()).ok())
    }

    async fn heads(&self, path: &str, start: &str) -> Result<Listed<Head>> {
        let listed: Listed<Named> = self.get_pages(path, MOST_PAGES).await?;
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
}
