//! The payloads of `repository`, `public`, `member`, `team_add` and `meta`.
//!
//! Follows <https://docs.github.com/webhooks/webhook-events-and-payloads>.

use serde_json::{Value, json};

use super::{extend, organization, repository, team, user, webhook, without};
use crate::state::{World, repositories::Repository, teams::Team, webhooks::Webhook};

/// `repository`; `changes` is empty where the action has none.
pub(crate) fn repository_event(
    world: &World,
    about: &Repository,
    action: &str,
    changes: &Value,
) -> Value {
    let mut shape = public(world, about);
    extend(&mut shape, json!({"action": action}));
    if *changes != json!({}) {
        extend(&mut shape, json!({"changes": changes}));
    }
    shape
}

/// `public`: what all these payloads share, sent by whoever acts for the owner.
pub(crate) fn public(world: &World, about: &Repository) -> Value {
    json!({
        "repository": repository::plain(world, about),
        "sender": user::by_id(world, world.person_of(about.owner)),
    })
}

/// `member`.
pub(crate) fn member_event(
    world: &World,
    about: &Repository,
    member: u64,
    action: &str,
    more: Value,
) -> Value {
    let mut shape = public(world, about);
    extend(&mut shape, json!({"action": action, "member": user::by_id(world, member)}));
    extend(&mut shape, more);
    shape
}

/// `team_add`.
pub(crate) fn team_add(world: &World, about: &Repository, added: &Team) -> Value {
    let mut shape = public(world, about);
    let team = without(team::team(world, added, None), &["type", "organization_id"]);
    extend(&mut shape, json!({"team": team}));
    shape
}

/// `meta` with the action `deleted`.
pub(crate) fn meta(world: &World, about: &Repository, deleted: &Webhook) -> Value {
    let mut shape = public(world, about);
    let links = ["url", "test_url", "ping_url", "deliveries_url", "last_response"];
    let hook = without(webhook::webhook(world, deleted), &links);
    extend(&mut shape, json!({"action": "deleted", "hook_id": deleted.id, "hook": hook}));
    shape
}

/// `{"user": …}` or `{"organization": …}`, as a transfer names where it came from.
pub(crate) fn owner(world: &World, of: &Repository) -> Value {
    match world.organizations.by_id(of.owner) {
        Some(found) => json!({"organization": organization::simple(world, found)}),
        None => json!({"user": user::by_id(world, of.owner)}),
    }
}
