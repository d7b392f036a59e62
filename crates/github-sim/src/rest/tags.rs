//! `tags`. Follows <https://docs.github.com/rest/repos/repos#list-repository-tags>.

use axum::extract::{Path, State};
use serde_json::Value;

use super::{
    answer::{Answer, Caller, repository},
    page::Page,
};
use crate::{app::App, shape, state::repositories::Role};

/// Each with the commit it names, also when the tag is an object of its own; newest names first.
pub(crate) async fn list(
    State(app): State<App>,
    Path((owner, name)): Path<(String, String)>,
    caller: Caller,
    page: Page,
) -> Answer {
    let found = repository(&app, &caller, &owner, &name, Role::Read)?;
    let bare = app.bare(&found);
    let mut named = Vec::new();
    for (reference, sha) in bare.refs().await?.into_iter().rev() {
        let Some(tag) = reference.strip_prefix("refs/tags/") else { continue };
        // A tag of a file names no commit, and GitHub does not list it.
        if let Some(commit) = bare.verify(&format!("{sha}^{{commit}}")).await? {
            named.push((tag.to_owned(), commit));
        }
    }
    let shapes: Vec<Value> = {
        let world = app.world();
        let tag = |(name, sha): &(String, String)| shape::release::tag(&world, &found, name, sha);
        named.iter().map(tag).collect()
    };
    Ok(page.answer(&app, &shapes))
}
