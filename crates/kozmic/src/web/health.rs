//! For load balancers and scripts: does it run, and can it work.

use axum::extract::State;
use axum::http::StatusCode;

use super::App;

pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// 200 when all parts answer; otherwise 503 and which do not.
pub(super) async fn readyz(State(app): State<App>) -> (StatusCode, String) {
    let unready = (app.unready)().await;
    if unready.is_empty() {
        (StatusCode::OK, "ready\n".into())
    } else {
        let text = format!("not ready: no answer from the {}\n", unready.join(" and the "));
        (StatusCode::SERVICE_UNAVAILABLE, text)
    }
}
