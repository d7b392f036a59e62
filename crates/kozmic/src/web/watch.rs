//! `/metrics`, and what is counted and logged of every request.

use std::net::SocketAddr;
use std::time::Instant;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use secrecy::ExposeSecret as _;
use tracing::Instrument as _;

use super::error::RequestId;
use super::gate::{Door, Entry};
use super::{App, admission};
use crate::model::Timestamp;
use crate::seal::sha256_hex;
use crate::store::StoreError;
use crate::telemetry::{self, count};

/// What a proxy says of whom it asks for.
const FORWARDED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
/// Prometheus' text format.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

type Answer = (StatusCode, [(header::HeaderName, &'static str); 1], String);

/// For who asks from this machine, and not by a proxy here; from elsewhere with the token
/// of the settings, or an administrator's.
pub(super) async fn metrics(
    State(app): State<App>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Answer {
    let told = |status, text: &str| (status, [(header::CONTENT_TYPE, FORMAT)], text.to_owned());
    let is_proxied = FORWARDED.iter().any(|name| headers.contains_key(*name));
    let is_local = from.ip().to_canonical().is_loopback() && !is_proxied;
    match (is_local, may_read(&app, &headers).await) {
        (true, _) | (false, Ok(true)) => {}
        (false, Ok(false)) => {
            return told(
                StatusCode::UNAUTHORIZED,
                "Metrics are for who asks from this machine. From elsewhere, send the value of \
                 KOZMIC_METRICS_TOKEN, or an administrator's API token, as `Authorization: Bearer …`.\n",
            );
        }
        (false, Err(error)) => {
            tracing::error!(%error, "a token can't be looked up");
            return told(StatusCode::SERVICE_UNAVAILABLE, "The store does not answer.\n");
        }
    }
    match app.store.watched(Timestamp::now()).await {
        Ok(now) => count::now(&now),
        // What the process itself has counted is of use all the more.
        Err(error) => tracing::warn!(%error, "what waits can't be counted"),
    }
    told(StatusCode::OK, &telemetry::render())
}

async fn may_read(app: &App, headers: &HeaderMap) -> Result<bool, StoreError> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some((scheme, given)) = given.and_then(|given| given.split_once(' ')) else {
        return Ok(false);
    };
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Ok(false);
    }
    let given = given.trim();
    // Digests are compared, so that no comparison's time tells of the token.
    let digest = |text: &str| sha256_hex(text.as_bytes());
    if app
        .metrics_token
        .as_ref()
        .is_some_and(|token| digest(token.expose_secret()) == digest(given))
    {
        return Ok(true);
    }
    let Some(used) = app.store.token_used(given, Timestamp::now()).await? else { return Ok(false) };
    let admitted = admission::of(app, &used.user).await?;
    Ok(admitted.is_some_and(|admitted| admitted.is_administrator))
}

/// Around every handler of the table.
pub(super) async fn around(entry: Entry, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = request.extensions().get::<RequestId>().map_or("", |RequestId(id)| id.as_str());
    let (method, route) = (entry.method, entry.path);
    // The pattern and not the path, which may have a token.
    let span = tracing::info_span!("request", request = id, method, route);
    let answer = next.run(request).instrument(span).await;
    let status = answer.status().as_u16();
    count::request(method, route, status, begun.elapsed());
    if entry.door == Door::Delivery {
        count::delivery(status);
    }
    answer
}
