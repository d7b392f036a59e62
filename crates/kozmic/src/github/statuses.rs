//! Commit statuses (GitHub REST, "Commit statuses").

use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::client::Result;
use super::known::KnownRepository;
use crate::model::CommitSha;

/// A commit status to be made.
#[derive(Debug, Clone, Serialize)]
pub struct NewStatus {
    /// A word of [`crate::model::GithubState`].
    pub state: &'static str,
    pub target_url: String,
    pub description: String,
    pub context: String,
}

/// As much of a status as tells whether it is ours. GitHub leaves out nothing, but may
/// have null where nothing was given.
#[derive(Deserialize)]
struct Known {
    state: String,
    target_url: Option<String>,
    description: Option<String>,
    context: String,
}

/// Pages of a commit's statuses that are looked at, of a hundred each.
const PAGES: usize = 10;

impl KnownRepository {
    /// "Create a commit status".
    pub async fn create_status(&self, sha: &CommitSha, status: &NewStatus) -> Result<()> {
        let name = &self.name;
        let call = format!("/repos/{name}/statuses/{sha}");
        self.send::<serde::de::IgnoredAny>(Method::POST, &call, Some(status)).await?;
        Ok(())
    }

    /// "List commit statuses for a reference": whether this one is the latest of its
    /// context, as far as the newest thousand tell. For one that was sent without an
    /// answer.
    pub async fn has_status(&self, sha: &CommitSha, status: &NewStatus) -> Result<bool> {
        let name = &self.name;
        let call = format!("/repos/{name}/commits/{sha}/statuses");
        let known = self.once().get_pages::<Known>(&call, PAGES).await?;
        // Newest first.
        let latest = known.all.into_iter().find(|known| known.context == status.context);
        Ok(latest.is_some_and(|known| {
            known.state == status.state
                && known.target_url.as_deref() == Some(&status.target_url)
                && known.description.as_deref() == Some(&status.description)
        }))
    }
}
