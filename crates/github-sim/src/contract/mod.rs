//! The stand-in held to GitHub's own descriptions: what it is asked, answers and delivers.
//!
//! Each REST request and its answer is checked against GitHub's `OpenAPI` description, each
//! webhook against GitHub's schemas of webhooks; `contract/describe.mjs` makes what is checked
//! out of both. What is not valid is remembered ([`Watch`]), and from then on every control call
//! fails and says what and where: so fails the test that it happened in.
//!
//! - `description` GitHub's descriptions: which operation is asked for, and what is said about it
//! - `exceptions`  what GitHub does and its description does not say, in one place
//! - `schema`      JSON Schema, compiled when it is needed

mod description;
pub(crate) mod exceptions;
mod schema;

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{Method, StatusCode, header},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use serde_json::Value;

use self::{description::Operation, schema::Problem};
use crate::{
    app::App,
    faults::{Dropped, Faulty},
};

const API: &str = "/api/v3";
/// Larger bodies are no part of any test.
const LARGEST: usize = 64 * 1024 * 1024;

/// What was not as GitHub describes it; all clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Watch(Arc<Mutex<Vec<String>>>);

impl Watch {
    /// Operation or event, side, JSON pointer and reason of each violation, oldest first.
    pub fn violations(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn report(&self, violation: String) {
        tracing::error!("not as GitHub describes it: {violation}");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(violation);
    }
}

/// Middleware: checks a REST request and its answer.
pub(crate) async fn check(State(app): State<App>, request: Request, next: Next) -> Response {
    let path = request.uri().path().strip_prefix(API).map(str::to_owned);
    let Some(path) = path.filter(|_| !exceptions::is_deliberate(request.headers())) else {
        return next.run(request).await;
    };
    let method = request.method().clone();
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST).await else {
        return next.run(Request::from_parts(parts, Body::empty())).await;
    };
    let path = exceptions::by_name(&path);
    let asked = format!("{method} {path}");
    let operation = description::operation(&method, &path);
    let mut found = Vec::new();
    match &operation {
        None => found.push(Problem::new("request", "", "GitHub describes no such operation")),
        Some((operation, values)) => {
            let query = parts.uri.query().unwrap_or_default();
            found.extend(operation.parameters(values, query));
            found.extend(operation.body(&body));
        }
    }
    let answer = next.run(Request::from_parts(parts, Body::from(body))).await;
    let described = operation.as_ref().map(|(operation, _)| *operation);
    let (answer, problems) = check_answer(&method, described, answer).await;
    found.extend(problems);
    for problem in found {
        let name = described.map_or("no operation", Operation::name);
        app.watch().report(format!("{name}: {problem} (asked as {asked})"));
    }
    answer
}

async fn check_answer(
    method: &Method,
    operation: Option<&Operation>,
    answer: Response,
) -> (Response, Vec<Problem>) {
    let extensions = answer.extensions();
    let is_fault = extensions.get::<Faulty>().is_some() || extensions.get::<Dropped>().is_some();
    let Some(operation) = operation.filter(|_| !is_fault) else {
        return (answer, Vec::new());
    };
    let (parts, body) = answer.into_parts();
    let Ok(body) = to_bytes(body, LARGEST).await else {
        let problem = Problem::new("answer", "", "it is too large");
        return (Response::from_parts(parts, Body::empty()), vec![problem]);
    };
    let media = parts.headers.get(header::CONTENT_TYPE).and_then(|media| media.to_str().ok());
    let problems = if exceptions::is_not_json(media, parts.status) {
        Vec::new()
    } else {
        operation.answer(method, parts.status, &body)
    };
    (Response::from_parts(parts, Body::from(body)), problems)
}

/// Checks what is delivered to a webhook.
pub(crate) fn check_webhook(watch: &Watch, event: &str, payload: &Value) {
    for problem in description::webhook(event, payload["action"].as_str(), payload) {
        watch.report(format!("webhook {event}: {problem}"));
    }
}

/// Middleware of the control endpoints: nothing goes on once something was not valid.
pub(crate) async fn hold(State(app): State<App>, request: Request, next: Next) -> Response {
    let violations = app.watch().violations();
    if violations.is_empty() {
        return next.run(request).await;
    }
    let mut message = "an exchange was not as GitHub describes it:".to_owned();
    for violation in violations {
        let _ = write!(message, "\n- {violation}");
    }
    let mut answer = Response::new(Body::from(Bytes::from(message)));
    *answer.status_mut() = StatusCode::EXPECTATION_FAILED;
    answer
}
