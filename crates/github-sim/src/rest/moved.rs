//! Repositories that have another name now, and repositories by their id.
//!
//! Follows <https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api#follow-redirects>.

use axum::{
    Json, Router,
    body::Body,
    extract::{OriginalUri, Request},
    http::{Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use tower::ServiceExt as _;

use super::answer::{Caller, Refusal};
use crate::{app::App, shape, state::repositories::Repository};

/// Owner, name and what follows them, of a path below the API's root.
fn parts(path: &str) -> Option<(&str, &str, &str)> {
    let (owner, rest) = path.strip_prefix("/repos/")?.split_once('/')?;
    let end = rest.find('/').unwrap_or(rest.len());
    Some((owner, &rest[..end], &rest[end..]))
}

/// What becomes of a request before its route is asked: sent elsewhere when the repository has
/// moved, refused when it would change an archived one.
pub(super) fn intercept(
    app: &App,
    caller: &Caller,
    method: &Method,
    uri: &Uri,
) -> Option<Response> {
    let path = uri.path();
    let (owner, name, rest) = parts(path.strip_prefix("/api/v3").unwrap_or(path))?;
    let world = app.world();
    let reading = matches!(*method, Method::GET | Method::HEAD);
    if let Some(found) = world.repositories.by_name(owner, name) {
        let refused = !reading && found.archived && world.role(found, caller.id()).is_some();
        return refused.then(|| {
            let message = "Repository was archived so is read-only.";
            Refusal::new(StatusCode::FORBIDDEN, message).into_response()
        });
    }
    let found = world.repositories.moved(owner, name)?;
    world.role(found, caller.id())?;
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let to = format!("{}/repositories/{}{rest}{query}", shape::api(&world), found.id);
    let (status, message) = if reading {
        (StatusCode::MOVED_PERMANENTLY, "Moved Permanently")
    } else {
        (StatusCode::TEMPORARY_REDIRECT, "Temporary Redirect")
    };
    let body = json!({
        "message": message,
        "url": to,
        "documentation_url": "https://docs.github.com/rest/guides/best-practices-for-using-the-rest-api#follow-redirects",
    });
    Some((status, [(header::LOCATION, to)], Json(body)).into_response())
}

/// `/repositories/{id}…` is `/repos/{owner}/{repo}…`.
pub(super) async fn by_id(
    app: &App,
    routes: Router<App>,
    id: u64,
    rest: &str,
    request: Request,
) -> Response {
    let name = app.world().repositories.by_id(id).map(Repository::full_name);
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = name.and_then(|name| format!("/repos/{name}{rest}{query}").parse::<Uri>().ok());
    let Some(path) = path else {
        return Refusal::not_found().into_response();
    };
    // A fresh request: what the outer route has matched is of no use to the inner one.
    let (old, body) = request.into_parts();
    let mut inner = Request::new(Body::new(body));
    *inner.method_mut() = old.method;
    *inner.uri_mut() = path;
    *inner.headers_mut() = old.headers;
    if let Some(caller) = old.extensions.get::<Caller>() {
        inner.extensions_mut().insert(caller.clone());
    }
    if let Some(uri) = old.extensions.get::<OriginalUri>() {
        inner.extensions_mut().insert(uri.clone());
    }
    match routes.with_state(app.clone()).oneshot(inner).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_apart() {
        assert_eq!(parts("/repos/a/b"), Some(("a", "b", "")));
        assert_eq!(parts("/repos/a/b/hooks/1"), Some(("a", "b", "/hooks/1")));
        assert_eq!(parts("/user/repos"), None);
        assert_eq!(parts("/repos/a"), None);
    }
}
