//! `POST statuses/{sha}`.
//!
//! Follows <https://docs.github.com/rest/commits/statuses#create-a-commit-status>.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::IntoResponse,
};
use bytes::Bytes;
use jiff::Timestamp;

use super::answer::{Answer, Caller, Refusal, object, repository, text};
use crate::{
    app::App,
    git::bare::is_full_id,
    shape,
    state::{repositories::Role, statuses::Wanted},
};

const DOCUMENTATION: &str = "https://docs.github.com/rest/commits/statuses#create-a-commit-status";

pub(crate) async fn create(
    State(app): State<App>,
    Path((owner, name, sha)): Path<(String, String, String)>,
    caller: Caller,
    body: Bytes,
) -> Answer {
    let creator = caller.required()?;
    let found = repository(&app, &caller, &owner, &name, Role::Write)?;
    let body = object(&body)?;
    let wanted = Wanted {
        state: text(&body, "Status", "state")?,
        description: text(&body, "Status", "description")?,
        target_url: text(&body, "Status", "target_url")?,
        context: text(&body, "Status", "context")?,
    };
    let commit = if is_full_id(&sha) {
        let revision = format!("{sha}^{{commit}}");
        app.bare(&found).verify(&revision).await?
    } else {
        None
    };
    let Some(commit) = commit else {
        return Err(Refusal::no_commit(&sha).see(DOCUMENTATION));
    };
    let mut world = app.world();
    let id = world.next_id();
    let now = Timestamp::now();
    let status = world
        .statuses
        .add(id, found.id, &commit, creator, wanted, now)
        .map_err(|invalid| Refusal::invalid(invalid).see(DOCUMENTATION))?;
    let shape = shape::status::status(&world, &found, &commit, &status);
    Ok((StatusCode::CREATED, Json(shape)).into_response())
}
