//! GitHub's words and wires: what it signs, what it sends, what it is asked.

mod changes;
mod client;
mod deploy_key;
mod heads;
mod payload;
mod signature;

pub use client::{Client, GithubError, HookConfig, NewStatus};
pub use deploy_key::KeyPair;
pub use heads::{FailedDelivery, Listed, OpenPullRequest};
pub use payload::{
    Event, PullRequestBody, PullRequestEvent, PushEvent, PushedCommit, ReleaseEvent, parse,
};
pub use signature::{HEADER as SIGNATURE_HEADER, SignatureError, verify};
