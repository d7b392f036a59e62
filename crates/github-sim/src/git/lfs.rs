//! Git LFS: where a repository's large files lie, by its Batch API with basic transfers.
//!
//! Follows "Git LFS Batch API" and "Basic Transfer API", as Git LFS publishes them
//! (<https://github.com/git-lfs/git-lfs/tree/main/docs/api>); what a client asks otherwise is
//! refused. Over SSH the server is told by `git-lfs-authenticate` ("Server Discovery").

use std::{collections::BTreeMap, path::PathBuf};

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;

pub(crate) const MEDIA_TYPE: &str = "application/vnd.git-lfs+json";
/// Who has this may read what the path names: GitHub tells such URLs, of another host.
const SIGNATURE: &str = "X-Amz-Signature";
/// Bytes of a batch request.
pub(crate) const LARGEST: usize = 4 << 20;

#[derive(Deserialize)]
struct Batch {
    operation: String,
    transfers: Option<Vec<String>>,
    objects: Vec<Object>,
    hash_algo: Option<String>,
}

#[derive(Deserialize)]
struct Object {
    oid: String,
    size: u64,
}

/// Answers `objects/batch` for who may do what they ask.
pub(crate) fn batch(app: &App, headers: &HeaderMap, body: &[u8], may_push: bool) -> Response {
    let is_ours =
        |name| headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(is_lfs);
    if !is_ours(header::ACCEPT) {
        return refusal(StatusCode::NOT_ACCEPTABLE, "the Accept header must name Git LFS");
    }
    if !is_ours(header::CONTENT_TYPE) {
        return refusal(StatusCode::UNPROCESSABLE_ENTITY, "the body must be of Git LFS's type");
    }
    let Ok(batch) = serde_json::from_slice::<Batch>(body) else {
        return refusal(StatusCode::UNPROCESSABLE_ENTITY, "the body is no batch request");
    };
    let is_basic = batch.transfers.is_none_or(|all| all.iter().any(|it| it == "basic"));
    let is_known = batch.hash_algo.is_none_or(|name| name == "sha256");
    if !is_basic || !is_known || !batch.objects.iter().all(|object| is_oid(&object.oid)) {
        return refusal(StatusCode::UNPROCESSABLE_ENTITY, "not what is done here");
    }
    let uploads = match batch.operation.as_str() {
        "download" => false,
        "upload" if may_push => true,
        "upload" => return refusal(StatusCode::FORBIDDEN, "You must have push access"),
        _ => return refusal(StatusCode::UNPROCESSABLE_ENTITY, "no such operation"),
    };
    let objects: Vec<Value> =
        batch.objects.iter().map(|object| described(app, object, uploads)).collect();
    let answer = json!({"transfer": "basic", "objects": objects, "hash_algo": "sha256"});
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], Json(answer).into_response().into_body()).into_response()
}

fn described(app: &App, object: &Object, uploads: bool) -> Value {
    let Object { oid, size } = object;
    let mut shape = json!({"oid": oid, "size": size, "authenticated": true});
    let is_there = file(app, oid).metadata().is_ok_and(|found| found.len() == *size);
    let action = if uploads { "upload" } else { "download" };
    match (uploads, is_there) {
        // The client takes it for there.
        (true, true) => {}
        (false, false) => shape["error"] = json!({"code": 404, "message": "Object does not exist"}),
        _ => {
            let base = app.world().base.clone();
            let href = format!("{base}/lfs-objects/{oid}?{SIGNATURE}={}", signature(oid));
            shape["actions"] = json!({action: {"href": href, "expires_in": 3600}});
        }
    }
    shape
}

/// Uploads and downloads of one object.
pub(crate) async fn transfer(
    State(app): State<App>,
    method: Method,
    Path(oid): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    body: Bytes,
) -> Response {
    if !is_oid(&oid) || query.get(SIGNATURE).is_none_or(|given| *given != signature(&oid)) {
        return (StatusCode::FORBIDDEN, "SignatureDoesNotMatch").into_response();
    }
    let file = file(&app, &oid);
    let done = if method == Method::PUT {
        app.world().lfs.push(format!("PUT {oid}"));
        let folder = file.parent().map_or_else(|| PathBuf::from("."), PathBuf::from);
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&file, &body))
            .map(|()| Vec::new())
    } else {
        app.world().lfs.push(format!("GET {oid}"));
        std::fs::read(&file)
    };
    match done {
        Ok(bytes) => bytes.into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

/// What `git-lfs-authenticate` says for a repository; from then on whoever has it is let in.
pub(crate) fn authenticate(app: &App, full_name: &str) -> Value {
    let mut world = app.world();
    let token = format!("lfs-{:x}", world.next_id());
    let base = world.base.clone();
    world.lfs_tokens.insert(token.clone(), full_name.to_owned());
    json!({
        "href": format!("{base}/{full_name}.git/info/lfs"),
        "header": {"Authorization": format!("RemoteAuth {token}")},
        "expires_in": 600,
    })
}

pub(crate) fn is_let_in(app: &App, headers: &HeaderMap, owner: &str, name: &str) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = given.and_then(|value| value.strip_prefix("RemoteAuth "));
    let world = app.world();
    let of = token.and_then(|token| world.lfs_tokens.get(token));
    of.is_some_and(|repository| *repository == format!("{owner}/{name}"))
}

pub(crate) fn refusal(status: StatusCode, message: &str) -> Response {
    let body = Json(json!({"message": message})).into_response().into_body();
    (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response()
}

fn is_lfs(media: &str) -> bool {
    media.split(';').next().is_some_and(|kind| kind.trim() == MEDIA_TYPE)
}

fn is_oid(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Its own, and nobody's who does not know the oid backwards.
fn signature(oid: &str) -> String {
    oid.chars().rev().take(32).collect()
}

fn file(app: &App, oid: &str) -> PathBuf {
    app.root().join(".lfs").join(oid)
}
