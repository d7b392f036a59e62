//! What a request may have and take: bytes, and time to come and to be answered. Its head has
//! its time in `connection`, as has whoever is to take the answer.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::error::PageError;
use super::gate::{Door, Entry};

/// A form or a document; scripts and secrets are smaller (`model`).
const BODY: usize = 2 << 20;
const BODY_TIME: Duration = Duration::from_secs(30);
/// From a request's head to its answer's, with all that is asked of GitHub meanwhile.
const ANSWER_TIME: Duration = Duration::from_mins(2);
/// The same where a tree is sent, and where an image is made.
const LONG_TIME: Duration = Duration::from_hours(1);
/// They read or make what may be large, piece by piece, with bounds of their own.
const LONG: [&str; 2] = ["/api/v1/projects/{project}/tries", "/api/v1/jobs/{job}/image"];

/// The whole of it, answer included, but not what is streamed after its head.
pub(super) async fn time(entry: Entry, request: Request, next: Next) -> Response {
    let limit = if LONG.contains(&entry.path) { LONG_TIME } else { ANSWER_TIME };
    let Ok(answer) = tokio::time::timeout(limit, next.run(request)).await else {
        tracing::warn!(limit = limit.as_secs(), "a request was not answered in time");
        let sentence = format!(
            "This was not done within {} s. Part of it may be; look before you try it again. If it \
             happens again, the administrator finds more in the server's log, by the number of \
             this request.",
            limit.as_secs()
        );
        return PageError::Bounds(StatusCode::SERVICE_UNAVAILABLE, sentence).into_response();
    };
    answer
}

/// The handler gets a body that is there already, and not too large. Only of those who may
/// enter is one read.
pub(super) async fn body(entry: Entry, request: Request, next: Next) -> Response {
    let is_own = entry.door == Door::Delivery || LONG.contains(&entry.path);
    if is_own || matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    match tokio::time::timeout(BODY_TIME, to_bytes(body, BODY)).await {
        Ok(Ok(bytes)) => next.run(Request::from_parts(head, Body::from(bytes))).await,
        Ok(Err(_)) => {
            let sentence = "What was sent is larger than what is taken here, 2 MiB, or was cut \
                            off. Send less, or use the command line.";
            PageError::Bounds(StatusCode::PAYLOAD_TOO_LARGE, sentence.into()).into_response()
        }
        Err(_) => {
            let sentence = format!(
                "What was sent was not there within {} s. Please send it again.",
                BODY_TIME.as_secs()
            );
            PageError::Bounds(StatusCode::REQUEST_TIMEOUT, sentence).into_response()
        }
    }
}
