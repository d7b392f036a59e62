//! Where GitHub delivers. A body is capped, verified and only then read.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::Semaphore;

use super::App;
use super::error::PageError;
use super::origin::Origin;
use super::words::programs as words;
use crate::github::{SIGNATURE_HEADER, SignatureError, verify};
use crate::intake::{self, Answer};
use crate::model::HookId;
use crate::rates::What;
use crate::store::{Delivery, StoreError};

/// GitHub caps payloads at 25 MB ("Webhook events and payloads").
const BODY_LIMIT: usize = 25 * 1024 * 1024;

type Reply = (StatusCode, String);

/// GitHub waits no longer for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most payloads are far smaller.
const SMALL: u64 = 1024 * 1024;

/// Bodies that are read at once. Who sends large ones slowly, and signs nothing, holds up no
/// small one.
struct Places {
    large: Semaphore,
    small: Semaphore,
}

/// 8 of the largest are 200 MB, and 64 small ones 64 MB.
static PLACES: Places = Places { large: Semaphore::const_new(8), small: Semaphore::const_new(64) };
/// For addresses that sent too many which nobody signed, so that they hold up no other. GitHub
/// is among them where it comes by a proxy that is not trusted, and is read as well.
static DOUBTED: Places = Places { large: Semaphore::const_new(8), small: Semaphore::const_new(64) };

/// Answers with a sentence, which GitHub shows beside the delivery. What is signed is taken,
/// whatever else came from the address: only those that are not are counted.
pub(super) async fn deliver(
    State(app): State<App>,
    Path(hook): Path<String>,
    origin: Origin,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let is_doubted = app.rates.is_over(What::Delivery, origin.who());
    let places = if is_doubted { &DOUBTED } else { &PLACES };
    let reply = answered(&app, &hook, &headers, body, places).await;
    // Nobody has shown that it is GitHub.
    let is_nobody_s = matches!(reply.0.as_u16(), 401 | 404 | 408 | 413);
    if is_nobody_s && let Err(refusal) = app.counted(What::Delivery, origin.who()).await {
        return PageError::from(refusal).plainly();
    }
    reply.into_response()
}

async fn answered(
    app: &App,
    hook: &str,
    headers: &HeaderMap,
    body: Body,
    places: &'static Places,
) -> Reply {
    match taken(app, hook, headers, body, places).await {
        Ok(reply) => reply,
        // Deleted while its delivery was on the way, and nothing of ours to mend.
        Err(error) if is_gone(app, hook).await => {
            tracing::info!(%error, hook, "a delivery came for a hook that was being deleted");
            missing()
        }
        Err(error) => {
            tracing::error!(%error, hook, "a delivery could not be stored");
            (StatusCode::INTERNAL_SERVER_ERROR, words::NOT_STORED.into())
        }
    }
}

fn missing() -> Reply {
    (StatusCode::NOT_FOUND, words::NO_HOOK.to_owned())
}

/// A store that does not answer has not said so.
async fn is_gone(app: &App, hook: &str) -> bool {
    let Ok(id) = hook.parse() else { return false };
    matches!(app.store.hook(HookId(id)).await, Ok(None))
}

async fn taken(
    app: &App,
    hook: &str,
    headers: &HeaderMap,
    body: Body,
    places: &'static Places,
) -> Result<Reply, StoreError> {
    let refused = |problem| (StatusCode::UNAUTHORIZED, words::refused(problem));
    let Ok(id) = hook.parse() else { return Ok(missing()) };
    let Some(to) = app.store.destination(HookId(id)).await? else { return Ok(missing()) };
    // Nothing is read of a body that nobody claims to have signed.
    let Some(signature) = headers.get(SIGNATURE_HEADER) else {
        return Ok(refused(SignatureError::Missing));
    };
    // As large as it says, or as may be.
    let is_small = body.size_hint().upper().is_some_and(|size| size <= SMALL);
    let places = if is_small { &places.small } else { &places.large };
    let read = async {
        let place = places.acquire().await;
        (place, axum::body::to_bytes(body, BODY_LIMIT).await)
    };
    let Ok((_place, body)) = tokio::time::timeout(PATIENCE, read).await else {
        return Ok((StatusCode::REQUEST_TIMEOUT, words::TOO_SLOW.into()));
    };
    let Ok(body) = body else {
        return Ok((StatusCode::PAYLOAD_TOO_LARGE, words::TOO_LARGE.into()));
    };
    if let Err(problem) = verify(signature.as_bytes(), &body, &to.secret) {
        return Ok(refused(problem));
    }
    let text =
        |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    let bad = |sentence: &str| (StatusCode::BAD_REQUEST, sentence.to_owned());
    let (Some(event), Some(guid)) = (text("x-github-event"), text("x-github-delivery")) else {
        return Ok(bad(words::NO_HEADERS));
    };
    let Ok(payload) = String::from_utf8(Vec::from(body)) else {
        return Ok(bad(words::NOT_UTF8));
    };
    if payload.starts_with("payload=") {
        return Ok(bad(words::NOT_JSON));
    }
    let delivery = Delivery {
        hook: to.hook,
        project: to.project.id,
        guid: guid.to_owned(),
        event: event.to_owned(),
        payload: payload.into(),
    };
    Ok(match intake::take(&app.store, &app.github, &to, &delivery).await? {
        Answer::Ok(sentence) => (StatusCode::OK, sentence),
        Answer::Refused(sentence) => (StatusCode::BAD_REQUEST, sentence),
    })
}
