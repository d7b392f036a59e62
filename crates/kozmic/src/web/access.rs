//! How the server may be reached: which address it may listen on, under which names
//! it answers browsers, so that a page elsewhere can't reach it by pointing a name of
//! its own here (DNS rebinding), and from which pages sockets are opened.

use std::net::SocketAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use url::Host;

use super::App;
use super::error::PageError;
use super::words::problems;
use crate::config::Settings;

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error(
        "KOZMIC_LISTEN is {0}, which others can reach, and sign-in is not configured; set \
         KOZMIC_GITHUB_CLIENT_ID and KOZMIC_GITHUB_CLIENT_SECRET (see docs/install.md), or listen \
         on 127.0.0.1 or [::1]"
    )]
    NoSignIn(SocketAddr),
    #[error(
        "KOZMIC_LISTEN is {0}, which is no address that browsers and GitHub can go to; \
         set KOZMIC_PUBLIC_URL to the one they can"
    )]
    NoPublicUrl(SocketAddr),
}

/// Refuses an address that others than this machine can reach, as long as nobody is
/// asked who they are.
pub fn check_listen(settings: &Settings) -> Result<(), ListenError> {
    let address = settings.listen;
    let is_nowhere = match settings.public_url.host() {
        Some(Host::Ipv4(ip)) => ip.is_unspecified(),
        Some(Host::Ipv6(ip)) => ip.is_unspecified(),
        _ => false,
    };
    match &settings.oauth {
        _ if address.ip().is_loopback() => Ok(()),
        None => Err(ListenError::NoSignIn(address)),
        Some(_) if is_nowhere => Err(ListenError::NoPublicUrl(address)),
        Some(_) => Ok(()),
    }
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
        Err(PageError::Forbidden(problems::unknown_host(name)))
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

    fn check(listen: &str, more: &[&str]) -> Result<(), String> {
        let listen = format!("KOZMIC_LISTEN={listen}");
        let given = std::iter::once(listen.as_str()).chain(more.iter().copied());
        let given: Vec<_> = given
            .filter_map(|pair| pair.split_once('='))
            .map(|(n, v)| (n.into(), v.into()))
            .collect();
        check_listen(&Settings::from_parts(&given, None).unwrap())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn without_sign_in_only_loopback_is_listened_on() {
        assert!(check("127.0.0.1:80", &[]).is_ok());
        assert!(check("[::1]:80", &[]).is_ok());
        for open in ["0.0.0.0:80", "[::]:80", "192.168.1.1:80"] {
            let error = check(open, &[]).unwrap_err();
            assert!(error.contains(open) && error.contains("KOZMIC_GITHUB_CLIENT_ID"), "{error}");
        }
    }

    #[test]
    fn with_sign_in_others_may_reach_it_where_they_are_told() {
        let app = ["KOZMIC_GITHUB_CLIENT_ID=x", "KOZMIC_GITHUB_CLIENT_SECRET=y"];
        assert!(check("192.168.1.1:80", &app).is_ok());
        for everywhere in ["0.0.0.0:80", "[::]:80"] {
            let error = check(everywhere, &app).unwrap_err();
            assert!(error.contains("KOZMIC_PUBLIC_URL"), "{error}");
            let told = [app[0], app[1], "KOZMIC_PUBLIC_URL=https://ci.example.org"];
            assert!(check(everywhere, &told).is_ok());
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
