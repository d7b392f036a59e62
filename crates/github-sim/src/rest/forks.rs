//! `POST forks`. Follows <https://docs.github.com/rest/repos/forks#create-a-fork>.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::IntoResponse,
};
use bytes::Bytes;
use jiff::Timestamp;

use super::answer::{Answer, Caller, Refusal, flag, object, repository, text};
use crate::{app::App, shape, state::repositories::Role};

/// GitHub makes forks in the background; here the fork is complete when the answer is given.
pub(crate) async fn create(
    State(app): State<App>,
    Path((owner, name)): Path<(String, String)>,
    caller: Caller,
    body: Bytes,
) -> Answer {
    let id = caller.required()?;
    let parent = repository(&app, &caller, &owner, &name, Role::Read)?;
    let body = object(&body)?;
    let new_name = text(&body, "Repository", "name")?.unwrap_or_else(|| parent.name.clone());
    let default_only = flag(&body, "Repository", "default_branch_only")?.unwrap_or(false);
    if parent.owner == id {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "You cannot fork a repository into the account that owns it.",
        ));
    }
    let fork = {
        let mut world = app.world();
        let user = world.users.by_id(id).ok_or_else(Refusal::not_found)?.clone();
        // Asked for a second fork, GitHub answers with the first.
        let known = world.repositories.forks_of(parent.id).find(|fork| fork.owner == id);
        if let Some(known) = known {
            let shape = shape::repository::full(&world, known, Some(id));
            return Ok((StatusCode::ACCEPTED, Json(shape)).into_response());
        }
        let fork = world.next_id();
        world.repositories.add(fork, &user, &new_name, Some(&parent), Timestamp::now())?
    };
    let refspecs = if default_only {
        let default = &parent.default_branch;
        vec![format!("refs/heads/{default}:refs/heads/{default}")]
    } else {
        ["heads", "tags"].map(|kind| format!("refs/{kind}/*:refs/{kind}/*")).into()
    };
    let refspecs: Vec<&str> = refspecs.iter().map(String::as_str).collect();
    let bare = app.bare(&fork);
    let copied = async {
        bare.create(&fork.default_branch).await?;
        bare.fetch(&app.bare(&parent), &refspecs).await
    };
    if let Err(error) = copied.await {
        app.world().repositories.remove(fork.id);
        return Err(error.into());
    }
    let shape = shape::repository::full(&app.world(), &fork, Some(id));
    Ok((StatusCode::ACCEPTED, Json(shape)).into_response())
}
