//! What the stand-in tells its callers, as far as tests and scripts look at it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A commit status, as GitHub shows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Status {
    /// Grows with each status.
    pub id: u64,
    /// `pending`, `success`, `failure` or `error`.
    pub state: String,
    /// What is reported on, such as `Kozmic-CI`.
    pub context: String,
    /// At most 140 characters.
    pub description: Option<String>,
    /// Where to read more.
    pub target_url: Option<String>,
    /// RFC 3339, whole seconds.
    pub created_at: String,
}

/// A webhook of a repository, as its administrators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// GitHub's id of it.
    pub id: u64,
    /// Where deliveries go.
    pub url: String,
    /// The events it is told about.
    pub events: Vec<String>,
    /// Whether it is told at all.
    pub active: bool,
    /// `json` or `form`.
    pub content_type: String,
    /// Whether deliveries are signed.
    pub has_secret: bool,
}

/// A deploy key, as GitHub shows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DeployKey {
    /// GitHub's id of it.
    pub id: u64,
    /// The public half: type and base64, without the comment.
    pub key: String,
    /// What people know it by.
    pub title: String,
    /// Whether it may not push.
    pub read_only: bool,
}

/// One attempt to deliver one event to one webhook.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Of this attempt.
    pub id: u64,
    /// Of the event: shared by all webhooks told about it and by redeliveries.
    pub guid: String,
    /// The webhook it went to.
    pub hook_id: u64,
    /// `push`, `pull_request`, `ping`.
    pub event: String,
    /// `opened`, `synchronize`, …; `None` for events without actions.
    pub action: Option<String>,
    /// What the receiver answered; 502 when it could not be reached, 504 when it was too slow.
    pub status_code: u16,
    /// What the receiver wrote.
    pub response_body: String,
    /// From the start of the request to the end of the answer.
    pub duration: Duration,
    /// Whether it was sent before.
    pub redelivery: bool,
    /// What was sent.
    pub payload: Value,
}

/// A REST request the stand-in got, also one that met a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedRequest {
    /// In capitals.
    pub method: String,
    /// As received: begins with `/api/v3/`, without the query.
    pub path: String,
    /// Without the question mark.
    pub query: Option<String>,
    /// What was answered; 0 when the connection was dropped.
    pub status: u16,
    /// Whose token it carried.
    pub login: Option<String>,
}

impl Webhook {
    /// From GitHub's `hook`.
    pub(super) fn from_shape(hook: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            id: hook["id"].as_u64().unwrap_or_default(),
            url: text(&hook["config"]["url"]),
            events: hook["events"]
                .as_array()
                .map(|events| events.iter().map(text).collect())
                .unwrap_or_default(),
            active: hook["active"].as_bool().unwrap_or_default(),
            content_type: text(&hook["config"]["content_type"]),
            has_secret: hook["config"]["secret"].is_string(),
        }
    }
}

/// `hook-delivery` with the id of its webhook.
#[derive(Deserialize)]
pub(super) struct DeliveryShape {
    id: u64,
    guid: String,
    hook_id: u64,
    event: String,
    action: Option<String>,
    status_code: u16,
    duration: f64,
    redelivery: bool,
    request: RequestShape,
    response: ResponseShape,
}

#[derive(Deserialize)]
struct RequestShape {
    payload: Value,
}

#[derive(Deserialize)]
struct ResponseShape {
    payload: String,
}

impl From<DeliveryShape> for Delivery {
    fn from(shape: DeliveryShape) -> Self {
        Self {
            id: shape.id,
            guid: shape.guid,
            hook_id: shape.hook_id,
            event: shape.event,
            action: shape.action,
            status_code: shape.status_code,
            response_body: shape.response.payload,
            duration: Duration::try_from_secs_f64(shape.duration).unwrap_or_default(),
            redelivery: shape.redelivery,
            payload: shape.request.payload,
        }
    }
}
