//! Where a request comes from: who is connected, or whom a proxy asks for that the settings
//! trust (`KOZMIC_TRUSTED_PROXIES`).
//!
//! Each proxy adds whom it asks for at the end of `X-Forwarded-For`, or of `Forwarded` (RFC
//! 7239), and anybody may have written what is before that. So these are read from their ends,
//! as long as it was a trusted one that wrote.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;

use super::App;
use crate::model::Networks;
use crate::rates::Who;

const FOR: &str = "x-forwarded-for";
const PROTO: &str = "x-forwarded-proto";

/// Whether it was said that a proxy is not believed, that two headers differ.
static SAID: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    /// Of whoever asks.
    pub(super) address: IpAddr,
    /// A trusted proxy said that they came over plain HTTP.
    pub(super) is_plain: bool,
}

impl Origin {
    /// What [`find`] has put there.
    pub(super) fn of(extensions: &Extensions) -> Self {
        let nobody = Self { address: Ipv4Addr::UNSPECIFIED.into(), is_plain: false };
        extensions.get().copied().unwrap_or(nobody)
    }

    pub(super) fn who(&self) -> Who {
        Who::at(self.address)
    }
}

impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}

/// Before everything else.
pub(super) async fn find(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    if let Some(peer) = peer.map(|ConnectInfo(peer)| peer.ip().to_canonical()) {
        let origin = found(peer, request.headers(), &app.proxies);
        request.extensions_mut().insert(origin);
    }
    next.run(request).await
}

fn found(peer: IpAddr, headers: &HeaderMap, proxies: &Networks) -> Origin {
    if !proxies.have(peer) {
        if [FOR, header::FORWARDED.as_str()].iter().any(|name| headers.contains_key(*name)) {
            say(0, || {
                tracing::warn!(
                    %peer,
                    "a request has a forwarded address, and KOZMIC_TRUSTED_PROXIES does not name \
                     the proxy that it came from: all who come from there count as one. Name it \
                     if it is yours"
                );
            });
        }
        return Origin { address: peer, is_plain: false };
    }
    let by_list = lines(headers, FOR).map(|list| last(peer, &hops(&list), proxies));
    let forwarded = lines(headers, header::FORWARDED.as_str());
    let elements = forwarded.as_deref().map(elements);
    let by_forwarded = elements.as_ref().map(|elements| {
        let hops: Vec<_> = elements.iter().map(|element| element.address).collect();
        last(peer, &hops, proxies)
    });
    let address = match (by_list, by_forwarded) {
        // One of them is not the proxy's own, and nobody knows which.
        (Some(one), Some(other)) if one != other => {
            say(1, || {
                tracing::warn!(
                    %peer,
                    "a proxy hands on X-Forwarded-For and Forwarded, and they differ, so neither \
                     is believed: let it remove the one that it does not set"
                );
            });
            peer
        }
        (Some(address), _) | (None, Some(address)) => address,
        (None, None) => peer,
    };
    let said = lines(headers, PROTO);
    let proto = said.as_deref().and_then(|list| list.rsplit(',').next());
    let proto = proto.map(str::trim).or_else(|| elements.as_ref()?.last()?.proto.as_deref());
    let is_plain = proto.is_some_and(|proto| proto.eq_ignore_ascii_case("http"));
    Origin { address, is_plain }
}

fn say(which: usize, what: impl FnOnce()) {
    if !SAID[which].swap(true, Ordering::Relaxed) {
        what();
    }
}

/// The lines of a header, as one (RFC 9110, 5.3).
fn lines(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines: Vec<_> =
        headers.get_all(name).iter().map(|line| line.to_str().unwrap_or("?")).collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

/// None: it is no address.
fn hops(list: &str) -> Vec<Option<IpAddr>> {
    list.split(',').map(address).collect()
}

/// The last one that no trusted proxy vouches for, seen from here; a trusted one that tells
/// nothing which can be read speaks for itself.
fn last(peer: IpAddr, hops: &[Option<IpAddr>], proxies: &Networks) -> IpAddr {
    let mut address = peer;
    for hop in hops.iter().rev() {
        match hop {
            Some(hop) if proxies.have(address) => address = *hop,
            _ => break,
        }
    }
    address
}

/// With or without a port, and with brackets or without.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.split(']').next());
    let address = bare.unwrap_or(text).parse().ok();
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    address.or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

/// Of the header Forwarded.
struct Element {
    address: Option<IpAddr>,
    proto: Option<String>,
}

fn elements(text: &str) -> Vec<Element> {
    let element = |pairs: &str| {
        let mut element = Element { address: None, proto: None };
        for pair in quoted(pairs, ';') {
            let Some((name, value)) = pair.split_once('=') else { continue };
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "for" => element.address = address(value),
                "proto" => element.proto = Some(value.to_owned()),
                _ => {}
            }
        }
        element
    };
    quoted(text, ',').into_iter().map(element).collect()
}

