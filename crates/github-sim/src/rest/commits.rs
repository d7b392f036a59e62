//! `commits/{ref}`, `commits/{ref}/statuses` and `commits/{ref}/status`.
//!
//! Follows <https://docs.github.com/rest/commits/commits#get-a-commit> and
//! <https://docs.github.com/rest/commits/statuses>.

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, header},
    response::IntoResponse,
};
use serde_json::Value;

use super::{
    answer::{Answer, Caller, Refusal, repository},
    page::Page,
};
use crate::{
    app::App,
    shape,
    state::{
        repositories::{Repository, Role},
        statuses::Status,
    },
};

/// The reference may hold slashes, so what follows it is told from it here and not by the router.
pub(crate) async fn get(
    State(app): State<App>,
    Path((owner, name, rest)): Path<(String, String, String)>,
    caller: Caller,
    page: Page,
    headers: HeaderMap,
) -> Answer {
    let found = repository(&app, &caller, &owner, &name, Role::Read)?;
    if let Some(revision) = rest.strip_suffix("/statuses") {
        return statuses(&app, &found, &page, revision).await;
    }
    if let Some(revision) = rest.strip_suffix("/status") {
        return combined(&app, &found, &page, revision).await;
    }
    let sha = resolve(&app, &found, &rest).await?;
    if accepts_only_sha(&headers) {
        let content_type = [(header::CONTENT_TYPE, "application/vnd.github.sha; charset=utf-8")];
        return Ok((content_type, sha).into_response());
    }
    let bare = app.bare(&found);
    let commit = bare.commit(&sha).await?;
    let files = bare.changed_files(&sha).await?;
    let shape = shape::commit::commit(&app.world(), &found, &commit, Some(&files));
    Ok(Json(shape).into_response())
}

async fn statuses(app: &App, found: &Repository, page: &Page, revision: &str) -> Answer {
    let sha = resolve(app, found, revision).await?;
    let shapes: Vec<Value> = {
        let world = app.world();
        world
            .statuses
            .of(found.id, &sha)
            .map(|one| shape::status::status(&world, found, &sha, one))
            .collect()
    };
    Ok(page.answer(app, &shapes))
}

async fn combined(app: &App, found: &Repository, page: &Page, revision: &str) -> Answer {
    let sha = resolve(app, found, revision).await?;
    let (total, shape) = {
        let world = app.world();
        let latest: Vec<&Status> = world.statuses.latest(found.id, &sha);
        let shown = page.cut(&latest);
        let shape = shape::status::combined(&world, found, &sha, &latest, shown);
        (latest.len(), shape)
    };
    Ok(page.with_links(app, total, &shape))
}

async fn resolve(app: &App, found: &Repository, revision: &str) -> Result<String, Refusal> {
    let bare = app.bare(found);
    match bare.commit_of(revision).await? {
        Some(sha) => Ok(sha),
        None if bare.refs().await?.is_empty() => Err(Refusal::empty_repository()),
        None => Err(Refusal::no_commit(revision)
            .see("https://docs.github.com/rest/commits/commits#get-a-commit")),
    }
}

fn accepts_only_sha(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("github.sha") || accept.contains("v3.sha"))
}
