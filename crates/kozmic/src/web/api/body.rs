//! The body of a request to the API.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize as _, Deserializer};
use serde_json::{Map, Value};

use super::conduct::is_json;
use super::problem::Problem;

/// A body of JSON, or the problem that says what is wrong with it, and where.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            let sentence = "The body must be JSON, sent with `Content-Type: application/json`.";
            return Err(Problem::of(StatusCode::UNSUPPORTED_MEDIA_TYPE, sentence.into()));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            let why = rejection.body_text();
            Problem::of(rejection.status(), format!("The body can't be taken: {why}."))
        })?;
        // Serde would take a list of a record's values as well.
        if bytes.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
            return Err(Problem::bad_request("The body must be an object: `{…}`.".into()));
        }
        serde_json::from_slice(&bytes).map(Self).map_err(|problem| {
            Problem::bad_request(format!("The body is not as it must be: {problem}."))
        })
    }
}

/// A part of a body that must be an object, too.
pub(super) fn object<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<T, D::Error> {
    let object = Map::deserialize(deserializer)?;
    serde_json::from_value(Value::Object(object)).map_err(D::Error::custom)
}
