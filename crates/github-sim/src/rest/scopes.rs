//! What the tokens of OAuth apps may do. Follows
//! <https://docs.github.com/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps>.

use axum::{
    extract::{Request, State},
    http::HeaderValue,
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::answer::Refusal;
use crate::{app::App, credentials};

/// The scope that a call takes; others need none, or take what the repository decides.
const NEEDED: &[(&str, &str)] = &[
    ("/user/emails", "user:email"),
    ("/user/memberships/orgs", "read:org"),
    ("/user/orgs", "read:org"),
];

/// Refuses what a token was not granted, and tells of both in the headers.
pub(super) async fn check(State(app): State<App>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let path = path.strip_prefix("/api/v3").unwrap_or(path);
    let needed = NEEDED.iter().find(|(start, _)| path.starts_with(start)).map(|(_, scope)| *scope);
    let Some(token) = credentials::token_of(request.headers()) else {
        return next.run(request).await;
    };
    let (granted, may) = {
        let world = app.world();
        let granted = world
            .oauth
            .scopes(&token)
            .map(|scopes| scopes.iter().map(String::as_str).collect::<Vec<_>>().join(", "));
        (granted, needed.is_none_or(|scope| world.oauth.allows(&token, scope)))
    };
    let mut answer =
        if may { next.run(request).await } else { Refusal::not_found().into_response() };
    let headers = answer.headers_mut();
    let granted = granted.unwrap_or_else(|| "admin:repo_hook, read:org, repo, user".into());
    if let Ok(granted) = HeaderValue::from_str(&granted) {
        headers.insert("x-oauth-scopes", granted);
    }
    headers.insert("x-accepted-oauth-scopes", HeaderValue::from_static(needed.unwrap_or_default()));
    answer
}
