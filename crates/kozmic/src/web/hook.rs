//! Where GitHub delivers. A body is capped, verified and only then read.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use tokio::sync::Semaphore;

use super::App;
use super::words::programs as words;
use crate::github::{SIGNATURE_HEADER, SignatureError, verify};
use crate::intake::{self, Answer};
use crate::model::HookId;
use crate::store::{Delivery, StoreError};

/// GitHub caps payloads at 25 MB ("Webhook events and payloads").
const BODY_LIMIT: usize = 25 * 1024 * 1024;

type Reply = (StatusCode, String);

/// GitHub waits no longer for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most payloads are far smaller.
const SMALL: u64 = 1024 * 1024;

/// Bodies that are read at once: 12 of the largest are 300 MB, and 64 small ones 64 MB.
/// Who sends large ones slowly, and signs nothing, holds up no small one.
static LARGE_PLACES: Semaphore = Semaphore::const_new(12);
static SMALL_PLACES: Semaphore = Semaphore::const_new(64);

/// Answers with a sentence, which GitHub shows beside the delivery.
pub(super) async fn deliver(
    State(app): State<App>,
    Path(hook): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Reply {
    match taken(&app, &hook, &headers, body).await {
        Ok(reply) => reply,
        // Deleted while its delivery was on the way, and nothing of ours to mend.
        Err(error) if is_gone(&app, &hook).await => {
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
) -> Result<Reply, StoreError> {
    let refused = |problem| (StatusCode::UNAUTHORIZED, words::refused(problem));
    let Ok(id) = hook.parse() else { return Ok(missing()) };
    let Some(hook) = app.store.hook(HookId(id)).await? else { return Ok(missing()) };
    // Nothing is read of a body that nobody claims to have signed.
    let Some(signature) = headers.get(SIGNATURE_HEADER) else {
        return Ok(refused(SignatureError::Missing));
    };
    // As large as it says, or as may be.
    let is_small = body.size_hint().upper().is_some_and(|size| size <= SMALL);
    let places = if is_small { &SMALL_PLACES } else { &LARGE_PLACES };
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
    if let Err(problem) = verify(signature.as_bytes(), &body, &hook.secret) {
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
    let Some(project) = app.store.project(hook.project).await? else { return Ok(missing()) };
    let delivery = Delivery {
        hook: hook.id,
        project: project.id,
        guid: guid.to_owned(),
        event: event.to_owned(),
        payload,
    };
    Ok(match intake::take(&app.store, &app.github, &project, &hook, &delivery).await? {
        Answer::Ok(sentence) => (StatusCode::OK, sentence),
        Answer::Refused(sentence) => (StatusCode::BAD_REQUEST, sentence),
    })
}
