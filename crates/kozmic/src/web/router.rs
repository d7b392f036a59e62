//! Every route of the server, and what holds for all of them.

use std::io;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::routing::{get, post};
use axum::{Router, middleware};
use tokio::net::TcpListener;
use tower::Layer as _;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::csrf::CsrfLayer;
use tower_http::normalize_path::NormalizePathLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::trace::TraceLayer;

use super::{
    App, access, actions, api, badge, builds, error, health, history, hook, jobs, static_files,
    tailer,
};

/// Nothing from elsewhere, no inline script. Styles of single elements carry
/// the exact colours of a log.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     style-src-attr 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'";

/// Serves until shutdown. Open requests are finished; sockets are told to go.
pub async fn serve(listener: TcpListener, app: App) -> io::Result<()> {
    let shutdown = app.shutdown.clone();
    // Outside of the router: a path with and without its last slash is one route.
    let service = NormalizePathLayer::trim_trailing_slash().layer(router(app));
    axum::serve(listener, axum::ServiceExt::<Request>::into_make_service(service))
        .with_graceful_shutdown(async move { shutdown.requested().await })
        .await
}

fn router(app: App) -> Router {
    // GitHub's deliveries, whatever name they come by.
    let deliveries = Router::new().route("/_hooks/hook/{hook}", post(hook::deliver));
    // For everyone who reaches the server by one of its names.
    let pages = Router::new()
        .route("/", get(history::home))
        .route("/projects", get(history::home))
        .route("/projects/{project}", get(history::project))
        .route("/projects/{project}/history", get(history::history))
        .route("/projects/{project}/builds/{build}", get(builds::build))
        .route("/projects/{project}/builds/{build}/jobs/{job}", get(builds::job))
        .route("/projects/{project}/jobs/{job}/log", get(jobs::plain_log))
        .route("/tailer/{uuid}", get(tailer::tail))
        .route("/projects/{project}/builds/{build}/cancel", post(actions::cancel_build))
        .route("/projects/{project}/builds/{build}/restart", post(actions::restart_build))
        .route("/projects/{project}/builds/{build}/approve", post(actions::approve_build))
        .route("/projects/{project}/jobs/{job}/cancel", post(actions::cancel_job))
        .route("/projects/{project}/jobs/{job}/restart", post(actions::restart_job))
        // Browsers say where a form was sent from; other sites' forms are refused.
        .layer(CsrfLayer::new())
        .layer(middleware::from_fn_with_state(app.clone(), access::known_host));
    // For anyone: they tell nothing but a status.
    let open = Router::new()
        .route("/badges/{login}/{name}/{*ref}", get(badge::badge))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/static/{*path}", get(static_files::file))
        // For whoever has a token.
        .nest("/api/v1", api::routes());
    let header = |name: HeaderName, value: &'static str| {
        SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
    };
    Router::new()
        .merge(deliveries)
        .merge(pages)
        .merge(open)
        .fallback(error::no_such_page)
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(header(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .layer(header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(header::REFERRER_POLICY, "same-origin"))
        .layer(TraceLayer::new_for_http())
        .with_state(app)
}
