//! What every route needs: who calls, what they may see, the body they sent, and how to refuse.

use axum::{
    Json,
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::{
    app::App,
    git::GitError,
    state::{
        Invalid,
        repositories::{Repository, Role},
    },
};

pub(crate) type Answer = Result<Response, Refusal>;

/// The user a request comes from: id and login, `None` without credentials.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub(crate) Option<(u64, String)>);

impl Caller {
    pub(crate) fn id(&self) -> Option<u64> {
        self.0.as_ref().map(|(id, _)| *id)
    }

    pub(crate) fn required(&self) -> Result<u64, Refusal> {
        self.id().ok_or_else(Refusal::requires_authentication)
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or(Self(None)))
    }
}

/// An error as GitHub answers it: `basic-error` or `validation-error`.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    message: String,
    errors: Option<Vec<Invalid>>,
    documentation: &'static str,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            errors: None,
            documentation: "https://docs.github.com/rest",
        }
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not Found")
    }

    pub(crate) fn bad_credentials() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Bad credentials")
    }

    pub(crate) fn requires_authentication() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Requires authentication")
    }

    pub(crate) fn broken(what: impl Into<String>) -> Self {
        let what = what.into();
        tracing::error!("{what}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, what)
    }

    /// `422 Validation Failed`.
    pub(crate) fn invalid(errors: Vec<Invalid>) -> Self {
        Self {
            errors: Some(errors),
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Validation Failed")
        }
    }

    /// `422` for a revision that names no commit.
    pub(crate) fn no_commit(revision: &str) -> Self {
        let message = format!("No commit found for SHA: {revision}");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }

    pub(crate) fn empty_repository() -> Self {
        Self::new(StatusCode::CONFLICT, "Git Repository is empty.")
    }

    /// Points at the page that describes the operation.
    pub(crate) fn see(mut self, documentation: &'static str) -> Self {
        self.documentation = documentation;
        self
    }
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        Self::invalid(vec![invalid])
    }
}

impl From<GitError> for Refusal {
    fn from(error: GitError) -> Self {
        Self::broken(error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut body = json!({
            "message": self.message,
            "documentation_url": self.documentation,
            "status": self.status.as_u16().to_string(),
        });
        if let Some(errors) = self.errors {
            body["errors"] = errors.iter().map(error_shape).collect();
        }
        (self.status, Json(body)).into_response()
    }
}

fn error_shape(invalid: &Invalid) -> Value {
    let mut shape = json!({"resource": invalid.resource, "code": invalid.code});
    if let Some(field) = invalid.field {
        shape["field"] = json!(field);
    }
    if let Some(message) = &invalid.message {
        shape["message"] = json!(message);
    }
    shape
}

/// The repository at this path, when the caller may do with it what `need` says.
///
/// Where GitHub hides what a caller may not do, so does this: `404`, not `403`.
pub(crate) fn repository(
    app: &App,
    caller: &Caller,
    owner: &str,
    name: &str,
    need: Role,
) -> Result<Repository, Refusal> {
    let world = app.world();
    let found = world.repositories.by_name(owner, name).ok_or_else(Refusal::not_found)?;
    match world.role(found, caller.id()) {
        Some(role) if role >= need => Ok(found.clone()),
        Some(_) if caller.0.is_none() => Err(Refusal::requires_authentication()),
        _ => Err(Refusal::not_found()),
    }
}

/// The object a caller sent; an empty body is an empty object.
pub(crate) fn object(body: &Bytes) -> Result<Map<String, Value>, Refusal> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(_) => Err(Refusal::new(StatusCode::BAD_REQUEST, "Body should be a JSON object")),
        Err(_) => Err(Refusal::new(StatusCode::BAD_REQUEST, "Problems parsing JSON")),
    }
}

/// A field that is a string when it is there; `null` counts as absent.
pub(crate) fn text(
    object: &Map<String, Value>,
    resource: &'static str,
    field: &'static str,
) -> Result<Option<String>, Refusal> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Invalid::field(resource, field, "invalid").into()),
    }
}

/// A field that is true or false when it is there.
pub(crate) fn flag(
    object: &Map<String, Value>,
    resource: &'static str,
    field: &'static str,
) -> Result<Option<bool>, Refusal> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(_) => Err(Invalid::field(resource, field, "invalid").into()),
    }
}
