//! Organizations: accounts that people belong to. Their logins are among those of the users.

use jiff::Timestamp;

use super::repositories::Role;

#[derive(Debug, Clone)]
pub(crate) struct Organization {
    /// Of its account among the users.
    pub(crate) id: u64,
    pub(crate) members: Vec<Member>,
    /// What every member may do with each of its repositories; `None`: nothing beyond what
    /// anybody may.
    pub(crate) base: Option<Role>,
    pub(crate) created_at: Timestamp,
}

/// Somebody who belongs to an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) user: u64,
    /// The REST API calls the role `admin`.
    pub(crate) is_owner: bool,
}

impl Organization {
    pub(crate) fn member(&self, user: u64) -> Option<Member> {
        self.members.iter().find(|member| member.user == user).copied()
    }

    /// Lets somebody belong to it, or changes their role.
    pub(crate) fn admit(&mut self, user: u64, is_owner: bool) {
        match self.members.iter_mut().find(|member| member.user == user) {
            Some(member) => member.is_owner = is_owner,
            None => self.members.push(Member { user, is_owner }),
        }
    }

    /// Whether they belonged to it.
    pub(crate) fn dismiss(&mut self, user: u64) -> bool {
        let before = self.members.len();
        self.members.retain(|member| member.user != user);
        self.members.len() < before
    }

    /// Who acts for it where nobody is named.
    pub(crate) fn an_owner(&self) -> Option<u64> {
        self.members.iter().find(|member| member.is_owner).map(|member| member.user)
    }
}

#[derive(Default)]
pub(crate) struct Organizations {
    list: Vec<Organization>,
}

impl Organizations {
    pub(crate) fn add(&mut self, id: u64, owner: u64, now: Timestamp) {
        let members = vec![Member { user: owner, is_owner: true }];
        self.list.push(Organization { id, members, base: Some(Role::Read), created_at: now });
    }

    pub(crate) fn by_id(&self, id: u64) -> Option<&Organization> {
        self.list.iter().find(|one| one.id == id)
    }

    pub(crate) fn by_id_mut(&mut self, id: u64) -> Option<&mut Organization> {
        self.list.iter_mut().find(|one| one.id == id)
    }

    /// Those a user belongs to, oldest first.
    pub(crate) fn of(&self, user: u64) -> impl Iterator<Item = (&Organization, Member)> {
        self.list.iter().filter_map(move |one| Some((one, one.member(user)?)))
    }

    /// The user is gone, and with them every membership.
    pub(crate) fn forget(&mut self, user: u64) {
        for one in &mut self.list {
            one.dismiss(user);
        }
    }
}
