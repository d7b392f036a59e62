//! Webhook delivery: signed, in the background, in order for each webhook.
//!
//! Follows <https://docs.github.com/webhooks/webhook-events-and-payloads#delivery-headers>,
//! <https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries> and
//! <https://docs.github.com/webhooks/testing-and-troubleshooting-webhooks>: a receiver has ten
//! seconds, redirects are not followed, and a failed delivery is not tried again by itself.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use aws_lc_rs::hmac;
use jiff::Timestamp;
use reqwest::{Client, header::HeaderMap};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    faults::FaultKind,
    state::{deliveries::Delivery, webhooks::Webhook},
};

const PATIENCE: Duration = Duration::from_secs(10);

/// One event on its way to one webhook.
#[derive(Debug, Clone)]
pub(crate) struct Letter {
    pub(crate) guid: String,
    pub(crate) event: String,
    pub(crate) action: Option<String>,
    pub(crate) payload: String,
    pub(crate) redelivery: bool,
}

impl Letter {
    pub(crate) fn new(event: &str, action: Option<&str>, payload: &serde_json::Value) -> Self {
        Self {
            guid: uuid::Uuid::new_v4().to_string(),
            event: event.to_owned(),
            action: action.map(str::to_owned),
            payload: payload.to_string(),
            redelivery: false,
        }
    }

    pub(crate) fn again(delivery: &Delivery) -> Self {
        Self {
            guid: delivery.guid.clone(),
            event: delivery.event.clone(),
            action: delivery.action.clone(),
            payload: delivery.payload.clone(),
            redelivery: true,
        }
    }
}

/// Carries letters; one queue and one task per webhook, so that each one's order is kept and a
/// slow receiver delays nobody else.
pub(crate) struct Postman {
    queues: Mutex<HashMap<u64, mpsc::UnboundedSender<Letter>>>,
    client: Mutex<Client>,
    /// For webhooks with `insecure_ssl`.
    trusting_client: Client,
    stop: CancellationToken,
}

impl Postman {
    pub(crate) fn new() -> reqwest::Result<Self> {
        Ok(Self {
            queues: Mutex::default(),
            client: Mutex::new(builder().build()?),
            trusting_client: builder().danger_accept_invalid_certs(true).build()?,
            stop: CancellationToken::new(),
        })
    }

    /// From now on whoever shows a certificate of this one (PEM) is believed, too.
    pub(crate) fn trust(&self, certificate: &[u8]) -> reqwest::Result<()> {
        let certificate = reqwest::Certificate::from_pem(certificate)?;
        let client = builder().add_root_certificate(certificate).build()?;
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client;
        Ok(())
    }

    /// Queues a letter; returns at once.
    pub(crate) fn send(&self, app: &App, webhook: u64, letter: Letter) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.entry(webhook).or_insert_with(|| {
            let (sender, receiver) = mpsc::unbounded_channel();
            let stop = self.stop.clone();
            let app = app.clone();
            tokio::spawn(async move {
                stop.run_until_cancelled(carry(app, webhook, receiver)).await;
            });
            sender
        });
        // The receiving end is gone only when the stand-in is stopping.
        let _ = queue.send(letter);
    }

    /// The last letter to a webhook that is gone already.
    pub(crate) fn send_last(&self, app: &App, webhook: Webhook, letter: Letter) {
        let (app, stop) = (app.clone(), self.stop.clone());
        tokio::spawn(async move {
            let delivered = stop.run_until_cancelled(deliver(&app, &webhook, letter)).await;
            if let Some(delivery) = delivered {
                app.world().deliveries.record(delivery);
            }
        });
    }

    /// Drops what is under way; GitHub is going away.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn builder() -> reqwest::ClientBuilder {
    Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none()).no_proxy()
}

async fn carry(app: App, id: u64, mut letters: mpsc::UnboundedReceiver<Letter>) {
    while let Some(letter) = letters.recv().await {
        // Its address and secret are those of now; a webhook that was deleted gets nothing.
        let Some(webhook) = app.world().webhooks.by_id(id).cloned() else {
            continue;
        };
        let delivery = deliver(&app, &webhook, letter).await;
        let mut world = app.world();
        world.webhooks.answered(id, delivery.status_code, &delivery.status);
        world.deliveries.record(delivery);
    }
}

