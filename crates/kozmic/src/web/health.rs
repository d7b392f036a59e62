//! For load balancers and scripts: does it run, and can it work.

use axum::extract::State;
use axum::http::StatusCode;

use super::App;
use super::words::programs as words;

pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// 200 when jobs can be carried out; otherwise 503 and what they lack.
pub(super) async fn readyz(State(app): State<App>) -> (StatusCode, String) {
    let unready = (app.unready)().await;
    if unready.is_empty() {
        (StatusCode::OK, "ready\n".into())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, words::not_ready(&unready))
    }
}
