//! The limits that GitHub has set each token: a call that would only be refused is
//! not made ("Rate limits for the REST API": who goes on calling may be banned).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{StatusCode, header};
use secrecy::{ExposeSecret as _, SecretString};

use super::error::{LONGEST_PAUSE, until_reset};
use crate::seal::sha256_hex;

/// Until when each token, by its digest, is to be left alone.
#[derive(Debug, Default)]
pub(super) struct Limits(Mutex<HashMap<String, Instant>>);

impl Limits {
    /// How long this token has to wait still.
    pub(super) fn pause(&self, token: &SecretString, now: Instant) -> Option<Duration> {
        let mut pauses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pauses.retain(|_, until| *until > now);
        pauses.get(&digest(token)).map(|until| *until - now)
    }

    pub(super) fn wait(&self, token: &SecretString, pause: Duration, now: Instant) {
        let mut pauses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pauses.insert(digest(token), now + pause.min(LONGEST_PAUSE));
    }

    /// What an answer says of the calls after it.
    pub(super) fn learn(
        &self,
        token: &SecretString,
        status: StatusCode,
        headers: &header::HeaderMap,
        pause: Option<Duration>,
        now: Instant,
    ) {
        let spent = status.is_success().then(|| until_reset(headers)).flatten();
        if let Some(pause) = pause.or(spent) {
            self.wait(token, pause, now);
        }
    }
}

pub(super) fn digest(token: &SecretString) -> String {
    sha256_hex(token.expose_secret().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_waits_as_long_as_it_was_told() {
        let now = Instant::now();
        let (limits, one, other) = (Limits::default(), "one".into(), "other".into());
        let minute = Duration::from_mins(1);
        limits.learn(&one, StatusCode::FORBIDDEN, &header::HeaderMap::new(), Some(minute), now);
        assert_eq!((limits.pause(&one, now), limits.pause(&other, now)), (Some(minute), None));
        let later = now + minute;
        assert_eq!(limits.pause(&one, later), None);
        // The last call of the hour succeeded; the next one would not.
        let mut spent = header::HeaderMap::new();
        spent.insert("x-ratelimit-remaining", "0".parse().unwrap());
        spent.insert("x-ratelimit-reset", "1".parse().unwrap());
        limits.learn(&one, StatusCode::OK, &spent, None, later);
        assert_eq!(limits.pause(&one, later), Some(Duration::from_secs(1)));
    }
}
