//! Organizations, their members and teams; and what becomes of users.

use axum::{
    Json, Router,
    extract::State,
    routing::{post, put},
};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Failure};
use crate::{
    app::App,
    shape,
    state::{World, repositories::Role, teams::Team},
};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/organizations", post(add_organization))
        .route("/members", put(admit).delete(dismiss))
        .route("/base_role", put(set_base_role))
        .route("/teams", post(add_team))
        .route("/teams/members", put(join_team).delete(leave_team))
        .route("/teams/repositories", put(grant).delete(withdraw))
        .route("/users/name", put(rename))
        .route("/users/deleted", put(delete))
        .route("/rate_limit", put(limit))
        .route("/largest_page", put(largest_page))
}

#[derive(Deserialize)]
struct NewOrganization {
    login: String,
    /// The first owner.
    owner: String,
}

async fn add_organization(
    State(app): State<App>,
    Json(new): Json<NewOrganization>,
) -> Answer<Value> {
    let mut world = app.world();
    let owner = user(&world, &new.owner)?;
    let id = world.next_id();
    let now = Timestamp::now();
    world.users.add_organization(id, &new.login, now)?;
    world.organizations.add(id, owner, now);
    Ok(Json(json!({"id": id})))
}

#[derive(Deserialize)]
struct Membership {
    organization: String,
    login: String,
    #[serde(default)]
    is_owner: bool,
}

async fn admit(State(app): State<App>, Json(wanted): Json<Membership>) -> Answer<Value> {
    let mut world = app.world();
    let user = user(&world, &wanted.login)?;
    let id = organization(&world, &wanted.organization)?;
    if let Some(found) = world.organizations.by_id_mut(id) {
        found.admit(user, wanted.is_owner);
    }
    Ok(Json(json!({})))
}

