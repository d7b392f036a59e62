//! Delivers to webhooks: signed, to no other address than may be, and never longer than a
//! few seconds. No redirect is followed: it could lead anywhere.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{StatusCode, header};

use url::Url;

use super::retry::doubled;
use crate::config::Trust;
use crate::model::{Networks, WebhookSpec};
use crate::outgoing::{self, Proxy};
use crate::store::{Message, Outcome, Reply};

const TIMEOUT: Duration = Duration::from_secs(15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_hours(1);
/// What could not be delivered for so long is given up.
const PATIENCE: Duration = Duration::from_hours(24);

#[derive(Debug, Clone)]
pub(super) struct Webhooks {
    direct: reqwest::Client,
    by_proxy: reqwest::Client,
    networks: Arc<Networks>,
}

/// Gives the addresses of a name that may be connected to, and no others: what is connected
/// to is what was looked at.
struct Resolver(Arc<Networks>);

#[derive(Debug, thiserror::Error)]
#[error(
    "{0} leads to an address of this server's own networks; KOZMIC_WEBHOOK_NETWORKS can allow it"
)]
struct NotAllowed(String);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let networks = self.0.clone();
        Box::pin(async move {
            let allowed = allowed(&networks, name.as_str(), 0).await?;
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// The addresses of a name that may be connected to.
async fn allowed(
    networks: &Networks,
    name: &str,
    port: u16,
) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
    let found: Vec<SocketAddr> = tokio::net::lookup_host((name, port)).await?.collect();
    let (allowed, others): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|address| networks.allow(address.ip()));
    if allowed.is_empty() && !others.is_empty() {
        return Err(NotAllowed(name.to_owned()).into());
    }
    Ok(allowed)
}

/// A proxy looks names up by itself, and its rules say where it connects to. What leads to a
/// network that is not allowed, as far as names are known here, is not asked of it.
async fn known_refusal(networks: &Networks, url: &Url) -> Option<NotAllowed> {
    let name = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let looked_up = tokio::time::timeout(CONNECT_TIMEOUT, allowed(networks, name, 0)).await;
    let refused = looked_up.ok()?.err()?.downcast::<NotAllowed>().ok()?;
    Some(*refused)
}

impl Webhooks {
    pub(super) fn new(networks: Networks, trust: &Trust) -> reqwest::Result<Self> {
        let networks = Arc::new(networks);
        let builder = || {
            let builder = outgoing::http(trust)?
                .timeout(TIMEOUT)
                .connect_timeout(CONNECT_TIMEOUT)
                .redirect(reqwest::redirect::Policy::none())
                .pool_max_idle_per_host(0);
            reqwest::Result::Ok(builder)
        };
        let direct = builder()?.no_proxy().dns_resolver(Arc::new(Resolver(networks.clone())));
        Ok(Self { direct: direct.build()?, by_proxy: builder()?.build()?, networks })
    }

    pub(super) async fn deliver(
        &self,
        message: &Message,
        to: &WebhookSpec,
        age: Duration,
    ) -> (Outcome, Reply) {
        let begun = Instant::now();
        let answer = self.post(message, to).await;
        let took = begun.elapsed();
        let pause = (age < PATIENCE).then(|| Outcome::Again(pause(message.attempts)));
        match answer {
            Ok(status) => {
                let reply =
                    Reply { words: in_words(status), code: Some(status.as_u16().into()), took };
                let outcome = if status.is_success() {
                    Outcome::Sent
                } else if may_pass(status) {
                    pause.unwrap_or(Outcome::Refused)
                } else {
                    Outcome::Refused
                };
                (outcome, reply)
            }
            Err(Failure::NotAllowed(why)) => {
                (Outcome::Refused, Reply { words: why.to_string(), code: None, took })
            }
            Err(Failure::Away(words)) => {
                (pause.unwrap_or(Outcome::Refused), Reply { words, code: None, took })
            }
        }
    }

    async fn post(&self, message: &Message, to: &WebhookSpec) -> Result<StatusCode, Failure> {
        // A name is looked at when it is resolved; an address is not resolved.
        let host = to.url.host_str().unwrap_or_default();
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>()
            && !self.networks.allow(address)
        {
            return Err(Failure::NotAllowed(NotAllowed(host.to_owned())));
        }
        let by_proxy = Proxy::of(&to.url).is_some();
        if by_proxy && let Some(refused) = known_refusal(&self.networks, &to.url).await {
            return Err(Failure::NotAllowed(refused));
        }
        let http = if by_proxy { &self.by_proxy } else { &self.direct };
        let mut request = http
            .post(to.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header("X-Kozmic-Event", &message.event)
            .header("X-Kozmic-Delivery", message.uuid.to_string());
        if let Some(secret) = &to.secret {
            request = request.header("X-Kozmic-Signature-256", signature(secret, &message.payload));
        }
        let answer = request.body(message.payload.clone()).send().await.map_err(failure)?;
        // Nothing is read of what it says: the status is all that counts.
        Ok(answer.status())
    }
}

/// Connects to where a webhook leads, and sends nothing.
pub async fn try_webhook(networks: &Networks, to: &WebhookSpec) -> Result<(), String> {
    if let Some(proxy) = Proxy::of(&to.url) {
        if let Some(refused) = known_refusal(networks, &to.url).await {
            return Err(refused.to_string());
        }
        return proxy.try_to(&to.url).await;
    }
    let host = to.url.host_str().unwrap_or_default();
    let port = to.url.port_or_known_default().unwrap_or_default();
    let reach = async {
        let name = host.trim_matches(['[', ']']);
        let allowed = allowed(networks, name, port).await.map_err(|error| error.to_string())?;
        let connected = tokio::net::TcpStream::connect(&*allowed).await;
        connected.map(drop).map_err(|error| error.to_string())
    };
    match tokio::time::timeout(CONNECT_TIMEOUT, reach).await {
        Ok(reached) => reached,
        Err(_) => Err(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs())),
    }
}

enum Failure {
    NotAllowed(NotAllowed),
    Away(String),
}

/// Without the URL, which may be a secret.
fn failure(error: reqwest::Error) -> Failure {
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    loop {
        if let Some(NotAllowed(name)) = cause.downcast_ref() {
            return Failure::NotAllowed(NotAllowed(name.clone()));
        }
        match cause.source() {
            Some(deeper) => cause = deeper,
            None if error.is_timeout() => {
                return Failure::Away(format!("no answer within {} s", TIMEOUT.as_secs()));
            }
            None => return Failure::Away(cause.to_string()),
        }
    }
}

/// As GitHub signs: HMAC-SHA256 of the body.
fn signature(secret: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("sha256={}", hex::encode(hmac::sign(&key, body.as_bytes())))
}

fn in_words(status: StatusCode) -> String {
    if status.is_redirection() {
        return format!("{status}: redirects are not followed");
    }
    status.to_string()
}

/// Whether another answer may come without anybody changing something.
fn may_pass(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429)
}

/// After so many attempts.
fn pause(attempts: i64) -> Duration {
    doubled(FIRST_PAUSE, LONGEST_PAUSE, attempts.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_signed_as_github_signs() {
        // "Validating webhook deliveries" in GitHub's documentation has this example.
        let signed = signature("It's a Secret to Everybody", "Hello, World!");
        let expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert_eq!(signed, expected);
    }

    #[test]
    fn pauses_double_up_to_an_hour() {
        let pauses = [1, 2, 3, 20].map(|attempts| pause(attempts).as_secs());
        assert_eq!(pauses, [10, 20, 40, 3_600]);
    }
}
