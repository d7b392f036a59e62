//! `organization-simple`, `organization-full` and `org-membership`.

use serde_json::{Value, json};

use super::{api, extend, node_id, user};
use crate::state::{
    World,
    organizations::{Member, Organization},
    repositories::Role,
    stamp,
};

/// `organization-simple`, as in lists and webhook payloads.
pub(crate) fn simple(world: &World, organization: &Organization) -> Value {
    let id = organization.id;
    let login = login(world, organization);
    let url = format!("{}/orgs/{login}", api(world));
    json!({
        "login": login,
        "id": id,
        "node_id": node_id("O", id),
        "url": url,
        "repos_url": format!("{url}/repos"),
        "events_url": format!("{url}/events"),
        "hooks_url": format!("{url}/hooks"),
        "issues_url": format!("{url}/issues"),
        "members_url": format!("{url}/members{{/member}}"),
        "public_members_url": format!("{url}/public_members{{/member}}"),
        "avatar_url": format!("{}/avatars/u/{id}?v=4", world.base),
        "description": null,
    })
}

/// `organization-full`; what only its owners see is left out.
/// Follows <https://docs.github.com/rest/orgs/orgs#get-an-organization>.
pub(crate) fn full(world: &World, organization: &Organization) -> Value {
    let mut shape = simple(world, organization);
    let public = world.repositories.owned_by(organization.id);
    let public = public.iter().filter(|one| !one.private).count();
    extend(
        &mut shape,
        json!({
            "name": login(world, organization),
            "html_url": format!("{}/{}", world.base, login(world, organization)),
            "type": "Organization",
            "has_organization_projects": true,
            "has_repository_projects": true,
            "public_repos": public,
            "public_gists": 0,
            "followers": 0,
            "following": 0,
            "default_repository_permission": organization.base.map_or("none", Role::name),
            "created_at": stamp(organization.created_at),
            "updated_at": stamp(organization.created_at),
            "archived_at": null,
        }),
    );
    shape
}

/// `org-membership`. Follows <https://docs.github.com/rest/orgs/members>.
pub(crate) fn membership(world: &World, organization: &Organization, member: Member) -> Value {
    let shape = simple(world, organization);
    let who = user::by_id(world, member.user);
    let url = shape["url"].as_str().unwrap_or_default();
    json!({
        "url": format!("{url}/memberships/{}", who["login"].as_str().unwrap_or_default()),
        "state": "active",
        "role": if member.is_owner { "admin" } else { "member" },
        "organization_url": url,
        "organization": shape,
        "user": who,
        "permissions": {"can_create_repository": true},
    })
}

fn login<'a>(world: &'a World, organization: &Organization) -> &'a str {
    world.users.by_id(organization.id).map(|user| user.login.as_str()).unwrap_or_default()
}
