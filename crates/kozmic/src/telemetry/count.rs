//! What happens is counted by these.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

/// Rare ones begin at zero, so that the first is an increase.
pub(super) fn begin() {
    for result in ["taken", "refused", "failed"] {
        counter!("kozmic_deliveries_total", "result" => result).absolute(0);
    }
    for result in ["hit", "miss"] {
        counter!("kozmic_cache_total", "result" => result).absolute(0);
    }
    for kind in ["mail", "webhook"] {
        for result in ["sent", "again", "refused", "dropped"] {
            counter!("kozmic_messages_total", "kind" => kind, "result" => result).absolute(0);
        }
    }
    for status in ["2xx", "3xx", "4xx", "5xx", "none"] {
        counter!("kozmic_github_calls_total", "status" => status).absolute(0);
    }
    for what in ["sign_in", "code", "api", "stranger", "delivery"] {
        counter!("kozmic_rate_limited_total", "what" => what).absolute(0);
    }
    counter!("kozmic_leases_lost_total").absolute(0);
    for what in ["page", "log"] {
        gauge!("kozmic_live_viewers", "what" => what).set(0.0);
    }
    gauge!("kozmic_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// `route` is a pattern of the table of routes.
pub fn request(method: &'static str, route: &'static str, status: u16, took: Duration) {
    let status = status.to_string();
    counter!("kozmic_http_requests_total", "method" => method, "route" => route, "status" => status)
        .increment(1);
    histogram!("kozmic_http_request_duration_seconds", "method" => method, "route" => route)
        .record(took.as_secs_f64());
}

/// A webhook of GitHub was answered with this status.
pub fn delivery(status: u16) {
    let result = match status {
        200..=299 => "taken",
        400..=499 => "refused",
        _ => "failed",
    };
    counter!("kozmic_deliveries_total", "result" => result).increment(1);
}

/// Something came too often.
pub fn rate_limited(what: &'static str) {
    counter!("kozmic_rate_limited_total", "what" => what).increment(1);
}

pub fn job_ended(status: &'static str, cause: &'static str) {
    counter!("kozmic_jobs_finished_total", "status" => status, "cause" => cause).increment(1);
}

pub fn phase(phase: &'static str, took: Duration) {
    histogram!("kozmic_job_phase_seconds", "phase" => phase).record(took.as_secs_f64());
}

pub fn job_networks(free: usize, used: usize) {
    for (state, number) in [("free", free), ("used", used)] {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        gauge!("kozmic_job_networks", "state" => state).set(f64::from(number));
    }
}

pub fn lease_lost() {
    counter!("kozmic_leases_lost_total").increment(1);
}

/// An attempt to send a mail or a webhook.
pub fn message(kind: &'static str, result: &'static str) {
    counter!("kozmic_messages_total", "kind" => kind, "result" => result).increment(1);
}

/// None: no answer came. What it said of calls that are left, if it did.
pub fn github_call(status: Option<u16>, remaining: Option<u32>) {
    let status = match status {
        None => "none",
        Some(200..=299) => "2xx",
        Some(300..=399) => "3xx",
        Some(400..=499) => "4xx",
        Some(_) => "5xx",
    };
    counter!("kozmic_github_calls_total", "status" => status).increment(1);
    if let Some(remaining) = remaining {
        gauge!("kozmic_github_rate_remaining").set(remaining);
    }
}

pub fn cache(is_hit: bool) {
    let result = if is_hit { "hit" } else { "miss" };
    counter!("kozmic_cache_total", "result" => result).increment(1);
}

#[allow(clippy::cast_precision_loss, reason = "a byte more or less")]
pub fn disk(kind: &'static str, bytes: u64) {
    gauge!("kozmic_disk_bytes", "kind" => kind).set(bytes as f64);
}

/// Counts as long as it lives.
#[derive(Debug)]
pub struct Viewer(&'static str);

impl Viewer {
    /// `page` or `log`.
    pub fn of(what: &'static str) -> Self {
        gauge!("kozmic_live_viewers", "what" => what).increment(1.0);
        Self(what)
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        gauge!("kozmic_live_viewers", "what" => self.0).decrement(1.0);
    }
}

/// How many there are, and how long the first has waited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    pub count: u64,
    pub oldest: Duration,
}

/// What is so now, as the store tells it.
#[derive(Debug, Clone, Default)]
pub struct Now {
    /// By `approval`, `jobs` and `worker`.
    pub queue: Vec<(&'static str, Waiting)>,
    pub running: u64,
    /// By `status`, `mail` and `webhook`.
    pub outbox: Vec<(&'static str, Waiting)>,
    /// By `ready` and `troubled`.
    pub workers: Vec<(&'static str, u64)>,
    /// By `used` and `idle`.
    pub connections: Vec<(&'static str, u64)>,
}

#[allow(clippy::cast_precision_loss, reason = "there are never so many")]
pub fn now(now: &Now) {
    for (reason, waiting) in &now.queue {
        gauge!("kozmic_queue_jobs", "reason" => *reason).set(waiting.count as f64);
        gauge!("kozmic_queue_oldest_seconds", "reason" => *reason)
            .set(waiting.oldest.as_secs_f64());
    }
    for (kind, waiting) in &now.outbox {
        gauge!("kozmic_outbox_pending", "kind" => *kind).set(waiting.count as f64);
        gauge!("kozmic_outbox_oldest_seconds", "kind" => *kind).set(waiting.oldest.as_secs_f64());
    }
    for (state, count) in &now.workers {
        gauge!("kozmic_workers", "state" => *state).set(*count as f64);
    }
    for (state, count) in &now.connections {
        gauge!("kozmic_database_connections", "state" => *state).set(*count as f64);
    }
    gauge!("kozmic_jobs_running").set(now.running as f64);
}
