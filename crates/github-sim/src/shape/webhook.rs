//! `hook` and the payload of `ping`.

use serde_json::{Value, json};

use super::{api, repository, user};
use crate::state::{World, stamp, webhooks::Webhook};

/// `hook`; the secret is never shown.
/// Follows <https://docs.github.com/rest/repos/webhooks#get-a-repository-webhook>.
pub(crate) fn webhook(world: &World, webhook: &Webhook) -> Value {
    let name = world
        .repositories
        .by_id(webhook.repository)
        .map(crate::state::repositories::Repository::full_name)
        .unwrap_or_default();
    let url = format!("{}/repos/{name}/hooks/{}", api(world), webhook.id);
    let mut config = json!({
        "content_type": if webhook.config.json { "json" } else { "form" },
        "insecure_ssl": if webhook.config.insecure_ssl { "1" } else { "0" },
        "url": webhook.config.url,
    });
    if webhook.config.secret.is_some() {
        config["secret"] = json!("********");
    }
    let last_response = match &webhook.last_response {
        None => json!({"code": null, "status": "unused", "message": null}),
        Some((code, message)) => json!({
            "code": code,
            "status": match code {
                200..300 => "active",
                504 => "timeout",
                502 => "connection_error",
                _ => "invalid_http_response",
            },
            "message": message,
        }),
    };
    json!({
        "type": "Repository",
        "id": webhook.id,
        "name": "web",
        "active": webhook.active,
        "events": webhook.events,
        "config": config,
        "updated_at": stamp(webhook.updated_at),
        "created_at": stamp(webhook.created_at),
        "url": url,
        "test_url": format!("{url}/test"),
        "ping_url": format!("{url}/pings"),
        "deliveries_url": format!("{url}/deliveries"),
        "last_response": last_response,
    })
}

/// The payload of `ping`.
/// Follows <https://docs.github.com/webhooks/webhook-events-and-payloads#ping>.
pub(crate) fn ping(world: &World, about: &Webhook, sender: u64) -> Value {
    let repository = world
        .repositories
        .by_id(about.repository)
        .map_or(Value::Null, |found| repository::plain(world, found));
    // A ping shows its webhook as one that was never used, even when it was.
    let unused = Webhook { last_response: None, ..about.clone() };
    json!({
        "zen": "Practicality beats purity.",
        "hook_id": about.id,
        "hook": webhook(world, &unused),
        "repository": repository,
        "sender": user::by_id(world, sender),
    })
}
