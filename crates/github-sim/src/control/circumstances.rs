//! What happens to repositories on GitHub's web pages: each changes the state and tells the
//! webhooks that want to know.

use axum::{
    Json, Router,
    extract::State,
    routing::{delete, post, put},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Failure, find};
use crate::{
    app::App,
    shape::{self, circumstance::member_event, circumstance::repository_event},
    state::{
        repositories::{Repository, Role},
        users::User,
    },
};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/policy", post(change_policy))
        .route("/collaborators", post(add_collaborator).delete(remove_collaborator))
        .route("/repositories/place", put(transfer))
        .route("/repositories/deleted", put(delete_repository))
        .route("/repositories/default_branch", put(rename_default_branch))
        .route("/webhooks", delete(delete_webhook))
}

/// What GitHub's web pages change about a repository; what is not said stays.
#[derive(Deserialize)]
struct Policy {
    repository: String,
    private: Option<bool>,
    archived: Option<bool>,
    allows_deploy_keys: Option<bool>,
}

async fn change_policy(State(app): State<App>, Json(wanted): Json<Policy>) -> Answer<Value> {
    let (old, new) = {
        let mut world = app.world();
        let found = world.repositories.by_full_name_mut(&wanted.repository);
        let found = found.ok_or_else(|| Failure::no_repository(&wanted.repository))?;
        let old = found.clone();
        found.private = wanted.private.unwrap_or(found.private);
        found.archived = wanted.archived.unwrap_or(found.archived);
        found.allows_deploy_keys = wanted.allows_deploy_keys.unwrap_or(found.allows_deploy_keys);
        (old, found.clone())
    };
    if new.private != old.private {
        let action = if new.private { "privatized" } else { "publicized" };
        tell_repository(&app, new.id, action, &json!({}));
        if !new.private {
            let payload = shape::circumstance::public(&app.world(), &new);
            app.tell(new.id, "public", None, &payload);
        }
    }
    if new.archived != old.archived {
        let action = if new.archived { "archived" } else { "unarchived" };
        tell_repository(&app, new.id, action, &json!({}));
    }
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct Collaborator {
    repository: String,
    login: String,
    #[serde(default = "read")]
    role: Role,
}

fn read() -> Role {
    Role::Read
}

/// Invites somebody, who accepts at once; or gives them another role.
async fn add_collaborator(
    State(app): State<App>,
    Json(wanted): Json<Collaborator>,
) -> Answer<Value> {
    let (repository, user, old) = {
        let mut world = app.world();
        let user = world.users.by_login(&wanted.login).map(|user| user.id);
        let user = user.ok_or_else(|| Failure::no_user(&wanted.login))?;
        let found = world.repositories.by_full_name_mut(&wanted.repository);
        let found = found.ok_or_else(|| Failure::no_repository(&wanted.repository))?;
        let old = found.invited(user);
        found.invite(user, wanted.role);
        (found.clone(), user, old)
    };
    let payload = match old {
        Some(old) if old == wanted.role => return Ok(Json(json!({}))),
        Some(old) => {
            let changes = json!({"old_permission": {"from": old.name()}});
            member_event(&app.world(), &repository, user, "edited", json!({"changes": changes}))
        }
        None => {
            let changes = json!({"permission": {"to": wanted.role.name()}});
            member_event(&app.world(), &repository, user, "added", json!({"changes": changes}))
        }
    };
    app.tell(repository.id, "member", payload["action"].as_str(), &payload);
    Ok(Json(json!({})))
}

async fn remove_collaborator(
    State(app): State<App>,
    Json(wanted): Json<Collaborator>,
) -> Answer<Value> {
    let (repository, user) = {
        let mut world = app.world();
        let user = world.users.by_login(&wanted.login).map(|user| user.id);
        let user = user.ok_or_else(|| Failure::no_user(&wanted.login))?;
        let found = world.repositories.by_full_name_mut(&wanted.repository);
        let found = found.ok_or_else(|| Failure::no_repository(&wanted.repository))?;
        if found.invited(user).is_none() {
            let message = format!("{} was not invited to {}", wanted.login, wanted.repository);
            return Err(Failure::missing(message));
        }
        found.collaborators.retain(|(id, _)| *id != user);
        (found.clone(), user)
    };
    let payload = member_event(&app.world(), &repository, user, "removed", json!({}));
    app.tell(repository.id, "member", Some("removed"), &payload);
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct Place {
    repository: String,
    /// The new owner; the old one when not said.
    owner: Option<String>,
    /// The new name; the old one when not said.
    name: Option<String>,
}

/// A transfer, a new name, or both. The old full name leads to the new one.
async fn transfer(State(app): State<App>, Json(wanted): Json<Place>) -> Answer<Value> {
    let old = find(&app, &wanted.repository)?;
    let owner = {
        let world = app.world();
        let login = wanted.owner.as_deref().unwrap_or(&old.owner_login);
        world.users.by_login(login).cloned().ok_or_else(|| Failure::no_user(login))?
    };
    let name = wanted.name.as_deref().unwrap_or(&old.name);
    let from = shape::circumstance::owner(&app.world(), &old);
    relocate(&app, &old, &owner, name).await?;
    if old.owner != owner.id {
        app.world().teams.forget_repository(old.id);
        tell_repository(&app, old.id, "transferred", &json!({"owner": {"from": from}}));
    }
    if old.name != name {
        let changes = json!({"repository": {"name": {"from": old.name}}});
        tell_repository(&app, old.id, "renamed", &changes);
    }
    let full_name = app.world().repositories.by_id(old.id).map(Repository::full_name);
    Ok(Json(json!({"full_name": full_name})))
}

/// The folder moves along; a link stays, so that what knows the old path finds it.
pub(super) async fn relocate(
    app: &App,
    old: &Repository,
    owner: &User,
    name: &str,
) -> Result<(), Failure> {
    let _no_push_meanwhile = old.receiving.lock().await;
    let from = app.bare(old);
    // Both at once, for who asks meanwhile.
    let mut world = app.world();
    world.repositories.relocate(old.id, owner, name)?;
    let new = world.repositories.by_id(old.id).cloned();
    let to = app.bare(&new.ok_or_else(|| Failure::no_repository(&old.full_name()))?);
    if from.path() == to.path() {
        return Ok(());
    }
    let moved = from.move_to(&to).and_then(|()| std::os::unix::fs::symlink(to.path(), from.path()));
    moved
        .map_err(|error| Failure::broken(format!("cannot move {}: {error}", from.path().display())))
}

#[derive(Deserialize)]
struct Deletion {
    repository: String,
}

async fn delete_repository(State(app): State<App>, Json(wanted): Json<Deletion>) -> Answer<Value> {
    let found = find(&app, &wanted.repository)?;
    remove(&app, &found).await?;
    Ok(Json(json!({})))
}

/// Its webhooks and keys go with it, and are told nothing: only organizations' webhooks are.
pub(super) async fn remove(app: &App, found: &Repository) -> Result<(), Failure> {
    let _no_push_meanwhile = found.receiving.lock().await;
    let aside = app.aside(found.id);
    let failed =
        |error| Failure::broken(format!("cannot remove {}: {error}", aside.path().display()));
    {
        let mut world = app.world();
        world.webhooks.forget(found.id);
        world.deploy_keys.forget(found.id);
        world.pull_requests.forget(found.id);
        world.teams.forget_repository(found.id);
        world.repositories.remove(found.id);
        // At once, so that another one may have its place.
        app.bare(found).move_to(&aside).map_err(failed)?;
    }
    std::fs::remove_dir_all(aside.path()).map_err(failed)
}

#[derive(Deserialize)]
struct Branch {
    repository: String,
    name: String,
}

/// Renames the branch itself; pull requests into it follow, and nothing is pushed.
async fn rename_default_branch(
    State(app): State<App>,
    Json(wanted): Json<Branch>,
) -> Answer<Value> {
    let found = find(&app, &wanted.repository)?;
    let old = found.default_branch.clone();
    let _no_push_meanwhile = found.receiving.lock().await;
    app.bare(&found).rename_branch(&old, &wanted.name).await?;
    {
        let mut world = app.world();
        if let Some(known) = world.repositories.by_full_name_mut(&wanted.repository) {
            known.default_branch.clone_from(&wanted.name);
        }
        world.pull_requests.rename_base(found.id, &old, &wanted.name);
    }
    tell_repository(&app, found.id, "edited", &json!({"default_branch": {"from": old}}));
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct HookDeletion {
    repository: String,
    id: u64,
}

/// By hand, in the repository's settings. The webhook learns it when it wants to (`meta`).
async fn delete_webhook(State(app): State<App>, Json(wanted): Json<HookDeletion>) -> Answer<Value> {
    let found = find(&app, &wanted.repository)?;
    let webhook = app.world().webhooks.by_id(wanted.id).cloned();
    let webhook = webhook.filter(|webhook| webhook.repository == found.id);
    let webhook = webhook.ok_or_else(|| {
        Failure::missing(format!("{} has no webhook {}", wanted.repository, wanted.id))
    })?;
    app.world().webhooks.remove(webhook.id);
    if webhook.active && webhook.wants("meta") {
        let payload = shape::circumstance::meta(&app.world(), &found, &webhook);
        app.tell_removed(webhook, "meta", "deleted", &payload);
    }
    Ok(Json(json!({})))
}

fn tell_repository(app: &App, repository: u64, action: &str, changes: &Value) {
    let payload = {
        let world = app.world();
        let found = world.repositories.by_id(repository);
        found.map(|found| repository_event(&world, found, action, changes))
    };
    if let Some(payload) = payload {
        app.tell(repository, "repository", Some(action), &payload);
    }
}
