//! `hook-delivery-item` and `hook-delivery`.

use serde_json::{Value, json};

use super::extend;
use crate::state::{deliveries::Delivery, stamp};

/// `hook-delivery-item`, as in the list of deliveries.
pub(crate) fn item(delivery: &Delivery) -> Value {
    json!({
        "id": delivery.id,
        "guid": delivery.guid,
        "delivered_at": stamp(delivery.delivered_at),
        "redelivery": delivery.redelivery,
        "duration": delivery.duration,
        "status": delivery.status,
        "status_code": delivery.status_code,
        "event": delivery.event,
        "action": delivery.action,
        "installation_id": null,
        "repository_id": delivery.repository,
        "throttled_at": null,
    })
}

/// `hook-delivery`, with what was sent and what came back.
/// Follows
/// <https://docs.github.com/rest/repos/webhooks#get-a-delivery-for-a-repository-webhook>.
pub(crate) fn full(delivery: &Delivery) -> Value {
    let mut shape = item(delivery);
    let payload: Value = serde_json::from_str(&delivery.payload).unwrap_or_default();
    extend(
        &mut shape,
        json!({
            "url": delivery.url,
            "request": {"headers": delivery.request_headers, "payload": payload},
            "response": {
                "headers": delivery.response_headers,
                "payload": delivery.response_body,
            },
        }),
    );
    shape
}
