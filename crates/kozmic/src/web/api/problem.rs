//! Refusals as problem details (RFC 9457).

use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::intake::{AskError, FindError};
use crate::objects::ObjectError;
use crate::store::StoreError;
use crate::upkeep::UpkeepError;
use crate::web::error::{PageError, RequestId, Told};
use crate::web::repositories::told;

#[derive(Debug)]
pub(in crate::web) struct Problem {
    status: StatusCode,
    detail: String,
    /// What is wrong with the token (RFC 6750, 3.1).
    challenge: Option<&'static str>,
}

/// A refusal, as RFC 9457 has it.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemAnswer<'a> {
    /// `about:blank`: the status says of what kind it is.
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    status: u16,
    /// What failed, on what, and what to do.
    detail: &'a str,
    /// The name of the request, as the server's log has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

impl Problem {
    pub(in crate::web) fn of(status: StatusCode, detail: String) -> Self {
        Self { status, detail, challenge: None }
    }

    /// With the name of the request that it answers.
    pub(in crate::web) fn body(&self, id: Option<&RequestId>) -> String {
        let body = ProblemAnswer {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            detail: &self.detail,
            request_id: id.map(|RequestId(id)| id.as_str()),
        };
        serde_json::to_string(&body).unwrap_or_default()
    }

    pub(in crate::web) fn not_found(what: &str) -> Self {
        let detail = format!("There is no such {what}, or this token may not see it.");
        Self::of(StatusCode::NOT_FOUND, detail)
    }

    pub(in crate::web) fn no_such_route(uri: &Uri) -> Self {
        Self::of(StatusCode::NOT_FOUND, format!("The API has no {}.", uri.path()))
    }

    /// There is no token.
    pub(in crate::web) fn unauthorized(detail: &str) -> Self {
        let challenge = Some("Bearer");
        Self { challenge, ..Self::of(StatusCode::UNAUTHORIZED, detail.to_owned()) }
    }

    /// The token is none.
    pub(in crate::web) fn bad_token(detail: &str) -> Self {
        let challenge = Some("Bearer error=\"invalid_token\"");
        Self { challenge, ..Self::of(StatusCode::UNAUTHORIZED, detail.to_owned()) }
    }

    /// The token is not for this.
    pub(in crate::web) fn insufficient_scope(detail: &str) -> Self {
        let challenge = Some("Bearer error=\"insufficient_scope\", scope=\"write\"");
        Self { challenge, ..Self::of(StatusCode::FORBIDDEN, detail.to_owned()) }
    }

    pub(in crate::web) fn forbidden(detail: &str) -> Self {
        Self::of(StatusCode::FORBIDDEN, detail.to_owned())
    }

    pub(in crate::web) fn bad_request(detail: String) -> Self {
        Self::of(StatusCode::BAD_REQUEST, detail)
    }

    pub(in crate::web) fn too_large(detail: String) -> Self {
        Self::of(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// It was there once.
    pub(in crate::web) fn gone(detail: String) -> Self {
        Self::of(StatusCode::GONE, detail)
    }

    /// It is there and can't be read; the reason is logged where it is known.
    pub(in crate::web) fn unreadable(detail: String) -> Self {
        Self::of(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }

    /// The request is right, but not as things stand.
    pub(super) fn conflict(detail: String) -> Self {
        Self::of(StatusCode::CONFLICT, detail)
    }
}

impl From<FindError> for Problem {
    fn from(error: FindError) -> Self {
        match error {
            FindError::Unknown(why) => Self::of(StatusCode::UNPROCESSABLE_ENTITY, why),
            FindError::Ask(AskError::Store(error)) => error.into(),
            FindError::Ask(AskError::Github(error)) => {
                Self::of(StatusCode::BAD_GATEWAY, format!("{error}."))
            }
        }
    }
}

impl From<UpkeepError> for Problem {
    fn from(error: UpkeepError) -> Self {
        let status = match &error {
            UpkeepError::Github(_) => StatusCode::BAD_GATEWAY,
            _ => StatusCode::CONFLICT,
        };
        match told(error) {
            Ok(sentence) => Self::of(status, sentence),
            Err(error) => error.into(),
        }
    }
}

/// What pages and the API do alike is refused alike.
impl From<PageError> for Problem {
    fn from(error: PageError) -> Self {
        let (status, Told { sentence, .. }) = error.told();
        match status {
            StatusCode::UNAUTHORIZED => Self::unauthorized(&sentence),
            status => Self::of(status, sentence),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let error = match error.refusal() {
            Ok(why) => return Self::conflict(why),
            Err(error) => error,
        };
        if error.is_away() {
            tracing::error!(%error, "the database is away");
            let detail = "The database does not answer; try again in a minute.".into();
            return Self::of(StatusCode::SERVICE_UNAVAILABLE, detail);
        }
        tracing::error!(%error, "an API request failed");
        let detail =
            "It was not your doing; the administrator finds the reason in the server's log.".into();
        Self::of(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }
}

impl From<ObjectError> for Problem {
    fn from(error: ObjectError) -> Self {
        tracing::error!(%error, "an artifact could not be read");
        let detail = "The artifact can't be read.".into();
        Self::of(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        let head = response.headers_mut();
        if let Some(challenge) = self.challenge {
            head.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
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
