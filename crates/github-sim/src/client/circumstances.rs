//! What happens to repositories, and who may do what with them.

use anyhow::Context;
use reqwest::Method;
use serde_json::{Value, json};

use super::Sim;

impl Sim {
    /// Makes a repository private, or public again.
    pub async fn set_private(&self, repository: &str, private: bool) -> anyhow::Result<()> {
        self.policy(json!({"repository": repository, "private": private})).await
    }

    /// Makes a repository read-only, or usable again.
    pub async fn set_archived(&self, repository: &str, archived: bool) -> anyhow::Result<()> {
        self.policy(json!({"repository": repository, "archived": archived})).await
    }

    /// Allows or forbids deploy keys, as an organization's policy does; those that are there stay.
    pub async fn allow_deploy_keys(&self, repository: &str, allow: bool) -> anyhow::Result<()> {
        self.policy(json!({"repository": repository, "allows_deploy_keys": allow})).await
    }

    /// From now on deliveries go to receivers with a certificate of this one (PEM) as well.
    pub async fn trust(&self, certificate: &str) -> anyhow::Result<()> {
        self.tell(Method::POST, "/trust", json!({"certificate": certificate})).await
    }

    async fn policy(&self, wanted: Value) -> anyhow::Result<()> {
        self.tell(Method::POST, "/policy", wanted).await
    }

    /// Gives somebody the role `read`, `triage`, `write`, `maintain` or `admin` in a repository.
    pub async fn add_collaborator(
        &self,
        repository: &str,
        login: &str,
        role: &str,
    ) -> anyhow::Result<()> {
        let body = json!({"repository": repository, "login": login, "role": role});
        self.tell(Method::POST, "/collaborators", body).await
    }

    /// Takes the role away that somebody was given in a repository.
    pub async fn remove_collaborator(&self, repository: &str, login: &str) -> anyhow::Result<()> {
        let body = json!({"repository": repository, "login": login});
        self.tell(Method::DELETE, "/collaborators", body).await
    }

    /// Gives a repository another name; its new full name. The old one leads there.
    pub async fn rename_repository(&self, repository: &str, name: &str) -> anyhow::Result<String> {
        self.place(json!({"repository": repository, "name": name})).await
    }

    /// Gives a repository to another user or organization; its new full name. The old one leads
    /// there. Webhooks, keys and collaborators stay, teams lose it.
    pub async fn transfer_repository(
        &self,
        repository: &str,
        owner: &str,
    ) -> anyhow::Result<String> {
        self.place(json!({"repository": repository, "owner": owner})).await
    }

    async fn place(&self, wanted: Value) -> anyhow::Result<String> {
        let made: Value = self.control(Method::PUT, "/repositories/place", Some(wanted)).await?;
        Ok(made["full_name"].as_str().context("the answer has no full_name")?.to_owned())
    }

    /// Deletes a repository with its webhooks, keys and pull requests.
    pub async fn delete_repository(&self, repository: &str) -> anyhow::Result<()> {
        self.tell(Method::PUT, "/repositories/deleted", json!({"repository": repository})).await
    }

    /// Renames the default branch, as in the repository's settings.
    pub async fn rename_default_branch(&self, repository: &str, name: &str) -> anyhow::Result<()> {
        let body = json!({"repository": repository, "name": name});
        self.tell(Method::PUT, "/repositories/default_branch", body).await
    }

    /// Deletes a webhook by hand, in the repository's settings.
    pub async fn delete_webhook(&self, repository: &str, id: u64) -> anyhow::Result<()> {
        self.tell(Method::DELETE, "/webhooks", json!({"repository": repository, "id": id})).await
    }

    pub(super) async fn tell(&self, method: Method, path: &str, body: Value) -> anyhow::Result<()> {
        let _: Value = self.control(method, path, Some(body)).await?;
        Ok(())
    }
}