async fn deliver(app: &App, webhook: &Webhook, letter: Letter) -> Delivery {
    let config = &webhook.config;
    let (content_type, body) = if config.json {
        ("application/json", letter.payload.clone())
    } else {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("payload", &letter.payload)
            .finish();
        ("application/x-www-form-urlencoded", form)
    };
    let mut headers = BTreeMap::from([
        ("Accept", "*/*".to_owned()),
        ("Content-Type", content_type.to_owned()),
        ("User-Agent", "GitHub-Hookshot/51de8a1".to_owned()),
        ("X-GitHub-Delivery", letter.guid.clone()),
        ("X-GitHub-Event", letter.event.clone()),
        ("X-GitHub-Hook-ID", webhook.id.to_string()),
        ("X-GitHub-Hook-Installation-Target-ID", webhook.repository.to_string()),
        ("X-GitHub-Hook-Installation-Target-Type", "repository".to_owned()),
    ]);
    if let Some(secret) = &config.secret {
        let sha1 = sign(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret, &body);
        let sha256 = sign(hmac::HMAC_SHA256, secret, &body);
        headers.insert("X-Hub-Signature", format!("sha1={sha1}"));
        headers.insert("X-Hub-Signature-256", format!("sha256={sha256}"));
    }

    let postman = app.postman();
    let client = if config.insecure_ssl {
        postman.trusting_client.clone()
    } else {
        postman.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    };
    let mut request = client.post(&config.url).body(body);
    for (name, value) in &headers {
        request = request.header(*name, value);
    }
    let delivered_at = Timestamp::now();
    let started = Instant::now();
    // A fault for `DELIVER URL`: the letter is lost on its way, as when a network is down.
    let fault = app.world().faults.take("DELIVER", &config.url);
    let answer = match fault {
        Some(FaultKind::Slow(_)) => Answer::failed(504, "timed out"),
        Some(_) => Answer::failed(502, "failed to connect to host"),
        None => answer_to(request).await,
    };
    let duration = started.elapsed().as_secs_f64();

    let id = app.world().next_id();
    Delivery {
        id,
        guid: letter.guid,
        webhook: webhook.id,
        repository: webhook.repository,
        event: letter.event,
        action: letter.action,
        payload: letter.payload,
        redelivery: letter.redelivery,
        url: config.url.clone(),
        delivered_at,
        duration,
        request_headers: headers
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        status: answer.status,
        status_code: answer.code,
        response_headers: answer.headers,
        response_body: answer.body,
    }
}

struct Answer {
    code: u16,
    status: String,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    fn failed(code: u16, status: &str) -> Self {
        let (headers, body) = (BTreeMap::new(), String::new());
        Self { code, status: status.to_owned(), headers, body }
    }
}

async fn answer_to(request: reqwest::RequestBuilder) -> Answer {
    let received = async {
        let response = request.send().await?;
        let code = response.status();
        let headers = readable(response.headers());
        let body = response.text().await?;
        Ok::<_, reqwest::Error>((code, headers, body))
    };
    match received.await {
        Ok((code, headers, body)) => Answer {
            code: code.as_u16(),
            status: if code.is_success() {
                "OK".to_owned()
            } else {
                format!("Invalid HTTP Response: {}", code.as_u16())
            },
            headers,
            body,
        },
        Err(error) => {
            if error.is_timeout() {
                Answer::failed(504, "timed out")
            } else {
                Answer::failed(502, "failed to connect to host")
            }
        }
    }
}

fn readable(headers: &HeaderMap) -> BTreeMap<String, String> {
    headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.to_string(), value)
        })
        .collect()
}

fn sign(algorithm: hmac::Algorithm, secret: &str, body: &str) -> String {
    let key = hmac::Key::new(algorithm, secret.as_bytes());
    hex::encode(hmac::sign(&key, body.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_githubs_documentation() {
        // The test vector of "Validating webhook deliveries".
        let signature = sign(hmac::HMAC_SHA256, "It's a Secret to Everybody", "Hello, World!");
        assert_eq!(signature, "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");
    }
}
