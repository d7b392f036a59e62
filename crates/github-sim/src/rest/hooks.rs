//! `hooks`: webhooks of a repository, for its administrators.
//!
//! Follows <https://docs.github.com/rest/repos/webhooks>.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::IntoResponse,
};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{
    answer::{Answer, Caller, Refusal, flag, object, repository, text},
    page::Page,
};
use crate::{
    app::App,
    shape,
    state::{
        Invalid,
        repositories::{Repository, Role},
        webhooks::{Config, Webhook},
    },
};

const DOCUMENTATION: &str =
    "https://docs.github.com/rest/repos/webhooks#create-a-repository-webhook";

pub(crate) async fn list(
    State(app): State<App>,
    Path((owner, name)): Path<(String, String)>,
    caller: Caller,
    page: Page,
) -> Answer {
    let found = repository(&app, &caller, &owner, &name, Role::Admin)?;
    let shapes: Vec<Value> = {
        let world = app.world();
        let of = world.webhooks.of(found.id);
        of.map(|one| shape::webhook::webhook(&world, one)).collect()
    };
    Ok(page.answer(&app, &shapes))
}

/// Makes a webhook and sends it a `ping`.
pub(crate) async fn create(
    State(app): State<App>,
    Path((owner, name)): Path<(String, String)>,
    caller: Caller,
    body: Bytes,
) -> Answer {
    let creator = caller.required()?;
    let found = repository(&app, &caller, &owner, &name, Role::Admin)?;
    let body = object(&body)?;
    if text(&body, "Hook", "name")?.is_some_and(|name| name != "web") {
        return Err(Refusal::from(
            Invalid::field("Hook", "name", "custom").with_message("name must be 'web'"),
        )
        .see(DOCUMENTATION));
    }
    let config = config(&body)?.ok_or_else(|| {
        Refusal::from(Invalid::custom("Hook", "Config must contain URL for webhooks"))
            .see(DOCUMENTATION)
    })?;
    let events = events(&body, "events")?.unwrap_or_else(|| vec!["push".to_owned()]);
    let active = flag(&body, "Hook", "active")?.unwrap_or(true);
    let (webhook, shape) = {
        let mut world = app.world();
        let id = world.next_id();
        let now = Timestamp::now();
        let webhook = world
            .webhooks
            .add(id, found.id, config, events, active, now)
            .map_err(|invalid| Refusal::from(invalid).see(DOCUMENTATION))?;
        let shape = shape::webhook::webhook(&world, &webhook);
        (webhook, shape)
    };
    if webhook.active {
        send_ping(&app, &webhook, creator);
    }
    Ok((StatusCode::CREATED, Json(shape)).into_response())
}

pub(crate) async fn get(
    State(app): State<App>,
    Path((owner, name, id)): Path<(String, String, u64)>,
    caller: Caller,
) -> Answer {
    let found = repository(&app, &caller, &owner, &name, Role::Admin)?;
    let webhook = webhook(&app, &found, id)?;
    let shape = shape::webhook::webhook(&app.world(), &webhook);
    Ok(Json(shape).into_response())
}

/// A `config` replaces the old one whole: without a secret, the secret is gone.
pub(crate) async fn change(
    State(app): State<App>,
    Path((owner, name, id)): Path<(String, String, u64)>,
    caller: Caller,
    body: Bytes,
) -> Answer {
    let found = repository(&app, &caller, &owner, &name, Role::Admin)?;
    let old = webhook(&app, &found, id)?;
    let body = object(&body)?;
    let config = config(&body)?.unwrap_or(old.config);
    let mut wanted = events(&body, "events")?.unwrap_or(old.events);
    let added = events(&body, "add_events")?.unwrap_or_default();
    let removed = events(&body, "remove_events")?.unwrap_or_default();
    wanted.retain(|event| !removed.contains(event) && !added.contains(event));
    wanted.extend(added);
    let active = flag(&body, "Hook", "active")?.unwrap_or(old.active);
    let mut world = app.world();
    let changed = world
        .webhooks
        .change(id, config, wanted, active, Timestamp::now())?
        .ok_or_else(Refusal::not_found)?;
    let shape = shape::webhook::webhook(&world, &changed);
    Ok(Json(shape).into_response())
}

pub(crate) async fn delete(
    State(app): State<App>,
    Path((owner, name, id)): Path<(String, String, u64)>,
    caller: Caller,
) -> Answer {
    let found = repository(&app, &caller, &owner, &name, Role::Admin)?;
    let webhook = webhook(&app, &found, id)?;
    app.world().webhooks.remove(webhook.id);
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(crate) async fn ping(
    State(app): State<App>,
    Path((owner, name, id)): Path<(String, String, u64)>,
    caller: Caller,
) -> Answer {
    let sender = caller.required()?;
    let found = repository(&app, &caller, &owner, &name, Role::Admin)?;
    let webhook = webhook(&app, &found, id)?;
    send_ping(&app, &webhook, sender);
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A webhook of this repository and no other.
pub(crate) fn webhook(app: &App, found: &Repository, id: u64) -> Result<Webhook, Refusal> {
    app.world()
        .webhooks
        .by_id(id)
        .filter(|webhook| webhook.repository == found.id)
        .cloned()
        .ok_or_else(Refusal::not_found)
}

fn send_ping(app: &App, webhook: &Webhook, sender: u64) {
    let payload = shape::webhook::ping(&app.world(), webhook, sender);
    app.tell_one(webhook.id, "ping", &payload);
}

fn config(body: &Map<String, Value>) -> Result<Option<Config>, Refusal> {
    let config = match body.get("config") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(config)) => config,
        Some(_) => return Err(Invalid::field("Hook", "config", "invalid").into()),
    };
    // GitHub takes "1" and 1; everything else means that certificates are checked.
    let insecure = config.get("insecure_ssl").is_some_and(|value| value == "1" || *value == 1);
    let config = Config::new(
        text(config, "Hook", "url")?.as_deref(),
        text(config, "Hook", "content_type")?.as_deref(),
        text(config, "Hook", "secret")?.as_deref(),
        insecure,
    )?;
    Ok(Some(config))
}

fn events(body: &Map<String, Value>, field: &'static str) -> Result<Option<Vec<String>>, Refusal> {
    let invalid = || Refusal::from(Invalid::field("Hook", field, "invalid"));
    match body.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(events)) => events
            .iter()
            .map(|event| event.as_str().map(str::to_owned).ok_or_else(invalid))
            .collect::<Result<Vec<_>, _>>()
            .map(Some),
        Some(_) => Err(invalid()),
    }
}
