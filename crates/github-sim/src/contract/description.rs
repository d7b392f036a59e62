//! GitHub's descriptions: which operation a request asks for, and what is said about it.

use std::{collections::BTreeMap, sync::LazyLock};

use axum::http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    exceptions,
    schema::{Problem, check, problems, validator},
};

/// What `contract/describe.mjs` writes about the REST API.
#[derive(Deserialize)]
struct RestApi {
    operations: BTreeMap<String, Described>,
    schemas: Map<String, Value>,
}

/// The same about webhooks: the actions of each event; `event` for one without.
#[derive(Deserialize)]
struct Webhooks {
    events: BTreeMap<String, Vec<String>>,
    schemas: Map<String, Value>,
}

#[derive(Deserialize)]
struct Described {
    path: BTreeMap<String, Parameter>,
    query: BTreeMap<String, Parameter>,
    body: Option<Parameter>,
    answers: BTreeMap<String, Option<Value>>,
}

#[derive(Deserialize)]
struct Parameter {
    #[serde(default)]
    required: bool,
    /// It may hold slashes.
    #[serde(default)]
    long: bool,
    schema: Value,
}

/// One operation of the REST API.
pub(super) struct Operation {
    name: String,
    method: String,
    segments: Vec<Segment>,
    described: Described,
}

enum Segment {
    Word(String),
    One(String),
    /// At least one.
    Many(String),
}

static REST_API: LazyLock<(Vec<Operation>, Map<String, Value>)> = LazyLock::new(|| {
    let api: RestApi = parse(include_str!("../../contract/github.json"));
    (api.operations.into_iter().map(Operation::new).collect(), api.schemas)
});

static WEBHOOKS: LazyLock<Webhooks> =
    LazyLock::new(|| parse(include_str!("../../contract/webhooks.json")));

#[allow(clippy::expect_used, reason = "part of the program, and read by its tests")]
fn parse<T: for<'de> Deserialize<'de>>(text: &str) -> T {
    serde_json::from_str(text).expect("contract/*.json is what contract/describe.mjs writes")
}

/// The operation that a path below the API's root asks for, and the values of its parameters.
/// Where several fit, the one with the most words of its own.
pub(super) fn operation(
    method: &Method,
    path: &str,
) -> Option<(&'static Operation, Vec<(String, String)>)> {
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    REST_API
        .0
        .iter()
        .filter(|operation| operation.method == method.as_str())
        .filter_map(|operation| {
            let values = fit(&operation.segments, &segments)?;
            Some((operation, values))
        })
        .max_by_key(|(operation, _)| {
            operation.segments.iter().filter(|one| matches!(one, Segment::Word(_))).count()
        })
}

fn fit(wanted: &[Segment], given: &[&str]) -> Option<Vec<(String, String)>> {
    let Some((first, rest)) = wanted.split_first() else {
        return given.is_empty().then(Vec::new);
    };
    let value = |name: &str, segments: &[&str], mut others: Vec<(String, String)>| {
        others.push((name.to_owned(), segments.join("/")));
        others
    };
    match first {
        Segment::Word(word) if given.first() == Some(&word.as_str()) => fit(rest, &given[1..]),
        Segment::Word(_) => None,
        Segment::One(name) => {
            let given_first = given.first().filter(|segment| !segment.is_empty())?;
            Some(value(name, &[given_first], fit(rest, &given[1..])?))
        }
        Segment::Many(name) => (1..=given.len())
            .rev()
            .find_map(|count| Some(value(name, &given[..count], fit(rest, &given[count..])?))),
    }
}

impl Operation {
    fn new((name, described): (String, Described)) -> Self {
        let (method, path) = name.split_once(' ').unwrap_or_default();
        let segment =
            |word: &str| match word.strip_prefix('{').and_then(|word| word.strip_suffix('}')) {
                None => Segment::Word(word.to_owned()),
                Some(name) if described.path.get(name).is_some_and(|one| one.long) => {
                    Segment::Many(name.to_owned())
                }
                Some(name) => Segment::One(name.to_owned()),
            };
        let segments = path.trim_start_matches('/').split('/').map(segment).collect();
        Self { method: method.to_owned(), segments, name, described }
    }

