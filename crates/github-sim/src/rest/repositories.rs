//! `/user/repos` and `/repos/{owner}/{repo}`. Follows <https://docs.github.com/rest/repos/repos>.

use axum::{
    Json,
    extract::{Path, State},
    response::IntoResponse,
};
use serde_json::Value;

use super::{
    answer::{Answer, Caller, repository},
    page::Page,
};
use crate::{app::App, shape, state::repositories::Role};

/// Repositories the caller owns or was invited to; `visibility`, `affiliation`, `sort` and
/// `direction` work as documented, `type`, `since` and `before` are ignored.
pub(crate) async fn mine(State(app): State<App>, caller: Caller, page: Page) -> Answer {
    let id = caller.required()?;
    let shapes: Vec<Value> = {
        let world = app.world();
        let affiliation =
            page.parameter("affiliation").unwrap_or("owner,collaborator,organization_member");
        let wanted = |own: bool| {
            let role = if own { "owner" } else { "collaborator" };
            affiliation.split(',').any(|one| one.trim() == role)
        };
        let visibility = page.parameter("visibility").unwrap_or("all");
        let mut found = world.repositories.of_user(id);
        found.retain(|one| {
            wanted(one.owner == id)
                && match visibility {
                    "public" => !one.private,
                    "private" => one.private,
                    _ => true,
                }
        });
        let sort = page.parameter("sort").unwrap_or("full_name");
        match sort {
            "created" => found.sort_by_key(|one| std::cmp::Reverse(one.created_at)),
            "updated" => found.sort_by_key(|one| std::cmp::Reverse(one.updated_at)),
            "pushed" => found.sort_by_key(|one| std::cmp::Reverse(one.pushed_at)),
            _ => {}
        }
        let natural = if sort == "full_name" { "asc" } else { "desc" };
        if page.parameter("direction").is_some_and(|direction| direction != natural) {
            found.reverse();
        }
        found.into_iter().map(|one| shape::repository::for_caller(&world, one, Some(id))).collect()
    };
    Ok(page.answer(&app, &shapes))
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
