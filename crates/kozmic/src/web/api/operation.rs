//! What a route of the API takes and answers, said beside its line in the table. The
//! document (`document`) is made of it, and requests are held to it (`conduct`).

use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, ToSchema};

use crate::web::gate::{Door, Entry, Who};
use crate::web::routes::Route;

pub(super) const JSON: &str = "application/json";
pub(super) const TEXT: &str = "text/plain";

/// A route of the API, for people and programs that call it.
#[derive(Default)]
pub(in crate::web) struct Operation {
    /// Unique; names the call in generated clients.
    pub(super) id: &'static str,
    summary: &'static str,
    /// Its query's parameters, and headers, as OpenAPI has them.
    query: Vec<Value>,
    body: Option<Value>,
    /// By status.
    answers: Vec<(u16, Value)>,
    /// Statuses beside those that its line in the table tells of.
    refusals: Vec<u16>,
    /// What its parts refer to.
    pub(super) schemas: Vec<(String, RefOr<Schema>)>,
}

/// How a parameter of a path is written.
fn in_path(name: &str) -> (Value, &'static str) {
    let number = || json!({"type": "integer", "format": "int64", "minimum": 1});
    let text = |pattern: &str| json!({"type": "string", "minLength": 1, "pattern": pattern});
    match name {
        "project" => (number(), "The number of a project."),
        "build" => (number(), "The number that a build has in this installation: its `id`."),
        "job" => (number(), "The number of a job."),
        "hook" => (number(), "The number of a hook."),
        "folder" => (number(), "The number of a cache folder."),
        "webhook" => (number(), "The number of a webhook."),
        "delivery" => (number(), "The number of a delivery: its `id`."),
        "token" => (number(), "The number of an API token."),
        "session" => (number(), "The number of a session."),
        "repository" => (number(), "The number that a repository has at GitHub."),
        "name" => (text("^[A-Za-z_][A-Za-z0-9_]*$"), "The name of a variable."),
        "service" => (text("^[a-z0-9-]+$"), "The host name of a service."),
        "test" => (text("^[0-9a-f]{1,16}$"), "A test: its `id`."),
        "path" => (text("^[^/].*$"), "A path below the job's folder of artifacts."),
        _ => (json!({"type": "string"}), ""),
    }
}

/// The parameters that a path names.
fn names_in(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn name_of(parameter: &Value) -> &str {
    parameter["name"].as_str().unwrap_or_default()
}

fn content(kind: &str, schema: &Value) -> Value {
    json!({ kind: { "schema": schema } })
}

fn bytes() -> Value {
    json!({"type": "string", "format": "binary"})
}

fn refusal(status: u16) -> (String, Value) {
    (status.to_string(), json!({"$ref": format!("#/components/responses/Refused{status}")}))
}

fn who_may(who: Who) -> &'static str {
    match who {
        Who::Anyone => "For anyone.",
        Who::SignedIn => "For any user.",
        Who::Member => "For members of the project; for any user, when it is visible to all.",
        Who::Insider => "For members of the project.",
        Who::Manager => "For managers of the project.",
        Who::Owner => "For the owner of the project.",
        Who::Administrator => "For administrators.",
    }
}

impl Operation {
    pub(super) fn query_names(&self) -> Vec<String> {
        let names = self.query.iter().map(name_of).filter(|name| !name.is_empty());
        names.map(str::to_owned).collect()
    }

    /// A `GET` whose answer is JSON has an ETag.
    pub(super) fn has_tag(&self, entry: Entry) -> bool {
        entry.method == "GET"
            && self.answers.iter().any(|(_, answer)| !answer["content"][JSON].is_null())
    }

    fn schema<T: ToSchema>(&mut self) -> Value {
        T::schemas(&mut self.schemas);
        self.schemas.push((T::name().into_owned(), T::schema()));
        json!({"$ref": format!("#/components/schemas/{}", T::name())})
    }

    fn answer(&mut self, status: StatusCode, what: &str, content: Option<Value>) {
        let mut answer = json!({ "description": what });
        if let Some(content) = content {
            answer["content"] = content;
        }
        self.answers.push((status.as_u16(), answer));
    }