    /// As `GET /repos/{owner}/{repo}`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Those of the path and of the query; one that is not described is a problem, too.
    pub(super) fn parameters(&self, path: &[(String, String)], query: &str) -> Vec<Problem> {
        let mut found = Vec::new();
        for (name, value) in path {
            if let Some(described) = self.described.path.get(name) {
                let key = format!("{} path {name}", self.name);
                found.extend(typed("path", name, &key, &described.schema, value));
            }
        }
        let query: Vec<(String, String)> =
            url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        for (name, value) in &query {
            match self.described.query.get(name) {
                None => found.push(Problem::new("query", &format!("/{name}"), "is not described")),
                Some(described) => {
                    let key = format!("{} query {name}", self.name);
                    found.extend(typed("query", name, &key, &described.schema, value));
                }
            }
        }
        let is_missing = |name: &str| query.iter().all(|(given, _)| given != name);
        for (name, _) in
            self.described.query.iter().filter(|(name, one)| one.required && is_missing(name))
        {
            found.push(Problem::new("query", &format!("/{name}"), "is required"));
        }
        found
    }

    pub(super) fn body(&self, body: &[u8]) -> Vec<Problem> {
        let is_empty = body.iter().all(u8::is_ascii_whitespace);
        match &self.described.body {
            None if is_empty => Vec::new(),
            // Clients that send an empty object where nothing is asked for do no harm.
            None if body == b"{}" => Vec::new(),
            None => vec![Problem::new("request", "", "no body is described")],
            Some(described) if is_empty => {
                let problem = || Problem::new("request", "", "a body is required");
                described.required.then(problem).into_iter().collect()
            }
            Some(described) => {
                let key = format!("{} request", self.name);
                check("request", &key, &described.schema, &REST_API.1, body)
            }
        }
    }

    pub(super) fn answer(&self, method: &Method, status: StatusCode, body: &[u8]) -> Vec<Problem> {
        let side = format!("answer {}", status.as_u16());
        let described = match self.described.answers.get(status.as_str()) {
            // Described without a body, but an error always has one.
            Some(None) if status.as_u16() >= 400 => Some(json!({"$ref": "#/schemas/basic-error"})),
            Some(described) => described.clone(),
            None if exceptions::is_answered_so(&self.name, status) => match status.as_u16() {
                304 => None,
                422 => Some(json!({"$ref": "#/schemas/validation-error"})),
                _ => Some(json!({"$ref": "#/schemas/basic-error"})),
            },
            None => return vec![Problem::new(&side, "", "the status is not described")],
        };
        match described {
            None if body.is_empty() => Vec::new(),
            None => vec![Problem::new(&side, "", "no body is described")],
            Some(_) if method == Method::HEAD => Vec::new(),
            Some(schema) => {
                let key = format!("{} {side}", self.name);
                check(&side, &key, &schema, &REST_API.1, body)
            }
        }
    }
}

/// A text stands for a number or a truth where that is what is described.
fn typed(side: &str, name: &str, key: &str, schema: &Value, text: &str) -> Option<Problem> {
    let read: Option<Value> = serde_json::from_str(text).ok();
    let text = Value::from(text);
    let validator = validator(key, schema, &REST_API.1);
    let fits = validator.is_valid(&text) || read.is_some_and(|read| validator.is_valid(&read));
    let problem = || Problem::new(side, &format!("/{name}"), format!("{text} is not valid"));
    (!fits).then(problem)
}

