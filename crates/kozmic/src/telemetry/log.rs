//! The server's own log, and what is made of it beside: traces of its spans, and errors.

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

use super::{errors, process, traces};
use crate::config::WatchSettings;

/// What is on its way to others when the server stops is sent before this is gone.
#[must_use = "what it guards ends with it"]
pub struct Guard {
    traces: Option<traces::Traces>,
    _errors: Option<errors::Errors>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(traces) = self.traces.take() {
            traces.end();
        }
    }
}

/// Once for each process, within the runtime.
pub fn start_logging(settings: &WatchSettings) -> anyhow::Result<Guard> {
    process::began();
    let filter =
        EnvFilter::try_from_env("KOZMIC_LOG").unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn"));
    // Standard error, so that standard output stays free for a command's answer.
    let (text, json) = if settings.log_json {
        let json = fmt::layer().json().flatten_event(true).with_writer(std::io::stderr);
        (None, Some(json))
    } else {
        let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        (Some(fmt::layer().with_ansi(is_terminal).with_writer(std::io::stderr)), None)
    };
    let trust = &settings.trust;
    let errors = settings.sentry_dsn.as_ref().map(|dsn| errors::begin(dsn, trust)).transpose()?;
    let to_sentry = errors.is_some().then(errors::layer);
    let traces = settings.otlp_url.as_ref().map(|url| traces::begin(url, trust)).transpose()?;
    let to_otlp = traces.as_ref().map(traces::Traces::layer);
    // Of our own spans; those of libraries are many, and say little.
    let ours = EnvFilter::new("off,kozmic=info");
    let subscriber = tracing_subscriber::registry()
        .with(text.with_filter(filter.clone()))
        .with(json.with_filter(filter))
        .with(to_otlp.with_filter(ours))
        .with(to_sentry.with_filter(LevelFilter::ERROR));
    // Tests have one already.
    let _ = subscriber.try_init();
    Ok(Guard { traces, _errors: errors })
}