/// Also from the organization's teams; invitations to repositories stay, as on GitHub.
async fn dismiss(State(app): State<App>, Json(wanted): Json<Membership>) -> Answer<Value> {
    let mut world = app.world();
    let user = user(&world, &wanted.login)?;
    let id = organization(&world, &wanted.organization)?;
    let belonged = world.organizations.by_id_mut(id).is_some_and(|found| found.dismiss(user));
    if !belonged {
        return Err(Failure::missing(format!(
            "{} is no member of {}",
            wanted.login, wanted.organization
        )));
    }
    world.teams.dismiss(id, user);
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct BaseRole {
    organization: String,
    /// `None`: members may do no more than anybody.
    role: Option<Role>,
}

async fn set_base_role(State(app): State<App>, Json(wanted): Json<BaseRole>) -> Answer<Value> {
    let mut world = app.world();
    let id = organization(&world, &wanted.organization)?;
    if let Some(found) = world.organizations.by_id_mut(id) {
        found.base = wanted.role;
    }
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct NewTeam {
    organization: String,
    name: String,
    /// The slug of the team it is below.
    parent: Option<String>,
}

async fn add_team(State(app): State<App>, Json(new): Json<NewTeam>) -> Answer<Value> {
    let mut world = app.world();
    let organization = organization(&world, &new.organization)?;
    let parent = match &new.parent {
        None => None,
        Some(slug) => {
            let found = world.teams.by_slug(organization, slug).map(|team| team.id);
            Some(found.ok_or_else(|| Failure::no_team(&new.organization, slug))?)
        }
    };
    let id = world.next_id();
    let made = world.teams.add(id, organization, &new.name, parent)?;
    Ok(Json(json!({"id": id, "slug": made.slug})))
}

#[derive(Deserialize)]
struct TeamMember {
    organization: String,
    team: String,
    login: String,
    #[serde(default)]
    maintains: bool,
}

/// Whoever joins a team joins the organization, too.
async fn join_team(State(app): State<App>, Json(wanted): Json<TeamMember>) -> Answer<Value> {
    let mut world = app.world();
    let user = user(&world, &wanted.login)?;
    let team = team(&mut world, &wanted.organization, &wanted.team)?;
    team.members.retain(|(known, _)| *known != user);
    team.members.push((user, wanted.maintains));
    let id = team.organization;
    if let Some(found) = world.organizations.by_id_mut(id)
        && found.member(user).is_none()
    {
        found.admit(user, false);
    }
    Ok(Json(json!({})))
}

async fn leave_team(State(app): State<App>, Json(wanted): Json<TeamMember>) -> Answer<Value> {
    let mut world = app.world();
    let user = user(&world, &wanted.login)?;
    let team = team(&mut world, &wanted.organization, &wanted.team)?;
    team.members.retain(|(known, _)| *known != user);
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct TeamRepository {
    organization: String,
    team: String,
    repository: String,
    role: Option<Role>,
}

/// Delivers `team_add` when the team had no role there.
async fn grant(State(app): State<App>, Json(wanted): Json<TeamRepository>) -> Answer<Value> {
    let told = {
        let mut world = app.world();
        let id = organization(&world, &wanted.organization)?;
        let repository = world.repositories.by_full_name(&wanted.repository);
        let repository = repository.ok_or_else(|| Failure::no_repository(&wanted.repository))?;
        if repository.owner != id {
            let message = format!("{} is not {}'s", wanted.repository, wanted.organization);
            return Err(Failure::missing(message));
        }
        let repository = repository.clone();
        let team = team(&mut world, &wanted.organization, &wanted.team)?;
        let is_new = !team.repositories.iter().any(|(known, _)| *known == repository.id);
        team.grant(repository.id, wanted.role.unwrap_or(Role::Read));
        let team = team.clone();
        let payload = shape::circumstance::team_add(&world, &repository, &team);
        is_new.then_some((repository.id, payload))
    };
    if let Some((repository, payload)) = told {
        app.tell(repository, "team_add", None, &payload);
    }
    Ok(Json(json!({})))
}

async fn withdraw(State(app): State<App>, Json(wanted): Json<TeamRepository>) -> Answer<Value> {
    let mut world = app.world();
    let repository = world.repositories.by_full_name(&wanted.repository).map(|found| found.id);
    let repository = repository.ok_or_else(|| Failure::no_repository(&wanted.repository))?;
    let team = team(&mut world, &wanted.organization, &wanted.team)?;
    if !team.withdraw(repository) {
        let message = format!("{} has no role in {}", wanted.team, wanted.repository);
        return Err(Failure::missing(message));
    }
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct Rename {
    login: String,
    to: String,
}

/// Their repositories move along, and are found by their old full names.
async fn rename(State(app): State<App>, Json(wanted): Json<Rename>) -> Answer<Value> {
    let id = account(&app.world(), &wanted.login)?;
    {
        let mut world = app.world();
        world.users.rename(id, &wanted.to)?;
    }
    let (renamed, owned) = {
        let world = app.world();
        let owned = world.repositories.owned_by(id).into_iter().cloned().collect::<Vec<_>>();
        (world.users.by_id(id).cloned(), owned)
    };
    if let Some(renamed) = renamed {
        for repository in owned {
            super::circumstances::relocate(&app, &repository, &renamed, &repository.name).await?;
        }
    }
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct Deletion {
    login: String,
}

/// Their tokens, memberships, invitations and repositories go with them; pull requests and
/// statuses stay, by nobody.
async fn delete(State(app): State<App>, Json(wanted): Json<Deletion>) -> Answer<Value> {
    let (id, owned) = {
        let world = app.world();
        let id = user(&world, &wanted.login)?;
        (id, world.repositories.owned_by(id).into_iter().cloned().collect::<Vec<_>>())
    };
    for repository in owned {
        super::circumstances::remove(&app, &repository).await?;
    }
    let mut world = app.world();
    world.organizations.forget(id);
    world.teams.forget(id);
    world.repositories.forget(id);
    world.users.remove(id);
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct Limit {
    /// `None`: those without a token.
    login: Option<String>,
    remaining: u64,
    seconds: i64,
}

/// Leaves somebody so many requests, for so long.
async fn limit(State(app): State<App>, Json(wanted): Json<Limit>) -> Answer<Value> {
    let mut world = app.world();
    let caller = wanted.login.as_deref().map(|login| user(&world, login)).transpose()?;
    let reset = Timestamp::now() + SignedDuration::from_secs(wanted.seconds);
    world.limits.leave(caller, wanted.remaining, reset);
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct LargestPage {
    entries: usize,
}

async fn largest_page(State(app): State<App>, Json(wanted): Json<LargestPage>) -> Answer<Value> {
    app.world().largest_page = wanted.entries.max(1);
    Ok(Json(json!({})))
}

/// A person.
fn user(world: &World, login: &str) -> Result<u64, Failure> {
    let found = world.users.by_login(login).filter(|user| !user.is_organization);
    found.map(|user| user.id).ok_or_else(|| Failure::no_user(login))
}

fn organization(world: &World, login: &str) -> Result<u64, Failure> {
    let found = world.users.by_login(login).filter(|user| user.is_organization);
    found
        .map(|user| user.id)
        .ok_or_else(|| Failure::missing(format!("there is no organization {login}")))
}

fn team<'a>(
    world: &'a mut World,
    organization_login: &str,
    slug: &str,
) -> Result<&'a mut Team, Failure> {
    let id = organization(world, organization_login)?;
    let found = world.teams.by_slug_mut(id, slug);
    found.ok_or_else(|| Failure::no_team(organization_login, slug))
}

/// A person or an organization.
fn account(world: &World, login: &str) -> Result<u64, Failure> {
    world.users.by_login(login).map(|user| user.id).ok_or_else(|| Failure::no_user(login))
}
