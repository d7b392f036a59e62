//! Who may enter. There is no sign-in yet: the server listens on loopback only,
//! and answers browsers under its own names only, so that a page elsewhere
//! can't reach it by pointing a name of its own at 127.0.0.1 (DNS rebinding).

use std::net::SocketAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;

use super::App;
use super::error::PageError;

#[derive(Debug, thiserror::Error)]
#[error(
    "KOZMIC_LISTEN is {0}, which others can reach, and this version has no sign-in yet; \
     listen on 127.0.0.1 or [::1] and let a proxy hand on /_hooks/"
)]
pub struct ListenError(SocketAddr);

/// Refuses an address that others than this machine can reach.
pub fn check_listen(address: SocketAddr) -> Result<(), ListenError> {
    if address.ip().is_loopback() { Ok(()) } else { Err(ListenError(address)) }
}

/// Lets a request pass whose Host is one of ours.
pub(super) async fn known_host(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, PageError> {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| request.uri().host()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    if app.hosts.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        Ok(next.run(request).await)
    } else {
        Err(PageError::Forbidden(format!(
            "This server does not answer to the name {name:?}. If it should, set KOZMIC_PUBLIC_URL."
        )))
    }
}

/// Whether a web socket was opened by a page of this site, or by no browser.
/// Browsers send Origin with every socket, and nothing else keeps a foreign
/// page from opening one.
pub(super) fn is_same_origin(headers: &HeaderMap) -> bool {
    let text =
        |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    match text(header::ORIGIN) {
        None => true,
        Some(origin) => origin.split_once("://").map(|(_, host)| host) == text(header::HOST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_listened_on() {
        assert!(check_listen("127.0.0.1:80".parse().unwrap()).is_ok());
        assert!(check_listen("[::1]:80".parse().unwrap()).is_ok());
        for open in ["0.0.0.0:80", "[::]:80", "192.168.1.1:80"] {
            let error = check_listen(open.parse().unwrap()).unwrap_err().to_string();
            assert!(error.contains(open) && error.contains("127.0.0.1"), "{error}");
        }
    }

    #[test]
    fn a_foreign_page_opens_no_socket() {
        let headers = |origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "localhost:8080".parse().unwrap());
            origin.map(|origin| headers.insert(header::ORIGIN, origin.parse().unwrap()));
            headers
        };
        assert!(is_same_origin(&headers(None)));
        assert!(is_same_origin(&headers(Some("http://localhost:8080"))));
        for foreign in ["http://localhost:9090", "https://evil.example", "null"] {
            assert!(!is_same_origin(&headers(Some(foreign))), "{foreign}");
        }
    }
}
