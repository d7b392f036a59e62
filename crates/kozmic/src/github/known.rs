//! A project's repository: found by its name, recognized by its id.

use reqwest::Method;
use secrecy::SecretString;
use serde::{Serialize, de::DeserializeOwned};

use super::client::{Client, Listed, Result};
use super::error::GithubError;
use super::repositories::ListedRepository;
use crate::model::{FullName, RemoteRepository};

/// A repository whose id was compared. All that is asked about a project or changed for it
/// goes through one of these: GitHub's documented paths have names only, and after a rename
/// or a deletion somebody else may have the name.
#[derive(Debug, Clone)]
pub struct KnownRepository {
    client: Client,
    token: SecretString,
    /// As GitHub has it now.
    pub(super) name: FullName,
    listed: ListedRepository,
}

impl Client {
    /// "Get a repository": the one with this id, and no other that has its name now. One
    /// that was renamed or transferred is known by its new name from then on.
    pub async fn known(
        &self,
        token: &SecretString,
        repository: &RemoteRepository,
    ) -> Result<KnownRepository> {
        let listed = self.repository(token, &repository.full_name).await?;
        if listed.repository.gh_id != repository.gh_id {
            return Err(GithubError::AnotherRepository { name: repository.full_name.clone() });
        }
        let name = listed.repository.full_name.clone();
        Ok(KnownRepository { client: self.clone(), token: token.clone(), name, listed })
    }
}

impl KnownRepository {
    /// What GitHub says of it, and what the token's user may do there.
    pub fn into_listed(self) -> ListedRepository {
        self.listed
    }

    /// As [`Client::once`].
    pub(super) fn once(&self) -> Self {
        Self { client: self.client.once(), ..self.clone() }
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.client.get(&self.token, path).await
    }

    pub(super) async fn get_all<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>> {
        self.client.get_all(&self.token, path).await
    }

    pub(super) async fn get_pages<T: DeserializeOwned>(
        &self,
        path: &str,
        most: usize,
    ) -> Result<Listed<T>> {
        self.client.get_pages(&self.token, path, most).await
    }

    /// Fails when the token's user may not see this list: what GitHub says not to have may
    /// then be there all the same.
    pub(super) async fn sees(&self, list: &str) -> Result<()> {
        self.get::<serde::de::IgnoredAny>(&format!("{list}?per_page=1")).await?;
        Ok(())
    }

    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + ?Sized)>,
    ) -> Result<T> {
        self.client.send(method, &self.token, path, body).await
    }
}
