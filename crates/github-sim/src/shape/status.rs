//! `status`, `simple-commit-status` and `combined-commit-status`.

use serde_json::{Value, json};

use super::{api, node_id, repository, user, without};
use crate::state::{
    World,
    repositories::Repository,
    stamp,
    statuses::{self, Status},
};

/// `status`.
pub(crate) fn status(world: &World, repository: &Repository, sha: &str, status: &Status) -> Value {
    let creator = user::by_id(world, status.creator);
    json!({
        "url": format!("{}/repos/{}/statuses/{sha}", api(world), repository.full_name()),
        "avatar_url": creator["avatar_url"],
        "id": status.id,
        "node_id": node_id("SC", status.id),
        "state": status.state,
        "description": status.description,
        "target_url": status.target_url,
        "context": status.context,
        "created_at": stamp(status.created_at),
        "updated_at": stamp(status.created_at),
        "creator": creator,
    })
}

/// `combined-commit-status`; `shown` is one page of the newest statuses of each context.
/// Follows
/// <https://docs.github.com/rest/commits/statuses#get-the-combined-status-for-a-specific-reference>.
pub(crate) fn combined(
    world: &World,
    repository: &Repository,
    sha: &str,
    latest: &[&Status],
    shown: &[&Status],
) -> Value {
    let url = format!("{}/repos/{}/commits/{sha}", api(world), repository.full_name());
    let shown: Vec<Value> = shown
        .iter()
        .map(|one| without(status(world, repository, sha, one), &["creator"]))
        .collect();
    json!({
        "state": statuses::combined(latest),
        "statuses": shown,
        "sha": sha,
        "total_count": latest.len(),
        "repository": repository::minimal(world, repository),
        "commit_url": url,
        "url": format!("{url}/status"),
    })
}
