//! The deploy key of a private project: made here, registered at GitHub.

use secrecy::SecretString;

use super::now;
use crate::config::Settings;
use crate::github::{Client, GithubError, KeyPair};
use crate::model::{FullName, ProjectId};
use crate::store::Store;

/// What a project's key is kept, registered and removed with.
pub(super) struct Keys<'a> {
    pub(super) settings: &'a Settings,
    pub(super) store: &'a Store,
    pub(super) github: &'a Client,
    pub(super) token: &'a SecretString,
}

/// Why a project has no key that GitHub lets in.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyRefused {
    /// GitHub may take it another time.
    #[error("the deploy key of {name} is not registered yet: {source}; run the same command again")]
    Later { name: FullName, source: GithubError },
    #[error("the deploy key of {name} could not be registered: {source}; {advice}")]
    Never { name: FullName, source: GithubError, advice: &'static str },
}

impl Keys<'_> {
    /// Sees to it that the project has a key, and that GitHub lets it in; whether
    /// anything had to be done. Goes on where a call before was cut off.
    pub(super) async fn ensure(&self, project: ProjectId, name: &FullName) -> anyhow::Result<bool> {
        let public_key = match self.store.deploy_key(project).await? {
            Some(key) => match key.gh_id {
                Some(id) if self.is_registered(name, id).await? => return Ok(false),
                // Whoever removed it there may have had a reason: it is not used again.
                Some(_) => self.make(project, name).await?,
                None => key.public_key,
            },
            None => self.make(project, name).await?,
        };
        let title = format!("Kozmic ({})", self.settings.public_url);
        let registered = self.github.register_deploy_key(self.token, name, &title, &public_key);
        let id = registered.await.map_err(|error| refused(name, error))?;
        self.store.deploy_key_registered(project, id).await?;
        Ok(true)
    }

    /// A public repository needs none; whether there was one.
    pub(super) async fn remove(&self, project: ProjectId, name: &FullName) -> anyhow::Result<bool> {
        let Some(key) = self.store.deploy_key(project).await? else { return Ok(false) };
        if let Some(id) = key.gh_id {
            self.github.delete_deploy_key(self.token, name, id).await?;
        }
        self.store.deploy_key_removed(project).await?;
        Ok(true)
    }

    async fn is_registered(&self, name: &FullName, id: i64) -> anyhow::Result<bool> {
        Ok(self.github.has_deploy_key(self.token, name, id).await?)
    }

    async fn make(&self, project: ProjectId, name: &FullName) -> anyhow::Result<String> {
        let pair = KeyPair::generate(&format!("kozmic {name}"))?;
        self.store.deploy_key_made(project, &pair.private_key, &pair.public_key, now()).await?;
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
