//! What can go wrong between us and GitHub, and whether it passes.

use std::time::Duration;

use reqwest::{StatusCode, header};
use serde::Deserialize;

use crate::model::FullName;

/// Used when a rate limit names no time.
const DEFAULT_PAUSE: Duration = Duration::from_mins(1);
/// Nobody waits longer before asking again, whatever an answer says: GitHub's limits are
/// counted by the hour.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_hours(1);

#[derive(Debug, thiserror::Error)]
pub enum GithubError {
    #[error("GitHub did not answer {call}: {problem}")]
    Away { call: String, problem: String },
    #[error("GitHub asks to wait {} s before {call}", .pause.as_secs())]
    RateLimited { call: String, pause: Duration },
    /// Nobody who could make the call for a project has one that is good.
    #[error(
        "nobody who may do this has a token that GitHub accepts; the owner or a manager has to sign in again"
    )]
    NoToken,
    #[error("GitHub does not know the token ({call}); it was revoked or has expired")]
    BadToken { call: String },
    #[error("GitHub has no {call}, or hides it from this token")]
    NotFound { call: String },
    /// The name has come to another one than a project's.
    #[error(
        "{name} at GitHub is another repository now than this project's, which was renamed or \
         deleted; synchronize the project, or delete it"
    )]
    AnotherRepository { name: FullName },
    #[error("GitHub refused {call} with {status}: {message}")]
    Refused { call: String, status: u16, message: String },
    #[error("GitHub's answer to {call} can't be read: {problem}")]
    Unreadable { call: String, problem: String },
}

impl GithubError {
    /// Whether the token's user has to sign in again before any call with it can succeed.
    pub fn is_bad_token(&self) -> bool {
        matches!(self, Self::BadToken { .. })
    }

    /// Whether the same call may succeed later; and not before this pause.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { pause, .. } => Some(*pause),
            // GitHub may come back, and somebody may sign in.
            Self::Away { .. } | Self::NoToken => Some(Duration::ZERO),
            _ => None,
        }
    }
}

/// The pause that a primary or secondary rate limit asks for, an hour at the most (GitHub
/// documentation, "Rate limits for the REST API").
pub(super) fn pause_of(status: StatusCode, headers: &header::HeaderMap) -> Option<Duration> {
    if !matches!(status, StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS) {
        return None;
    }
    if let Some(seconds) = number(headers, "retry-after") {
        return Some(Duration::from_secs(seconds).min(LONGEST_PAUSE));
    }
    if let Some(pause) = until_reset(headers) {
        return Some(pause);
    }
    (status == StatusCode::TOO_MANY_REQUESTS).then_some(DEFAULT_PAUSE)
}

/// When a spent primary limit is filled again.
pub(super) fn until_reset(headers: &header::HeaderMap) -> Option<Duration> {
    if number(headers, "x-ratelimit-remaining") != Some(0) {
        return None;
    }
    let reset = number(headers, "x-ratelimit-reset").unwrap_or(0);
    let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0);
    // A second more: GitHub tells whole ones, and the limit may last to the end of its last.
    Some(Duration::from_secs(reset.saturating_sub(now).saturating_add(1)).min(LONGEST_PAUSE))
}

pub(super) fn number(headers: &header::HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

pub(super) fn refusal(
    call: String,
    status: StatusCode,
    pause: Option<Duration>,
    body: &str,
) -> GithubError {
    #[derive(Deserialize)]
    struct Body {
        message: String,
        #[serde(default)]
        errors: Vec<serde_json::Value>,
    }
    let message = match serde_json::from_str::<Body>(body) {
        Ok(body) => {
            let details = body
                .errors
                .iter()
                .filter_map(|error| error["message"].as_str().or_else(|| error.as_str()));
            std::iter::once(body.message.as_str()).chain(details).collect::<Vec<_>>().join(": ")
        }
        Err(_) => status.canonical_reason().unwrap_or("no reason given").to_owned(),
    };
    match (status, pause) {
        (_, Some(pause)) => GithubError::RateLimited { call, pause },
        (StatusCode::UNAUTHORIZED, _) => GithubError::BadToken { call },
        (StatusCode::NOT_FOUND, _) => GithubError::NotFound { call },
        _ if message.to_lowercase().contains("secondary rate limit") => {
            GithubError::RateLimited { call, pause: DEFAULT_PAUSE }
        }
        _ if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
            GithubError::Away { call, problem: format!("it answered {status}") }
        }
        _ => GithubError::Refused { call, status: status.as_u16(), message },
    }
}

/// reqwest's own text repeats the URL; the innermost cause is what helps.
pub(super) fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".into();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> header::HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_403_is_a_limit_only_when_it_says_so() {
        let forbidden = StatusCode::FORBIDDEN;
        assert_eq!(pause_of(forbidden, &headers(&[])), None);
        assert_eq!(
            pause_of(forbidden, &headers(&[("retry-after", "7")])),
            Some(Duration::from_secs(7))
        );
        // However long an answer wants us to be silent.
        for (name, never) in [("retry-after", "99999999999"), ("x-ratelimit-reset", "99999999999")]
        {
            let never = headers(&[("x-ratelimit-remaining", "0"), (name, never)]);
            assert_eq!(pause_of(forbidden, &never), Some(LONGEST_PAUSE), "{name}");
        }
        let spent = headers(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1")]);
        assert_eq!(pause_of(forbidden, &spent), Some(Duration::from_secs(1)));
        assert_eq!(pause_of(StatusCode::NOT_FOUND, &spent), None);
        let error = refusal(
            "x".into(),
            forbidden,
            None,
            r#"{"message":"You have exceeded a secondary rate limit"}"#,
        );
        assert_eq!(error.retry_after(), Some(DEFAULT_PAUSE));
    }

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        let error = |status| refusal("x".into(), status, None, "");
        assert!(error(StatusCode::BAD_GATEWAY).retry_after().is_some());
        assert!(error(StatusCode::UNPROCESSABLE_ENTITY).retry_after().is_none());
        assert!(error(StatusCode::UNAUTHORIZED).retry_after().is_none());
    }

    #[test]
    fn github_s_details_are_part_of_the_message() {
        let body = r#"{"message":"Validation Failed","errors":[{"resource":"Hook","message":"Hook already exists"}]}"#;
        let error =
            refusal("POST /x".into(), StatusCode::UNPROCESSABLE_ENTITY, None, body).to_string();
        assert_eq!(
            error,
            "GitHub refused POST /x with 422: Validation Failed: Hook already exists"
        );
    }
}
