//! Keeps projects in step with GitHub: turns repositories into projects and back,
//! sees to their webhooks and deploy keys, and learns who may do what in them.
//!
//! Each call to GitHub is made with the token of somebody who may: the owner's, or
//! a manager's where that one is refused.

mod audit;
mod circumstances;
mod deploy_key;
mod hooks;
mod members;
mod projects;
mod repositories;
mod timer;

use crate::github::{Client, GithubError, KeyError, KnownRepository};
use crate::intake::{AskError, ask_github};
use crate::model::{Timestamp, UserId};
use crate::seal::SealError;
use crate::store::{Project, Store, StoreError};

pub use audit::keep_audit;
pub use deploy_key::KeyRefused;
pub use hooks::Ensured;
pub use projects::{Deleted, TurnedOn};
pub use timer::run;

/// Cheap to clone.
#[derive(Clone)]
pub struct Upkeep {
    pub store: Store,
    pub github: Client,
    /// The root of links to pages and of webhooks, without a trailing slash.
    pub public_url: String,
}

#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    #[error(transparent)]
    Github(#[from] GithubError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Key(#[from] KeyRefused),
    #[error(transparent)]
    MakeKey(#[from] KeyError),
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The request is right, but not as things stand; the sentence is for people.
    #[error("{0}")]
    Refused(String),
}

type Result<T> = std::result::Result<T, UpkeepError>;

impl Upkeep {
    /// Asks GitHub about a project's repository, and certainly about that one, in the name
    /// of whoever may.
    async fn ask<T, F>(&self, project: &Project, call: impl Fn(KnownRepository) -> F) -> Result<T>
    where
        F: Future<Output = std::result::Result<T, GithubError>>,
    {
        match ask_github(&self.store, &self.github, project, call).await {
            Ok(answer) => Ok(answer),
            Err(AskError::Github(error)) => Err(error.into()),
            Err(AskError::Store(error)) => Err(error.into()),
        }
    }

    /// Remembers that GitHub does not take somebody's token any more.
    async fn note_refusal(&self, user: UserId, error: &GithubError) -> Result<()> {
        if error.is_bad_token() {
            self.store.tokens_tried(&[user], None, Timestamp::now()).await?;
        }
        Ok(())
    }
}
