//! `keys`: deploy keys of a repository, for its administrators.
//!
//! Follows <https://docs.github.com/rest/deploy-keys/deploy-keys>.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::IntoResponse,
};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use super::{
    answer::{Answer, Caller, Refusal, flag, object, repository, text},
    page::Page,
};
use crate::{
    app::App,
    shape::deploy_key::deploy_key as shape,
    state::{
        Invalid,
        deploy_keys::DeployKey,
        repositories::{Repository, Role},
    },
};

const DOCUMENTATION: &str =
    "https://docs.github.com/rest/deploy-keys/deploy-keys#create-a-deploy-key";

pub(crate) async fn list(
    State(app): State<App>,
    Path((owner, name)): Path<(String, String)>,
    caller: Caller,
    page: Page,
) -> Answer {
    let found = repository(&app, &caller, &owner, &name, Role::Admin)?;
    let shapes: Vec<Value> = {
        let world = app.world();
        world.deploy_keys.of(found.id).map(|key| shape(&world, &found, key)).collect()
    };
    Ok(page.answer(&app, &shapes))
}

pub(crate) async fn create(
    State(app): State<App>,
    Path((owner, name)): Path<(String, String)>,
    caller: Caller,
    body: Bytes,
) -> Answer {
    caller.required()?;
    let found = repository(&app, &caller, &owner, &name, Role::Admin)?;
    let added_by = caller.0.map(|(_, login)| login).unwrap_or_default();
    let body = object(&body)?;
    let refused = |invalid: Invalid| Refusal::from(invalid).see(DOCUMENTATION);
    let key = text(&body, "PublicKey", "key")?
        .ok_or_else(|| refused(Invalid::field("PublicKey", "key", "missing_field")))?;
    let title = text(&body, "PublicKey", "title")?.unwrap_or_default();
    let read_only = flag(&body, "PublicKey", "read_only")?.unwrap_or(false);
    if !found.allows_deploy_keys {
        let message = "Deploy keys are disabled for this repository";
        return Err(refused(Invalid::custom("PublicKey", message)));
    }
    let mut world = app.world();
    let id = world.next_id();
    let created_at = Timestamp::now();
    let repository = found.id;
    let key = DeployKey { id, repository, title, key, read_only, added_by, created_at };
    let key = world.deploy_keys.add(key).map_err(refused)?;
    Ok((StatusCode::CREATED, Json(shape(&world, &found, &key))).into_response())
}

pub(crate) async fn get(
    State(app): State<App>,
    Path((owner, name, id)): Path<(String, String, u64)>,
    caller: Caller,
) -> Answer {
    let found = repository(&app, &caller, &owner, &name, Role::Admin)?;
    let key = deploy_key(&app, &found, id)?;
    let shape = shape(&app.world(), &found, &key);
    Ok(Json(shape).into_response())
}

pub(crate) async fn delete(
    State(app): State<App>,
    Path((owner, name, id)): Path<(String, String, u64)>,
    caller: Caller,
) -> Answer {
    let found = repository(&app, &caller, &owner, &name, Role::Admin)?;
    let key = deploy_key(&app, &found, id)?;
    app.world().deploy_keys.remove(key.id);
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A deploy key of this repository and no other.
fn deploy_key(app: &App, found: &Repository, id: u64) -> Result<DeployKey, Refusal> {
    let world = app.world();
    let mut keys = world.deploy_keys.of(found.id);
    keys.find(|key| key.id == id).cloned().ok_or_else(Refusal::not_found)
}
