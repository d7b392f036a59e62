//! What becomes of a project when its repository does: renamed, transferred, made
//! private or public, archived, deleted; or when its owner leaves.

use super::{Result, Upkeep, UpkeepError};
use crate::github::{Access, GithubError, ListedRepository};
use crate::model::{Role, Timestamp, UserId};
use crate::store::Project;

impl Upkeep {
    /// Compares a project with GitHub and brings it up to date: its names, whether it
    /// is public, its deploy key, its members. What is wrong, in sentences.
    pub async fn synchronize(&self, project: &Project) -> Result<Vec<String>> {
        let Some(listed) = self.find_repository(project).await? else {
            let name = &project.repository.full_name;
            let trouble = format!(
                "GitHub has no {name} any more, or hides it from everybody whom Kozmic could ask: it \
                 was deleted, or the access was lost. Give somebody of this project access again, or \
                 delete the project."
            );
            self.store.project_synchronized(project.id, Some(&trouble), Timestamp::now()).await?;
            return Ok(vec![trouble]);
        };
        let mut project = project.clone();
        if project.repository != listed.repository {
            tracing::info!(
                project = %project.id, before = %project.repository.full_name,
                now = %listed.repository.full_name, "what GitHub says of a repository has changed"
            );
            self.store.repository_changed(project.id, &listed.repository).await?;
            project.repository = listed.repository.clone();
        }
        if project.is_archived != listed.is_archived {
            self.store.project_archived(project.id, listed.is_archived).await?;
        }
        let mut troubles = Vec::new();
        // Nothing of an archived one can be changed: what there is to do waits.
        if !listed.is_archived
            && let Err(error) = self.follow_visibility(&project).await
        {
            troubles.push(format!("the deploy key: {error}"));
        }
        troubles.extend(self.synchronize_members(&project, listed.owner.is_organization).await?);
        let left = self.owner_left(&project).await?;
        self.store.project_synchronized(project.id, left.as_deref(), Timestamp::now()).await?;
        troubles.extend(left);
        Ok(troubles)
    }

    /// A private project has a deploy key, and a public one none; whether anything
    /// had to be done.
    pub async fn follow_visibility(&self, project: &Project) -> Result<bool> {
        if project.repository.is_public {
            self.remove_deploy_key(project).await
        } else {
            self.ensure_deploy_key(project).await
        }
    }

    /// Under its name, or, where another has taken the name, among all that the
    /// project's people may see.
    async fn find_repository(&self, project: &Project) -> Result<Option<ListedRepository>> {
        let (github, name) = (&self.github, &project.repository.full_name);
        let (id, gh_id) = (project.id, project.repository.gh_id);
        let by_name =
            self.ask(id, |token| async move { github.repository(&token, name).await }).await;
        match by_name {
            Ok(listed) if listed.repository.gh_id == gh_id => return Ok(Some(listed)),
            Ok(_) | Err(UpkeepError::Github(GithubError::NotFound { .. })) => {}
            Err(error) => return Err(error),
        }
        let seen = self.ask(id, |token| async move { github.repositories(&token).await }).await?;
        Ok(seen.into_iter().find(|listed| listed.repository.gh_id == gh_id))
    }

    /// What there is to say when the owner does not administer the repository any more.
    async fn owner_left(&self, project: &Project) -> Result<Option<String>> {
        let Some(owner) = self.store.user(project.owner).await? else { return Ok(None) };
        // A token that was refused says nothing of what its owner may do.
        let Some(token) = owner.token.filter(|_| owner.token_refused_at.is_none()) else {
            return Ok(None);
        };
        let name = &project.repository.full_name;
        let access = match self.github.repository(&token, name).await {
            Ok(listed) => listed.access,
            Err(GithubError::NotFound { .. }) => None,
            Err(_) => return Ok(None),
        };
        Ok((access != Some(Access::Admin)).then(|| {
            format!(
                "{} owns this project, but does not administer {name} at GitHub any more. A manager \
                 who does can take the project over.",
                owner.login
            )
        }))
    }

    /// Makes a manager the owner, when that manager administers the repository and the
    /// owner does not any more.
    pub async fn take_over(&self, project: &Project, user: UserId) -> Result<()> {
        let name = &project.repository.full_name;
        if self.store.role(project.id, user).await? != Some(Role::Manager) {
            return Err(UpkeepError::Refused(format!(
                "Only a manager of {name} can take it over."
            )));
        }
        let token = self.store.user(user).await?.and_then(|user| user.token);
        let listed = self.github.repository(&token.ok_or(GithubError::NoToken)?, name).await?;
        if listed.access != Some(Access::Admin) {
            return Err(UpkeepError::Refused(format!(
                "Only somebody who administers {name} at GitHub can take it over."
            )));
        }
        let owner = self.store.user(project.owner).await?;
        let is_refused = owner.as_ref().is_none_or(|owner| owner.token_refused_at.is_some());
        if !is_refused && self.owner_left(project).await?.is_none() {
            let login = owner.map(|owner| owner.login).unwrap_or_default();
            return Err(UpkeepError::Refused(format!(
                "{login} owns {name} and still administers it at GitHub; only {login} can hand it over."
            )));
        }
        Ok(self.store.project_handed_over(project.id, user, Timestamp::now()).await?)
    }
}
