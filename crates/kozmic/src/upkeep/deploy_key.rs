//! The deploy key of a private project: made here, registered at GitHub.

use super::{Result, Upkeep};
use crate::github::{GithubError, KeyPair};
use crate::model::{FullName, ProjectId, Timestamp};
use crate::store::Project;

/// Why a project has no key that GitHub lets in.
#[derive(Debug, thiserror::Error)]
pub enum KeyRefused {
    /// GitHub may take it another time.
    #[error("the deploy key of {name} is not registered yet: {source}; try the same again")]
    Later { name: FullName, source: GithubError },
    #[error("the deploy key of {name} could not be registered: {source}; {advice}")]
    Never { name: FullName, source: GithubError, advice: &'static str },
}

impl Upkeep {
    /// Sees to it that a private project has a key, and that GitHub lets it in; whether
    /// anything had to be done. Goes on where a call before was cut off.
    pub async fn ensure_deploy_key(&self, project: &Project) -> Result<bool> {
        let name = &project.repository.full_name;
        let public_key = match self.store.deploy_key(project.id).await? {
            Some(key) => match key.gh_id {
                Some(id) => {
                    let is_registered =
                        self.ask(project, |repository| async move {
                            repository.has_deploy_key(id).await
                        })
                        .await?;
                    if is_registered {
                        return Ok(false);
                    }
                    // Whoever removed it there may have had a reason: it is not used again.
                    self.make_deploy_key(project.id, name).await?
                }
                None => key.public_key,
            },
            None => self.make_deploy_key(project.id, name).await?,
        };
        let title = format!("Kozmic ({})", self.public_url);
        let (title, public_key) = (&title, &public_key);
        let registered = self.ask(project, |repository| async move {
            repository.register_deploy_key(title, public_key).await
        });
        let id = match registered.await {
            Err(super::UpkeepError::Github(error)) => return Err(refused(name, error).into()),
            registered => registered?,
        };
        self.store.deploy_key_registered(project.id, id).await?;
        Ok(true)
    }

    /// A public repository needs none; whether there was one.
    pub async fn remove_deploy_key(&self, project: &Project) -> Result<bool> {
        let Some(key) = self.store.deploy_key(project.id).await? else { return Ok(false) };
        if let Some(id) = key.gh_id {
            self.ask(project, |repository| async move { repository.delete_deploy_key(id).await })
                .await?;
        }
        self.store.deploy_key_removed(project.id).await?;
        Ok(true)
    }

    async fn make_deploy_key(&self, project: ProjectId, name: &FullName) -> Result<String> {
        let pair = KeyPair::generate(&format!("kozmic {name}"))?;
        let (private, public) = (&pair.private_key, &pair.public_key);
        self.store.deploy_key_made(project, private, public, Timestamp::now()).await?;
        Ok(pair.public_key)
    }
}

fn refused(name: &FullName, source: GithubError) -> KeyRefused {
    let name = name.clone();
    let advice = match &source {
        error if error.retry_after().is_some() => return KeyRefused::Later { name, source },
        GithubError::Refused { message, .. } if message.contains("disabled") => {
            "allow deploy keys in the settings of the organization, under Member privileges"
        }
        GithubError::NotFound { .. } | GithubError::Refused { status: 403, .. } => {
            "a deploy key takes a token of an administrator of the repository, with the scope `repo`"
        }
        _ => "see whether GitHub's settings of the repository say why",
    };
    KeyRefused::Never { name, source, advice }
}
