//! What the system says of this process (proc(5)).

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use metrics::{counter, gauge};

static STARTED: LazyLock<f64> = LazyLock::new(|| {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_secs_f64()
});

/// Of a second, in `/proc/PID/stat`: USER_HZ, which is 100 on every system that Rust's
/// standard library is built for.
const TICKS: u64 = 100;

pub(super) fn measure() {
    gauge!("process_start_time_seconds").set(*STARTED);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u32>().ok()
    };
    if let Some(kibibytes) = field("VmRSS:") {
        gauge!("process_resident_memory_bytes").set(f64::from(kibibytes) * 1024.0);
    }
    if let Some(threads) = field("Threads:") {
        gauge!("process_threads").set(threads);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        let count = u32::try_from(open.count()).unwrap_or(u32::MAX);
        gauge!("process_open_fds").set(count);
    }
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name before the bracket may have spaces; utime and stime are fields 14 and 15.
    let after = stat.rsplit_once(") ").map(|(_, after)| after).unwrap_or_default();
    let ticks: u64 =
        after.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    counter!("process_cpu_seconds_total").absolute(ticks / TICKS);
}

/// Called when the process begins.
pub(super) fn began() {
    LazyLock::force(&STARTED);
}
