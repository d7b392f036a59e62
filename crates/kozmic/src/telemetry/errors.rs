//! Kozmic's own errors and panics go to Sentry, or to who speaks like it.

use std::sync::Arc;

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};
use sentry::transports::ReqwestHttpTransportOptions;
use sentry::{ClientInitGuard, ClientOptions, Transport, TransportFactory, TransportOptions};

use crate::config::Trust;
use crate::outgoing;

/// Our HTTP client.
struct Http(reqwest::Client);

impl TransportFactory for Http {
    fn create_transport_with_options(&self, options: TransportOptions) -> Arc<dyn Transport> {
        let options = ReqwestHttpTransportOptions::from(options).with_client(self.0.clone());
        Arc::new(options.build())
    }
}

pub(super) struct Errors(
    #[allow(dead_code, reason = "what is left is sent when it is dropped")] ClientInitGuard,
);

/// Only what is logged as an error, and panics: no breadcrumbs, which would tell of what
/// people do, nothing of a request, and no name of the machine.
pub(super) fn begin(dsn: &SecretString, trust: &Trust) -> anyhow::Result<Errors> {
    let dsn = dsn.expose_secret().parse().ok().context("KOZMIC_SENTRY_DSN can't be understood")?;
    let mut options = ClientOptions::new();
    options.dsn = Some(dsn);
    options.release = Some(concat!("kozmic@", env!("CARGO_PKG_VERSION")).into());
    options.transport = Some(Arc::new(Http(outgoing::http(trust)?.build()?)));
    options.send_default_pii = false;
    options.max_breadcrumbs = 0;
    options.server_name = Some("kozmic".into());
    options.before_send = Some(Arc::new(|mut event| {
        event.user = None;
        event.request = None;
        Some(event)
    }));
    Ok(Errors(sentry::init(options)))
}

/// To be filtered by its level.
pub(super) fn layer() -> sentry::integrations::tracing::ErrorLayer {
    sentry::integrations::tracing::ErrorLayer::new()
}
