//! `/user/repos` and `/repos/{owner}/{repo}`. Follows <https://docs.github.com/rest/repos/repos>.

use axum::{
    Json,
    extract::{Path, State},
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
        Invalid, World,
        repositories::{Repository, Role},
    },
};

/// Repositories the caller owns, was invited to or reaches by an organization; `visibility`,
/// `affiliation`, `type`, `sort` and `direction` work as documented, `since` and `before` are
/// ignored.
pub(crate) async fn mine(State(app): State<App>, caller: Caller, page: Page) -> Answer {
    let id = caller.required()?;
    let narrowed = page.parameter("visibility").or_else(|| page.parameter("affiliation"));
    if narrowed.is_some() && page.parameter("type").is_some() {
        let message = "If you specify visibility or affiliation, you cannot specify type.";
        return Err(Refusal::from(Invalid::custom("Repository", message)));
    }
    let shapes: Vec<Value> = {
        let world = app.world();
        let kind = page.parameter("type").unwrap_or("all");
        let affiliation = match kind {
            "owner" => "owner",
            "member" => "collaborator,organization_member",
            _ => page.parameter("affiliation").unwrap_or("owner,collaborator,organization_member"),
        };
        let visibility = match kind {
            "public" | "private" => kind,
            _ => page.parameter("visibility").unwrap_or("all"),
        };
        let is_visible = |one: &&Repository| match visibility {
            "public" => !one.private,
            "private" => one.private,
            _ => true,
        };
        let of_user =
            |one: &&Repository| affiliation.split(',').any(|by| is_by(&world, one, id, by));
        let mut found: Vec<&Repository> =
            world.repositories.all().filter(is_visible).filter(of_user).collect();
        sort(&mut found, &page, "full_name");
        found.into_iter().map(|one| shape::repository::for_caller(&world, one, Some(id))).collect()
    };
    Ok(page.answer(&app, &shapes))
}

/// Whether a user has to do with a repository in this way.
fn is_by(world: &World, repository: &Repository, user: u64, affiliation: &str) -> bool {
    match affiliation.trim() {
        "owner" => repository.owner == user,
        "collaborator" => repository.invited(user).is_some(),
        "organization_member" => world.role_by_organization(repository, user).is_some(),
        _ => false,
    }
}

/// Names ascend and times descend, unless `direction` says otherwise.
pub(super) fn sort(found: &mut [&Repository], page: &Page, default: &str) {
    found.sort_by_key(|one| one.full_name().to_ascii_lowercase());
    let by = page.parameter("sort").unwrap_or(default);
    match by {
        "created" => found.sort_by_key(|one| std::cmp::Reverse(one.created_at)),
        "updated" => found.sort_by_key(|one| std::cmp::Reverse(one.updated_at)),
        "pushed" => found.sort_by_key(|one| std::cmp::Reverse(one.pushed_at)),
        _ => {}
    }
    let natural = if by == "full_name" { "asc" } else { "desc" };
    if page.parameter("direction").is_some_and(|direction| direction != natural) {
        found.reverse();
    }
}

pub(crate) async fn get(
    State(app): State<App>,
    Path((owner, name)): Path<(String, String)>,
    caller: Caller,
) -> Answer {
    let found = repository(&app, &caller, &owner, &name, Role::Read)?;
    let shape = shape::repository::full(&app.world(), &found, caller.id());
    Ok(Json(shape).into_response())
}
