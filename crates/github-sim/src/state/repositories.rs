//! Repositories and forks: who owns them and who may do what with them.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;

use super::{Invalid, users::User};

/// Of a new repository that is no fork.
pub(crate) const DEFAULT_BRANCH: &str = "main";

/// What a person may do with a repository, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    #[serde(alias = "pull")]
    Read,
    Triage,
    #[serde(alias = "push")]
    Write,
    Maintain,
    Admin,
}

impl Role {
    /// `role_name` of the REST API.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Triage => "triage",
            Self::Write => "write",
            Self::Maintain => "maintain",
            Self::Admin => "admin",
        }
    }

    /// As `permission` and `permissions` call it.
    pub(crate) fn permission(self) -> &'static str {
        match self {
            Self::Read => "pull",
            Self::Write => "push",
            other => other.name(),
        }
    }

    /// A word of [`Self::permission`].
    pub(crate) fn of_permission(word: &str) -> Option<Self> {
        [Self::Read, Self::Triage, Self::Write, Self::Maintain, Self::Admin]
            .into_iter()
            .find(|role| role.permission() == word)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Repository {
    pub(crate) id: u64,
    pub(crate) owner: u64,
    pub(crate) owner_login: String,
    pub(crate) name: String,
    pub(crate) private: bool,
    /// Nobody can change it any more.
    pub(crate) archived: bool,
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

    /// The role somebody was given here, by name.
    pub(crate) fn invited(&self, user: u64) -> Option<Role> {
        self.collaborators.iter().find(|(id, _)| *id == user).map(|(_, role)| *role)
    }
}

#[derive(Default)]
pub(crate) struct Repositories {
    list: Vec<Repository>,
    /// Full names, in small letters, that repositories once had.
    moved: HashMap<String, u64>,
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
            archived: false,
            allows_deploy_keys: true,
            default_branch: parent
                .map_or_else(|| DEFAULT_BRANCH.to_owned(), |parent| parent.default_branch.clone()),
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
        self.moved.retain(|_, to| *to != id);
    }

    /// Gives a repository another owner, name or both; the old full name leads to it until
    /// another repository takes that.
    pub(crate) fn relocate(&mut self, id: u64, owner: &User, name: &str) -> Result<(), Invalid> {
        let taken = self.by_name(&owner.login, name).is_some_and(|other| other.id != id);
        if !is_name(name) || taken {
            return Err(Invalid::field("Repository", "name", "custom").with_message(format!(
                "{}/{name} is no full name, or another repository has it",
                owner.login
            )));
        }
        if let Some(repository) = self.list.iter_mut().find(|one| one.id == id) {
            self.moved.insert(repository.full_name().to_ascii_lowercase(), id);
            repository.owner = owner.id;
            repository.owner_login.clone_from(&owner.login);
            name.clone_into(&mut repository.name);
        }
        Ok(())
    }

    /// The repository that had this full name before, unless one has it now.
    pub(crate) fn moved(&self, owner: &str, name: &str) -> Option<&Repository> {
        if self.by_name(owner, name).is_some() {
            return None;
        }
        let old = format!("{owner}/{name}").to_ascii_lowercase();
        self.moved.get(&old).and_then(|id| self.by_id(*id))
    }

    /// All that an account owns, by full name.
    pub(crate) fn owned_by(&self, account: u64) -> Vec<&Repository> {
        let mut found: Vec<_> = self.list.iter().filter(|one| one.owner == account).collect();
        found.sort_by_key(|one| one.full_name().to_ascii_lowercase());
        found
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Repository> {
        self.list.iter()
    }

    /// The user is gone, and with them every invitation.
    pub(crate) fn forget(&mut self, user: u64) {
        for repository in &mut self.list {
            repository.collaborators.retain(|(id, _)| *id != user);
        }
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
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_the_folder_are_refused() {
        for name in ["", ".", "..", "a/b", "a b", "site.git"] {
            assert!(!is_name(name), "{name:?}");
        }
        assert!(is_name("kozmic-ci_2.0"));
    }
}
