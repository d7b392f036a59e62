//! The repositories that a user may turn into projects, and the projects that the
//! user is a member of: both follow from the one list of what the user may see.

use std::collections::BTreeMap;

use super::{Result, Upkeep, UpkeepError};
use crate::github::{Access, Account, GithubError, ListedRepository};
use crate::model::{Timestamp, UserId};
use crate::store::{OfferedRepository, Organization, UserRepositories};

impl Upkeep {
    /// Brings a user's repositories and memberships up to date. Nothing changes when
    /// GitHub does not give the whole list.
    pub async fn synchronize_user(&self, user: UserId) -> Result<()> {
        let token = self.store.user(user).await?.and_then(|user| user.token);
        let token = token.ok_or(GithubError::NoToken)?;
        let listed = match self.github.repositories(&token).await {
            Ok(listed) => listed,
            Err(error) => {
                self.note_refusal(user, &error).await?;
                return Err(UpkeepError::Github(error));
            }
        };
        let repositories = offered(&listed);
        let accessible: Vec<(i64, bool)> = listed
            .iter()
            .filter_map(|one| Some((one.repository.gh_id, one.access? >= Access::Push)))
            .collect();
        let now = Timestamp::now();
        Ok(self.store.user_synchronized(user, &repositories, &accessible, now).await?)
    }
}

/// What the user administers, own repositories and by organization.
fn offered(listed: &[ListedRepository]) -> UserRepositories {
    let mut repositories = UserRepositories::default();
    let mut organizations: BTreeMap<i64, (Account, Vec<OfferedRepository>)> = BTreeMap::new();
    for one in listed.iter().filter(|one| one.access == Some(Access::Admin)) {
        let offer =
            OfferedRepository { repository: one.repository.clone(), is_archived: one.is_archived };
        if one.owner.is_organization {
            let (_, its) = organizations
                .entry(one.owner.gh_id)
                .or_insert_with(|| (one.owner.clone(), Vec::new()));
            its.push(offer);
        } else {
            repositories.own.push(offer);
        }
    }
    repositories.organizations = organizations
        .into_values()
        .map(|(account, repositories)| Organization {
            gh_id: account.gh_id,
            login: account.login,
            repositories,
        })
        .collect();
    repositories
}
