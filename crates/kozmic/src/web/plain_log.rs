//! How the bytes of a plain log are delivered: all of them, a range of them, or without
//! their colours.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};

use crate::log::{LogError, Plain, Reader};

type Headers = [(HeaderName, &'static str); 2];

/// The log as it comes; plain is without colours.
pub(super) fn body(
    bytes: impl Stream<Item = Result<Bytes, LogError>> + Send + 'static,
    is_plain: bool,
) -> Body {
    if !is_plain {
        return Body::from_stream(bytes);
    }
    let mut plain = Plain::default();
    Body::from_stream(bytes.map(move |bytes| bytes.map(|bytes| Bytes::from(plain.take(&bytes)))))
}

/// All that is written so far, or the range of it that is asked for (RFC 9110, 14).
pub(super) fn answer(reader: Reader, asked: &HeaderMap, headers: Headers) -> Response {
    let length = reader.byte_length();
    let mut answer = match range(asked, length) {
        Asked::All => (headers, Body::from_stream(reader.bytes(0))).into_response(),
        Asked::Part(from, to) => {
            let body = Body::from_stream(first_bytes(reader.bytes(from), to + 1 - from));
            let mut answer = (StatusCode::PARTIAL_CONTENT, headers, body).into_response();
            set(&mut answer, header::CONTENT_RANGE, &format!("bytes {from}-{to}/{length}"));
            answer
        }
        Asked::Beyond => {
            let mut answer = (StatusCode::RANGE_NOT_SATISFIABLE, headers).into_response();
            set(&mut answer, header::CONTENT_RANGE, &format!("bytes */{length}"));
            answer
        }
    };
    set(&mut answer, header::ACCEPT_RANGES, "bytes");
    answer
}

fn set(answer: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

fn first_bytes(
    bytes: impl Stream<Item = Result<Bytes, LogError>> + Send + 'static,
    count: u64,
) -> impl Stream<Item = Result<Bytes, LogError>> + Send {
    stream::unfold((Box::pin(bytes), count), |(mut bytes, left)| async move {
        if left == 0 {
            return None;
        }
        let next = bytes.next().await?.map(|mut next| {
            next.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            next
        });
        let left = next.as_ref().map_or(0, |next| left - next.len() as u64);
        Some((next, (bytes, left)))
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    All,
    /// The first byte and the last.
    Part(u64, u64),
    Beyond,
}

/// Several ranges, and what is no range of bytes, may be answered with everything.
fn range(asked: &HeaderMap, length: u64) -> Asked {
    let text = asked.get(header::RANGE).and_then(|range| range.to_str().ok());
    let range = text.and_then(|text| text.strip_prefix("bytes=")?.split_once('-'));
    let Some((from, to)) = range else { return Asked::All };
    match (from.trim().parse::<u64>(), to.trim().parse::<u64>()) {
        (Ok(from), Ok(to)) if from > to => Asked::All,
        (Ok(from), _) if from >= length => Asked::Beyond,
        (Ok(from), Ok(to)) => Asked::Part(from, to.min(length - 1)),
        (Ok(from), Err(_)) if to.trim().is_empty() => Asked::Part(from, length - 1),
        (Err(_), Ok(0)) if from.is_empty() => Asked::Beyond,
        (Err(_), Ok(last)) if from.is_empty() && length > 0 => {
            Asked::Part(length.saturating_sub(last), length - 1)
        }
        _ => Asked::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_within_what_is_there() {
        let of = |text: &str, length| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, text.parse().unwrap());
            range(&headers, length)
        };
        assert_eq!(range(&HeaderMap::new(), 10), Asked::All);
        assert_eq!(of("bytes=2-4", 10), Asked::Part(2, 4));
        assert_eq!(of("bytes=2-", 10), Asked::Part(2, 9));
        assert_eq!(of("bytes=2-99", 10), Asked::Part(2, 9));
        assert_eq!(of("bytes=-3", 10), Asked::Part(7, 9));
        assert_eq!(of("bytes=-99", 10), Asked::Part(0, 9));
        assert_eq!(of("bytes=10-", 10), Asked::Beyond);
        assert_eq!(of("bytes=0-", 0), Asked::Beyond);
        assert_eq!(of("bytes=-0", 10), Asked::Beyond);
        for all in ["bytes=4-2", "bytes=x", "lines=1-2", "bytes=-", "bytes=1-2,4-5", "bytes=-1"] {
            let length = if all == "bytes=-1" { 0 } else { 10 };
            assert_eq!(of(all, length), Asked::All, "{all}");
        }
    }
}
