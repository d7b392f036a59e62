//! `/api/v1/openapi.json`: the API as OpenAPI 3.1 describes it, made of the table of its
//! routes.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use utoipa::{PartialSchema as _, ToSchema};

use super::operation::path_of;
use super::problem::ProblemAnswer;
use crate::web::App;

/// All but where the server is.
static DOCUMENT: LazyLock<Value> = LazyLock::new(made);

const ABOUT: &str = "What the pages do, for programs. Send an API token as `Authorization: \
                     Bearer …`. Times are RFC 3339 in UTC. Lists come in pages: `next` of an \
                     answer, sent as `after`, leads to the following one; null: it was the last. \
                     Refusals are problem details (RFC 9457).";

/// The statuses of refusals, each with when it is told.
const REFUSALS: [(u16, &str); 14] = [
    (400, "The request is not understood: its query, its path or its body."),
    (401, "There is no token, or it is unknown or has expired."),
    (403, "The token's user, or its scope, may not do this."),
    (404, "It is not there, or the token's user may not see it."),
    (409, "The request is right, but not as things stand."),
    (410, "It was removed."),
    (412, "It has changed since the tag in `If-Match` was told."),
    (413, "The body is larger than what is taken."),
    (415, "The body is of another kind than the one that is taken."),
    (422, "What is named in the request does not exist, or does not fit."),
    (426, "It is a web socket."),
    (500, "It was not the caller's doing; the server's log says more."),
    (502, "GitHub refused, or does not answer."),
    (503, "The database does not answer; try again later."),
];

/// OpenAPI's own.
#[derive(ToSchema)]
#[schema(as = Document)]
#[allow(dead_code, reason = "it only tells the document's own shape")]
pub(super) struct DocumentAnswer {
    openapi: String,
    info: serde_json::Map<String, Value>,
    paths: serde_json::Map<String, Value>,
}

pub(super) async fn show(State(app): State<App>) -> impl IntoResponse {
    let mut document = DOCUMENT.clone();
    document["servers"] = json!([{ "url": app.public_url }]);
    ([(header::CACHE_CONTROL, "no-cache")], Json(document))
}

