//! How often somebody did something, counted by all processes together (see `rates`).

use std::time::Duration;

use super::{Relay, Result};

/// The key holds when everything will have come back, in microseconds since 1970 by Redis' clock,
/// and ends then. Answers with how long to wait, in microseconds, and counts one if that is 0.
const COUNT: &str = "local time = redis.call('TIME') \
    local now = tonumber(time[1]) * 1000000 + tonumber(time[2]) \
    local full = tonumber(redis.call('GET', KEYS[1]) or '0') \
    if full < now then full = now end \
    full = full + tonumber(ARGV[1]) \
    local over = full - now - tonumber(ARGV[2]) \
    if over > 0 then return over end \
    redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000)) \
    return 0";

impl Relay {
    /// Counts one of `key`, unless it is one too many: how long to wait then. One comes back
    /// after each `interval`, and no more are held than fit into `window`.
    pub async fn count(
        &self,
        key: &str,
        interval: Duration,
        window: Duration,
    ) -> Result<Option<Duration>> {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let mut count = redis::cmd("EVAL");
        count.arg(COUNT).arg(1).arg(format!("{}:rate:{key}", self.0.prefix));
        let wait: u64 = self.query(count.arg(micros(interval).max(1)).arg(micros(window))).await?;
        Ok((wait > 0).then(|| Duration::from_micros(wait)))
    }
}
