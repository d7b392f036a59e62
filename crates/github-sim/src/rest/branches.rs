//! `branches` and `git/ref`. Follows <https://docs.github.com/rest/branches/branches> and
//! <https://docs.github.com/rest/git/refs>.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::IntoResponse,
};
use serde_json::Value;

use super::{
    answer::{Answer, Caller, Refusal, repository},
    page::Page,
};
use crate::{app::App, shape, state::repositories::Role};

pub(crate) async fn list(
    State(app): State<App>,
    Path((owner, name)): Path<(String, String)>,
    caller: Caller,
    page: Page,
) -> Answer {
    let found = repository(&app, &caller, &owner, &name, Role::Read)?;
    let refs = app.bare(&found).refs().await?;
    // No branch is protected here.
    let none = page.parameter("protected") == Some("true");
    let shapes: Vec<Value> = {
        let world = app.world();
        refs.iter()
            .filter(|_| !none)
            .filter_map(|(name, sha)| Some((name.strip_prefix("refs/heads/")?, sha)))
            .map(|(branch, sha)| shape::commit::short_branch(&world, &found, branch, sha))
            .collect()
    };
    Ok(page.answer(&app, &shapes))
}

pub(crate) async fn get(
    State(app): State<App>,
    Path((owner, name, branch)): Path<(String, String, String)>,
    caller: Caller,
) -> Answer {
    let found = repository(&app, &caller, &owner, &name, Role::Read)?;
    let bare = app.bare(&found);
    let Some((sha, _)) = bare.reference(&format!("heads/{branch}")).await? else {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "Branch not found")
            .see("https://docs.github.com/rest/branches/branches#get-a-branch"));
    };
    let head = bare.commit(&sha).await?;
    let shape = shape::commit::branch(&app.world(), &found, &branch, &head);
    Ok(Json(shape).into_response())
}

pub(crate) async fn reference(
    State(app): State<App>,
    Path((owner, name, reference)): Path<(String, String, String)>,
    caller: Caller,
) -> Answer {
    let found = repository(&app, &caller, &owner, &name, Role::Read)?;
    let bare = app.bare(&found);
    let Some((sha, kind)) = bare.reference(&reference).await? else {
        if bare.refs().await?.is_empty() {
            return Err(Refusal::empty_repository());
        }
        return Err(
            Refusal::not_found().see("https://docs.github.com/rest/git/refs#get-a-reference")
        );
    };
    let shape = shape::commit::reference(&app.world(), &found, &reference, &sha, &kind);
    Ok(Json(shape).into_response())
}

/// All references that begin so; of one that is whole, those that are longer as well.
pub(crate) async fn matching(
    State(app): State<App>,
    Path((owner, name, start)): Path<(String, String, String)>,
    caller: Caller,
) -> Answer {
    let found = repository(&app, &caller, &owner, &name, Role::Read)?;
    let bare = app.bare(&found);
    if bare.refs().await?.is_empty() {
        return Err(Refusal::empty_repository());
    }
    let matching = bare.references(&start).await?;
    let world = app.world();
    let shapes: Vec<Value> = matching
        .iter()
        .filter_map(|(full, sha, kind)| {
            let name = full.strip_prefix("refs/")?;
            Some(shape::commit::reference(&world, &found, name, sha, kind))
        })
        .collect();
    Ok(Json(shapes).into_response())
}
