//! `hooks/{id}/deliveries`: what was sent to a webhook, and sending it again.
//!
//! Follows <https://docs.github.com/rest/repos/webhooks#list-deliveries-for-a-repository-webhook>.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::IntoResponse,
};
use serde_json::{Value, json};

use super::{
    answer::{Answer, Caller, Refusal, repository},
    hooks::webhook,
    page::Page,
};
use crate::{
    app::App,
    shape,
    state::{deliveries::Delivery, repositories::Role},
};

/// `status` is `success` or `failure`.
pub(crate) async fn list(
    State(app): State<App>,
    Path((owner, name, id)): Path<(String, String, u64)>,
    caller: Caller,
    page: Page,
) -> Answer {
    let found = repository(&app, &caller, &owner, &name, Role::Admin)?;
    let webhook = webhook(&app, &found, id)?;
    let status = page.parameter("status");
    let wanted = |one: &&Delivery| match status {
        Some("success") => (200..400).contains(&one.status_code),
        Some("failure") => !(200..400).contains(&one.status_code),
        _ => true,
    };
    let (names, shapes): (Vec<String>, Vec<Value>) = {
        let world = app.world();
        let of = world.deliveries.of_webhook(webhook.id).filter(wanted);
        of.map(|one| (format!("v1_{}", one.id), shape::delivery::item(one))).unzip()
    };
    Ok(page.by_cursor(&app, &shapes, &names))
}

pub(crate) async fn get(
    State(app): State<App>,
    Path((owner, name, id, delivery)): Path<(String, String, u64, u64)>,
    caller: Caller,
) -> Answer {
    let delivery = find(&app, &caller, &owner, &name, id, delivery)?;
    Ok(Json(shape::delivery::full(&delivery)).into_response())
}

/// Sends the same payload again, with the same GUID.
pub(crate) async fn attempt(
    State(app): State<App>,
    Path((owner, name, id, delivery)): Path<(String, String, u64, u64)>,
    caller: Caller,
) -> Answer {
    let delivery = find(&app, &caller, &owner, &name, id, delivery)?;
    app.redeliver(&delivery);
    Ok((StatusCode::ACCEPTED, Json(json!({}))).into_response())
}

fn find(
    app: &App,
    caller: &Caller,
    owner: &str,
    name: &str,
    hook: u64,
    delivery: u64,
) -> Result<Delivery, Refusal> {
    let found = repository(app, caller, owner, name, Role::Admin)?;
    let webhook = webhook(app, &found, hook)?;
    let world = app.world();
    world
        .deliveries
        .of_webhook(webhook.id)
        .find(|one| one.id == delivery)
        .cloned()
        .ok_or_else(Refusal::not_found)
}
