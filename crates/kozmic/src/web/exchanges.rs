//! Codes of sign-ins that GitHub is asked about. Anybody may come with a made-up one, and
//! each is a call in the name of the OAuth app, which GitHub limits.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Calls under way at the same time; the others wait for their turn.
const AT_ONCE: usize = 8;
/// After so many unknown codes within [`WINDOW`] GitHub is asked about no more.
const UNKNOWN: usize = 60;
const WINDOW: Duration = Duration::from_mins(1);

pub struct Exchanges {
    places: Semaphore,
    /// When GitHub last did not know one, oldest first.
    unknown: Mutex<VecDeque<Instant>>,
}

impl Default for Exchanges {
    fn default() -> Self {
        Self { places: Semaphore::new(AT_ONCE), unknown: Mutex::default() }
    }
}

impl Exchanges {
    /// A place to ask from; none as long as too many were made up.
    pub(super) async fn place(&self) -> Option<SemaphorePermit<'_>> {
        let place = self.places.acquire().await.ok()?;
        self.allows(Instant::now()).then_some(place)
    }

    /// GitHub did not know a code.
    pub(super) fn unknown(&self, now: Instant) {
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        unknown.push_back(now);
        if unknown.len() > UNKNOWN {
            unknown.pop_front();
        }
    }

    fn allows(&self, now: Instant) -> bool {
        let unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = unknown.len() == UNKNOWN;
        let oldest = unknown.front().filter(|_| is_full);
        oldest.is_none_or(|oldest| now.duration_since(*oldest) >= WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_too_many_unknown_codes_there_is_a_pause() {
        let (exchanges, begin) = (Exchanges::default(), Instant::now());
        let second = |number| begin + Duration::from_secs(number);
        for number in 0..30 {
            exchanges.unknown(second(number));
            exchanges.unknown(second(number));
        }
        assert!(!exchanges.allows(second(30)) && !exchanges.allows(second(59)));
        assert!(exchanges.allows(second(60)), "the first ones are a minute ago");
        exchanges.unknown(second(60));
        exchanges.unknown(second(60));
        assert!(!exchanges.allows(second(60)) && exchanges.allows(second(61)));
    }
}
