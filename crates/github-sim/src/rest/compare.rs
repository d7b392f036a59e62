//! `compare/{basehead}`. Follows <https://docs.github.com/rest/commits/commits#compare-two-commits>.

use axum::{
    Json,
    extract::{Path, State},
    response::IntoResponse,
};

use super::{
    answer::{Answer, Caller, Refusal, repository},
    page::Page,
};
use crate::{
    app::App,
    shape::{self, comparison::Comparison},
    state::repositories::{Repository, Role},
};

const DOCUMENTATION: &str = "https://docs.github.com/rest/commits/commits#compare-two-commits";
/// GitHub shows the files of a comparison on its first page only, and no more than these.
const MOST_FILES: usize = 300;
/// And no more commits than these where the caller asks for no page.
const MOST_COMMITS: usize = 250;

/// Either side is a name or an id in this repository, or `owner:name` in a fork.
pub(crate) async fn get(
    State(app): State<App>,
    Path((owner, name, basehead)): Path<(String, String, String)>,
    caller: Caller,
    page: Page,
) -> Answer {
    let found = repository(&app, &caller, &owner, &name, Role::Read)?;
    let (base, head) = basehead.split_once("...").ok_or_else(Refusal::not_found)?;
    let base_sha = resolve(&app, &caller, &found, base).await?;
    let head_sha = resolve(&app, &caller, &found, head).await?;
    let git = app.bare(&found);
    let Some(parting) = git.merge_base(&base_sha, &head_sha).await? else {
        return Err(Refusal::not_found().see(DOCUMENTATION));
    };
    let commits = git.commits(&head_sha, std::slice::from_ref(&base_sha)).await?;
    let behind_by = git.commits(&base_sha, std::slice::from_ref(&head_sha)).await?.len();
    let first = page.parameter("page").is_none_or(|page| page == "1");
    let mut files = if first { git.files_between(&parting, &head_sha).await? } else { Vec::new() };
    files.truncate(MOST_FILES);
    let paged = page.parameter("page").or(page.parameter("per_page")).is_some();
    let shown =
        if paged { page.cut(&commits) } else { &commits[..commits.len().min(MOST_COMMITS)] };
    let comparison = Comparison {
        basehead: &basehead,
        base: &git.commit(&base_sha).await?,
        parting: &git.commit(&parting).await?,
        head: &head_sha,
        ahead_by: commits.len(),
        behind_by,
        shown,
        files: &files,
    };
    let shape = shape::comparison::comparison(&app.world(), &found, &comparison);
    if paged {
        return Ok(page.with_links(&app, commits.len(), &shape));
    }
    Ok(Json(shape).into_response())
}

/// The commit one side stands for, brought here when it is in a fork.
async fn resolve(
    app: &App,
    caller: &Caller,
    found: &Repository,
    side: &str,
) -> Result<String, Refusal> {
    let not_found = || Refusal::not_found().see(DOCUMENTATION);
    let Some((owner, name)) = side.split_once(':') else {
        return app.bare(found).commit_of(side).await?.ok_or_else(not_found);
    };
    let other = {
        let world = app.world();
        let other = world.repositories.in_network(found, owner).ok_or_else(not_found)?;
        world.role(other, caller.id()).ok_or_else(not_found)?;
        other.clone()
    };
    let sha = app.bare(&other).commit_of(name).await?.ok_or_else(not_found)?;
    if other.id != found.id {
        app.bare(found).fetch(&app.bare(&other), &[&sha]).await?;
    }
    Ok(sha)
}
