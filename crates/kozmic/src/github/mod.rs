//! GitHub's words and wires: what it signs, what it sends, what it is asked.

mod account;
mod client;
mod deploy_key;
mod oauth;
mod payload;
mod signature;

pub use client::{Client, GithubError, HookConfig, NewStatus};
pub use deploy_key::KeyPair;
pub use oauth::{OAuthApp, OAuthError};
pub use payload::{Event, PullRequestEvent, PushEvent, parse};
pub use signature::{HEADER as SIGNATURE_HEADER, SignatureError, verify};
