//! Control endpoints under `/_sim`: what a test arranges and looks at, and GitHub does not have.
//!
//! No credentials are asked for: whoever reaches this port may do anything. Errors are one
//! sentence in `message`.

mod accounts;
mod circumstances;

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    app::App,
    client::LoggedRequest,
    faults::Fault,
    git::{GitError, bare::is_full_id, lfs},
    shape,
    state::{
        Invalid,
        deliveries::Delivery,
        deploy_keys::DeployKey,
        repositories::{DEFAULT_BRANCH, Repository},
    },
};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/users", post(add_user))
        .route("/users/{login}/token", get(token))
        .route("/repositories", post(add_repository))
        .route("/vanish", post(vanish))
        .route("/ssh", post(serve_ssh))
        .route("/base", post(move_to))
        .route("/lfs", get(large_files))
        .route("/lfs_authenticate", get(lfs_authenticate))
        .route("/trust", post(trust))
        .route("/authorized_keys", get(authorized_keys))
        .route("/deliveries", get(deliveries))
        .route("/redeliver", post(redeliver))
        .route("/faults", post(add_fault).delete(clear_faults))
        .route("/faults/{id}", delete(lift_fault))
        .route("/requests", get(requests))
        .merge(accounts::routes())
        .merge(circumstances::routes())
        .fallback(async || Failure::new(StatusCode::NOT_FOUND, "there is no such control endpoint"))
}

struct Failure {
    status: StatusCode,
    message: String,
}

impl Failure {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    fn no_repository(full_name: &str) -> Self {
        Self::missing(format!("there is no repository {full_name}"))
    }

    fn no_user(login: &str) -> Self {
        Self::missing(format!("there is no user {login}"))
    }

    fn no_team(organization: &str, slug: &str) -> Self {
        Self::missing(format!("{organization} has no team {slug}"))
    }

    fn missing(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    fn broken(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        let message = invalid.message.unwrap_or_else(|| invalid.code.to_owned());
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }
}

impl From<GitError> for Failure {
    fn from(error: GitError) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(json!({"message": self.message}))).into_response()
    }
}

type Answer<T> = Result<Json<T>, Failure>;

#[derive(Deserialize)]
struct NewUser {
    login: String,
}

async fn add_user(State(app): State<App>, Json(new): Json<NewUser>) -> Answer<Value> {
    let token = format!("ghp_{}", uuid::Uuid::new_v4().simple());
    let mut world = app.world();
    let id = world.next_id();
    world.users.add(id, &new.login, token.clone(), Timestamp::now())?;
    Ok(Json(json!({"id": id, "token": token})))
}

/// The user's first token that was not revoked, and what their browser has; of an organization,
/// an owner's.
async fn token(State(app): State<App>, Path(login): Path<String>) -> Answer<Value> {
    let world = app.world();
    let account = world.users.by_login(&login).ok_or_else(|| Failure::no_user(&login))?;
    let user = world.users.by_id(world.person_of(account.id));
    let user = user.ok_or_else(|| Failure::no_user(&login))?;
    let token = user.tokens.first();
    Ok(Json(json!({"token": token, "session": user.session})))
}

#[derive(Deserialize)]
struct NewRepository {
    owner: String,
    name: String,
}

async fn add_repository(State(app): State<App>, Json(new): Json<NewRepository>) -> Answer<Value> {
    let id = app.world().next_id();
    // Made before it is there: who asks for it meanwhile gets all of it or nothing.
    let made = app.aside(id);
    made.create(DEFAULT_BRANCH).await?;
    let add = || {
        let mut world = app.world();
        let owner = world.users.by_login(&new.owner);
        let owner = owner.ok_or_else(|| Failure::no_user(&new.owner))?.clone();
        let added = world.repositories.add(id, &owner, &new.name, None, Timestamp::now())?;
        made.move_to(&app.bare(&added))
            .map_err(|error| Failure::broken(format!("cannot make {}: {error}", new.name)))
    };
    if let Err(refused) = add() {
        let _ = std::fs::remove_dir_all(made.path());
        return Err(refused);
    }
    Ok(Json(json!({"id": id})))
}

#[derive(Deserialize)]
struct Vanish {
    repository: String,
    sha: String,
}

/// Removes a commit that no reference reaches any more, as GitHub does some day after a
/// force-push; from then on it can neither be fetched nor given a status.
async fn vanish(State(app): State<App>, Json(wanted): Json<Vanish>) -> Answer<Value> {
    let found = find(&app, &wanted.repository)?;
    let sha = &wanted.sha;
    if !is_full_id(sha) {
        let message = format!("{sha:?} is not the full id of a commit");
        return Err(Failure::new(StatusCode::UNPROCESSABLE_ENTITY, message));
    }
    let bare = app.bare(&found);
    let _no_push_meanwhile = found.receiving.lock().await;
    if bare.verify(&format!("{sha}^{{commit}}")).await?.is_none() {
        let message = format!("{} has no commit {sha}", wanted.repository);
        return Err(Failure::new(StatusCode::NOT_FOUND, message));
    }
    let holders = bare.holders(sha).await?;
    if !holders.is_empty() {
        let message = format!(
            "{sha} is still reachable from {}: force-push or delete it first",
            holders.join(", ")
        );
        return Err(Failure::new(StatusCode::CONFLICT, message));
    }
    bare.collect_garbage().await?;
    if bare.verify(&format!("{sha}^{{commit}}")).await?.is_some() {
        let message = format!("{sha} is still there after git gc");
        return Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, message));
    }
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct Ssh {
    /// What a repository's `ssh_url` begins with, up to its full name.
    url: String,
}

