//! Teams of an organization and of a repository, and their members.
//!
//! Follows <https://docs.github.com/rest/teams/teams>, <https://docs.github.com/rest/teams/members>
//! and <https://docs.github.com/rest/repos/repos#list-repository-teams>.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::IntoResponse,
};
use serde_json::Value;

use super::{
    answer::{Answer, Caller, Refusal, repository},
    organizations::organization,
    page::Page,
};
use crate::{
    app::App,
    shape,
    state::{World, organizations::Organization, repositories::Role, teams::Team},
};

/// All teams, those below others as well; each names its parent.
pub(crate) async fn list(
    State(app): State<App>,
    Path(login): Path<String>,
    caller: Caller,
    page: Page,
) -> Answer {
    let shapes: Vec<Value> = {
        let world = app.world();
        let found = of_member(&world, &caller, &login)?;
        let teams = world.teams.of(found.id);
        teams.into_iter().map(|team| shape::team::team(&world, team, None)).collect()
    };
    Ok(page.answer(&app, &shapes))
}

/// Those of the teams below as well; `role=maintainer` shows those who maintain the team.
pub(crate) async fn members(
    State(app): State<App>,
    Path((login, slug)): Path<(String, String)>,
    caller: Caller,
    page: Page,
) -> Answer {
    let shapes: Vec<Value> = {
        let world = app.world();
        let team = team(&world, &caller, &login, &slug)?;
        let role = page.parameter("role").unwrap_or("all");
        let wanted = |maintains: bool| match role {
            "maintainer" => maintains,
            "member" => !maintains,
            _ => true,
        };
        let members = world.teams.members(team).into_iter();
        let members = members.filter(|(_, maintains)| wanted(*maintains));
        members.map(|(user, _)| shape::user::by_id(&world, user)).collect()
    };
    Ok(page.answer(&app, &shapes))
}

pub(crate) async fn get(
    State(app): State<App>,
    Path((login, slug)): Path<(String, String)>,
    caller: Caller,
) -> Answer {
    let world = app.world();
    let found = team(&world, &caller, &login, &slug)?;
    Ok(Json(shape::team::full(&world, found)).into_response())
}

/// Teams with a role in a repository, their own or inherited.
pub(crate) async fn of_repository(
    State(app): State<App>,
    Path((owner, name)): Path<(String, String)>,
    caller: Caller,
    page: Page,
) -> Answer {
    let found = repository(&app, &caller, &owner, &name, Role::Read)?;
    let shapes: Vec<Value> = {
        let world = app.world();
        let insider = world.organizations.by_id(found.owner).is_some_and(|organization| {
            caller.id().is_some_and(|id| organization.member(id).is_some())
        });
        if !insider && world.role(&found, caller.id()) < Some(Role::Admin) {
            let message = "Must have admin rights to Repository.";
            return Err(Refusal::new(StatusCode::FORBIDDEN, message));
        }
        let teams = world.teams.of(found.owner).into_iter();
        let with_role = teams.filter_map(|team| Some((team, world.teams.role(team, found.id)?)));
        with_role.map(|(team, role)| shape::team::team(&world, team, Some(role))).collect()
    };
    Ok(page.answer(&app, &shapes))
}

/// Who is not a member learns nothing about teams.
fn of_member<'a>(
    world: &'a World,
    caller: &Caller,
    login: &str,
) -> Result<&'a Organization, Refusal> {
    let id = caller.required()?;
    let found = organization(world, login)?;
    if found.member(id).is_none() {
        let message = "You must be a member of the organization to see its teams.";
        return Err(Refusal::new(StatusCode::FORBIDDEN, message));
    }
    Ok(found)
}

fn team<'a>(
    world: &'a World,
    caller: &Caller,
    login: &str,
    slug: &str,
) -> Result<&'a Team, Refusal> {
    let organization = of_member(world, caller, login).map_err(|_| Refusal::not_found())?;
    world.teams.by_slug(organization.id, slug).ok_or_else(Refusal::not_found)
}
