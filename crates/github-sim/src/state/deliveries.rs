//! Deliveries: what was sent to a webhook and what came back.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// One attempt to deliver one event to one webhook.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) id: u64,
    /// Names the event: the same for all webhooks told about it, and for redeliveries.
    pub(crate) guid: String,
    pub(crate) webhook: u64,
    pub(crate) repository: u64,
    pub(crate) event: String,
    pub(crate) action: Option<String>,
    /// The JSON that was sent; wrapped in a form field when the webhook asks for `form`.
    pub(crate) payload: String,
    pub(crate) redelivery: bool,
    pub(crate) url: String,
    pub(crate) delivered_at: Timestamp,
    /// Seconds from the start of the request to the end of the answer.
    pub(crate) duration: f64,
    pub(crate) request_headers: BTreeMap<String, String>,
    /// As GitHub's page of recent deliveries shows it: `OK`, `failed to connect to host`, …
    pub(crate) status: String,
    /// What the receiver answered; 502 when it could not be reached, 504 when it was too slow.
    pub(crate) status_code: u16,
    pub(crate) response_headers: BTreeMap<String, String>,
    pub(crate) response_body: String,
}

#[derive(Default)]
pub(crate) struct Deliveries {
    list: Vec<Delivery>,
}

impl Deliveries {
    pub(crate) fn record(&mut self, delivery: Delivery) {
        self.list.push(delivery);
    }

    /// In the order in which they ended, oldest first.
    pub(crate) fn of_repository(&self, repository: u64) -> impl Iterator<Item = &Delivery> {
        self.list.iter().filter(move |delivery| delivery.repository == repository)
    }

    /// Newest first, as GitHub lists them.
    pub(crate) fn of_webhook(&self, webhook: u64) -> impl Iterator<Item = &Delivery> {
        self.list.iter().rev().filter(move |delivery| delivery.webhook == webhook)
    }

    /// The first attempts of one event, one per webhook that was told about it.
    pub(crate) fn of_event(&self, guid: &str) -> impl Iterator<Item = &Delivery> {
        self.list.iter().filter(move |delivery| delivery.guid == guid && !delivery.redelivery)
    }
}
