//! What GitHub asks of every request, and puts on every answer.
//!
//! A `User-Agent`, an API version that exists, and no more requests than the hour has; the
//! headers that tell of it; and conditional requests.

use aws_lc_rs::digest;
use axum::{
    Json,
    body::{Body, to_bytes},
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::{Answer, Caller, Refusal};
use crate::{app::App, state::limits::Hour};

const LARGEST_ANSWER: usize = 64 * 1024 * 1024;
const VERSION_HEADER: &str = "x-github-api-version";
/// Follows <https://docs.github.com/rest/about-the-rest-api/api-versions#supported-api-versions>.
const VERSIONS: [&str; 2] = ["2022-11-28", "2026-03-10"];

/// Refuses a request without a `User-Agent`, or with an API version that does not exist.
pub(super) fn check(headers: &HeaderMap) -> Result<(), Box<Response>> {
    if !headers.contains_key(header::USER_AGENT) {
        return Err(Box::new(no_user_agent()));
    }
    let version = headers.get(VERSION_HEADER).map(HeaderValue::as_bytes);
    if version.is_some_and(|version| !VERSIONS.iter().any(|known| known.as_bytes() == version)) {
        let message = format!(
            "Unsupported value for the {VERSION_HEADER} header. Supported versions: {}",
            VERSIONS.join(", ")
        );
        let refusal = Refusal::new(StatusCode::BAD_REQUEST, message)
            .see("https://docs.github.com/rest/about-the-rest-api/api-versions");
        return Err(Box::new(refusal.into_response()));
    }
    Ok(())
}

fn no_user_agent() -> Response {
    let text = "Request forbidden by administrative rules. Please make sure your request has a \
                User-Agent header (https://docs.github.com/en/rest/overview/resources-in-the-rest-api#user-agent-required). \
                Check https://developer.github.com for other possible causes.\n";
    (StatusCode::FORBIDDEN, text).into_response()
}

/// The answer to whoever has used up their hour.
/// Follows <https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit>.
pub(super) fn limited(caller: &Caller) -> Response {
    let whose = match caller.id() {
        Some(id) => format!("user ID {id}"),
        None => "127.0.0.1".to_owned(),
    };
    Refusal::new(StatusCode::FORBIDDEN, format!("API rate limit exceeded for {whose}."))
        .see("https://docs.github.com/rest/overview/rate-limits-for-the-rest-api")
        .into_response()
}

/// `/rate_limit`, which costs nothing. Follows <https://docs.github.com/rest/rate-limit/rate-limit>.
pub(super) async fn rate_limit(State(app): State<App>, caller: Caller) -> Answer {
    let hour = *app.world().limits.hour(caller.id(), Timestamp::now());
    let core = shape(&hour);
    let search = json!({"limit": 30, "remaining": 30, "used": 0, "reset": hour.reset.as_second()});
    Ok(Json(json!({"resources": {"core": core, "search": search}, "rate": core})).into_response())
}

fn shape(hour: &Hour) -> Value {
    json!({
        "limit": hour.limit,
        "remaining": hour.remaining(),
        "used": hour.used,
        "reset": hour.reset.as_second(),
    })
}

/// Follows <https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api#use-conditional-requests-if-appropriate>.
pub(super) async fn conditional(answer: Response, wanted: Option<&HeaderValue>) -> Response {
    let (mut parts, body) = answer.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_ANSWER).await else {
        return Refusal::broken("the answer is too large").into_response();
    };
    let tag = format!("W/\"{}\"", hex::encode(digest::digest(&digest::SHA256, &body)));
    let unchanged = wanted
        .and_then(|wanted| wanted.to_str().ok())
        .is_some_and(|wanted| wanted.split(',').any(|one| one.trim() == tag));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        parts.headers.insert(header::ETAG, tag);
    }
    parts.headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, max-age=60, s-maxage=60"),
    );
    if unchanged {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(body))
}

/// The headers of every answer; `hour` is the caller's.
/// Follows <https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#checking-the-status-of-your-rate-limit>.
pub(crate) fn put_headers(headers: &mut HeaderMap, hour: &Hour) {
    let id = uuid::Uuid::new_v4().simple().to_string().to_uppercase();
    for (name, value) in [
        ("x-github-request-id", format!("{}:{}", &id[..4], &id[4..16])),
        ("x-github-media-type", "github.v3; format=json".to_owned()),
        ("x-github-api-version-selected", VERSIONS[0].to_owned()),
        ("x-ratelimit-limit", hour.limit.to_string()),
        ("x-ratelimit-remaining", hour.remaining().to_string()),
        ("x-ratelimit-used", hour.used.to_string()),
        ("x-ratelimit-reset", hour.reset.as_second().to_string()),
        ("x-ratelimit-resource", "core".to_owned()),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}
