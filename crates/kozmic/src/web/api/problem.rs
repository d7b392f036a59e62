//! Refusals as problem details (RFC 9457).

use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::intake::{AskError, FindError};
use crate::objects::ObjectError;
use crate::store::StoreError;
use crate::web::error::{RequestId, Told};

#[derive(Debug)]
pub(in crate::web) struct Problem {
    status: StatusCode,
    detail: String,
}

impl Problem {
    pub(in crate::web) fn of(status: StatusCode, detail: String) -> Self {
        Self { status, detail }
    }

    /// With the name of the request that it answers.
    pub(in crate::web) fn body(&self, id: Option<&RequestId>) -> String {
        let mut body = json!({
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(RequestId(id)) = id {
            body["request_id"] = id.as_str().into();
        }
        body.to_string()
    }

    pub(in crate::web) fn not_found(what: &str) -> Self {
        let detail = format!("There is no such {what}, or this token may not see it.");
        Self { status: StatusCode::NOT_FOUND, detail }
    }

    pub(in crate::web) fn no_such_route(uri: &Uri) -> Self {
        Self { status: StatusCode::NOT_FOUND, detail: format!("The API has no {}.", uri.path()) }
    }

    pub(in crate::web) fn unauthorized(detail: &str) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, detail: detail.to_owned() }
    }

    pub(in crate::web) fn forbidden(detail: &str) -> Self {
        Self { status: StatusCode::FORBIDDEN, detail: detail.to_owned() }
    }

    pub(in crate::web) fn bad_request(detail: String) -> Self {
        Self { status: StatusCode::BAD_REQUEST, detail }
    }

    pub(in crate::web) fn too_large(detail: String) -> Self {
        Self { status: StatusCode::PAYLOAD_TOO_LARGE, detail }
    }

    /// It was there once.
    pub(in crate::web) fn gone(detail: String) -> Self {
        Self { status: StatusCode::GONE, detail }
    }

    /// It is there and can't be read; the reason is logged where it is known.
    pub(in crate::web) fn unreadable(detail: String) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, detail }
    }

    /// The request is right, but not as things stand.
    pub(super) fn conflict(detail: String) -> Self {
        Self { status: StatusCode::CONFLICT, detail }
    }
}

impl From<FindError> for Problem {
    fn from(error: FindError) -> Self {
        match error {
            FindError::Unknown(why) => {
                Self { status: StatusCode::UNPROCESSABLE_ENTITY, detail: why }
            }
            FindError::Ask(AskError::Store(error)) => error.into(),
            FindError::Ask(AskError::Github(error)) => {
                Self { status: StatusCode::BAD_GATEWAY, detail: format!("{error}.") }
            }
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if let StoreError::Refused(why) = error {
            return Self::conflict(why);
        }
        if error.is_away() {
            tracing::error!(%error, "the database is away");
            let detail = "The database does not answer; try again in a minute.".into();
            return Self { status: StatusCode::SERVICE_UNAVAILABLE, detail };
        }
        tracing::error!(%error, "an API request failed");
        let detail =
            "It was not your doing; the administrator finds the reason in the server's log.".into();
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, detail }
    }
}

impl From<ObjectError> for Problem {
    fn from(error: ObjectError) -> Self {
        tracing::error!(%error, "an artifact could not be read");
        let detail = "The artifact can't be read.".into();
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, detail }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        let head = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            head.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            head.insert(header::RETRY_AFTER, HeaderValue::from_static("30"));
        }
        // Sockets and files tell it as well, so it is whole by itself.
        let kind = HeaderValue::from_static("application/problem+json");
        head.insert(header::CONTENT_TYPE, kind);
        let told = Told { title: "", sentence: self.detail.clone() };
        response.extensions_mut().insert(told);
        *response.body_mut() = self.body(None).into();
        response
    }
}
