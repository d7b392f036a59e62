//! Who is calling: the `Authorization` header of REST requests and of git.

use axum::http::{HeaderMap, header::AUTHORIZATION};
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::state::users::{User, Users};

/// What a request says about its caller.
pub(crate) enum Credentials<'a> {
    None,
    /// There are some, and no user has them.
    Wrong,
    User(&'a User),
}

/// Reads `Bearer TOKEN`, `token TOKEN` or `Basic` with the token as password.
///
/// Follows <https://docs.github.com/rest/authentication/authenticating-to-the-rest-api>.
pub(crate) fn of<'a>(headers: &HeaderMap, users: &'a Users) -> Credentials<'a> {
    if !headers.contains_key(AUTHORIZATION) {
        return Credentials::None;
    }
    token_of(headers)
        .and_then(|token| users.by_token(&token))
        .map_or(Credentials::Wrong, Credentials::User)
}

/// Whether the caller is a person in their own browser: faults and limits do not concern them.
pub(crate) fn is_browser(headers: &HeaderMap, users: &Users) -> bool {
    token_of(headers).is_some_and(|token| users.by_session(&token).is_some())
}

/// The token itself, whether anybody has it or not.
pub(crate) fn token_of(headers: &HeaderMap) -> Option<String> {
    token(headers.get(AUTHORIZATION)?.to_str().ok()?)
}

fn token(value: &str) -> Option<String> {
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token") {
        return Some(rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    let (name, password) = pair.split_once(':')?;
    // `https://TOKEN@host/…` works as well as `https://login:TOKEN@host/…`.
    let token = if password.is_empty() || password == "x-oauth-basic" { name } else { password };
    Some(token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_in_each_scheme() {
        for value in [
            "Bearer secret",
            "bearer secret",
            "token secret",
            // login:secret, secret:, secret:x-oauth-basic
            "Basic bG9naW46c2VjcmV0",
            "Basic c2VjcmV0Og==",
            "Basic c2VjcmV0Ongtb2F1dGgtYmFzaWM=",
        ] {
            assert_eq!(token(value).as_deref(), Some("secret"), "{value}");
        }
        assert_eq!(token("Digest secret"), None);
        assert_eq!(token("Basic !"), None);
    }
}