fn made() -> Value {
    let mut paths: BTreeMap<String, serde_json::Map<String, Value>> = BTreeMap::new();
    let mut schemas: BTreeMap<String, Value> = BTreeMap::new();
    for route in super::routes() {
        let Some(operation) = route.operation else { continue };
        let path = paths.entry(path_of(route.entry)).or_default();
        path.insert(route.entry.method.to_lowercase(), operation.described(route.entry));
        for (name, schema) in operation.schemas {
            schemas.insert(name, json!(schema));
        }
    }
    schemas.insert(ProblemAnswer::name().into_owned(), json!(ProblemAnswer::schema()));
    let problem = json!({"$ref": format!("#/components/schemas/{}", ProblemAnswer::name())});
    let refused = |(status, when): (u16, &str)| {
        let name = format!("Refused{status}");
        let title = StatusCode::from_u16(status).ok().and_then(|it| it.canonical_reason());
        let description = format!("{}: {when}", title.unwrap_or_default());
        let content = json!({"application/problem+json": {"schema": problem}});
        (name, json!({"description": description, "content": content}))
    };
    let refusals: BTreeMap<String, Value> = REFUSALS.into_iter().map(refused).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Kozmic",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": refusals,
            "parameters": {"IfNoneMatch": {
                "name": "If-None-Match", "in": "header", "required": false,
                "description": "The ETag of an answer that is known: 304 when it still holds.",
                "schema": {"type": "string"},
            }, "IfMatch": {
                "name": "If-Match", "in": "header", "required": false,
                "description": "The ETag of what is to be changed: 412 when it is another by now.",
                "schema": {"type": "string"},
            }},
            "headers": {"ETag": {
                "description": "Another one when the answer is another.",
                "schema": {"type": "string"},
            }},
            "securitySchemes": {"token": {
                "type": "http",
                "scheme": "bearer",
                "description": "An API token; its scope is `read` or `write`.",
            }},
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::web::entries;
    use crate::web::gate::Door;
    use crate::web::routes::Route;

    /// Its operations as (method, path).
    fn described() -> BTreeSet<(String, String)> {
        let paths = DOCUMENT["paths"].as_object().unwrap();
        let of_path = |(path, item): (&String, &Value)| {
            let methods = item.as_object().unwrap().keys().map(|method| method.to_uppercase());
            methods.map(|method| (method, path.clone())).collect::<Vec<_>>()
        };
        paths.iter().flat_map(of_path).collect()
    }

    #[test]
    fn the_document_has_every_route_and_no_other() {
        let routes = entries().into_iter().filter(|entry| entry.path.starts_with("/api/"));
        let routes = routes.map(|entry| (entry.method.to_owned(), path_of(entry)));
        assert_eq!(described(), routes.collect());
    }

    /// What the pages do, each with the call that does it.
    const ACTIONS: &[(&str, &str)] = &[
        ("/account/memberships/sync", "sync_account"),
        ("/account/tokens/{token}/revoke", "revoke_token"),
        ("/account/sessions/{session}/end", "end_session"),
        ("/account/mail", "choose_mail"),
        ("/repositories/sync", "sync_repositories"),
        ("/repositories/{repository}/on", "turn_on"),
        ("/projects/{project}/options", "change_options"),
        ("/projects/{project}/secrets/set", "set_secret"),
        ("/projects/{project}/secrets/remove", "remove_secret"),
        ("/projects/{project}/cache-folders/{folder}/drop", "drop_cache_folder"),
        ("/projects/{project}/memberships/sync", "sync_project"),
        ("/projects/{project}/take-over", "take_over"),
        ("/projects/{project}/delete", "delete_project"),
        ("/projects/{project}/hooks/add", "add_hook"),
        ("/projects/{project}/hooks/ensure", "ensure_hooks"),
        ("/projects/{project}/hooks/check", "check_hook"),
        ("/projects/{project}/hooks/try", "try_hook"),
        ("/projects/{project}/hooks/{hook}/edit", "change_hook"),
        ("/projects/{project}/hooks/{hook}/delete", "delete_hook"),
        ("/projects/{project}/webhooks/add", "add_webhook"),
        ("/projects/{project}/webhooks/{webhook}/remove", "remove_webhook"),
        ("/projects/{project}/webhooks/{webhook}/test", "test_webhook"),
        ("/projects/{project}/deliveries/{delivery}/again", "send_again"),
        ("/projects/{project}/start", "start_build"),
        ("/projects/{project}/builds/{build}/cancel", "cancel_build"),
        ("/projects/{project}/builds/{build}/restart", "restart_build"),
        ("/projects/{project}/builds/{build}/approve", "approve_build"),
        ("/projects/{project}/jobs/{job}/cancel", "cancel_job"),
        ("/projects/{project}/jobs/{job}/restart", "restart_job"),
        ("/projects/{project}/jobs/{job}/drop-image", "drop_image"),
    ];
    /// Those that no call does, each with why.
    const ONLY_ON_PAGES: &[(&str, &str)] = &[
        ("/logout", "it ends the browser's session, and calls have none"),
        ("/account/tokens/create", "a token that is stolen must not make its successor"),
    ];

    #[test]
    fn every_action_of_the_pages_has_a_call_by_those_who_may_do_it() {
        let routes = super::super::routes();
        let mut known: BTreeSet<&str> = ONLY_ON_PAGES.iter().map(|(path, _)| *path).collect();
        let pages: Vec<_> = entries()
            .into_iter()
            .filter(|entry| entry.door == Door::Page && entry.method != "GET")
            .collect();
        for (path, call) in ACTIONS {
            known.insert(path);
            let page = pages.iter().find(|entry| entry.path == *path).unwrap();
            let named = |route: &&Route| route.operation.as_ref().unwrap().id == *call;
            let route = routes.iter().find(named).unwrap_or_else(|| panic!("no call is {call}"));
            assert_eq!(page.who, route.entry.who, "{path} and {call} are for others");
        }
        let pages: BTreeSet<&str> = pages.iter().map(|entry| entry.path).collect();
        assert_eq!(pages, known, "a new action needs a call, or a reason why it has none");
    }

    #[test]
    fn names_are_unique_and_what_is_referred_to_is_there() {
        let mut ids = BTreeSet::new();
        let mut shapes: BTreeMap<String, Value> = BTreeMap::new();
        for route in super::super::routes() {
            let operation = route.operation.unwrap();
            assert!(ids.insert(operation.id), "two are {}", operation.id);
            for (name, schema) in operation.schemas {
                let schema = json!(schema);
                let before = shapes.insert(name.clone(), schema.clone());
                assert!(before.is_none_or(|before| before == schema), "two are {name}");
            }
        }
        let text = DOCUMENT.to_string();
        for part in text.split("\"$ref\":\"#").skip(1) {
            let pointer = part.split('"').next().unwrap();
            assert!(DOCUMENT.pointer(pointer).is_some(), "{pointer} is nowhere");
        }
        for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                for parameter in operation["parameters"].as_array().unwrap() {
                    let told = parameter.get("$ref").is_some()
                        || parameter["description"].as_str().is_some_and(|it| !it.is_empty());
                    assert!(told, "{method} {path}: {parameter} is not explained");
                }
                let answers = operation["responses"].as_object().unwrap();
                assert!(answers.keys().any(|it| it < &"300".to_owned()), "{method} {path}");
            }
        }
    }
}
