//! Answers that GitHub need not send again while they hold ("Use conditional
//! requests if appropriate": a 304 counts against no limit).

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use lru::LruCache;
use reqwest::header::HeaderValue;
use secrecy::SecretString;

use super::limits::digest;

/// Answers that are kept, and bytes of the largest: 32 MiB in all at the worst.
const ANSWERS: NonZeroUsize = NonZeroUsize::new(512).unwrap();
const LARGEST: usize = 64 * 1024;

#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) etag: HeaderValue,
    pub(super) body: Bytes,
    /// Where the rest of the list was.
    pub(super) next: Option<String>,
}

/// By the digest of who asked, since an answer is for them alone, and the URL.
pub(super) struct Remembered(Mutex<LruCache<(String, String), Seen>>);

impl Default for Remembered {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(ANSWERS)))
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
        answers.get(&(digest(token), url.to_owned())).cloned()
    }

    pub(super) fn keep(&self, token: &SecretString, url: &str, seen: Seen) {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (digest(token), url.to_owned());
        if seen.body.len() <= LARGEST {
            answers.put(place, seen);
        } else {
            // An older answer would go on being compared in vain.
            answers.pop(&place);
        }
    }
}