/// The stand-in speaks no SSH itself: an sshd beside it serves its repositories.
async fn serve_ssh(State(app): State<App>, Json(wanted): Json<Ssh>) -> Json<Value> {
    app.world().ssh = Some(wanted.url);
    Json(json!({}))
}

/// What was transferred of large files, oldest first.
async fn large_files(State(app): State<App>) -> Json<Vec<String>> {
    Json(app.world().lfs.clone())
}

/// For an sshd beside the stand-in, which knows who is let in.
async fn lfs_authenticate(State(app): State<App>, Query(of): Query<OfRepository>) -> Answer<Value> {
    let name = find(&app, &of.repository)?.full_name();
    Ok(Json(lfs::authenticate(&app, &name)))
}

#[derive(Deserialize)]
struct Base {
    /// Without a trailing slash.
    url: String,
}

/// What stands before the stand-in, like a server with TLS, has another address.
async fn move_to(State(app): State<App>, Json(wanted): Json<Base>) -> Json<Value> {
    app.world().base = wanted.url;
    Json(json!({}))
}

#[derive(Deserialize)]
struct Trusted {
    /// PEM.
    certificate: String,
}

/// The receivers of deliveries may have a certificate that only a test knows.
async fn trust(State(app): State<App>, Json(wanted): Json<Trusted>) -> Answer<Value> {
    app.postman().trust(wanted.certificate.as_bytes()).map_err(|error| {
        Failure::new(StatusCode::UNPROCESSABLE_ENTITY, format!("no certificate: {error}"))
    })?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct AuthorizedKeys {
    command: String,
}

/// The deploy keys of all repositories, as an `AuthorizedKeysCommand` of sshd prints them. Each
/// may run only `command` with the repository's full name and `read-only` or `read-write`.
async fn authorized_keys(State(app): State<App>, Query(wanted): Query<AuthorizedKeys>) -> String {
    let world = app.world();
    let line = |key: &DeployKey| {
        let name = world.repositories.by_id(key.repository)?.full_name();
        let access = if key.read_only { "read-only" } else { "read-write" };
        let command = &wanted.command;
        Some(format!("restrict,command=\"{command} {name} {access}\" {}\n", key.key))
    };
    world.deploy_keys.all().filter_map(line).collect()
}

#[derive(Deserialize)]
struct OfRepository {
    repository: String,
}

/// All deliveries of a repository's webhooks that have ended, oldest first.
async fn deliveries(State(app): State<App>, Query(of): Query<OfRepository>) -> Answer<Vec<Value>> {
    let found = find(&app, &of.repository)?;
    let world = app.world();
    let shapes = world.deliveries.of_repository(found.id).map(|delivery| {
        let mut shape = shape::delivery::full(delivery);
        shape["hook_id"] = json!(delivery.webhook);
        shape
    });
    Ok(Json(shapes.collect()))
}

#[derive(Deserialize)]
struct Redeliver {
    guid: String,
}

#[derive(Serialize)]
struct Redelivered {
    webhooks: usize,
}

async fn redeliver(State(app): State<App>, Json(wanted): Json<Redeliver>) -> Answer<Redelivered> {
    let deliveries: Vec<Delivery> =
        app.world().deliveries.of_event(&wanted.guid).cloned().collect();
    if deliveries.is_empty() {
        let message = format!("nothing was delivered with the GUID {}", wanted.guid);
        return Err(Failure::new(StatusCode::NOT_FOUND, message));
    }
    for delivery in &deliveries {
        app.redeliver(delivery);
    }
    Ok(Json(Redelivered { webhooks: deliveries.len() }))
}

async fn add_fault(State(app): State<App>, Json(fault): Json<Fault>) -> Json<Value> {
    let mut world = app.world();
    let id = world.next_id();
    world.faults.add(id, fault);
    Json(json!({"id": id}))
}

async fn lift_fault(State(app): State<App>, Path(id): Path<u64>) -> Json<Value> {
    app.world().faults.lift(id);
    Json(json!({}))
}

async fn clear_faults(State(app): State<App>) -> Json<Value> {
    app.world().faults.clear();
    Json(json!({}))
}

async fn requests(State(app): State<App>) -> Json<Vec<LoggedRequest>> {
    Json(app.world().requests.clone())
}

fn find(app: &App, full_name: &str) -> Result<Repository, Failure> {
    app.world()
        .repositories
        .by_full_name(full_name)
        .cloned()
        .ok_or_else(|| Failure::no_repository(full_name))
}
