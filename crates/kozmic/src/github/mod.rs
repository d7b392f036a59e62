//! GitHub's words and wires: what it signs, what it sends, what it is asked.

mod account;
mod avatar;
mod changes;
mod client;
mod deploy_key;
mod error;
mod heads;
mod known;
mod limits;
mod oauth;
mod payload;
mod people;
mod reach;
mod remembered;
mod repositories;
mod signature;
mod statuses;
mod tokens;
mod webhooks;

pub use avatar::{AvatarError, Pictures, kind_of};
pub use client::{Client, Listed};
pub use deploy_key::{KeyError, KeyPair};
pub use error::GithubError;
pub use heads::{FailedDelivery, OpenPullRequest};
pub use known::KnownRepository;
pub use oauth::{Granted, OAuthApp, OAuthError};
pub use payload::{
    Event, PullRequestBody, PullRequestEvent, PushEvent, PushedCommit, ReleaseEvent, Repository,
    parse,
};
pub use people::{Access, Account, Collaborator, Team};
pub use reach::Reached;
pub use repositories::ListedRepository;
pub use signature::{HEADER as SIGNATURE_HEADER, SignatureError, verify};
pub use statuses::NewStatus;
pub use tokens::Tried;
pub use webhooks::{HookConfig, KnownHook};
