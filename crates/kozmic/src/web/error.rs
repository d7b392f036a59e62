//! Every refusal as a page: what failed and what to do. Internals go to the
//! server's log, once, here.

use std::any::Any;

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use crate::store::StoreError;

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
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    title: &'a str,
    sentence: &'a str,
    /// Where to go on, and what it is called.
    next: (&'a str, &'a str),
}

impl PageError {
    pub(super) fn no_such(what: &str) -> Self {
        Self::NotFound(format!("There is no such {what}, or it was deleted."))
    }

    pub(super) fn not_signed_in(status: StatusCode, sentence: &str) -> Self {
        Self::NotSignedIn(status, sentence.to_owned())
    }

    /// Logs what went wrong with `what` and hides it from the visitor.
    pub(super) fn internal(what: &str, error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, what, "a request failed");
        Self::Internal
    }
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(why) => Self::Conflict(why),
            error => Self::internal("store", &error),
        }
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let (status, title, sentence) = match &self {
            Self::NotFound(sentence) => (StatusCode::NOT_FOUND, "Not found", sentence.as_str()),
            Self::BadRequest(sentence) => {
                (StatusCode::BAD_REQUEST, "Not understood", sentence.as_str())
            }
            Self::Forbidden(sentence) => (StatusCode::FORBIDDEN, "Not allowed", sentence.as_str()),
            Self::Unauthorized(sentence) => (StatusCode::UNAUTHORIZED, "Not signed in", *sentence),
            Self::NotSignedIn(status, sentence) => (*status, "Not signed in", sentence.as_str()),
            Self::Conflict(sentence) => {
                (StatusCode::CONFLICT, "Not possible now", sentence.as_str())
            }
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something broke here",
                "It was not your doing. Please try again; the administrator finds the reason in the server's log.",
            ),
        };
        let next = match self {
            Self::Unauthorized(_) | Self::NotSignedIn(..) => ("/login/", "Sign in"),
            _ => ("/", "To the projects"),
        };
        let page = ErrorPage { title, sentence, next };
        let html = page.render().unwrap_or_else(|_| sentence.to_owned());
        let mut response = (status, Html(html)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

#[allow(clippy::needless_pass_by_value, reason = "the layer hands it over")]
pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    tracing::error!(panic = text, "a request panicked");
    PageError::Internal.into_response()
}
