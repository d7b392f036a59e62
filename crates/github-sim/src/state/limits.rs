//! The primary rate limit of the REST API: so many requests an hour.
//!
//! Follows <https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api>.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const SIGNED_IN: u64 = 5000;
const ANONYMOUS: u64 = 60;

/// How much of an hour's requests somebody has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hour {
    pub(crate) limit: u64,
    pub(crate) used: u64,
    pub(crate) reset: Timestamp,
}

impl Hour {
    pub(crate) fn remaining(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}

/// By user; everybody without a token shares one.
#[derive(Default)]
pub(crate) struct Limits {
    hours: HashMap<Option<u64>, Hour>,
}

impl Limits {
    /// Counts one request; `false` when the hour's are used up.
    pub(crate) fn take(&mut self, caller: Option<u64>, now: Timestamp) -> bool {
        let hour = self.hour(caller, now);
        let granted = hour.used < hour.limit;
        hour.used += u64::from(granted);
        granted
    }

    /// The request was answered with 304 and costs nothing.
    pub(crate) fn refund(&mut self, caller: Option<u64>, now: Timestamp) {
        let hour = self.hour(caller, now);
        hour.used = hour.used.saturating_sub(1);
    }

    /// The hour that it is for a caller.
    pub(crate) fn hour(&mut self, caller: Option<u64>, now: Timestamp) -> &mut Hour {
        let limit = if caller.is_some() { SIGNED_IN } else { ANONYMOUS };
        let fresh = Hour { limit, used: 0, reset: now + HOUR };
        let hour = self.hours.entry(caller).or_insert(fresh);
        if hour.reset <= now {
            *hour = fresh;
        }
        hour
    }

    /// Leaves a caller so many requests for so long.
    pub(crate) fn leave(&mut self, caller: Option<u64>, remaining: u64, reset: Timestamp) {
        let limit = if caller.is_some() { SIGNED_IN } else { ANONYMOUS };
        let used = limit.saturating_sub(remaining);
        self.hours.insert(caller, Hour { limit, used, reset });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_used_up_and_followed_by_the_next() {
        let mut limits = Limits::default();
        let now = Timestamp::UNIX_EPOCH;
        let later = now + SignedDuration::from_secs(9);
        limits.leave(Some(1), 1, later);
        assert!(limits.take(Some(1), now));
        assert!(!limits.take(Some(1), now));
        let spent = *limits.hour(Some(1), now);
        assert_eq!((spent.used, spent.remaining(), spent.reset), (5000, 0, later));
        limits.refund(Some(1), now);
        assert_eq!(limits.hour(Some(1), now).remaining(), 1);
        assert!(limits.take(Some(2), now) && limits.take(None, now));
        assert!(limits.take(Some(1), later));
        assert_eq!(limits.hour(Some(1), later).used, 1);
    }
}
