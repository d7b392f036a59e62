//! What GitHub does and its description does not say: all that the checks let pass.
//!
//! Injected faults (`faults`), OAuth pages (`oauth`) and git are no part of the description at
//! all; the checks see the REST API only.

use axum::http::{HeaderMap, StatusCode};

/// A request with this header is wrong on purpose: a test looks at how it is refused.
pub(crate) const DELIBERATE: &str = "x-sim-deliberate";

pub(super) fn is_deliberate(headers: &HeaderMap) -> bool {
    headers.contains_key(DELIBERATE)
}

/// Any operation may be answered so; the description names these for some only.
///
/// Unchanged answers and moved repositories; a malformed request or an unknown API version; bad
/// credentials; limits, archived repositories and missing rights; what a token may not see.
/// Follows <https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api>.
const ANYWHERE: &[u16] = &[301, 304, 307, 400, 401, 403, 404, 429];

/// Operations with an answer that is documented in words only, or not at all.
const SOMEWHERE: &[(&str, u16)] = &[
    // "Attempts to create more than 1000 statuses will result in a validation error."
    ("POST /repos/{owner}/{repo}/statuses/{sha}", 422),
    // An empty repository, and a name that is no commit, as for the commit itself.
    ("GET /repos/{owner}/{repo}/commits/{ref}/status", 409),
    ("GET /repos/{owner}/{repo}/commits/{ref}/status", 422),
    ("GET /repos/{owner}/{repo}/commits/{ref}/statuses", 409),
    ("GET /repos/{owner}/{repo}/commits/{ref}/statuses", 422),
    // A filter that does not exist.
    ("GET /repos/{owner}/{repo}/collaborators", 422),
];

pub(super) fn is_answered_so(operation: &str, status: StatusCode) -> bool {
    let status = status.as_u16();
    ANYWHERE.contains(&status) || SOMEWHERE.contains(&(operation, status))
}

/// A path by a repository's id, where a moved one is found, is described by its name only.
pub(super) fn by_name(path: &str) -> String {
    let Some(rest) = path.strip_prefix("/repositories/") else {
        return path.to_owned();
    };
    let end = rest.find('/').unwrap_or(rest.len());
    format!("/repos/by/{}{}", &rest[..end], &rest[end..])
}

/// Media types other than JSON, as the bare id of a commit, and the refusal of a request
/// without a `User-Agent`, which is a sentence.
pub(super) fn is_not_json(media: Option<&str>, status: StatusCode) -> bool {
    media.is_some_and(|media| {
        media.starts_with("application/vnd.github.sha")
            || (status == StatusCode::FORBIDDEN && media.starts_with("text/plain"))
    })
}
