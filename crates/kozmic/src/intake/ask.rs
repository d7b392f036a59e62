//! What GitHub has to be asked for, since a payload does not tell it.

use std::time::Duration;

use secrecy::SecretString;

use super::decide::{Differences, Wish};
use crate::github::{Client, GithubError};
use crate::model::{Change, Commit, GitRef, HookEvent, Trigger};
use crate::store::{NewBuild, Project, Store, StoreError};

/// GitHub gives a delivery 10 s; all that is asked must be known before that.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Questions about one project, in the name of its owner, or of a manager.
pub(super) struct Ask<'a> {
    store: &'a Store,
    github: &'a Client,
    project: &'a Project,
    token: Option<SecretString>,
}

impl<'a> Ask<'a> {
    pub(super) async fn of(
        store: &'a Store,
        github: &'a Client,
        project: &'a Project,
    ) -> Result<Self, StoreError> {
        let holder = store.token_holder(project.id).await?;
        Ok(Self { store, github, project, token: holder.map(|holder| holder.token) })
    }

    /// Fills in the commit's message, and the changed paths where a hook depends on them;
    /// whether the message is known now. Without an answer the pull request's title speaks
    /// for the commit, and all paths count as changed.
    pub(super) async fn complete(&self, wish: &mut Wish) -> Result<bool, StoreError> {
        let needs_paths = self.need_paths(&wish.build.change).await?;
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
    pub(super) async fn release(&self, tag: &GitRef) -> Result<Wish, GithubError> {
        let call = || format!("the commit of {tag}");
        let token = self.token.as_ref().ok_or_else(|| GithubError::BadToken { call: call() })?;
        let name = &self.project.repository.full_name;
        let asked = self.github.commit_of_tag(token, name, tag);
        let commit = match tokio::time::timeout(TIMEOUT, asked).await {
            Ok(commit) => commit?,
            Err(_) => {
                let problem = "no answer in time".into();
                return Err(GithubError::Away { call: call(), problem });
            }
        };
        let name = tag.tag_name().unwrap_or_default().to_owned();
        let build = NewBuild {
            git_ref: tag.clone(),
            commit,
            trigger: Trigger::Release,
            pull_request: None,
            asks_first: false,
            missed_because: None,
            change: Change { event: HookEvent::Release, name, paths: None },
        };
        Ok(Wish { build, needs_commit: false, differences: Differences::AsKnown })
    }

    async fn need_paths(&self, change: &Change) -> Result<bool, StoreError> {
        if change.paths.is_some() {
            return Ok(false);
        }
        let hooks = self.store.hooks(self.project.id).await?;
        Ok(hooks.iter().any(|hook| hook.spec.options.wanted.depends_on_paths(change)))
    }

    async fn commit(&self, build: &NewBuild) -> Option<Commit> {
        let token = self.token.as_ref()?;
        let name = &self.project.repository.full_name;
        in_time("a commit's message", self.github.commit(token, name, &build.commit.sha)).await
    }

    async fn paths(&self, wish: &Wish) -> Option<Vec<String>> {
        let token = self.token.as_ref()?;
        let name = &self.project.repository.full_name;
        let head = wish.build.commit.sha.as_str();
        let between = |base: String, head: String| async move {
            self.github.changed_between(token, name, &base, &head).await
        };
        let what = "the changed paths";
        match &wish.differences {
            Differences::AsKnown => None,
            Differences::Since(before) => {
                let (before, head) = (before.to_string(), head.to_owned());
                let (there, back) = tokio::join!(
                    in_time(what, between(before.clone(), head.clone())),
                    in_time(what, between(head, before)),
                );
                Some([there??, back??].concat())
            }
            Differences::SinceDefaultBranch => {
                let default = &self.project.repository.default_branch;
                if wish.build.change.name == *default {
                    return None;
                }
                let asked = in_time(what, between(default.clone(), head.to_owned())).await?;
                // A branch that was only made differs in nothing, and yet it is new.
                asked.filter(|paths| !paths.is_empty())
            }
            Differences::OfPullRequest(number) => {
                in_time(what, self.github.changed_in_pull_request(token, name, *number)).await?
            }
        }
    }
}

/// None, and a line in the server's log, when GitHub does not answer in time.
async fn in_time<T>(what: &str, asked: impl Future<Output = Result<T, GithubError>>) -> Option<T> {
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
