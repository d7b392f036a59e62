//! Repositories and forks: who owns them and who may do what with them.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Invalid, users::User};

/// What a person may do with a repository, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    Read,
    Write,
    Admin,
}

#[derive(Debug, Clone)]
pub(crate) struct Repository {
    pub(crate) id: u64,
    pub(crate) owner: u64,
    pub(crate) owner_login: String,
    pub(crate) name: String,
    pub(crate) private: bool,
    /// Whether deploy keys may be made; a policy of its organization may forbid them.
    pub(crate) allows_deploy_keys: bool,
    pub(crate) default_branch: String,
    /// The repository this one was forked from.
    pub(crate) parent: Option<u64>,
    /// People other than the owner, by user id.
    pub(crate) collaborators: Vec<(u64, Role)>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) pushed_at: Timestamp,
    /// Held while a push is being received, so that the references compared before and after
    /// belong to that push alone and events leave in the order of the pushes.
    pub(crate) receiving: Arc<tokio::sync::Mutex<()>>,
}

impl Repository {
    pub(crate) fn full_name(&self) -> String {
        format!("{}/{}", self.owner_login, self.name)
    }

    /// Gives somebody a role, or another one than they had.
    pub(crate) fn invite(&mut self, user: u64, role: Role) {
        self.collaborators.retain(|(id, _)| *id != user);
        self.collaborators.push((user, role));
    }

    /// What this user may do here; `None` when they must not even learn that it exists.
    pub(crate) fn role(&self, user: Option<u64>) -> Option<Role> {
        let public = (!self.private).then_some(Role::Read);
        let Some(user) = user else { return public };
        if user == self.owner {
            return Some(Role::Admin);
        }
        self.collaborators.iter().find(|(id, _)| *id == user).map(|(_, role)| *role).or(public)
    }
}

#[derive(Default)]
pub(crate) struct Repositories {
    list: Vec<Repository>,
}

impl Repositories {
    pub(crate) fn add(
        &mut self,
        id: u64,
        owner: &User,
        name: &str,
        parent: Option<&Repository>,
        now: Timestamp,
    ) -> Result<Repository, Invalid> {
        if !is_name(name) {
            return Err(Invalid::field("Repository", "name", "custom").with_message(format!(
                "{name:?} is not a repository name: letters, digits, '.', '-' and '_', at most 100"
            )));
        }
        if self.by_name(&owner.login, name).is_some() {
            return Err(Invalid::field("Repository", "name", "custom")
                .with_message("name already exists on this account"));
        }
        let repository = Repository {
            id,
            owner: owner.id,
            owner_login: owner.login.clone(),
            name: name.to_owned(),
            private: parent.is_some_and(|parent| parent.private),
            allows_deploy_keys: true,
            default_branch: parent
                .map_or_else(|| "main".to_owned(), |parent| parent.default_branch.clone()),
            parent: parent.map(|parent| parent.id),
            collaborators: Vec::new(),
            created_at: now,
            updated_at: now,
            pushed_at: now,
            receiving: Arc::default(),
        };
        self.list.push(repository.clone());
        Ok(repository)
    }

    pub(crate) fn remove(&mut self, id: u64) {
        self.list.retain(|repository| repository.id != id);
    }

    /// Owner and name are case-insensitive on GitHub.
    pub(crate) fn by_name(&self, owner: &str, name: &str) -> Option<&Repository> {
        self.list.iter().find(|repository| {
            repository.owner_login.eq_ignore_ascii_case(owner)
                && repository.name.eq_ignore_ascii_case(name)
        })
    }

    pub(crate) fn by_full_name(&self, full_name: &str) -> Option<&Repository> {
        let (owner, name) = full_name.split_once('/')?;
        self.by_name(owner, name)
    }

    /// As [`Self::by_full_name`], to change it.
    pub(crate) fn by_full_name_mut(&mut self, full_name: &str) -> Option<&mut Repository> {
        let id = self.by_full_name(full_name)?.id;
        self.list.iter_mut().find(|repository| repository.id == id)
    }

    pub(crate) fn by_id(&self, id: u64) -> Option<&Repository> {
        self.list.iter().find(|repository| repository.id == id)
    }

    /// All that the user owns or was invited to, by full name.
    pub(crate) fn of_user(&self, user: u64) -> Vec<&Repository> {
        let mut found: Vec<_> = self
            .list
            .iter()
            .filter(|repository| {
                repository.owner == user
                    || repository.collaborators.iter().any(|(id, _)| *id == user)
            })
            .collect();
        found.sort_by_key(|repository| repository.full_name().to_ascii_lowercase());
        found
    }

    pub(crate) fn forks_of(&self, id: u64) -> impl Iterator<Item = &Repository> {
        self.list.iter().filter(move |repository| repository.parent == Some(id))
    }

    /// The root of the network of forks a repository belongs to; itself when it is no fork.
    pub(crate) fn source_of<'a>(&'a self, repository: &'a Repository) -> &'a Repository {
        let mut source = repository;
        while let Some(parent) = source.parent.and_then(|id| self.by_id(id)) {
            source = parent;
        }
        source
    }

    /// The repository of `owner` in the same network as `base`: where `owner:branch` points.
    pub(crate) fn in_network(&self, base: &Repository, owner: &str) -> Option<&Repository> {
        let source = self.source_of(base).id;
        self.list.iter().find(|repository| {
            repository.owner_login.eq_ignore_ascii_case(owner)
                && self.source_of(repository).id == source
        })
    }

    pub(crate) fn pushed(&mut self, id: u64, now: Timestamp) {
        if let Some(repository) = self.list.iter_mut().find(|repository| repository.id == id) {
            repository.pushed_at = now;
            repository.updated_at = now;
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 100
        && name != "."
        && name != ".."
        // The path of the clone URL ends so; a name that did too could not be told from it.
        && !name.to_ascii_lowercase().ends_with(".git")
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at once")]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_reads_a_public_repository_and_does_not_see_a_private_one() {
        let owner = User {
            id: 1,
            login: "alice".to_owned(),
            tokens: Vec::new(),
            created_at: Timestamp::UNIX_EPOCH,
        };
        let mut repositories = Repositories::default();
        let mut repository =
            repositories.add(2, &owner, "site", None, Timestamp::UNIX_EPOCH).unwrap();
        repository.invite(3, Role::Write);
        assert_eq!(repository.role(None), Some(Role::Read));
        assert_eq!(repository.role(Some(1)), Some(Role::Admin));
        assert_eq!(repository.role(Some(3)), Some(Role::Write));
        repository.private = true;
        assert_eq!(repository.role(None), None);
        assert_eq!(repository.role(Some(9)), None);
        assert_eq!(repository.role(Some(3)), Some(Role::Write));
    }

    #[test]
    fn names_that_would_leave_the_folder_are_refused() {
        for name in ["", ".", "..", "a/b", "a b", "site.git"] {
            assert!(!is_name(name), "{name:?}");
        }
        assert!(is_name("kozmic-ci_2.0"));
    }
}
