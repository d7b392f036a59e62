//! How often somebody may do what costs something: counted in this process, and where there is
//! Redis by all processes together. While Redis is away each counts by itself.
//!
//! A rate is a number for each minute. A minute's worth may come at once, and what was not used
//! comes back evenly ("generic cell rate algorithm", ITU-T I.371). It is kept as one number for
//! each that asks: when all of it will have come back. The same is done by `relay`, in Redis.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;

use crate::model::UserId;
use crate::relay::Relay;

/// What may be done at once.
const WINDOW: Duration = Duration::from_mins(1);
/// Of so many that ask it is known how often; those who asked longest ago are forgotten. Some
/// ten megabytes.
const KNOWN: NonZeroUsize = NonZeroUsize::MIN.saturating_add(99_999);
/// Redis is waited for no longer: somebody waits for a page.
const PATIENCE: Duration = Duration::from_millis(250);
/// After it did not answer it is left alone for so long.
const PAUSE: Duration = Duration::from_secs(5);

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// Requests of sign-in.
    SignIn,
    /// Codes of sign-ins that GitHub did not know.
    Code,
    /// Requests of the API, and others by a token.
    Api,
    /// The same without a valid token.
    Stranger,
    /// Deliveries that nobody signed rightly.
    Delivery,
}

impl What {
    pub const ALL: [Self; 5] =
        [Self::SignIn, Self::Code, Self::Api, Self::Stranger, Self::Delivery];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::Code => "code",
            Self::Api => "api",
            Self::Stranger => "stranger",
            Self::Delivery => "delivery",
        }
    }
}

/// Whose doings are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Who {
    User(UserId),
    /// Made by [`Who::at`].
    Address(IpAddr),
}

impl Who {
    /// Of IPv6 the network: a customer gets a /64 at least (RFC 6177) and may use all of it.
    pub fn at(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX)).into(),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// How often in a minute; none: as often as they like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PerMinute {
    pub sign_in: Option<u32>,
    pub code: Option<u32>,
    pub api: Option<u32>,
    pub stranger: Option<u32>,
    pub delivery: Option<u32>,
}

impl PerMinute {
    pub fn of(&self, what: What) -> Option<u32> {
        match what {
            What::SignIn => self.sign_in,
            What::Code => self.code,
            What::Api => self.api,
            What::Stranger => self.stranger,
            What::Delivery => self.delivery,
        }
    }

    /// Between one and the next, when they come evenly.
    fn interval(&self, what: What) -> Option<Duration> {
        self.of(what).filter(|rate| *rate > 0).map(|rate| WINDOW / rate)
    }
}

/// It was too often: how long to wait for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooOften(pub Duration);

/// Cheap to clone.
#[derive(Clone)]
pub struct Rates(Arc<Inner>);

struct Inner {
    rates: PerMinute,
    /// None: this process is alone.
    relay: Option<Relay>,
    began: Instant,
    /// When everything will have come back, since `began`.
    known: Mutex<LruCache<(What, Who), Duration>>,
    /// In milliseconds since `began`: Redis is not asked before.
    away_until: AtomicU64,
}

impl Rates {
    pub fn new(rates: PerMinute, relay: Option<Relay>) -> Self {
        Self(Arc::new(Inner {
            rates,
            relay,
            began: Instant::now(),
            known: Mutex::new(LruCache::new(KNOWN)),
            away_until: AtomicU64::new(0),
        }))
    }

    pub fn per_minute(&self) -> PerMinute {
        self.0.rates
    }

    /// Counts one, unless it is one too many.
    pub async fn take(&self, what: What, who: Who) -> Result<(), TooOften> {
        let Some(interval) = self.0.rates.interval(what) else { return Ok(()) };
        taken(&mut self.known(), (what, who), interval, self.now())?;
        match &self.0.relay {
            Some(relay) => self.take_with_others(relay, (what, who), interval).await,
            None => Ok(()),
        }
    }

    /// Whether the next one would be one too many, as far as this process knows.
    pub fn is_over(&self, what: What, who: Who) -> bool {
        let Some(interval) = self.0.rates.interval(what) else { return false };
        let full = self.known().peek(&(what, who)).copied().unwrap_or_default();
        (full + interval).saturating_sub(self.now()) > WINDOW
    }

