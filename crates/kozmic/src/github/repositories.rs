//! Users, repositories and commits, as far as they are asked for (GitHub REST:
//! "Users", "Repositories", "Commits").

use secrecy::SecretString;
use serde::Deserialize;

use super::client::{Client, Result};
use super::error::GithubError;
use crate::model::{Commit, CommitSha, FullName, GithubUser, RemoteRepository};

impl Client {
    /// "Get the authenticated user".
    pub async fn user(&self, token: &SecretString) -> Result<GithubUser> {
        #[derive(Deserialize)]
        struct Answer {
            id: i64,
            login: String,
            name: Option<String>,
            avatar_url: Option<String>,
            email: Option<String>,
        }
        let answer: Answer = self.get(token, "/user").await?;
        Ok(GithubUser {
            gh_id: answer.id,
            name: answer
                .name
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| answer.login.clone()),
            login: answer.login,
            avatar_url: answer.avatar_url,
            email: answer.email,
        })
    }

    /// "Get a repository".
    pub async fn repository(
        &self,
        token: &SecretString,
        name: &FullName,
    ) -> Result<RemoteRepository> {
        #[derive(Deserialize)]
        struct Answer {
            id: i64,
            full_name: String,
            private: bool,
            clone_url: String,
            ssh_url: String,
            default_branch: String,
        }
        let call = format!("/repos/{name}");
        let answer: Answer = self.get(token, &call).await?;
        Ok(RemoteRepository {
            gh_id: answer.id,
            full_name: answer.full_name.parse().map_err(|error: crate::model::Invalid| {
                GithubError::Unreadable { call, problem: error.to_string() }
            })?,
            ssh_clone_url: answer.ssh_url,
            https_clone_url: answer.clone_url,
            default_branch: answer.default_branch,
            is_public: !answer.private,
        })
    }

    /// "Get a commit": its author's name and its message.
    pub async fn commit(
        &self,
        token: &SecretString,
        name: &FullName,
        sha: &CommitSha,
    ) -> Result<Commit> {
        #[derive(Deserialize)]
        struct Answer {
            commit: Inner,
        }
        #[derive(Deserialize)]
        struct Inner {
            message: String,
            author: Option<Person>,
        }
        #[derive(Deserialize)]
        struct Person {
            name: Option<String>,
        }
        let answer: Answer = self.get(token, &format!("/repos/{name}/commits/{sha}")).await?;
        Ok(Commit {
            sha: sha.clone(),
            author: answer.commit.author.and_then(|person| person.name).unwrap_or_default(),
            message: answer.commit.message,
        })
    }
}
