//! A repository becomes a project, and stops being one.

use super::{KeyRefused, Result, Upkeep, UpkeepError};
use crate::github::{Access, GithubError, ListedRepository};
use crate::model::{FullName, ProjectId, Timestamp, UserId};
use crate::store::{Project, StoreError};

/// A new project, and what could not be done for it yet.
#[derive(Debug, Clone)]
pub struct TurnedOn {
    pub project: ProjectId,
    pub has_deploy_key: bool,
    pub troubles: Vec<String>,
}

/// What is left at GitHub of a project that was deleted, in sentences.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deleted {
    pub left_at_github: Vec<String>,
}

impl Upkeep {
    /// Turns a repository into a project of this user, who has to administer it: with a
    /// deploy key where it is private, and with its members.
    pub async fn turn_on(&self, user: UserId, name: &FullName) -> Result<TurnedOn> {
        let token = self.store.user(user).await?.and_then(|user| user.token);
        let token = token.ok_or(GithubError::NoToken)?;
        let listed = match self.github.repository(&token, name).await {
            Ok(listed) => listed,
            Err(error) => {
                self.note_refusal(user, &error).await?;
                return Err(error.into());
            }
        };
        let name = &listed.repository.full_name;
        self.refuse_second(&listed).await?;
        if listed.access.is_some_and(|access| access < Access::Admin) {
            return Err(UpkeepError::Refused(format!(
                "Only somebody who administers {name} at GitHub can turn it on: it takes a webhook."
            )));
        }
        if listed.is_archived {
            return Err(UpkeepError::Refused(format!(
                "{name} is archived at GitHub, where nobody can push to it or add a webhook. Unarchive \
                 it in its settings there, and turn it on then."
            )));
        }
        let id = match self.store.project_added(&listed.repository, user, Timestamp::now()).await {
            Ok(id) => id,
            Err(StoreError::Refused(why)) => {
                // Somebody was faster.
                self.refuse_second(&listed).await?;
                return Err(UpkeepError::Refused(why));
            }
            Err(error) => return Err(error.into()),
        };
        let project = self.store.project(id).await?;
        let project = project
            .ok_or_else(|| UpkeepError::Refused(format!("{name} was deleted again meanwhile.")))?;
        let has_deploy_key = match self.follow_visibility(&project).await {
            Ok(has_changed) => has_changed && !project.repository.is_public,
            // It stays when the same may succeed later, and finds GitHub with the key.
            Err(error) => {
                if let UpkeepError::Key(KeyRefused::Never { .. }) = error {
                    self.store.project_abandoned(id).await?;
                }
                return Err(error);
            }
        };
        let troubles = self.synchronize_members(&project, listed.owner.is_organization).await?;
        Ok(TurnedOn { project: id, has_deploy_key, troubles })
    }

    async fn refuse_second(&self, listed: &ListedRepository) -> Result<()> {
        let found = self.store.project_of_repository(listed.repository.gh_id).await?;
        let Some(project) = found else { return Ok(()) };
        let owner = self.store.user(project.owner).await?;
        let owner = owner.map_or_else(|| "somebody".into(), |owner| owner.login);
        Err(UpkeepError::Refused(format!(
            "{} is a project already: {owner} turned it on. Whoever has access to the repository at \
             GitHub sees the project after signing in.",
            listed.repository.full_name
        )))
    }

    /// Deletes a project with all that belongs to it, at GitHub first. Nothing is
    /// deleted while GitHub is away: its webhooks would go on calling.
    pub async fn delete_project(&self, project: &Project) -> Result<Deleted> {
        let mut deleted = Deleted::default();
        for hook in self.store.hooks(project.id).await? {
            let what = format!("the webhook of `{}`", hook.spec.title);
            deleted.note(&what, self.delete_webhook(project, &hook).await)?;
        }
        let removed = self.remove_deploy_key(project).await.map(|_| ());
        deleted.note("the deploy key", removed)?;
        self.store.project_deleted(project.id).await?;
        Ok(deleted)
    }
}

impl Deleted {
    /// What GitHub will never let us remove does not keep the project.
    fn note(&mut self, what: &str, outcome: Result<()>) -> Result<()> {
        match outcome {
            Err(UpkeepError::Github(GithubError::NoToken)) => {
                self.left_at_github.push(format!("{what}: {}", GithubError::NoToken));
                Ok(())
            }
            Err(UpkeepError::Github(error)) if error.retry_after().is_none() => {
                self.left_at_github.push(format!("{what}: {error}"));
                Ok(())
            }
            outcome => outcome,
        }
    }
}
