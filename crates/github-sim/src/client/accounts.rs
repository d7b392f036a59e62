//! Organizations, teams, and what becomes of users.

use std::time::Duration;

use anyhow::Context;
use reqwest::Method;
use serde_json::{Value, json};

use super::Sim;

impl Sim {
    /// Makes an organization with its first owner. Its members may read all of its repositories.
    pub async fn add_organization(&self, login: &str, owner: &str) -> anyhow::Result<u64> {
        let body = json!({"login": login, "owner": owner});
        let made: Value = self.control(Method::POST, "/organizations", Some(body)).await?;
        made["id"].as_u64().context("the answer has no id")
    }

    /// Lets somebody belong to an organization.
    pub async fn add_member(&self, organization: &str, login: &str) -> anyhow::Result<()> {
        let body = json!({"organization": organization, "login": login});
        self.tell(Method::PUT, "/members", body).await
    }

    /// Makes somebody an owner of an organization.
    pub async fn add_owner(&self, organization: &str, login: &str) -> anyhow::Result<()> {
        let body = json!({"organization": organization, "login": login, "is_owner": true});
        self.tell(Method::PUT, "/members", body).await
    }

    /// Somebody leaves an organization and its teams.
    pub async fn remove_member(&self, organization: &str, login: &str) -> anyhow::Result<()> {
        let body = json!({"organization": organization, "login": login});
        self.tell(Method::DELETE, "/members", body).await
    }

    /// What every member may do with each repository: `read` to `admin`, or nothing.
    pub async fn set_base_role(
        &self,
        organization: &str,
        role: Option<&str>,
    ) -> anyhow::Result<()> {
        let body = json!({"organization": organization, "role": role});
        self.tell(Method::PUT, "/base_role", body).await
    }

    /// Makes a team, below another when one is named by its slug; its slug.
    pub async fn add_team(
        &self,
        organization: &str,
        name: &str,
        parent: Option<&str>,
    ) -> anyhow::Result<String> {
        let body = json!({"organization": organization, "name": name, "parent": parent});
        let made: Value = self.control(Method::POST, "/teams", Some(body)).await?;
        Ok(made["slug"].as_str().context("the answer has no slug")?.to_owned())
    }

    /// Lets somebody join a team, and with it the organization.
    pub async fn add_team_member(
        &self,
        organization: &str,
        team: &str,
        login: &str,
    ) -> anyhow::Result<()> {
        let body = json!({"organization": organization, "team": team, "login": login});
        self.tell(Method::PUT, "/teams/members", body).await
    }

    /// Somebody leaves a team, and stays in the organization.
    pub async fn remove_team_member(
        &self,
        organization: &str,
        team: &str,
        login: &str,
    ) -> anyhow::Result<()> {
        let body = json!({"organization": organization, "team": team, "login": login});
        self.tell(Method::DELETE, "/teams/members", body).await
    }

    /// Gives a team a role in a repository of its organization (`owner/name`).
    pub async fn add_team_repository(
        &self,
        organization: &str,
        team: &str,
        repository: &str,
        role: &str,
    ) -> anyhow::Result<()> {
        let body = json!({
            "organization": organization, "team": team, "repository": repository, "role": role,
        });
        self.tell(Method::PUT, "/teams/repositories", body).await
    }

    /// Takes a team's role in a repository away.
    pub async fn remove_team_repository(
        &self,
        organization: &str,
        team: &str,
        repository: &str,
    ) -> anyhow::Result<()> {
        let body = json!({"organization": organization, "team": team, "repository": repository});
        self.tell(Method::DELETE, "/teams/repositories", body).await
    }

    /// Gives a user or an organization another login; repositories move along.
    pub async fn rename_user(&self, login: &str, to: &str) -> anyhow::Result<()> {
        self.tell(Method::PUT, "/users/name", json!({"login": login, "to": to})).await
    }

    /// Deletes a user with their tokens and repositories.
    pub async fn delete_user(&self, login: &str) -> anyhow::Result<()> {
        self.tell(Method::PUT, "/users/deleted", json!({"login": login})).await
    }

    /// Leaves a user's tokens (without a login: those who have none) so many REST requests until
    /// `reset` from now, in whole seconds; then there are 5,000 an hour again.
    pub async fn set_rate_limit(
        &self,
        login: Option<&str>,
        remaining: u64,
        reset: Duration,
    ) -> anyhow::Result<()> {
        let body = json!({"login": login, "remaining": remaining, "seconds": reset.as_secs()});
        self.tell(Method::PUT, "/rate_limit", body).await
    }

    /// From now on no page of a list has more entries, however many are asked for: what a page
    /// holds is GitHub's to say, and its `Link` header tells whether another follows.
    pub async fn set_largest_page(&self, entries: usize) -> anyhow::Result<()> {
        self.tell(Method::PUT, "/largest_page", json!({"entries": entries})).await
    }
}
