//! What GitHub delivers, read tolerantly: only the fields that are used, and
//! everything that may be missing may be missing (GitHub documentation,
//! "Webhook events and payloads").

use serde::Deserialize;

use crate::model::{Invalid, RemoteRepository};

impl Event {
    /// The repository that it is of.
    pub fn repository(&self) -> Option<&Repository> {
        match self {
            Self::Push(event) => Some(&event.repository),
            Self::PullRequest(event) => Some(&event.repository),
            Self::Release(event) => Some(&event.repository),
            Self::Ping { .. } | Self::Other => None,
        }
    }

    /// The login of who caused it.
    pub fn sender(&self) -> Option<&str> {
        let sender = match self {
            Self::Push(event) => &event.sender,
            Self::PullRequest(event) => &event.sender,
            Self::Release(event) => &event.sender,
            Self::Ping { .. } | Self::Other => &None,
        };
        sender.as_ref().map(|sender| sender.login.as_str()).filter(|login| !login.is_empty())
    }
}

/// A delivery by its `X-GitHub-Event`.
#[derive(Debug, Clone)]
pub enum Event {
    Ping {
        hook_id: i64,
    },
    Push(Box<PushEvent>),
    PullRequest(Box<PullRequestEvent>),
    Release(Box<ReleaseEvent>),
    /// One that nothing is built for.
    Other,
}

#[derive(Debug, Clone, Deserialize)]
pub struct PushEvent {
    #[serde(rename = "ref")]
    pub git_ref: String,
    #[serde(default)]
    pub before: String,
    pub after: String,
    #[serde(default)]
    pub created: bool,
    #[serde(default)]
    pub deleted: bool,
    #[serde(default)]
    pub forced: bool,
    /// Oldest first, at most [`PushEvent::MOST_COMMITS`].
    #[serde(default)]
    pub commits: Vec<PushedCommit>,
    pub head_commit: Option<HeadCommit>,
    pub repository: Repository,
    /// Who pushed.
    pub sender: Option<Account>,
}

impl PushEvent {
    /// GitHub lists no more commits than these.
    pub const MOST_COMMITS: usize = 2048;
}

#[derive(Debug, Clone, Deserialize)]
pub struct PushedCommit {
    pub id: String,
    #[serde(default)]
    pub added: Vec<String>,
    #[serde(default)]
    pub removed: Vec<String>,
    #[serde(default)]
    pub modified: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct HeadCommit {
    pub id: String,
    #[serde(default)]
    pub message: String,
    pub author: Option<Author>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Author {
    pub name: Option<String>,
    pub username: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct PullRequestEvent {
    pub action: String,
    pub number: i64,
    pub pull_request: PullRequestBody,
    pub repository: Repository,
    /// Who opened it or pushed to it.
    pub sender: Option<Account>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct PullRequestBody {
    #[serde(default)]
    pub title: String,
    pub body: Option<String>,
    pub user: Option<Account>,
    pub head: Head,
    pub base: Option<Base>,
}

/// The branch that a pull request would be merged into.
#[derive(Debug, Clone, Deserialize)]
pub struct Base {
    #[serde(rename = "ref")]
    pub git_ref: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Head {
    #[serde(rename = "ref")]
    pub git_ref: String,
    pub sha: String,
    /// Whose account the head lies in.
    pub user: Option<Account>,
    /// None when the fork was deleted.
    pub repo: Option<Repository>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct ReleaseEvent {
    pub action: String,
    pub release: Release,
    pub repository: Repository,
    /// Who published it.
    pub sender: Option<Account>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Release {
    pub tag_name: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Repository {
    pub id: i64,
    #[serde(default)]
    pub full_name: String,
    private: Option<bool>,
    clone_url: Option<String>,
    ssh_url: Option<String>,
    default_branch: Option<String>,
}

impl Repository {
    /// The repository as it is now, where the payload says all of it.
    pub fn current(&self) -> Option<RemoteRepository> {
        Some(RemoteRepository {
            gh_id: self.id,
            full_name: self.full_name.parse().ok()?,
            ssh_clone_url: self.ssh_url.clone()?,
            https_clone_url: self.clone_url.clone()?,
            default_branch: self.default_branch.clone()?,
            is_public: !self.private?,
        })
    }
}

#[derive(Debug, Clone, Deserialize)]
pub struct Account {
    pub id: Option<i64>,
    #[serde(default)]
    pub login: String,
}

#[derive(Deserialize)]
struct Ping {
    hook_id: i64,
}

/// Reads a verified body.
pub fn parse(event: &str, body: &[u8]) -> Result<Event, Invalid> {
    let read = |error: serde_json::Error| {
        Invalid::new(format!("the payload of this {event} can't be read: {error}"))
    };
    Ok(match event {
        "ping" => {
            Event::Ping { hook_id: serde_json::from_slice::<Ping>(body).map_err(read)?.hook_id }
        }
        "push" => Event::Push(serde_json::from_slice(body).map_err(read)?),
        "release" => Event::Release(serde_json::from_slice(body).map_err(read)?),
        "pull_request" => Event::PullRequest(serde_json::from_slice(body).map_err(read)?),
        _ => Event::Other,
    })
}
