//! Who may do what: the sum of what owners, collaborators, organizations and teams give.
//!
//! Follows <https://docs.github.com/organizations/managing-user-access-to-your-organizations-repositories/managing-repository-roles/repository-roles-for-an-organization>.

use super::{
    World,
    repositories::{Repository, Role},
};

/// Somebody with a role of their own in a repository.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Collaborator {
    pub(crate) user: u64,
    pub(crate) role: Role,
    /// Invited to the repository itself.
    pub(crate) is_direct: bool,
    /// Not a member of the organization that owns it; false where a person does.
    pub(crate) is_outside: bool,
}

impl World {
    /// What this user may do here; `None` when they must not even learn that it exists.
    pub(crate) fn role(&self, repository: &Repository, user: Option<u64>) -> Option<Role> {
        let public = (!repository.private).then_some(Role::Read);
        public.max(user.and_then(|user| self.own_role(repository, user)))
    }

    /// Without what anybody may do with a public repository.
    fn own_role(&self, repository: &Repository, user: u64) -> Option<Role> {
        if user == repository.owner {
            return Some(Role::Admin);
        }
        repository.invited(user).max(self.role_by_organization(repository, user))
    }

    /// By being a member of the organization and of its teams.
    pub(crate) fn role_by_organization(&self, repository: &Repository, user: u64) -> Option<Role> {
        let organization = self.organizations.by_id(repository.owner)?;
        if organization.member(user)?.is_owner {
            return Some(Role::Admin);
        }
        organization.base.max(self.teams.role_of(user, repository.id))
    }

    /// Everybody with a role of their own, the owner first where that is a person.
    pub(crate) fn collaborators(&self, repository: &Repository) -> Vec<Collaborator> {
        let organization = self.organizations.by_id(repository.owner);
        let mut users: Vec<u64> = match organization {
            None => vec![repository.owner],
            Some(organization) => organization.members.iter().map(|one| one.user).collect(),
        };
        for (user, _) in &repository.collaborators {
            if !users.contains(user) {
                users.push(*user);
            }
        }
        let about = |user: u64| {
            Some(Collaborator {
                user,
                role: self.own_role(repository, user)?,
                is_direct: repository.owner == user || repository.invited(user).is_some(),
                is_outside: organization.is_some_and(|one| one.member(user).is_none()),
            })
        };
        users.into_iter().filter_map(about).collect()
    }

    /// Who acts for an account: the person, or an owner of the organization.
    pub(crate) fn person_of(&self, account: u64) -> u64 {
        let organization = self.organizations.by_id(account);
        organization.and_then(super::organizations::Organization::an_owner).unwrap_or(account)
    }
}
