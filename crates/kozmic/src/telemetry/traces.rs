//! Spans of the server go to who understands OpenTelemetry's protocol, over HTTP.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::runtime::Handle;
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::registry::LookupSpan;
use url::Url;

use crate::config::Trust;
use crate::outgoing;

const TIMEOUT: Duration = Duration::from_secs(10);
/// Where traces are taken, below the root (OTLP, "OTLP/HTTP Request").
const PATH: &str = "v1/traces";

pub(super) struct Traces(SdkTracerProvider);

/// Our HTTP client. The batches are sent by a thread of their own, which has no runtime.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    runtime: Handle,
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let http = self.http.clone();
        let sent = self.runtime.spawn(async move {
            let answer = http.execute(request.try_into()?).await?;
            let status = answer.status();
            // What it says beside is of no use here.
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = status;
            Ok::<_, HttpError>(response)
        });
        sent.await?
    }
}

/// Where traces are sent.
pub fn endpoint(root: &Url) -> String {
    format!("{}/{PATH}", root.as_str().trim_end_matches('/'))
}

/// `root` is as `OTEL_EXPORTER_OTLP_ENDPOINT` has it: http://HOST:4318.
pub(super) fn begin(root: &Url, trust: &Trust) -> anyhow::Result<Traces> {
    let http = outgoing::http(trust)?
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Client { http, runtime: Handle::current() })
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint(root))
        .with_timeout(TIMEOUT)
        .build()?;
    let resource = Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", "kozmic"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ])
        .build();
    let provider =
        SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
    Ok(Traces(provider))
}

impl Traces {
    pub(super) fn layer<S>(&self) -> OpenTelemetryLayer<S, SdkTracer>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("kozmic"))
            .with_location(false)
            .with_threads(false)
    }

    /// Sends what is left.
    pub(super) fn end(self) {
        // From a thread that may wait: the runtime has to send it.
        let ended = std::thread::spawn(move || self.0.shutdown()).join();
        if !matches!(ended, Ok(Ok(()))) {
            tracing::warn!("the last traces could not be sent");
        }
    }
}
