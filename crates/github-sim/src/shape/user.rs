//! `simple-user` and `private-user`.

use serde_json::{Value, json};

use super::{api, extend, node_id};
use crate::state::{World, stamp, users::User};

/// `simple-user`: a user wherever they are mentioned.
pub(crate) fn simple(world: &World, user: &User) -> Value {
    let login = &user.login;
    let url = format!("{}/users/{login}", api(world));
    json!({
        "login": login,
        "id": user.id,
        "node_id": node_id("U", user.id),
        "avatar_url": format!("{}/avatars/u/{}?v=4", world.base, user.id),
        "gravatar_id": "",
        "url": url,
        "html_url": format!("{}/{login}", world.base),
        "followers_url": format!("{url}/followers"),
        "following_url": format!("{url}/following{{/other_user}}"),
        "gists_url": format!("{url}/gists{{/gist_id}}"),
        "starred_url": format!("{url}/starred{{/owner}}{{/repo}}"),
        "subscriptions_url": format!("{url}/subscriptions"),
        "organizations_url": format!("{url}/orgs"),
        "repos_url": format!("{url}/repos"),
        "events_url": format!("{url}/events{{/privacy}}"),
        "received_events_url": format!("{url}/received_events"),
        "type": if user.is_organization { "Organization" } else { "User" },
        "site_admin": false,
    })
}

/// `nullable-simple-user` by id.
pub(crate) fn by_id(world: &World, id: u64) -> Value {
    world.users.by_id(id).map_or(Value::Null, |user| simple(world, user))
}

/// `private-user`: what a user sees of themselves.
/// Follows <https://docs.github.com/rest/users/users#get-the-authenticated-user>.
pub(crate) fn private(world: &World, user: &User) -> Value {
    let owned = world.repositories.owned_by(user.id);
    let count = |private| owned.iter().filter(|one| one.private == private).count();
    let (secret, public) = (count(true), count(false));
    let mut shape = simple(world, user);
    extend(
        &mut shape,
        json!({
            "user_view_type": "private",
            "name": user.login,
            "company": null,
            "blog": "",
            "location": null,
            "email": user.email(),
            "notification_email": null,
            "hireable": null,
            "bio": null,
            "twitter_username": null,
            "public_repos": public,
            "public_gists": 0,
            "followers": 0,
            "following": 0,
            "created_at": stamp(user.created_at),
            "updated_at": stamp(user.created_at),
            "private_gists": 0,
            "total_private_repos": secret,
            "owned_private_repos": secret,
            "disk_usage": 0,
            "collaborators": 0,
            "two_factor_authentication": true,
            "plan": {"name": "free", "space": 976_562_499, "collaborators": 0, "private_repos": 10_000},
        }),
    );
    shape
}
