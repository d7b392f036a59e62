//! `/orgs/{org}`, its repositories and members, and what a user belongs to.
//!
//! Follows <https://docs.github.com/rest/orgs/orgs> and <https://docs.github.com/rest/orgs/members>.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::IntoResponse,
};
use serde_json::Value;

use super::{
    answer::{Answer, Caller, Refusal},
    page::Page,
};
use crate::{
    app::App,
    shape,
    state::{World, organizations::Organization},
};

/// The organization with this login, any case.
pub(super) fn organization<'a>(world: &'a World, login: &str) -> Result<&'a Organization, Refusal> {
    world
        .users
        .by_login(login)
        .and_then(|account| world.organizations.by_id(account.id))
        .ok_or_else(Refusal::not_found)
}

pub(crate) async fn get(State(app): State<App>, Path(login): Path<String>) -> Answer {
    let world = app.world();
    let found = organization(&world, &login)?;
    Ok(Json(shape::organization::full(&world, found)).into_response())
}

/// `type` and `sort` work as documented but for `type=forks` with others.
pub(crate) async fn repositories(
    State(app): State<App>,
    Path(login): Path<String>,
    caller: Caller,
    page: Page,
) -> Answer {
    let shapes: Vec<Value> = {
        let world = app.world();
        let found = organization(&world, &login)?;
        let kind = page.parameter("type").unwrap_or("all");
        let mut owned = world.repositories.owned_by(found.id);
        owned.retain(|one| {
            world.role(one, caller.id()).is_some()
                && match kind {
                    "public" => !one.private,
                    "private" => one.private,
                    "forks" => one.parent.is_some(),
                    "sources" => one.parent.is_none(),
                    _ => true,
                }
        });
        super::repositories::sort(&mut owned, &page, "created");
        let shape = |one| shape::repository::for_caller(&world, one, caller.id());
        owned.into_iter().map(shape).collect()
    };
    Ok(page.answer(&app, &shapes))
}

/// Members see all members; nobody is a public one here.
pub(crate) async fn members(
    State(app): State<App>,
    Path(login): Path<String>,
    caller: Caller,
    page: Page,
) -> Answer {
    let shapes: Vec<Value> = {
        let world = app.world();
        let found = organization(&world, &login)?;
        let inside = caller.id().is_some_and(|id| found.member(id).is_some());
        let role = page.parameter("role").unwrap_or("all");
        let wanted = |is_owner: bool| match role {
            "admin" => is_owner,
            "member" => !is_owner,
            _ => true,
        };
        let members = found.members.iter().filter(|member| inside && wanted(member.is_owner));
        members.map(|member| shape::user::by_id(&world, member.user)).collect()
    };
    Ok(page.answer(&app, &shapes))
}

/// Whether somebody is a member: a member is told, others are sent to the public members.
pub(crate) async fn is_member(
    State(app): State<App>,
    Path((login, user)): Path<(String, String)>,
    caller: Caller,
) -> Answer {
    let world = app.world();
    let found = organization(&world, &login)?;
    if caller.id().is_none_or(|id| found.member(id).is_none()) {
        let to = format!("{}/orgs/{login}/public_members/{user}", shape::api(&world));
        let headers = [(axum::http::header::LOCATION, to)];
        return Ok((StatusCode::FOUND, headers).into_response());
    }
    let user = world.users.by_login(&user).ok_or_else(Refusal::not_found)?;
    found.member(user.id).ok_or_else(Refusal::not_found)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `/user/orgs`.
pub(crate) async fn mine(State(app): State<App>, caller: Caller, page: Page) -> Answer {
    let id = caller.required()?;
    let shapes: Vec<Value> = {
        let world = app.world();
        let found = world.organizations.of(id);
        found.map(|(one, _)| shape::organization::simple(&world, one)).collect()
    };
    Ok(page.answer(&app, &shapes))
}

/// `/user/memberships/orgs`; nobody is merely invited here.
pub(crate) async fn memberships(State(app): State<App>, caller: Caller, page: Page) -> Answer {
    let id = caller.required()?;
    let shapes: Vec<Value> = if page.parameter("state") == Some("pending") {
        Vec::new()
    } else {
        let world = app.world();
        let found = world.organizations.of(id);
        found.map(|(one, member)| shape::organization::membership(&world, one, member)).collect()
    };
    Ok(page.answer(&app, &shapes))
}

/// `/user/memberships/orgs/{org}`.
pub(crate) async fn membership(
    State(app): State<App>,
    Path(login): Path<String>,
    caller: Caller,
) -> Answer {
    let id = caller.required()?;
    let world = app.world();
    let found = organization(&world, &login)?;
    let member = found.member(id).ok_or_else(Refusal::not_found)?;
    Ok(Json(shape::organization::membership(&world, found, member)).into_response())
}
