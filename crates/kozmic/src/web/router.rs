//! The router is built from the table of routes (see `routes`), so that there is none
//! whose visitors nobody has thought of; and what holds for all of them.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::MethodRouter;
use axum::{Router, middleware};
use tokio::net::TcpListener;
use tower::Layer as _;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::csrf::CsrfLayer;
use tower_http::normalize_path::NormalizePathLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use super::api::{self, Problem};
use super::error::{self, PageError};
use super::gate::{self, Door};
use super::routes::{self, Route};
use super::{App, access, bounds, connection, origin, watch};

/// Nothing from elsewhere, no inline script and no inline style.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'";

/// Serves until shutdown. Open requests are finished; sockets are told to go.
pub async fn serve(listener: TcpListener, app: App) {
    let shutdown = app.shutdown.clone();
    // Outside of the router: a path with and without its last slash is one route.
    let service = NormalizePathLayer::trim_trailing_slash().layer(router(app));
    connection::serve(listener, service, shutdown).await;
}

fn router(app: App) -> Router {
    // Pages, their logs and sockets are what browsers show; the rest is for programs.
    let (mut pages, mut rest) = (Router::new(), Router::new());
    for Route { entry, handler, operation } in routes::table() {
        let handler = match operation {
            Some(operation) => {
                let conduct = api::Conduct::of(entry, &operation);
                handler.layer(middleware::from_fn(move |request: Request, next: Next| {
                    api::keep(conduct.clone(), request, next)
                }))
            }
            None => handler,
        };
        let gate = middleware::from_fn_with_state((app.clone(), entry), gate::enter);
        let watched = middleware::from_fn(move |request: Request, next: Next| {
            watch::around(entry, request, next)
        });
        let body = middleware::from_fn(move |request: Request, next: Next| {
            bounds::body(entry, request, next)
        });
        let time = middleware::from_fn(move |request: Request, next: Next| {
            bounds::time(entry, request, next)
        });
        // The last is the first to see a request.
        let handler = handler.layer(body).layer(gate).layer(time).layer(watched);
        // Logs and artifacts come as they are: they may be followed, or be compressed already.
        let handler = match entry.door {
            Door::Page => compressed(handler),
            Door::Open if entry.path.starts_with("/static/") => compressed(handler),
            _ => handler,
        };
        match entry.door {
            Door::Page | Door::File | Door::Socket => pages = pages.route(entry.path, handler),
            Door::Open | Door::Delivery | Door::Api => rest = rest.route(entry.path, handler),
        }
    }
    let header = |name: HeaderName, value: &'static str| {
        SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
    };
    let pages = pages
        // What one may see, another may not: also after signing out, by going back.
        .layer(header(header::CACHE_CONTROL, "no-store"))
        // Browsers say where a form was sent from; other sites' forms are refused.
        .layer(CsrfLayer::new())
        .layer(middleware::from_fn_with_state(app.clone(), access::known_host));
    Router::new()
        .merge(pages)
        .merge(rest)
        .fallback(nothing)
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(header(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .layer(header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(header::REFERRER_POLICY, "same-origin"))
        .layer(middleware::from_fn(error::finish))
        .layer(middleware::from_fn_with_state(app.clone(), origin::find))
        .with_state(app)
}

fn compressed(handler: MethodRouter<App>) -> MethodRouter<App> {
    handler.layer(CompressionLayer::new()).layer(middleware::from_fn(only_for_own_pages))
}

/// No answer to what another site made a browser ask for is compressed: from how its length
/// changes with what they ask for, and they can choose that, they would learn what else is on
/// the page (breachattack.com). Browsers say so over TLS (`Sec-Fetch-Site`, w3.org/TR/fetch-metadata);
/// without it everything can be read anyway. No page has a secret, but private commits are on some.
async fn only_for_own_pages(mut request: Request, next: Next) -> Response {
    let site = request.headers().get("sec-fetch-site").map(HeaderValue::as_bytes);
    if matches!(site, Some(b"cross-site" | b"same-site")) {
        request.headers_mut().remove(header::ACCEPT_ENCODING);
    }
    next.run(request).await
}

/// What is in no row of the table.
async fn nothing(uri: Uri) -> Response {
    if uri.path().starts_with("/api/") {
        Problem::no_such_route(&uri).into_response()
    } else {
        PageError::NotFound(format!("There is no page {}.", uri.path())).into_response()
    }
}
