//! `/metrics`, and what is counted and logged of every request.

use std::net::SocketAddr;
use std::time::Instant;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use secrecy::ExposeSecret as _;
use tracing::Instrument as _;

use super::App;
use super::error::{PageError, RequestId};
use super::gate::{self, Door, Entry, Refusal};
use super::origin::Origin;
use crate::model::Timestamp;
use crate::rates::What;
use crate::seal::sha256_hex;
use crate::store::StoreError;
use crate::telemetry::{self, count};

/// What a proxy says of whom it asks for.
const FORWARDED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
/// Prometheus' text format.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// For who asks from this machine, and not by a proxy here; from elsewhere with the token
/// of the settings, or an administrator's.
pub(super) async fn metrics(
    State(app): State<App>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    origin: Origin,
    headers: HeaderMap,
) -> Response {
    let told = |status: StatusCode, text: &str| {
        (status, [(header::CONTENT_TYPE, FORMAT)], text.to_owned()).into_response()
    };
    let is_proxied = FORWARDED.iter().any(|name| headers.contains_key(*name));
    let is_local = from.ip().to_canonical().is_loopback() && !is_proxied;
    let may_read = if is_local { Ok(true) } else { may_read(&app, &headers).await };
    match may_read {
        Ok(true) => {}
        Ok(false) => {
            if let Err(refusal) = app.counted(What::Stranger, origin.who()).await {
                return PageError::from(refusal).plainly();
            }
            return told(
                StatusCode::UNAUTHORIZED,
                "Metrics are for who asks from this machine. From elsewhere, send the value of \
                 KOZMIC_METRICS_TOKEN, or an administrator's API token, as `Authorization: Bearer …`.\n",
            );
        }
        Err(error) => {
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
    let Some(given) = gate::bearer(headers) else { return Ok(false) };
    // Digests are compared, so that no comparison's time tells of the token.
    let digest = |text: &str| sha256_hex(text.as_bytes());
    if app
        .metrics_token
        .as_ref()
        .is_some_and(|token| digest(token.expose_secret()) == digest(given))
    {
        return Ok(true);
    }
    match gate::by_token(app, given).await {
        Ok(account) => Ok(account.is_administrator),
        Err(Refusal::Store(error)) => Err(error),
        Err(_) => Ok(false),
    }
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
