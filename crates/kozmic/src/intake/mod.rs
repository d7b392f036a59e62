//! From a verified delivery to a build in the store.

mod decide;

use std::time::Duration;

use secrecy::SecretString;

use crate::github::{Client, GithubError, Repository};
use crate::model::{Commit, Timestamp};
use crate::store::{Delivery, Hook, NewBuild, Project, Store, StoreError};

pub use decide::{Decision, decide};

/// GitHub gives a delivery 10 s; the commit's message must be known before that.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// What answers GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Taken, or rightly ignored: what became of it.
    Ok(String),
    /// Not for us; GitHub shows it as failed.
    Refused(String),
}

/// Decides on a delivery and records what follows from it; returns once that is
/// durable.
pub async fn take(
    store: &Store,
    github: &Client,
    project: &Project,
    hook: &Hook,
    delivery: &Delivery,
) -> Result<Answer, StoreError> {
    let event = match crate::github::parse(&delivery.event, delivery.payload.as_bytes()) {
        Ok(event) => event,
        Err(problem) => return Ok(Answer::Refused(problem.to_string())),
    };
    let decision = decide(&event, project.repository.gh_id, hook.gh_id);
    let ignored = async |why: String| {
        store.delivery_ignored(delivery, &why, Timestamp::now()).await?;
        Ok(Answer::Ok(why))
    };
    match decision {
        Decision::Pong => Ok(Answer::Ok("pong".into())),
        Decision::Refuse(why) => Ok(Answer::Refused(why)),
        Decision::Ignore(why) => ignored(why).await,
        Decision::Build { mut build, needs_commit } => {
            if let Some(outcome) = store.delivery_outcome(hook.id, &delivery.guid).await? {
                return Ok(Answer::Ok(format!("This delivery was taken before: {outcome}")));
            }
            // Renamed, transferred, made private: what is built from is known before it is.
            let current = event.repository().and_then(Repository::current);
            if let Some(current) = current.filter(|current| *current != project.repository) {
                store.repository_changed(project.id, &current).await?;
            }
            if needs_commit {
                let owner = store.user(project.owner).await?;
                let token = owner.and_then(|owner| owner.token);
                match commit_of(github, token, project, &build).await {
                    Ok(Some(commit)) => build.commit = commit,
                    // Without it, the pull request's title speaks for the commit.
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!(%error, "a commit's message could not be asked for");
                    }
                }
                if let Some(why) = decide::skip_reason(&[&build.commit.message]) {
                    return ignored(why).await;
                }
            }
            let recorded = store.hook_called(delivery, &build, Timestamp::now()).await?;
            Ok(Answer::Ok(recorded.sentence()))
        }
    }
}

async fn commit_of(
    github: &Client,
    token: Option<SecretString>,
    project: &Project,
    build: &NewBuild,
) -> Result<Option<Commit>, GithubError> {
    let Some(token) = token else { return Ok(None) };
    let asked = github.commit(&token, &project.repository.full_name, &build.commit.sha);
    match tokio::time::timeout(COMMIT_TIMEOUT, asked).await {
        Ok(commit) => commit.map(Some),
        Err(_) => Ok(None),
    }
}
