//! Who may do what in a project, as GitHub has it: collaborators and teams.

use std::collections::BTreeMap;

use super::{Result, Upkeep};
use crate::github::{Access, Collaborator};
use crate::model::Timestamp;
use crate::store::Project;

impl Upkeep {
    /// Brings a project's members up to date; what could not be asked, in sentences.
    /// Where anything could not, nobody is removed.
    pub async fn synchronize_members(
        &self,
        project: &Project,
        is_organization: bool,
    ) -> Result<Vec<String>> {
        let mut troubles = Vec::new();
        let mut found: BTreeMap<i64, Access> = BTreeMap::new();
        let mut add = |people: Vec<Collaborator>| {
            for person in people {
                let access = found.entry(person.gh_id).or_insert(person.access);
                *access = (*access).max(person.access);
            }
        };
        let name = &project.repository.full_name;
        let collaborators =
            self.ask(project, |repository| async move { repository.collaborators().await }).await;
        match collaborators {
            Ok(people) => add(people),
            Err(error) => troubles.push(format!("the collaborators of {name}: {error}")),
        }
        if is_organization {
            let teams =
                self.ask(project, |repository| async move { repository.teams().await }).await;
            let teams = teams.unwrap_or_else(|error| {
                troubles.push(format!("the teams of {name}: {error}"));
                Vec::new()
            });
            for team in &teams {
                let members = self
                    .ask(project, |repository| async move { repository.team_members(team).await })
                    .await;
                match members {
                    Ok(people) => add(people),
                    Err(error) => {
                        troubles.push(format!("the members of the team {}: {error}", team.slug));
                    }
                }
            }
        }
        let members: Vec<(i64, bool)> =
            found.into_iter().map(|(gh_id, access)| (gh_id, access >= Access::Push)).collect();
        let is_complete = troubles.is_empty();
        self.store
            .members_synchronized(project.id, &members, is_complete, Timestamp::now())
            .await?;
        Ok(troubles)
    }
}
