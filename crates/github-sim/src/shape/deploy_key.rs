//! `deploy-key`. Follows <https://docs.github.com/rest/deploy-keys/deploy-keys>.

use serde_json::{Value, json};

use super::api;
use crate::state::{World, deploy_keys::DeployKey, repositories::Repository, stamp};

pub(crate) fn deploy_key(world: &World, repository: &Repository, key: &DeployKey) -> Value {
    json!({
        "id": key.id,
        "key": key.key,
        "url": format!("{}/repos/{}/keys/{}", api(world), repository.full_name(), key.id),
        "title": key.title,
        "verified": true,
        "created_at": stamp(key.created_at),
        "read_only": key.read_only,
        "added_by": key.added_by,
        "last_used": null,
        "enabled": repository.allows_deploy_keys,
    })
}