/// What is delivered, against the schema of its event and action.
pub(super) fn webhook(event: &str, action: Option<&str>, payload: &Value) -> Vec<Problem> {
    let schemas = &WEBHOOKS.schemas;
    let actions = WEBHOOKS.events.get(event).map(Vec::as_slice).unwrap_or_default();
    let action = action.unwrap_or("event");
    if !actions.iter().any(|known| known == action) {
        let reason = format!("GitHub describes no {event} with the action {action:?}");
        return vec![Problem::new("payload", "/action", reason)];
    }
    let schema = json!({"$ref": format!("#/schemas/{event}${action}")});
    let validator = validator(&format!("webhook {event} {action}"), &schema, schemas);
    problems("payload", &validator, payload)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at once")]
mod tests {
    use super::{super::schema::compile, *};

    #[test]
    fn a_path_is_of_the_operation_with_the_most_words() {
        for (path, name) in [
            ("/user", "GET /user"),
            ("/repos/a/b/commits/main", "GET /repos/{owner}/{repo}/commits/{ref}"),
            ("/repos/a/b/commits/x/y/status", "GET /repos/{owner}/{repo}/commits/{ref}/status"),
            ("/repos/a/b/hooks/7", "GET /repos/{owner}/{repo}/hooks/{hook_id}"),
        ] {
            let (found, _) = operation(&Method::GET, path).unwrap();
            assert_eq!(found.name(), name);
        }
        for unknown in ["/users", "/repos/a/b/hooks/", "/repos/a", "/repos/a/b/nothing"] {
            assert!(operation(&Method::GET, unknown).is_none(), "{unknown}");
        }
    }

    #[test]
    fn a_wrong_request_is_named_with_its_place() {
        let told = |method: Method, path: &str, query: &str, body: &str| {
            let (found, values) = operation(&method, path).unwrap();
            let mut problems = found.parameters(&values, query);
            problems.extend(found.body(body.as_bytes()));
            problems.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let fine: [String; 0] = [];
        assert_eq!(told(Method::GET, "/user/repos", "per_page=100&sort=pushed", ""), fine);
        assert_eq!(
            told(Method::GET, "/user/repos", "sort=stars&x=1", ""),
            ["query at /sort: \"stars\" is not valid", "query at /x: is not described"]
        );
        assert_eq!(
            told(Method::GET, "/repos/a/b/hooks/none", "", ""),
            ["path at /hook_id: \"none\" is not valid"]
        );
        let hooks = "/repos/a/b/hooks";
        let body = r#"{"config": {"url": "https://ci.example"}, "events": ["push"]}"#;
        assert_eq!(told(Method::POST, hooks, "", body), fine);
        let wrong = told(Method::POST, hooks, "", r#"{"events": [1], "type": "x"}"#);
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(wrong.iter().any(|one| one.starts_with("request at /events/0: ")), "{wrong:?}");
    }

    #[test]
    fn a_wrong_answer_or_webhook_is_named_with_its_place() {
        let told = |method: Method, path: &str, status: u16, body: &str| {
            let (found, _) = operation(&method, path).unwrap();
            let status = StatusCode::from_u16(status).unwrap();
            let problems = found.answer(&method, status, body.as_bytes());
            problems.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let error = r#"{"message": "Not Found", "documentation_url": "https://docs.github.com"}"#;
        let fine: [String; 0] = [];
        let key = "/repos/a/b/keys/7";
        assert_eq!(told(Method::GET, key, 404, error), fine);
        assert_eq!(told(Method::DELETE, key, 204, ""), fine);
        for (method, status, body, expected) in [
            (Method::DELETE, 204, "{}", "answer 204 at the whole: no body is described"),
            (Method::GET, 418, error, "answer 418 at the whole: the status is not described"),
            (Method::GET, 404, r#"{"message": 7}"#, "answer 404 at /message: 7 is not of type"),
            (Method::GET, 200, "{}", "answer 200 at the whole: \"id\" is a required property"),
            (Method::GET, 200, "<p>", "answer 200 at the whole: it is no JSON"),
        ] {
            let found = told(method, key, status, body);
            assert!(found[0].starts_with(expected), "{found:?}");
        }
        let unknown = webhook("push", Some("forced"), &json!({}));
        assert!(unknown[0].to_string().starts_with("payload at /action: "), "{unknown:?}");
        let empty = webhook("push", None, &json!({}));
        assert!(empty[0].to_string().contains("is a required property"), "{empty:?}");
    }

    #[test]
    fn every_schema_compiles() {
        let (operations, schemas) = &*REST_API;
        for operation in operations {
            let described = &operation.described;
            let parameters = described.path.values().chain(described.query.values());
            let parameters = parameters.chain(&described.body).map(|one| &one.schema);
            let answers = described.answers.values().flatten();
            for schema in parameters.chain(answers) {
                compile(schema, schemas);
            }
        }
        for (event, actions) in &WEBHOOKS.events {
            for action in actions {
                let schema = json!({"$ref": format!("#/schemas/{event}${action}")});
                compile(&schema, &WEBHOOKS.schemas);
            }
        }
    }
}
