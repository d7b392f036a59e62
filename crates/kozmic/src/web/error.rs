//! Every refusal as a page: what failed and what to do. Internals go to the
//! server's log, once, here.

use std::any::Any;
use std::time::Duration;

use askama::Template;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::api::Problem;
use super::words::problems::{self, Thing};
use crate::model::JobUuid;
use crate::store::StoreError;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROBLEM: &str = "application/problem+json";
/// Of a text that says what was not understood.
const LONGEST: usize = 8 * 1024;

#[derive(Debug)]
pub(super) enum PageError {
    NotFound(String),
    BadRequest(String),
    Forbidden(String),
    /// Nobody known asks, and asks for no page.
    Unauthorized(&'static str),
    /// A sign-in that came to nothing.
    NotSignedIn(StatusCode, String),
    /// The request is right, but not as things stand.
    Conflict(String),
    /// Ours to mend; the visitor learns no more than that.
    Internal,
    /// What everything here needs does not answer.
    Away,
    /// Again after so long; what came too often, and for whom.
    TooOften(Duration, String),
    /// What was sent was too much, or something took too long.
    Bounds(StatusCode, String),
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    title: &'a str,
    sentence: &'a str,
    status: u16,
    /// Of the request.
    id: &'a str,
    /// Where to go on, and what it is called.
    next: (&'a str, &'a str),
}

impl PageError {
    pub(super) fn no_such(thing: Thing) -> Self {
        Self::NotFound(problems::no_such(thing))
    }

    pub(super) fn not_signed_in(status: StatusCode, sentence: &str) -> Self {
        Self::NotSignedIn(status, sentence.to_owned())
    }

    /// For programs that show what they are told: the sentence alone.
    pub(super) fn plainly(self) -> Response {
        let mut response = self.into_response();
        if let Some(Told { sentence, .. }) = response.extensions_mut().remove() {
            *response.body_mut() = Body::from(sentence);
        }
        response
    }

    /// The status, and what is told.
    pub(super) fn told(self) -> (StatusCode, Told) {
        let (status, title, sentence) = match self {
            Self::NotFound(sentence) => (StatusCode::NOT_FOUND, problems::NOT_FOUND, sentence),
            Self::BadRequest(sentence) => {
                (StatusCode::BAD_REQUEST, problems::NOT_UNDERSTOOD, sentence)
            }
            Self::Forbidden(sentence) => (StatusCode::FORBIDDEN, problems::NOT_ALLOWED, sentence),
            Self::Unauthorized(sentence) => {
                (StatusCode::UNAUTHORIZED, problems::NOT_SIGNED_IN, sentence.to_owned())
            }
            Self::NotSignedIn(status, sentence) => (status, problems::NOT_SIGNED_IN, sentence),
            Self::Conflict(sentence) => (StatusCode::CONFLICT, problems::NOT_NOW, sentence),
            Self::Internal => {
                (StatusCode::INTERNAL_SERVER_ERROR, problems::BROKE, problems::WHY_BROKE.to_owned())
            }
            Self::Away => {
                (StatusCode::SERVICE_UNAVAILABLE, problems::AWAY, problems::WHY_AWAY.to_owned())
            }
            Self::Bounds(status, sentence) => {
                let title = match status {
                    StatusCode::PAYLOAD_TOO_LARGE => problems::TOO_MUCH,
                    StatusCode::REQUEST_TIMEOUT => problems::TOO_SLOW,
                    _ => problems::NOT_IN_TIME,
                };
                (status, title, sentence)
            }
            Self::TooOften(wait, sentence) => {
                let seconds = whole_seconds(wait);
                let sentence = problems::again_in(&sentence, seconds);
                (StatusCode::TOO_MANY_REQUESTS, problems::TOO_OFTEN, sentence)
            }
        };
        (status, Told { title, sentence })
    }

    /// Logs what went wrong with `what` and hides it from the visitor.
    pub(super) fn internal(what: &str, error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, what, "a request failed");
        Self::Internal
    }
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        match error.refusal() {
            Ok(why) => Self::Conflict(why),
            Err(error) if error.is_away() => {
                tracing::error!(%error, "the database is away");
                Self::Away
            }
            Err(error) => Self::internal("store", &error),
        }
    }
}

