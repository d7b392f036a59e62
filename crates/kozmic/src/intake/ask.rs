//! What GitHub has to be asked for, since a payload does not tell it.

use std::time::Duration;

use super::decide::{Differences, Wish};
use crate::github::{Client, GithubError, KnownRepository};
use crate::model::{Change, Commit, GitRef, HookEvent, Timestamp, Trigger};
use crate::store::{NewBuild, Project, Store, StoreError};

/// GitHub gives a delivery 10 s; all that is asked must be known before that.
const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error(transparent)]
    Github(#[from] GithubError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Questions about one project, in the name of its owner, or of a manager.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    store: &'a Store,
    github: &'a Client,
    project: &'a Project,
}

/// Asks GitHub about a project's repository, in the name of whoever may, and remembers
/// whose token was refused.
pub async fn ask_github<T, F>(
    store: &Store,
    github: &Client,
    project: &Project,
    call: impl Fn(KnownRepository) -> F,
) -> Result<T, AskError>
where
    F: Future<Output = Result<T, GithubError>>,
{
    let holders = store.token_holders(project.id, Timestamp::now()).await?;
    let tried = github.by_any_of(&holders, &project.repository, call).await;
    store.tokens_tried(&tried.refused, tried.accepted, Timestamp::now()).await?;
    Ok(tried.answer?)
}

impl<'a> Ask<'a> {
    pub(super) fn of(store: &'a Store, github: &'a Client, project: &'a Project) -> Self {
        Self { store, github, project }
    }

    pub(super) async fn github<T, F>(
        &self,
        call: impl Fn(KnownRepository) -> F,
    ) -> Result<T, AskError>
    where
        F: Future<Output = Result<T, GithubError>>,
    {
        ask_github(self.store, self.github, self.project, call).await
    }

    /// Fills in the commit's message, and the changed paths where a hook depends on them;
    /// whether the message is known now. Without an answer the pull request's title speaks
    /// for the commit, and all paths count as changed.
    pub(super) async fn complete(&self, wish: &mut Wish) -> Result<bool, StoreError> {
        let needs_paths = wish.needs_paths() && self.need_paths(&wish.build.change).await?;
        let (commit, paths) = tokio::join!(
            async { if wish.needs_commit { self.commit(&wish.build).await } else { None } },
            async { if needs_paths { self.paths(wish).await } else { None } },
        );
        let is_known = commit.is_some() || !wish.needs_commit;
        if let Some(commit) = commit {
            wish.build.commit = commit;
        }
        if paths.is_some() {
            wish.build.change.paths = paths;
        }
        Ok(is_known)
    }

    /// The build of a release.
    pub(super) async fn release(&self, tag: &GitRef) -> Result<Wish, AskError> {
        let asked = self.github(|repository| async move { repository.commit_of_ref(tag).await });
        let Ok(commit) = tokio::time::timeout(TIMEOUT, asked).await else {
            let (call, problem) = (format!("the commit of {tag}"), "no answer in time".into());
            return Err(GithubError::Away { call, problem }.into());
        };
        let name = tag.tag_name().unwrap_or_default().to_owned();
        let build = NewBuild {
            git_ref: tag.clone(),
            commit: commit?,
            trigger: Trigger::Release,
            pull_request: None,
            asks_first: false,
            missed_because: None,
            sender: None,
            change: Change { event: HookEvent::Release, name, paths: None },
        };
        Ok(Wish { build, needs_commit: false, differences: Differences::AsKnown })
    }

    async fn need_paths(&self, change: &Change) -> Result<bool, StoreError> {
        let hooks = self.store.hooks(self.project.id).await?;
        Ok(hooks.iter().any(|hook| hook.spec.options.wanted.depends_on_paths(change)))
    }

    async fn commit(&self, build: &NewBuild) -> Option<Commit> {
        let sha = &build.commit.sha;
        let asked = self.github(|repository| async move { repository.commit(sha).await });
        in_time("a commit's message", asked).await
    }

    async fn paths(&self, wish: &Wish) -> Option<Vec<String>> {
        let head = wish.build.commit.sha.as_str();
        let what = "the changed paths";
        match &wish.differences {
            Differences::AsKnown => None,
            Differences::Since(before) => {
                let before = before.as_str();
                let asked = self.github(|repository| async move {
                    tokio::try_join!(
                        repository.changed_between(before, head),
                        repository.changed_between(head, before),
                    )
                });
                let (there, back) = in_time(what, asked).await?;
                Some([there?, back?].concat())
            }
            Differences::SinceDefaultBranch => {
                let default = &self.project.repository.default_branch;
                if wish.build.change.name == *default {
                    return None;
                }
                let asked = self.github(|repository| async move {
                    repository.changed_between(default, head).await
                });
                // A branch that was only made differs in nothing, and yet it is new.
                in_time(what, asked).await?.filter(|paths| !paths.is_empty())
            }
            Differences::OfPullRequest(number) => {
                let asked = self.github(|repository| async move {
                    repository.changed_in_pull_request(*number).await
                });
                in_time(what, asked).await?
            }
        }
    }
}

/// None, and a line in the server's log, when GitHub does not answer in time.
async fn in_time<T>(what: &str, asked: impl Future<Output = Result<T, AskError>>) -> Option<T> {
    match tokio::time::timeout(TIMEOUT, asked).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            tracing::warn!(%error, what, "GitHub could not be asked");
            None
        }
        Err(_) => {
            tracing::warn!(what, "GitHub did not answer in time");
            None
        }
    }
}
