//! Answers that GitHub need not send again while they hold ("Use conditional
//! requests if appropriate": a 304 counts against no limit).

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use lru::LruCache;
use reqwest::header::HeaderValue;
use secrecy::SecretString;

use super::limits::digest;

/// Bytes of all answers that are kept, and of the largest. A page of a hundred pull requests
/// has two million.
const ALL: usize = 32 * 1024 * 1024;
const LARGEST: usize = ALL / 8;
/// What an answer counts for beside its body: its place, tag and link.
const BESIDE: usize = 512;

#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) etag: HeaderValue,
    pub(super) body: Bytes,
    /// Where the rest of the list was.
    pub(super) next: Option<String>,
}

impl Seen {
    /// Of its own size: as they were read, body and tag lie in a buffer of 8 to 64 KiB.
    pub(super) fn new(etag: &HeaderValue, body: &[u8], next: Option<String>) -> Self {
        // It was one before.
        let own = HeaderValue::from_bytes(etag.as_bytes());
        let etag = own.unwrap_or_else(|_| etag.clone());
        Self { etag, body: Bytes::copy_from_slice(body), next }
    }

    fn size(&self) -> usize {
        self.body.len() + BESIDE
    }
}

/// By the digest of who asked, since an answer is for them alone, and the URL. Those asked
/// for longest ago make room.
pub(super) struct Remembered(Mutex<Answers>);

struct Answers {
    by_place: LruCache<(String, String), Seen>,
    size: usize,
}

impl Default for Remembered {
    fn default() -> Self {
        Self(Mutex::new(Answers { by_place: LruCache::unbounded(), size: 0 }))
    }
}

impl std::fmt::Debug for Remembered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Remembered")
    }
}

impl Remembered {
    pub(super) fn seen(&self, token: &SecretString, url: &str) -> Option<Seen> {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers.by_place.get(&(digest(token), url.to_owned())).cloned()
    }

    pub(super) fn keep(&self, token: &SecretString, url: &str, seen: Seen) {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (digest(token), url.to_owned());
        // The older answer would go on being compared in vain.
        let older = answers.by_place.pop(&place);
        answers.size -= older.map_or(0, |older| older.size());
        if seen.size() > LARGEST {
            return;
        }
        answers.size += seen.size();
        answers.by_place.put(place, seen);
        while answers.size > ALL
            && let Some((_, oldest)) = answers.by_place.pop_lru()
        {
            answers.size -= oldest.size();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_holds_no_more_than_itself() {
        let read = Bytes::from([b"W/\"1\"", vec![0; 65_536].as_slice()].concat());
        let etag = HeaderValue::from_maybe_shared(read.slice(..5)).unwrap();
        let seen = Seen::new(&etag, &read.slice(5..98), None);
        drop(etag);
        assert!(read.is_unique(), "the buffer that both were read into is held by nobody else");
        assert_eq!((seen.etag.as_bytes(), seen.body.len()), (b"W/\"1\"".as_slice(), 93));
    }

    #[test]
    fn what_is_remembered_has_a_limit_and_the_oldest_goes_first() {
        let (remembered, token) = (Remembered::default(), SecretString::from("token"));
        let keep = |url: &str, size: usize| {
            let etag = HeaderValue::from_static("W/\"1\"");
            remembered.keep(&token, url, Seen::new(&etag, &vec![0; size], None));
        };
        let is_kept = |url: &str| remembered.seen(&token, url).is_some();
        let large = LARGEST - BESIDE;
        // The same again takes no more room.
        for _ in 0..20 {
            keep("/0", large);
        }
        for number in 1..8 {
            keep(&format!("/{number}"), large);
        }
        assert!(is_kept("/0"), "all eight have room, and this one was asked for last");
        keep("/8", large);
        assert!(is_kept("/0") && is_kept("/8") && !is_kept("/1"));
        keep("/8", large + 1);
        assert!(!is_kept("/8"), "too large, and what was there is old");
        assert!(remembered.seen(&"another".into(), "/0").is_none());
        let answers = remembered.0.lock().unwrap();
        assert_eq!(answers.size, 7 * LARGEST);
    }
}
