//! What holds for all routes of the API: no query has a parameter that the document does
//! not know, and what is told as JSON has a tag, by which it need not be sent again.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;

use super::operation::{JSON, Operation};
use super::problem::Problem;
use crate::seal::sha256_hex;
use crate::store::StoreError;
use crate::upkeep::UpkeepError;
use crate::web::gate::Entry;

/// Answers of JSON are bounded by how they are made; this is far beyond.
const LARGEST: usize = 64 << 20;

/// What a request is held to.
#[derive(Clone)]
pub(in crate::web) struct Conduct {
    known: Arc<[String]>,
    has_tag: bool,
}

impl Conduct {
    pub(in crate::web) fn of(entry: Entry, operation: &Operation) -> Self {
        Self { known: operation.query_names().into(), has_tag: operation.has_tag(entry) }
    }

    fn unknown(&self, query: Option<&str>) -> Option<Problem> {
        let names = url::form_urlencoded::parse(query?.as_bytes()).map(|(name, _)| name);
        let unknown = names.into_iter().find(|name| !self.known.iter().any(|it| it == name))?;
        let known = match self.known.join("`, `") {
            known if known.is_empty() => "it takes none".to_owned(),
            known => format!("it takes `{known}`"),
        };
        let sentence = format!("There is no parameter `{unknown}` here; {known}.");
        Some(Problem::bad_request(sentence))
    }
}

pub(in crate::web) async fn keep(conduct: Conduct, request: Request, next: Next) -> Response {
    if let Some(problem) = conduct.unknown(request.uri().query()) {
        return problem.into_response();
    }
    let seen = request.headers().get(header::IF_NONE_MATCH).cloned();
    let answer = next.run(request).await;
    if conduct.has_tag && answer.status() == StatusCode::OK {
        tagged(answer, seen.as_ref()).await
    } else {
        answer
    }
}

async fn tagged(answer: Response, seen: Option<&HeaderValue>) -> Response {
    let (mut head, body) = answer.into_parts();
    let body = match to_bytes(body, LARGEST).await {
        Ok(body) => body,
        Err(error) => {
            tracing::error!(%error, "an answer is too large to be told");
            return Problem::unreadable("The answer is too large.".into()).into_response();
        }
    };
    let tag = tag(&body);
    let is_known = seen.is_some_and(|seen| names(seen, &tag));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        head.headers.insert(header::ETAG, tag);
    }
    // What one may see, another may not: it may be kept, and is asked for again.
    let kept = HeaderValue::from_static("private, no-cache");
    head.headers.entry(header::CACHE_CONTROL).or_insert(kept);
    if is_known {
        head.status = StatusCode::NOT_MODIFIED;
        head.headers.remove(header::CONTENT_LENGTH);
        head.headers.remove(header::CONTENT_TYPE);
        return Response::from_parts(head, Body::empty());
    }
    Response::from_parts(head, Body::from(body))
}

/// The same for the same bytes (RFC 9110, 8.8.3).
pub(super) fn tag(body: &[u8]) -> String {
    format!("\"{}\"", &sha256_hex(body)[..32])
}

/// Whether a list of tags, or `*`, has this one. What a proxy has compressed is weak.
fn names(list: &HeaderValue, tag: &str) -> bool {
    let list = list.to_str().unwrap_or_default();
    list.split(',').map(str::trim).any(|it| it == "*" || it.trim_start_matches("W/") == tag)
}

/// Refused when `If-Match` names another state of `what` than this one.
pub(super) fn unchanged<T: serde::Serialize>(
    headers: &HeaderMap,
    what: &'static str,
    now: &T,
) -> Result<(), Problem> {
    let Some(wanted) = headers.get(header::IF_MATCH) else { return Ok(()) };
    let body = serde_json::to_vec(now).map(Bytes::from).unwrap_or_default();
    if names(wanted, &tag(&body)) {
        return Ok(());
    }
    let sentence = StoreError::Changed(what).to_string();
    Err(Problem::of(StatusCode::PRECONDITION_FAILED, sentence))
}

pub(super) fn is_conditional(headers: &HeaderMap) -> bool {
    headers.contains_key(header::IF_MATCH)
}

/// What was [`unchanged`] a moment ago, and is not as it is to be changed: that is what
/// `If-Match` is for.
pub(super) fn overtaken(headers: &HeaderMap, error: impl Into<UpkeepError>) -> Problem {
    match error.into() {
        UpkeepError::Store(error @ StoreError::Changed(_)) if is_conditional(headers) => {
            Problem::of(StatusCode::PRECONDITION_FAILED, error.to_string())
        }
        error => error.into(),
    }
}

/// The kind of a body is JSON, or is not told; curl calls JSON a form unless it is told.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return true };
    let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case(JSON)
        || kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        || (kind.starts_with("application/") && kind.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_in_a_list() {
        let tag = tag(b"{}");
        let named = |list: &str| names(&HeaderValue::from_str(list).unwrap(), &tag);
        assert!(named(&tag) && named("*") && named(&format!("\"x\", W/{tag}")));
        assert!(!named("\"x\"") && !named(tag.trim_matches('"')));
    }

    #[test]
    fn bodies_are_json_or_of_no_kind() {
        let told = |kind: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
            is_json(&headers)
        };
        assert!(is_json(&HeaderMap::new()));
        assert!(told("application/json; charset=utf-8") && told("application/merge-patch+json"));
        assert!(told("application/x-www-form-urlencoded"));
        assert!(!told("text/plain") && !told("application/xml"));
    }
}
