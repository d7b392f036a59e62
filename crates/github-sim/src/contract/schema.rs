//! JSON Schema: compiled when it is first needed, once for the process, and what it finds.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

/// One thing that is not as described.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// `request`, `query`, `path`, `answer`, …
    side: String,
    /// A JSON pointer into what was sent; empty for the whole.
    pointer: String,
    reason: String,
}

impl Problem {
    pub(super) fn new(side: &str, pointer: &str, reason: impl Into<String>) -> Self {
        Self { side: side.to_owned(), pointer: pointer.to_owned(), reason: reason.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pointer = if self.pointer.is_empty() { "the whole" } else { &self.pointer };
        write!(f, "{} at {pointer}: {}", self.side, self.reason)
    }
}

/// A body against a schema; `key` names the validator.
pub(super) fn check(
    side: &str,
    key: &str,
    schema: &Value,
    schemas: &Map<String, Value>,
    body: &[u8],
) -> Vec<Problem> {
    match serde_json::from_slice(body) {
        Ok(body) => problems(side, &validator(key, schema, schemas), &body),
        Err(error) => vec![Problem::new(side, "", format!("it is no JSON: {error}"))],
    }
}

/// The first few; one mistake may show in many places.
pub(super) fn problems(side: &str, validator: &Validator, instance: &Value) -> Vec<Problem> {
    const MOST: usize = 5;
    validator
        .iter_errors(instance)
        .take(MOST)
        .map(|error| {
            let mut reason = error.to_string();
            if let Some((end, _)) = reason.char_indices().nth(300) {
                reason.truncate(end);
            }
            Problem::new(side, error.instance_path().as_str(), reason)
        })
        .collect()
}

/// The validator of a schema that refers to `schemas`; made once for its key.
pub(super) fn validator(key: &str, schema: &Value, schemas: &Map<String, Value>) -> Arc<Validator> {
    static MADE: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = made.get(key) {
        return Arc::clone(known);
    }
    let compiled = Arc::new(compile(schema, schemas));
    made.insert(key.to_owned(), Arc::clone(&compiled));
    compiled
}

#[allow(clippy::expect_used, reason = "part of the program; a test compiles all of them")]
pub(super) fn compile(schema: &Value, schemas: &Map<String, Value>) -> Validator {
    let mut reachable = Map::new();
    let mut pending = vec![schema];
    while let Some(value) = pending.pop() {
        match value {
            Value::Object(object) => {
                let name = object.get("$ref").and_then(Value::as_str);
                let name = name.and_then(|name| name.strip_prefix("#/schemas/"));
                if let Some((name, found)) = name.and_then(|name| schemas.get_key_value(name))
                    && reachable.insert(name.clone(), found.clone()).is_none()
                {
                    pending.push(found);
                }
                pending.extend(object.values());
            }
            Value::Array(list) => pending.extend(list),
            _ => {}
        }
    }
    let whole = json!({"allOf": [schema], "schemas": reachable});
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft7)
        .should_validate_formats(true)
        .build(&whole)
        .expect("contract/*.json holds JSON Schema")
}
