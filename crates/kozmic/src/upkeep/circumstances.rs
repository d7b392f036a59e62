//! What becomes of a project when its repository does: renamed, transferred, made
//! private or public, archived, deleted; or when its owner leaves.

use super::{Result, Upkeep, UpkeepError};
use crate::github::{Access, GithubError, KnownRepository, ListedRepository};
use crate::model::{Role, Timestamp, UserId};
use crate::store::Project;

/// What GitHub says of a project's owner.
enum OwnerStands {
    Administers,
    Left,
    /// It could not be asked in the owner's name.
    Unknown(GithubError),
}

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
            let now = Timestamp::now();
            self.store.repository_changed(project.id, &listed.repository, now).await?;
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
    /// project's people may see; none when each of them was asked.
    async fn find_repository(&self, project: &Project) -> Result<Option<ListedRepository>> {
        let by_name = |repository: KnownRepository| async move { Ok(repository.into_listed()) };
        match self.ask(project, by_name).await {
            Ok(listed) => return Ok(Some(listed)),
            Err(UpkeepError::Github(
                GithubError::NotFound { .. } | GithubError::AnotherRepository { .. },
            )) => {}
            Err(error) => return Err(error),
        }
        let (github, gh_id) = (&self.github, project.repository.gh_id);
        let holders = self.store.token_holders(project.id, Timestamp::now()).await?;
        let among_theirs = |token| async move {
            let seen = github.repositories(token).await?;
            let found = seen.into_iter().find(|listed| listed.repository.gh_id == gh_id);
            found.ok_or_else(|| GithubError::NotFound { call: format!("repository {gh_id}") })
        };
        let tried = self.github.by_any(&holders, among_theirs).await;
        self.store.tokens_tried(&tried.refused, tried.accepted, Timestamp::now()).await?;
        match tried.answer {
            Ok(listed) => Ok(Some(listed)),
            Err(GithubError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a project's owner still administers the repository.
    async fn owner_stands(&self, project: &Project) -> Result<OwnerStands> {
        let Some(owner) = self.store.user(project.owner).await? else {
            return Ok(OwnerStands::Unknown(GithubError::NoToken));
        };
        // A token that was refused says nothing of what its owner may do.
        let Some(token) = owner.token.filter(|_| owner.token_refused_at.is_none()) else {
            return Ok(OwnerStands::Unknown(GithubError::NoToken));
        };
        let access = match self.github.known(&token, &project.repository).await {
            Ok(repository) => repository.into_listed().access,
            Err(GithubError::NotFound { .. } | GithubError::AnotherRepository { .. }) => None,
            Err(error) => {
                self.note_refusal(project.owner, &error).await?;
                return Ok(OwnerStands::Unknown(error));
            }
        };
        Ok(if access == Some(Access::Admin) { OwnerStands::Administers } else { OwnerStands::Left })
    }

    /// What there is to say of a project's owner. While GitHub does not tell, what was said
    /// before stays.
    async fn owner_left(&self, project: &Project) -> Result<Option<String>> {
        let owner = self.store.user(project.owner).await?;
        let left = format!(
            "{} owns this project, but does not administer {} at GitHub any more. A manager who \
             does can take the project over.",
            owner.map_or_else(|| "Somebody who is gone".into(), |owner| owner.login),
            project.repository.full_name
        );
        Ok(match self.owner_stands(project).await? {
            OwnerStands::Administers => None,
            OwnerStands::Left => Some(left),
            OwnerStands::Unknown(_) => {
                self.store.project_trouble(project.id).await?.filter(|before| *before == left)
            }
        })
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
        let token = token.ok_or(GithubError::NoToken)?;
        let access = match self.github.known(&token, &project.repository).await {
            Ok(repository) => repository.into_listed().access,
            Err(error) => {
                self.note_refusal(user, &error).await?;
                return Err(error.into());
            }
        };
        if access != Some(Access::Admin) {
            return Err(UpkeepError::Refused(format!(
                "Only somebody who administers {name} at GitHub can take it over."
            )));
        }
        let owner = self.store.user(project.owner).await?;
        match self.owner_stands(project).await? {
            OwnerStands::Left
            | OwnerStands::Unknown(GithubError::NoToken | GithubError::BadToken { .. }) => {}
            OwnerStands::Administers => {
                let login = owner.map(|owner| owner.login).unwrap_or_default();
                return Err(UpkeepError::Refused(format!(
                    "{login} owns {name} and still administers it at GitHub; only {login} can hand it over."
                )));
            }
            OwnerStands::Unknown(error) => return Err(error.into()),
        }
        Ok(self.store.project_handed_over(project.id, user, Timestamp::now()).await?)
    }
}