/// The parts of a text, where a sign between quotes parts nothing.
fn quoted(text: &str, sign: char) -> Vec<&str> {
    let mut is_quoted = false;
    text.split(move |c| {
        is_quoted ^= c == '"';
        c == sign && !is_quoted
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn origin(peer: &str, lines: &[(&'static str, &str)]) -> (String, bool) {
        let proxies: Networks = "10.0.0.0/8,fd00::/8".parse().unwrap();
        let Origin { address, is_plain } = found(peer.parse().unwrap(), &headers(lines), &proxies);
        (address.to_string(), is_plain)
    }

    fn address_of(lines: &[(&'static str, &str)]) -> String {
        origin("10.0.0.1", lines).0
    }

    #[test]
    fn who_is_not_trusted_speaks_for_itself() {
        let lines = [(FOR, "1.1.1.1"), ("forwarded", "for=1.1.1.1"), (PROTO, "http")];
        assert_eq!(origin("9.9.9.9", &lines), ("9.9.9.9".into(), false));
        assert_eq!(origin("10.0.0.1", &[]), ("10.0.0.1".into(), false));
    }

    #[test]
    fn the_last_one_counts_that_no_trusted_proxy_wrote() {
        assert_eq!(address_of(&[(FOR, "1.1.1.1")]), "1.1.1.1");
        assert_eq!(address_of(&[(FOR, "6.6.6.6, 1.1.1.1")]), "1.1.1.1", "the left is anybody's");
        assert_eq!(address_of(&[(FOR, "6.6.6.6, 1.1.1.1, 10.9.9.9")]), "1.1.1.1");
        assert_eq!(address_of(&[(FOR, "6.6.6.6"), (FOR, "1.1.1.1")]), "1.1.1.1");
        assert_eq!(address_of(&[(FOR, "10.2.2.2, 10.3.3.3")]), "10.2.2.2", "all of them ours");
        assert_eq!(address_of(&[(FOR, "1.1.1.1:4711")]), "1.1.1.1");
        assert_eq!(address_of(&[(FOR, "[2001:db8::1]:4711")]), "2001:db8::1");
        assert_eq!(address_of(&[(FOR, "1.1.1.1, fd00::2")]), "1.1.1.1");
        assert_eq!(address_of(&[(FOR, "1.1.1.1, unknown")]), "10.0.0.1", "nothing to be read");
        assert_eq!(address_of(&[(FOR, "1.1.1.1, unknown, 10.2.2.2")]), "10.2.2.2");
        assert_eq!(address_of(&[(FOR, "")]), "10.0.0.1");
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_has_it() {
        let of = |text: &str| address_of(&[("forwarded", text)]);
        assert_eq!(of("for=192.0.2.43, for=198.51.100.17"), "198.51.100.17");
        assert_eq!(
            of("For=\"[2001:db8:cafe::17]:4711\";proto=https;by=10.0.0.9"),
            "2001:db8:cafe::17"
        );
        assert_eq!(of("for=6.6.6.6, for=\"1.1.1.1:80\";host=\"a,b;c\", for=10.7.7.7"), "1.1.1.1");
        assert_eq!(of("for=1.1.1.1, for=_hidden"), "10.0.0.1");
        assert_eq!(of("proto=https"), "10.0.0.1");
    }

    #[test]
    fn two_headers_that_differ_are_not_believed() {
        let both = |one, other| address_of(&[(FOR, one), ("forwarded", other)]);
        assert_eq!(both("1.1.1.1", "for=1.1.1.1"), "1.1.1.1");
        assert_eq!(both("1.1.1.1", "for=6.6.6.6"), "10.0.0.1");
        assert_eq!(both("6.6.6.6", "for=1.1.1.1"), "10.0.0.1");
    }

    #[test]
    fn plain_is_what_the_last_proxy_says_is() {
        let plain = |lines: &[(&'static str, &str)]| origin("10.0.0.1", lines).1;
        assert!(plain(&[(PROTO, "http")]) && plain(&[(PROTO, "https, HTTP")]));
        assert!(plain(&[("forwarded", "for=1.1.1.1;proto=http")]));
        assert!(!plain(&[(PROTO, "http, https")]) && !plain(&[(PROTO, "https")]) && !plain(&[]));
    }
}
