//! `tag`, `release` and the payload of `release`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{api, node_id, repository, user};
use crate::state::{World, repositories::Repository, stamp};

/// A release as it was made; the stand-in keeps none.
#[derive(Debug)]
pub(crate) struct Release {
    pub(crate) id: u64,
    pub(crate) tag: String,
    pub(crate) target: String,
    pub(crate) name: Option<String>,
    pub(crate) body: Option<String>,
    pub(crate) draft: bool,
    pub(crate) prerelease: bool,
    pub(crate) author: u64,
    pub(crate) at: Timestamp,
}

/// `tag`, as in the list of tags.
pub(crate) fn tag(world: &World, repository: &Repository, name: &str, sha: &str) -> Value {
    let repo = format!("{}/repos/{}", api(world), repository.full_name());
    json!({
        "name": name,
        "commit": {"sha": sha, "url": format!("{repo}/commits/{sha}")},
        "zipball_url": format!("{repo}/zipball/refs/tags/{name}"),
        "tarball_url": format!("{repo}/tarball/refs/tags/{name}"),
        "node_id": node_id("REF", format!("{}_refs/tags/{name}", repository.id)),
    })
}

/// `release`.
pub(crate) fn release(world: &World, repository: &Repository, release: &Release) -> Value {
    let full_name = repository.full_name();
    let repo = format!("{}/repos/{full_name}", api(world));
    let (id, tag) = (release.id, &release.tag);
    json!({
        "url": format!("{repo}/releases/{id}"),
        "html_url": format!("{}/{full_name}/releases/tag/{tag}", world.base),
        "assets_url": format!("{repo}/releases/{id}/assets"),
        "upload_url": format!("{repo}/releases/{id}/assets{{?name,label}}"),
        "tarball_url": format!("{repo}/tarball/{tag}"),
        "zipball_url": format!("{repo}/zipball/{tag}"),
        "id": id,
        "node_id": node_id("RE", id),
        "tag_name": tag,
        "target_commitish": release.target,
        "name": release.name,
        "body": release.body,
        "draft": release.draft,
        "prerelease": release.prerelease,
        "created_at": stamp(release.at),
        "published_at": (!release.draft).then(|| stamp(release.at)),
        "author": user::by_id(world, release.author),
        "assets": [],
    })
}

/// Follows <https://docs.github.com/webhooks/webhook-events-and-payloads#release>.
pub(crate) fn payload(world: &World, of: &Repository, action: &str, made: &Release) -> Value {
    json!({
        "action": action,
        "release": release(world, of, made),
        "repository": repository::plain(world, of),
        "sender": user::by_id(world, made.author),
    })
}
