//! Teams of an organization: groups of members, below one another, with roles in repositories.

use super::{Invalid, repositories::Role};

#[derive(Debug, Clone)]
pub(crate) struct Team {
    pub(crate) id: u64,
    pub(crate) organization: u64,
    pub(crate) name: String,
    /// The name in an address.
    pub(crate) slug: String,
    /// The team it is below: it inherits the roles of that team.
    pub(crate) parent: Option<u64>,
    /// User ids, and whether they maintain the team.
    pub(crate) members: Vec<(u64, bool)>,
    pub(crate) repositories: Vec<(u64, Role)>,
}

impl Team {
    pub(crate) fn grant(&mut self, repository: u64, role: Role) {
        self.repositories.retain(|(id, _)| *id != repository);
        self.repositories.push((repository, role));
    }

    pub(crate) fn withdraw(&mut self, repository: u64) -> bool {
        let before = self.repositories.len();
        self.repositories.retain(|(id, _)| *id != repository);
        self.repositories.len() < before
    }
}

#[derive(Default)]
pub(crate) struct Teams {
    list: Vec<Team>,
}

impl Teams {
    pub(crate) fn add(
        &mut self,
        id: u64,
        organization: u64,
        name: &str,
        parent: Option<u64>,
    ) -> Result<&Team, Invalid> {
        let slug = slug(name);
        let invalid =
            |message: &str| Invalid::field("Team", "name", "custom").with_message(message);
        if slug.is_empty() {
            return Err(invalid("Name must have a letter or a digit"));
        }
        if self.by_slug(organization, &slug).is_some() {
            return Err(invalid("Name must be unique for this org"));
        }
        let name = name.to_owned();
        let (members, repositories) = (Vec::new(), Vec::new());
        self.list.push(Team { id, organization, name, slug, parent, members, repositories });
        Ok(&self.list[self.list.len() - 1])
    }

    /// All of an organization, those below others as well, by slug.
    pub(crate) fn of(&self, organization: u64) -> Vec<&Team> {
        let mut found: Vec<&Team> =
            self.list.iter().filter(|team| team.organization == organization).collect();
        found.sort_by(|a, b| a.slug.cmp(&b.slug));
        found
    }

    pub(crate) fn by_id(&self, id: u64) -> Option<&Team> {
        self.list.iter().find(|team| team.id == id)
    }

    pub(crate) fn by_slug(&self, organization: u64, slug: &str) -> Option<&Team> {
        self.list
            .iter()
            .find(|team| team.organization == organization && team.slug.eq_ignore_ascii_case(slug))
    }

    pub(crate) fn by_slug_mut(&mut self, organization: u64, slug: &str) -> Option<&mut Team> {
        let id = self.by_slug(organization, slug)?.id;
        self.list.iter_mut().find(|team| team.id == id)
    }

    /// The members of a team and of all teams below it: id, and whether they maintain the team.
    pub(crate) fn members(&self, team: &Team) -> Vec<(u64, bool)> {
        let mut members = team.members.clone();
        for below in self.list.iter().filter(|one| one.id != team.id && self.is_below(one, team)) {
            for (user, _) in &below.members {
                if !members.iter().any(|(known, _)| known == user) {
                    members.push((*user, false));
                }
            }
        }
        members
    }

    /// The team's own role in a repository, or the one that it inherits when that is more.
    pub(crate) fn role(&self, team: &Team, repository: u64) -> Option<Role> {
        let own = team.repositories.iter().find(|(id, _)| *id == repository).map(|(_, role)| *role);
        let parent = team.parent.and_then(|id| self.by_id(id));
        own.max(parent.and_then(|parent| self.role(parent, repository)))
    }

    /// What a user may do in a repository by their teams.
    pub(crate) fn role_of(&self, user: u64, repository: u64) -> Option<Role> {
        let belongs = |team: &&Team| team.members.iter().any(|(id, _)| *id == user);
        self.list.iter().filter(belongs).filter_map(|team| self.role(team, repository)).max()
    }

    /// Somebody has left an organization, and so its teams.
    pub(crate) fn dismiss(&mut self, organization: u64, user: u64) {
        for team in self.list.iter_mut().filter(|team| team.organization == organization) {
            team.members.retain(|(id, _)| *id != user);
        }
    }

    /// The user is gone.
    pub(crate) fn forget(&mut self, user: u64) {
        for team in &mut self.list {
            team.members.retain(|(id, _)| *id != user);
        }
    }

    /// The repository is gone, or no longer the organization's.
    pub(crate) fn forget_repository(&mut self, repository: u64) {
        for team in &mut self.list {
            team.withdraw(repository);
        }
    }

    /// A team counts as below itself.
    fn is_below(&self, team: &Team, above: &Team) -> bool {
        team.id == above.id
            || team
                .parent
                .and_then(|id| self.by_id(id))
                .is_some_and(|parent| self.is_below(parent, above))
    }
}

/// `Core Team` → `core-team`.
fn slug(name: &str) -> String {
    let kept: String = name
        .to_lowercase()
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || letter == '_' { letter } else { '-' })
        .collect();
    kept.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at once")]
mod tests {
    use super::*;

    #[test]
    fn a_team_inherits_roles_from_above_and_lists_the_members_of_those_below() {
        let mut teams = Teams::default();
        teams.add(1, 9, "All Engineers!", None).unwrap();
        teams.add(2, 9, "Core", Some(1)).unwrap();
        assert!(teams.add(3, 9, "core", None).is_err());
        teams.by_slug_mut(9, "all-engineers").unwrap().grant(50, Role::Write);
        teams.by_slug_mut(9, "core").unwrap().grant(50, Role::Read);
        teams.by_slug_mut(9, "core").unwrap().members.push((70, true));
        assert_eq!(teams.role_of(70, 50), Some(Role::Write));
        assert_eq!(teams.role_of(71, 50), None);
        assert_eq!(teams.members(teams.by_id(1).unwrap()), [(70, false)]);
        assert_eq!(teams.members(teams.by_id(2).unwrap()), [(70, true)]);
    }
}