/// What an answer tells of a refusal. The page or the problem around it is made last, by
/// [`finish`], which knows the request's id.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) title: &'static str,
    pub(super) sentence: String,
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let wait =
            if let Self::TooOften(wait, _) = &self { Some(whole_seconds(*wait)) } else { None };
        let (status, told) = self.told();
        let mut response = status.into_response();
        let head = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            head.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            head.insert(header::RETRY_AFTER, HeaderValue::from_static("30"));
        }
        if let Some(wait) = wait {
            head.insert(header::RETRY_AFTER, wait.into());
        }
        response.extensions_mut().insert(told);
        response
    }
}

/// The next second that is whole.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + 1
}

#[allow(clippy::needless_pass_by_value, reason = "the layer hands it over")]
pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    tracing::error!(panic = text, "a request panicked");
    PageError::Internal.into_response()
}

/// Names a request: its answer, its page and the server's log have it.
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub(super) String);

/// Gives each request a name, and each refusal its page, or for the API its problem:
/// what handlers refuse, and what never reached one.
pub(super) async fn finish(mut request: Request, next: Next) -> Response {
    let id = RequestId(JobUuid::random().to_string());
    request.extensions_mut().insert(id.clone());
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    let told = match response.extensions_mut().remove::<Told>() {
        Some(told) => Some(told),
        None if is_bare(&path, &response) => {
            let status = response.status();
            let (head, body) = response.into_parts();
            let text = to_bytes(body, LONGEST).await.unwrap_or_default();
            response = Response::from_parts(head, Body::empty());
            Some(explained(status, String::from_utf8_lossy(&text).trim()))
        }
        None => None,
    };
    if let Some(told) = told {
        response = shown(&path, &id, response, &told);
    }
    if let Ok(name) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, name);
    }
    response
}

/// Made by no handler of ours: a method that is not there, a body that is not understood.
fn is_bare(path: &str, response: &Response) -> bool {
    let for_programs = ["/_hooks/", "/badges/", "/healthz", "/readyz", "/metrics"];
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_plain = kind.is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    let is_refusal = matches!(response.status().as_u16(), 400 | 404 | 405 | 413 | 415 | 422);
    is_refusal && is_plain && !for_programs.iter().any(|start| path.starts_with(start))
}

fn explained(status: StatusCode, text: &str) -> Told {
    let (title, sentence) = match status {
        StatusCode::METHOD_NOT_ALLOWED => (problems::OTHER_METHOD, problems::WHY_OTHER_METHOD),
        StatusCode::PAYLOAD_TOO_LARGE => (problems::TOO_MUCH, problems::WHY_TOO_MUCH),
        StatusCode::NOT_FOUND => (problems::NOT_FOUND, problems::WHY_NOT_FOUND),
        _ if text.is_empty() => (problems::NOT_UNDERSTOOD, problems::WHY_NOT_UNDERSTOOD),
        _ => (problems::NOT_UNDERSTOOD, text),
    };
    let sentence = sentence.to_owned();
    Told { title, sentence }
}

fn shown(path: &str, id: &RequestId, response: Response, told: &Told) -> Response {
    let (mut head, _) = response.into_parts();
    let status = head.status;
    // What programs ask for tells them so wherever it lies.
    let is_problem = head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == PROBLEM);
    let (kind, body) = if path.starts_with("/api/") || is_problem {
        let problem = Problem::of(status, told.sentence.clone());
        (PROBLEM, problem.body(Some(id)))
    } else {
        let next = if told.title == problems::NOT_SIGNED_IN {
            ("/login/", problems::TO_SIGN_IN)
        } else {
            ("/", problems::TO_PROJECTS)
        };
        let Told { title, sentence } = told;
        let page = ErrorPage { title, sentence, status: status.as_u16(), id: &id.0, next };
        ("text/html; charset=utf-8", page.render().unwrap_or_else(|_| sentence.clone()))
    };
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    head.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(head, Body::from(body))
}
