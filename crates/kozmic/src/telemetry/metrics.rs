//! The table of what is measured, and how it is read: Prometheus' text format.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::process;

/// What a number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until the server is started anew.
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub meaning: &'static str,
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    meaning: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Counter, labels, meaning }
}

const fn gauge(
    name: &'static str,
    labels: &'static [&'static str],
    meaning: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, meaning }
}

const fn histogram(
    name: &'static str,
    labels: &'static [&'static str],
    meaning: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Histogram, labels, meaning }
}

/// Everything that is measured.
pub const METRICS: &[Metric] = &[
    counter(
        "kozmic_http_requests_total",
        &["method", "route", "status"],
        "answered requests, by the route's pattern",
    ),
    histogram(
        "kozmic_http_request_duration_seconds",
        &["method", "route"],
        "from a request to its answer's head",
    ),
    counter(
        "kozmic_deliveries_total",
        &["result"],
        "webhooks of GitHub: taken, refused (unsigned or not understood), failed (not stored)",
    ),
    counter(
        "kozmic_rate_limited_total",
        &["what"],
        "requests that came too often: sign_in, code (of a sign-in, made up), api, stranger \
         (without a valid token), delivery (without a valid signature)",
    ),
    gauge(
        "kozmic_queue_jobs",
        &["reason"],
        "jobs that wait: for an approval, for other jobs, or for a worker",
    ),
    gauge(
        "kozmic_queue_oldest_seconds",
        &["reason"],
        "how long the first of them has waited; 0: none waits",
    ),
    gauge("kozmic_jobs_running", &[], "jobs that a worker carries out"),
    counter(
        "kozmic_jobs_finished_total",
        &["status", "cause"],
        "ends of jobs on this server's workers",
    ),
    histogram("kozmic_job_phase_seconds", &["phase"], "how long the parts of finished jobs took"),
    gauge("kozmic_workers", &["state"], "workers that run: taking jobs (ready), or not (troubled)"),
    counter("kozmic_leases_lost_total", &[], "attempts whose worker or engine was lost"),
    gauge(
        "kozmic_outbox_pending",
        &["kind"],
        "what is to be told still: statuses at GitHub, mails, webhooks",
    ),
    gauge(
        "kozmic_outbox_oldest_seconds",
        &["kind"],
        "how long the first of it has waited; 0: none waits",
    ),
    counter(
        "kozmic_messages_total",
        &["kind", "result"],
        "attempts to send mails and webhooks: sent, again, refused, dropped",
    ),
    counter(
        "kozmic_github_calls_total",
        &["status"],
        "calls of GitHub's API, by the first digit of the answer; none: no answer",
    ),
    gauge(
        "kozmic_github_rate_remaining",
        &[],
        "calls that GitHub allows the token used last, until its hour is over",
    ),
    counter(
        "kozmic_cache_total",
        &["result"],
        "install steps whose image was there (hit), or was made (miss)",
    ),
    gauge(
        "kozmic_job_networks",
        &["state"],
        "networks of jobs on this server's engine: used, or free for the next ones",
    ),
    gauge("kozmic_disk_bytes", &["kind"], "what Kozmic has on disks, when it was counted last"),
    gauge(
        "kozmic_live_viewers",
        &["what"],
        "open sockets: pages that are told of changes, logs that are followed",
    ),
    gauge("kozmic_database_connections", &["state"], "of the pool: used, idle"),
    gauge("kozmic_info", &["version"], "always 1"),
    gauge("process_resident_memory_bytes", &[], "memory of the server's process"),
    gauge("process_open_fds", &[], "open files and sockets"),
    gauge("process_threads", &[], "threads"),
    counter("process_cpu_seconds_total", &[], "processor time, the system's included"),
    gauge("process_start_time_seconds", &[], "when it was started, in seconds since 1970"),
];

/// In seconds: pages and calls.
const REQUESTS: &[f64] = &[0.001, 0.005, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0];
/// In seconds: parts of jobs.
const PHASES: &[f64] = &[0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0];

static INSTALLED: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// From now on what is counted is kept. Once for each process.
pub fn install() {
    INSTALLED.get_or_init(|| {
        let requests = Matcher::Full("kozmic_http_request_duration_seconds".into());
        let built = PrometheusBuilder::new()
            .set_buckets_for_metric(requests, REQUESTS)
            .and_then(|builder| {
                builder.set_buckets_for_metric(
                    Matcher::Full("kozmic_job_phase_seconds".into()),
                    PHASES,
                )
            })
            .map(PrometheusBuilder::build_recorder);
        let recorder = match built {
            Ok(recorder) => recorder,
            Err(error) => {
                tracing::error!(%error, "nothing can be measured");
                return None;
            }
        };
        let handle = recorder.handle();
        if let Err(error) = metrics::set_global_recorder(recorder) {
            tracing::error!(%error, "nothing can be measured");
            return None;
        }
        for Metric { name, kind, meaning, .. } in METRICS {
            match kind {
                Kind::Counter => metrics::describe_counter!(*name, *meaning),
                Kind::Gauge => metrics::describe_gauge!(*name, *meaning),
                Kind::Histogram => metrics::describe_histogram!(*name, *meaning),
            }
        }
        super::count::begin();
        Some(handle)
    });
}

/// Everything that was counted, in Prometheus' text format (version 0.0.4).
pub fn render() -> String {
    let Some(Some(handle)) = INSTALLED.get() else { return String::new() };
    process::measure();
    handle.run_upkeep();
    handle.render()
}
