//! Webhooks of a project: where its builds are told of. No answer holds a URL or a secret.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use crate::model::{Timestamp, WebhookSpec};
use crate::store::{SentMessage, Webhook};
use crate::web::App;
use crate::web::visitor::{Access, Account, Acting};

/// Deliveries of each that are told of.
const DELIVERIES: i64 = 10;

#[derive(Serialize)]
pub(super) struct WebhooksAnswer {
    webhooks: Vec<WebhookAnswer>,
}

#[derive(Serialize)]
pub(super) struct WebhookAnswer {
    id: i64,
    /// `json` or `slack`.
    format: &'static str,
    /// Of its URL.
    host: String,
    /// `finished`, `failed`, `fixed`.
    events: Vec<&'static str>,
    created_by: String,
    created_at: String,
    /// The last ones, the newest first.
    deliveries: Vec<DeliveryAnswer>,
}

#[derive(Serialize)]
struct DeliveryAnswer {
    delivery: String,
    event: String,
    build_id: Option<i64>,
    /// `waiting`, `sent` or `refused`.
    state: String,
    attempts: i64,
    /// What came back, in words.
    answer: Option<String>,
    status: Option<i64>,
    milliseconds: Option<i64>,
    at: String,
}

#[derive(Deserialize)]
pub(super) struct NewWebhook {
    format: String,
    url: String,
    #[serde(default)]
    secret: String,
    events: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct RemovedAnswer {
    id: i64,
    host: String,
}

pub(super) async fn list(
    State(app): State<App>,
    Access { project, .. }: Access,
) -> Result<Json<WebhooksAnswer>, Problem> {
    let mut webhooks = Vec::new();
    for webhook in app.store.webhooks(project.id).await? {
        let deliveries = app.store.deliveries_of(webhook.id, DELIVERIES).await?;
        webhooks.push(answer(webhook, deliveries));
    }
    Ok(Json(WebhooksAnswer { webhooks }))
}

pub(super) async fn add(
    Acting(app): Acting,
    account: Account,
    Access { project, .. }: Access,
    body: Bytes,
) -> Result<(StatusCode, Json<WebhookAnswer>), Problem> {
    let new: NewWebhook = serde_json::from_slice(&body).map_err(|problem| {
        Problem::bad_request(format!(
            "The body must be JSON with format, url, secret and events: {problem}."
        ))
    })?;
    let events = new.events.iter().map(String::as_str);
    let spec =
        WebhookSpec::parse(&new.format, &new.url, &new.secret, events).map_err(|problem| {
            Problem::bad_request(format!("The webhook was not added: {problem}."))
        })?;
    let now = Timestamp::now();
    let id = app.store.webhook_added(project.id, &spec, &account.login, now).await?;
    tracing::info!(project = %project.id, webhook = id, by = account.login, host = spec.host(), "a webhook was added");
    let webhook = Webhook {
        id,
        format: spec.format,
        host: spec.host(),
        events: spec.events,
        created_by: account.login,
        created_at: now,
    };
    Ok((StatusCode::CREATED, Json(answer(webhook, Vec::new()))))
}

pub(super) async fn remove(
    Acting(app): Acting,
    account: Account,
    Access { project, .. }: Access,
    Path((_, id)): Path<(i64, i64)>,
) -> Result<Json<RemovedAnswer>, Problem> {
    let removed = app.store.webhook_removed(project.id, id).await?;
    let host = removed.ok_or_else(|| Problem::not_found("webhook"))?;
    tracing::info!(project = %project.id, webhook = id, by = account.login, host, "a webhook was removed");
    Ok(Json(RemovedAnswer { id, host }))
}

fn answer(webhook: Webhook, deliveries: Vec<SentMessage>) -> WebhookAnswer {
    let delivery = |sent: SentMessage| DeliveryAnswer {
        delivery: sent.uuid,
        event: sent.event,
        build_id: sent.build.map(|(id, _)| id.0),
        state: sent.state,
        attempts: sent.attempts,
        answer: sent.answer,
        status: sent.code,
        milliseconds: sent.took,
        at: sent.updated_at.to_string(),
    };
    WebhookAnswer {
        id: webhook.id,
        format: webhook.format.as_str(),
        host: webhook.host,
        events: webhook.events.iter().map(|event| event.as_str()).collect(),
        created_by: webhook.created_by,
        created_at: webhook.created_at.to_string(),
        deliveries: deliveries.into_iter().map(delivery).collect(),
    }
}
