//! How GitHub writes things down: JSON of the REST API and of webhook payloads.
//!
//! One file per noun, named after the schemas of GitHub's `OpenAPI` description
//! (<https://github.com/github/rest-api-description>). Every required field is there, with the
//! value GitHub gives to a plain repository where the stand-in has no opinion.

pub(crate) mod circumstance;
pub(crate) mod collaborator;
pub(crate) mod commit;
pub(crate) mod comparison;
pub(crate) mod delivery;
pub(crate) mod deploy_key;
pub(crate) mod organization;
pub(crate) mod pull_request;
pub(crate) mod push;
pub(crate) mod release;
pub(crate) mod repository;
pub(crate) mod status;
pub(crate) mod team;
pub(crate) mod user;
pub(crate) mod webhook;

use serde_json::{Map, Value};

use crate::state::World;

/// The root of the REST API, without a trailing slash.
pub(crate) fn api(world: &World) -> String {
    format!("{}/api/v3", world.base)
}

/// An opaque global id; GitHub's say what they name, and so do these.
pub(crate) fn node_id(kind: &str, id: impl std::fmt::Display) -> String {
    format!("{kind}_kgDO{id}")
}

/// Adds fields to an object; what is there already is replaced.
pub(crate) fn extend(object: &mut Value, more: Value) {
    if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
}

/// Takes fields away from an object.
pub(crate) fn without(mut object: Value, fields: &[&str]) -> Value {
    if let Some(object) = object.as_object_mut() {
        let object: &mut Map<String, Value> = object;
        for field in fields {
            object.remove(*field);
        }
    }
    object
}
