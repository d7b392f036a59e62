//! Webhooks of a project: where its builds are told of. No answer holds a URL or a secret.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::Body;
use super::paging::{self, Paging};
use super::problem::Problem;
use crate::model::{Timestamp, WebhookSpec};
use crate::store::{SentMessage, Webhook};
use crate::web::App;
use crate::web::visitor::{Access, Account, Acting};

/// Deliveries of each that are told of.
const DELIVERIES: i64 = 10;

#[derive(Serialize, ToSchema)]
pub(super) struct WebhooksAnswer {
    webhooks: Vec<WebhookAnswer>,
    /// To be sent as `after`; null: these were the last.
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
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

#[derive(Serialize, ToSchema)]
struct DeliveryAnswer {
    id: i64,
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

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewWebhook {
    format: String,
    url: String,
    #[serde(default)]
    secret: String,
    events: Vec<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RemovedWebhook)]
pub(super) struct RemovedAnswer {
    id: i64,
    host: String,
}

pub(super) async fn list(
    State(app): State<App>,
    Access { project, .. }: Access,
    Query(paging): Query<Paging>,
) -> Result<Json<WebhooksAnswer>, Problem> {
    let found = app.store.webhooks(project.id).await?;
    let (found, next) = paging::part(found, &paging, "webhooks", |webhook| webhook.id)?;
    let mut webhooks = Vec::new();
    for webhook in found {
        let deliveries = app.store.deliveries_of(webhook.id, DELIVERIES).await?;
        webhooks.push(answer(webhook, deliveries));
    }
    Ok(Json(WebhooksAnswer { webhooks, next }))
}

pub(super) async fn add(
    Acting(app): Acting,
    account: Account,
    Access { project, .. }: Access,
    Body(new): Body<NewWebhook>,
) -> Result<(StatusCode, Json<WebhookAnswer>), Problem> {
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

/// A message that tells of nothing; what became of it is among the deliveries.
pub(super) async fn test(
    State(app): State<App>,
    Access { project, .. }: Access,
    Path((_, webhook)): Path<(i64, i64)>,
) -> Result<StatusCode, Problem> {
    if app.store.webhook_tested(project.id, webhook, Timestamp::now()).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found("webhook"))
    }
}

/// Sends once more what was sent before.
pub(super) async fn again(
    State(app): State<App>,
    Access { project, .. }: Access,
    Path((_, delivery)): Path<(i64, i64)>,
) -> Result<StatusCode, Problem> {
    if app.store.delivery_again(project.id, delivery, Timestamp::now()).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found("delivery"))
    }
}

fn answer(webhook: Webhook, deliveries: Vec<SentMessage>) -> WebhookAnswer {
    let delivery = |sent: SentMessage| DeliveryAnswer {
        id: sent.id,
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
