//! Where GitHub delivers. A body is capped, verified and only then read.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};

use super::App;
use crate::github::{SIGNATURE_HEADER, verify};
use crate::intake::{self, Answer};
use crate::model::HookId;
use crate::store::{Delivery, StoreError};

/// GitHub caps payloads at 25 MB ("Webhook events and payloads").
pub(super) const BODY_LIMIT: usize = 25 * 1024 * 1024;

type Reply = (StatusCode, String);

/// Answers with a sentence, which GitHub shows beside the delivery.
pub(super) async fn deliver(
    State(app): State<App>,
    Path(hook): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Reply {
    match taken(&app, &hook, &headers, body).await {
        Ok(reply) => reply,
        Err(error) => {
            tracing::error!(%error, hook, "a delivery could not be stored");
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                "The delivery could not be stored; please redeliver it.".into(),
            )
        }
    }
}

async fn taken(
    app: &App,
    hook: &str,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Reply, StoreError> {
    let missing = || (StatusCode::NOT_FOUND, "There is no such hook.".to_owned());
    let Ok(id) = hook.parse() else { return Ok(missing()) };
    let Some(hook) = app.store.hook(HookId(id)).await? else { return Ok(missing()) };
    let body = match body {
        Ok(body) => body,
        Err(rejection) => {
            return Ok((
                rejection.status(),
                "The delivery is larger than 25 MB, or was cut off.".into(),
            ));
        }
    };
    if let Err(problem) = verify(
        headers.get(SIGNATURE_HEADER).map(axum::http::HeaderValue::as_bytes),
        &body,
        &hook.secret,
    ) {
        return Ok((StatusCode::UNAUTHORIZED, format!("Refused: {problem}.")));
    }
    let text =
        |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    let (Some(event), Some(guid)) = (text("x-github-event"), text("x-github-delivery")) else {
        return Ok((
            StatusCode::BAD_REQUEST,
            "X-GitHub-Event or X-GitHub-Delivery is missing.".into(),
        ));
    };
    let Ok(payload) = String::from_utf8(body.to_vec()) else {
        return Ok((StatusCode::BAD_REQUEST, "The payload is not UTF-8.".into()));
    };
    if payload.starts_with("payload=") {
        return Ok((
            StatusCode::BAD_REQUEST,
            "Set the webhook's content type to application/json.".into(),
        ));
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
