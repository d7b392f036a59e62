//! Who may do what in a repository: collaborators and teams (GitHub REST,
//! "Collaborators", "Teams").

use serde::Deserialize;

use super::client::Result;
use super::known::KnownRepository;

/// A user or an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub gh_id: i64,
    pub login: String,
    pub is_organization: bool,
}

/// What GitHub lets somebody do in a repository. Each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Also `triage`, which changes no code.
    Pull,
    /// Also `maintain`, which may not change webhooks and keys.
    Push,
    Admin,
}

/// Somebody with access to a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collaborator {
    pub gh_id: i64,
    pub login: String,
    pub access: Access,
}

/// GitHub's flags; those of newer roles may be missing.
#[derive(Debug, Clone, Copy, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "they are GitHub's")]
pub(super) struct Permissions {
    #[serde(default)]
    pull: bool,
    #[serde(default)]
    push: bool,
    #[serde(default)]
    maintain: bool,
    #[serde(default)]
    admin: bool,
}

impl Permissions {
    pub(super) fn access(self) -> Option<Access> {
        if self.admin {
            Some(Access::Admin)
        } else if self.push || self.maintain {
            Some(Access::Push)
        } else {
            self.pull.then_some(Access::Pull)
        }
    }
}

#[derive(Deserialize)]
struct Person {
    id: i64,
    login: String,
    permissions: Option<Permissions>,
}

/// A team of the organization that owns a repository, and what it may do there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    pub slug: String,
    pub access: Access,
}

impl KnownRepository {
    /// "List repository collaborators": direct ones, those by the organization's base
    /// permission, its owners, and members of teams where GitHub lists them.
    pub async fn collaborators(&self) -> Result<Vec<Collaborator>> {
        let name = &self.name;
        let call = format!("/repos/{name}/collaborators?affiliation=all");
        let people: Vec<Person> = self.get_all(&call).await?;
        let collaborator = |person: Person| {
            let access = person.permissions?.access()?;
            Some(Collaborator { gh_id: person.id, login: person.login, access })
        };
        Ok(people.into_iter().filter_map(collaborator).collect())
    }

    /// "List repository teams".
    pub async fn teams(&self) -> Result<Vec<Team>> {
        #[derive(Deserialize)]
        struct Answer {
            slug: String,
            permission: String,
            permissions: Option<Permissions>,
        }
        let name = &self.name;
        let answers: Vec<Answer> = self.get_all(&format!("/repos/{name}/teams")).await?;
        let team = |answer: Answer| {
            let named = match answer.permission.as_str() {
                "admin" => Some(Access::Admin),
                "push" | "maintain" => Some(Access::Push),
                "pull" | "triage" => Some(Access::Pull),
                // A role of the organization's own; the flags tell.
                _ => None,
            };
            let access = answer.permissions.and_then(Permissions::access).or(named)?;
            Some(Team { slug: answer.slug, access })
        };
        Ok(answers.into_iter().filter_map(team).collect())
    }

    /// "List team members", those of its child teams as well; with the team's access. The
    /// team is of the organization that owns the repository.
    pub async fn team_members(&self, team: &Team) -> Result<Vec<Collaborator>> {
        let organization = self.name.owner();
        let call = format!("/orgs/{organization}/teams/{}/members", team.slug);
        let people: Vec<Person> = self.get_all(&call).await?;
        let member = |person: Person| Collaborator {
            gh_id: person.id,
            login: person.login,
            access: team.access,
        };
        Ok(people.into_iter().map(member).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn managers_can_push_and_members_can_only_pull() {
        for (flags, access) in [
            (
                r#"{"admin":true,"maintain":true,"push":true,"triage":true,"pull":true}"#,
                Some(Access::Admin),
            ),
            (
                r#"{"admin":false,"maintain":true,"push":true,"triage":true,"pull":true}"#,
                Some(Access::Push),
            ),
            (r#"{"admin":false,"push":true,"pull":true}"#, Some(Access::Push)),
            (
                r#"{"admin":false,"maintain":false,"push":false,"triage":true,"pull":true}"#,
                Some(Access::Pull),
            ),
            (r#"{"admin":false,"push":false,"pull":false}"#, None),
        ] {
            let permissions: Permissions = serde_json::from_str(flags).unwrap();
            assert_eq!(permissions.access(), access, "{flags}");
        }
    }
}
