//! `team` and `nullable-team-simple`.

use serde_json::{Value, json};

use super::{api, extend, node_id, organization, repository::permissions};
use crate::state::{World, repositories::Role, stamp, teams::Team};

/// `team`; `role` is the team's in the repository that is asked about.
/// Follows <https://docs.github.com/rest/teams/teams>.
pub(crate) fn team(world: &World, team: &Team, role: Option<Role>) -> Value {
    let mut shape = simple(world, team);
    let parent = team.parent.and_then(|id| world.teams.by_id(id));
    extend(&mut shape, json!({"parent": parent.map(|parent| simple(world, parent))}));
    if let Some(role) = role {
        let may = permissions(Some(role));
        extend(&mut shape, json!({"permission": role.permission(), "permissions": may}));
    }
    shape
}

/// `team-simple`, as for the parent of a team.
pub(crate) fn simple(world: &World, team: &Team) -> Value {
    let url = format!("{}/organizations/{}/team/{}", api(world), team.organization, team.id);
    let organization = world.users.by_id(team.organization);
    let organization = organization.map(|user| user.login.as_str()).unwrap_or_default();
    json!({
        "id": team.id,
        "node_id": node_id("T", team.id),
        "url": url,
        "members_url": format!("{url}/members{{/member}}"),
        "name": team.name,
        "description": null,
        "permission": "pull",
        "privacy": "closed",
        "notification_setting": "notifications_enabled",
        "html_url": format!("{}/orgs/{organization}/teams/{}", world.base, team.slug),
        "repositories_url": format!("{url}/repos"),
        "slug": team.slug,
        "type": "organization",
        "organization_id": team.organization,
    })
}

/// `team-full`, the answer about one team.
pub(crate) fn full(world: &World, one: &Team) -> Value {
    let mut shape = team(world, one, None);
    let organization = world.organizations.by_id(one.organization);
    let created = organization.map(|found| stamp(found.created_at));
    extend(
        &mut shape,
        json!({
            "members_count": world.teams.members(one).len(),
            "repos_count": one.repositories.len(),
            "created_at": created,
            "updated_at": created,
            "organization": organization.map(|found| {
                let mut shown = organization::full(world, found);
                extend(&mut shown, json!({"description": "", "company": "", "location": ""}));
                shown
            }),
        }),
    );
    shape
}
