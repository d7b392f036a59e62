//! Users, repositories and commits, as far as they are asked for (GitHub REST:
//! "Users", "Repositories", "Commits").

use secrecy::SecretString;
use serde::Deserialize;

use super::client::{Client, Result};
use super::error::GithubError;
use super::known::KnownRepository;
use super::people::{Access, Account, Permissions};
use crate::model::{Commit, CommitSha, FullName, GithubUser, Invalid, RemoteRepository};

/// A repository, its owner, and what the caller may do there.
#[derive(Debug, Clone)]
pub struct ListedRepository {
    pub repository: RemoteRepository,
    pub owner: Account,
    pub is_archived: bool,
    /// None when GitHub does not say.
    pub access: Option<Access>,
}

#[derive(Deserialize)]
struct Repository {
    id: i64,
    full_name: String,
    private: bool,
    clone_url: String,
    ssh_url: String,
    default_branch: String,
    #[serde(default)]
    archived: bool,
    owner: Owner,
    permissions: Option<Permissions>,
}

#[derive(Deserialize)]
struct Owner {
    id: i64,
    login: String,
    #[serde(rename = "type")]
    kind: String,
}

impl Repository {
    fn listed(self, call: &str) -> Result<ListedRepository> {
        let full_name = self.full_name.parse().map_err(|error: Invalid| {
            GithubError::Unreadable { call: call.to_owned(), problem: error.to_string() }
        })?;
        Ok(ListedRepository {
            repository: RemoteRepository {
                gh_id: self.id,
                full_name,
                ssh_clone_url: self.ssh_url,
                https_clone_url: self.clone_url,
                default_branch: self.default_branch,
                is_public: !self.private,
            },
            owner: Account {
                gh_id: self.owner.id,
                login: self.owner.login,
                is_organization: self.owner.kind == "Organization",
            },
            is_archived: self.archived,
            access: self.permissions.and_then(Permissions::access),
        })
    }
}

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

    /// "Get a repository". One that was renamed or transferred answers under its old
    /// name as well, with its new one. For a repository whose id is known there is
    /// [`Client::known`].
    pub async fn repository(
        &self,
        token: &SecretString,
        name: &FullName,
    ) -> Result<ListedRepository> {
        let call = format!("/repos/{name}");
        let answer: Repository = self.get(token, &call).await?;
        answer.listed(&call)
    }

    /// "List repositories for the authenticated user": all that the user has a role in.
    pub async fn repositories(&self, token: &SecretString) -> Result<Vec<ListedRepository>> {
        let call = "/user/repos?affiliation=owner,collaborator,organization_member";
        let answers: Vec<Repository> = self.get_all(token, call).await?;
        answers.into_iter().map(|answer| answer.listed(call)).collect()
    }
}

impl KnownRepository {
    /// "Get a commit": its author's name and its message.
    pub async fn commit(&self, sha: &CommitSha) -> Result<Commit> {
        self.commit_at(sha.as_str()).await
    }

    /// The same of a commit's id, or of `tags/NAME`, percent-encoded.
    pub(super) async fn commit_at(&self, at: &str) -> Result<Commit> {
        #[derive(Deserialize)]
        struct Answer {
            sha: String,
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
        let name = &self.name;
        let call = format!("/repos/{name}/commits/{at}");
        let answer: Answer = self.get(&call).await?;
        Ok(Commit {
            sha: answer.sha.parse().map_err(|error: Invalid| GithubError::Unreadable {
                call,
                problem: error.to_string(),
            })?,
            author: answer.commit.author.and_then(|person| person.name).unwrap_or_default(),
            message: answer.commit.message,
        })
    }
}