    async fn take_with_others(
        &self,
        relay: &Relay,
        (what, who): (What, Who),
        interval: Duration,
    ) -> Result<(), TooOften> {
        if self.now() < Duration::from_millis(self.0.away_until.load(Ordering::Relaxed)) {
            return Ok(());
        }
        let key = match who {
            Who::User(id) => format!("{}:user-{id}", what.as_str()),
            Who::Address(address) => format!("{}:{address}", what.as_str()),
        };
        let asked = relay.count(&key, interval, WINDOW);
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(wait)) => wait.map_or(Ok(()), |wait| Err(TooOften(wait))),
            away => {
                if let Ok(Err(error)) = away {
                    tracing::debug!(%error, "rates are counted by this process alone for now");
                }
                let again = (self.now() + PAUSE).as_millis();
                let again = u64::try_from(again).unwrap_or(u64::MAX);
                self.0.away_until.store(again, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    fn now(&self) -> Duration {
        self.0.began.elapsed()
    }

    fn known(&self) -> MutexGuard<'_, LruCache<(What, Who), Duration>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn taken(
    known: &mut LruCache<(What, Who), Duration>,
    key: (What, Who),
    interval: Duration,
    now: Duration,
) -> Result<(), TooOften> {
    let full = known.get(&key).copied().unwrap_or_default().max(now) + interval;
    match full.saturating_sub(now).checked_sub(WINDOW).filter(|wait| !wait.is_zero()) {
        Some(wait) => Err(TooOften(wait)),
        None => {
            known.put(key, full);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(text: &str) -> Who {
        Who::at(text.parse().unwrap())
    }

    #[test]
    fn a_minute_s_worth_may_come_at_once_and_comes_back_evenly() {
        let mut known = LruCache::new(KNOWN);
        let (key, interval) = ((What::Api, who("10.0.0.1")), Duration::from_secs(1));
        let mut take = |second: u64| {
            taken(&mut known, key, interval, Duration::from_secs(second))
                .map_err(|TooOften(wait)| wait.as_secs())
        };
        for _ in 0..60 {
            assert_eq!(take(100), Ok(()));
        }
        assert_eq!((take(100), take(100)), (Err(1), Err(1)), "who is refused waits no longer");
        assert_eq!((take(101), take(101)), (Ok(()), Err(1)));
        assert_eq!((take(104), take(104), take(104), take(104)), (Ok(()), Ok(()), Ok(()), Err(1)));
    }

    #[test]
    fn who_asked_longest_ago_is_forgotten_when_there_are_too_many() {
        let mut known = LruCache::new(KNOWN);
        for number in 0..2 * u32::try_from(KNOWN.get()).unwrap() {
            let key = (What::Stranger, Who::at(std::net::Ipv4Addr::from(number).into()));
            taken(&mut known, key, Duration::from_secs(1), Duration::ZERO).unwrap();
        }
        assert_eq!(known.len(), KNOWN.get());
    }

    #[tokio::test]
    async fn a_rate_of_zero_is_none_and_each_is_counted_apart() {
        let rates = PerMinute { sign_in: Some(2), api: Some(0), ..PerMinute::default() };
        let rates = Rates::new(rates, None);
        let (one, other) = (who("2001:db8::1"), who("2001:db8:0:1::1"));
        for _ in 0..2 {
            assert!(!rates.is_over(What::SignIn, one));
            rates.take(What::SignIn, one).await.unwrap();
        }
        assert!(rates.is_over(What::SignIn, one) && !rates.is_over(What::SignIn, other));
        let TooOften(wait) = rates.take(What::SignIn, who("2001:db8::ffff")).await.unwrap_err();
        assert!(wait > Duration::from_secs(1) && wait <= Duration::from_secs(30), "{wait:?}");
        rates.take(What::SignIn, other).await.unwrap();
        for _ in 0..1_000 {
            rates.take(What::Api, one).await.unwrap();
            rates.take(What::Stranger, one).await.unwrap();
        }
        assert_eq!(who("::ffff:10.0.0.1"), who("10.0.0.1"));
    }
}
