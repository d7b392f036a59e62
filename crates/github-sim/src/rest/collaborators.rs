//! `collaborators`: who has a role in a repository, and which.
//!
//! Follows <https://docs.github.com/rest/collaborators/collaborators>.

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
use crate::{
    app::App,
    shape,
    state::{
        Invalid,
        repositories::{Repository, Role},
    },
};

/// `affiliation` and `permission` work as documented; the latter means at least that.
pub(crate) async fn list(
    State(app): State<App>,
    Path((owner, name)): Path<(String, String)>,
    caller: Caller,
    page: Page,
) -> Answer {
    let found = for_pushers(&app, &caller, &owner, &name, "repository collaborators")?;
    let affiliation = page.parameter("affiliation").unwrap_or("all");
    if !["all", "direct", "outside"].contains(&affiliation) {
        return Err(Invalid::field("Collaborator", "affiliation", "invalid").into());
    }
    let least = match page.parameter("permission") {
        None => None,
        Some(word) => match Role::of_permission(word) {
            None => return Err(Invalid::field("Collaborator", "permission", "invalid").into()),
            least => least,
        },
    };
    let shapes: Vec<Value> = {
        let world = app.world();
        let mut all = world.collaborators(&found);
        all.retain(|one| {
            Some(one.role) >= least
                && match affiliation {
                    "direct" => one.is_direct,
                    "outside" => one.is_outside,
                    _ => true,
                }
        });
        all.iter().map(|one| shape::collaborator::collaborator(&world, one)).collect()
    };
    Ok(page.answer(&app, &shapes))
}

/// Whether somebody has a role here.
pub(crate) async fn is_collaborator(
    State(app): State<App>,
    Path((owner, name, login)): Path<(String, String, String)>,
    caller: Caller,
) -> Answer {
    let found = for_pushers(&app, &caller, &owner, &name, "repository collaborators")?;
    let world = app.world();
    let user = world.users.by_login(&login).ok_or_else(Refusal::not_found)?;
    if world.collaborators(&found).iter().any(|one| one.user == user.id) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Err(Refusal::not_found())
}

pub(crate) async fn permission(
    State(app): State<App>,
    Path((owner, name, login)): Path<(String, String, String)>,
    caller: Caller,
) -> Answer {
    let found = for_pushers(&app, &caller, &owner, &name, "collaborator permission")?;
    let world = app.world();
    let user = world.users.by_login(&login).ok_or_else(Refusal::not_found)?;
    let role = world.role(&found, Some(user.id));
    Ok(Json(shape::collaborator::permission(&world, user.id, role)).into_response())
}

/// Who may not push is told so, and does not learn who may.
fn for_pushers(
    app: &App,
    caller: &Caller,
    owner: &str,
    name: &str,
    what: &str,
) -> Result<Repository, Refusal> {
    caller.required()?;
    let found = repository(app, caller, owner, name, Role::Read)?;
    if app.world().role(&found, caller.id()) < Some(Role::Write) {
        let message = format!("Must have push access to view {what}.");
        return Err(Refusal::new(StatusCode::FORBIDDEN, message));
    }
    Ok(found)
}