    /// The statuses of its problems.
    fn problems(&self, entry: Entry) -> Vec<u16> {
        let mut all = self.refusals.clone();
        let names: Vec<&str> = names_in(entry.path).collect();
        if entry.door != Door::Open {
            all.push(401);
        }
        let is_reading = entry.method == "GET";
        let is_for_some =
            matches!(entry.who, Who::Insider | Who::Manager | Who::Owner | Who::Administrator);
        if entry.door != Door::Open && (is_for_some || !is_reading) {
            all.push(403);
        }
        if !names.is_empty() || entry.who == Who::Administrator {
            all.push(404);
        }
        // Of every query, also where no parameter is known.
        all.extend([400, 500, 503]);
        if let Some(body) = &self.body {
            all.push(413);
            if !body["content"][JSON].is_null() {
                all.push(415);
            }
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// As a part of the document.
    pub(super) fn described(&self, entry: Entry) -> Value {
        let mut parameters: Vec<Value> = names_in(entry.path)
            .map(|name| {
                let name = name.trim_start_matches('*');
                let (schema, what) = in_path(name);
                json!({"name": name, "in": "path", "required": true, "description": what,
                       "schema": schema})
            })
            .collect();
        parameters.extend(self.query.iter().cloned());
        let mut answers: Map<String, Value> = self
            .answers
            .iter()
            .map(|(status, answer)| (status.to_string(), answer.clone()))
            .collect();
        if self.has_tag(entry) {
            parameters.push(json!({"$ref": "#/components/parameters/IfNoneMatch"}));
            if let Some(answer) = answers.get_mut("200") {
                answer["headers"] = json!({"ETag": {"$ref": "#/components/headers/ETag"}});
            }
            let unchanged = json!({"description": "It is as the tag in `If-None-Match` says."});
            answers.insert("304".into(), unchanged);
        }
        for status in self.problems(entry) {
            let (status, refused) = refusal(status);
            answers.entry(status).or_insert(refused);
        }
        let scope = if reads(entry) { "read" } else { "write" };
        let who = who_may(entry.who);
        let open = entry.door == Door::Open;
        let needs = if open {
            "Needs no token.".to_owned()
        } else {
            format!("Needs a token with the scope `{scope}`.")
        };
        let mut operation = json!({
            "operationId": self.id,
            "summary": self.summary,
            "description": format!("{who} {needs}"),
            "tags": [tag(entry.path)],
            "parameters": parameters,
            "responses": answers,
            "security": if open { json!([]) } else { json!([{ "token": [scope] }]) },
        });
        if let Some(body) = &self.body {
            operation["requestBody"] = body.clone();
        }
        operation
    }
}

/// As the gate has it: what members may look at.
fn reads(entry: Entry) -> bool {
    entry.method == "GET" && !matches!(entry.who, Who::Manager | Who::Owner | Who::Administrator)
}

/// What it is about: the last word of its path that names many, or what stands alone.
fn tag(path: &str) -> &str {
    let words: Vec<&str> = path.trim_start_matches("/api/v1/").split('/').collect();
    match words.as_slice() {
        ["projects", _, what, ..] if words.len() > 2 && !ALONE.contains(what) => what,
        [first, ..] => first,
        [] => "",
    }
}

/// What is done with a project itself.
const ALONE: [&str; 4] = ["sync", "take-over", "options", "badge"];

/// The path as OpenAPI writes it: it knows no parameter of several segments.
pub(super) fn path_of(entry: Entry) -> String {
    entry.path.replace("{*", "{")
}

/// What the lines of the API's table say of their routes.
impl Route {
    /// Its name, and what it does in one sentence.
    pub(super) fn is(mut self, id: &'static str, summary: &'static str) -> Self {
        self.operation = Some(Operation { id, summary, ..Operation::default() });
        self
    }

    fn with(mut self, tell: impl FnOnce(&mut Operation)) -> Self {
        if let Some(operation) = &mut self.operation {
            tell(operation);
        }
        self
    }

    /// Parameters of its query.
    pub(super) fn query<Q: IntoParams>(self) -> Self {
        let query = Q::into_params(|| None);
        let query = query.iter().filter_map(|parameter| serde_json::to_value(parameter).ok());
        let query: Vec<Value> = query.collect();
        self.with(|operation| operation.query.extend(query))
    }

    /// A parameter of its query that its handler reads by itself.
    pub(super) fn parameter(self, name: &str, schema: &Value, what: &str, needed: bool) -> Self {
        let parameter = json!({"name": name, "in": "query", "required": needed,
                               "description": what, "schema": schema});
        self.with(|operation| operation.query.push(parameter))
    }

    /// It changes what may have changed meanwhile.
    pub(super) fn if_match(self) -> Self {
        self.with(|operation| {
            operation.query.push(json!({"$ref": "#/components/parameters/IfMatch"}));
        })
        .refuses(&[412])
    }

    /// A body of JSON.
    pub(super) fn takes<T: ToSchema>(self) -> Self {
        self.with(|operation| {
            let schema = operation.schema::<T>();
            operation.body = Some(json!({"required": true, "content": content(JSON, &schema)}));
        })
    }

    /// A body of bytes.
    pub(super) fn takes_bytes(self, what: &str) -> Self {
        let content = content("application/octet-stream", &bytes());
        let body = json!({"required": true, "description": what, "content": content});
        self.with(|operation| operation.body = Some(body))
    }

    /// JSON, and 200.
    pub(super) fn answers<T: ToSchema>(self) -> Self {
        self.tells::<T>(StatusCode::OK, "What was asked for.")
    }

    /// JSON, and 201.
    pub(super) fn creates<T: ToSchema>(self) -> Self {
        self.tells::<T>(StatusCode::CREATED, "What was made.")
    }

    fn tells<T: ToSchema>(self, status: StatusCode, what: &str) -> Self {
        self.with(|operation| {
            let schema = operation.schema::<T>();
            operation.answer(status, what, Some(content(JSON, &schema)));
        })
    }

    /// Bytes of some kind.
    pub(super) fn serves(self, kind: &str) -> Self {
        let what = "Its bytes.";
        self.with(|operation| {
            operation.answer(StatusCode::OK, what, Some(content(kind, &bytes())));
        })
    }

    /// Bytes of some kind, or the range of them that is asked for.
    pub(super) fn serves_ranges(self, kind: &str) -> Self {
        self.serves(kind).with(|operation| {
            let part = Some(content(kind, &bytes()));
            operation.answer(StatusCode::PARTIAL_CONTENT, "The range asked for.", part);
            operation.answer(StatusCode::NOT_MODIFIED, "It is as the tag says.", None);
            let beyond = StatusCode::RANGE_NOT_SATISFIABLE;
            operation.answer(beyond, "The range lies behind the end.", None);
        })
    }

    /// A web socket.
    pub(super) fn opens_a_socket(self) -> Self {
        self.with(|operation| {
            operation.answer(StatusCode::SWITCHING_PROTOCOLS, "The socket is open.", None);
        })
    }

    /// It is done, and there is nothing to say.
    pub(super) fn tells_nothing(self) -> Self {
        self.with(|operation| operation.answer(StatusCode::NO_CONTENT, "It is done.", None))
    }

    /// Problems of its own.
    pub(super) fn refuses(self, statuses: &[u16]) -> Self {
        self.with(|operation| operation.refusals.extend(statuses))
    }
}
