//! Secrets: their names, and new values for them. No answer holds a value.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::paging::{self, Paging};
use super::problem::Problem;
use crate::model::{ProjectId, SecretName, SecretValue, Timestamp};
use crate::store::SecretScope;
use crate::web::App;
use crate::web::secrets::remarks;
use crate::web::visitor::{Access, Account, Acting};

#[derive(Serialize, ToSchema)]
pub(super) struct Secrets {
    secrets: Vec<SecretAnswer>,
    /// To be sent as `after`; null: these were the last.
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct SecretAnswer {
    name: String,
    /// The title of the only hook whose jobs get it.
    hook: Option<String>,
    updated_at: String,
    updated_by: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SetSecret)]
pub(super) struct SetAnswer {
    name: String,
    hook: Option<String>,
    /// There was none of this name before.
    is_new: bool,
    /// What its value means for logs, in sentences.
    remarks: Vec<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RemovedSecret)]
pub(super) struct RemovedAnswer {
    name: String,
    hook: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OfHook {
    /// A hook's title; none: of all the project's hooks.
    hook: Option<String>,
}

impl OfHook {
    async fn scope(&self, app: &App, project: ProjectId) -> Result<SecretScope, Problem> {
        let Some(title) = &self.hook else { return Ok(SecretScope { project, hook: None }) };
        let mut hooks = app.store.hooks(project).await?.into_iter();
        let hook = hooks.find(|hook| hook.spec.title == *title);
        let hook = hook.ok_or_else(|| Problem::not_found("hook"))?;
        Ok(SecretScope { project, hook: Some(hook.id) })
    }
}

pub(super) async fn list(
    State(app): State<App>,
    Access { project, .. }: Access,
    Query(paging): Query<Paging>,
) -> Result<Json<Secrets>, Problem> {
    let secrets = app.store.secrets(project.id).await?;
    // A name stands once for each hook, and once for all of them.
    let (secrets, next) = paging::part(secrets, &paging, "secrets", |secret| {
        format!("{}\0{}", secret.name, secret.hook_title.as_deref().unwrap_or_default())
    })?;
    let answer = secrets.into_iter().map(|secret| SecretAnswer {
        name: secret.name,
        hook: secret.hook_title,
        updated_at: secret.updated_at.to_string(),
        updated_by: secret.updated_by,
    });
    Ok(Json(Secrets { secrets: answer.collect(), next }))
}

/// The request's body is the value, byte by byte.
pub(super) async fn set(
    Acting(app): Acting,
    account: Account,
    Access { project, .. }: Access,
    Path((_, name)): Path<(i64, String)>,
    Query(of_hook): Query<OfHook>,
    value: Bytes,
) -> Result<Json<SetAnswer>, Problem> {
    let refused = |problem: crate::model::Invalid| Problem::bad_request(problem.to_string());
    let name: SecretName = name.parse().map_err(refused)?;
    let value = SecretValue::from_bytes(value.into()).map_err(refused)?;
    let scope = of_hook.scope(&app, project.id).await?;
    let is_new =
        app.store.secret_set(scope, &name, &value, &account.login, Timestamp::now()).await?;
    let remarks = remarks(&value);
    Ok(Json(SetAnswer { name: name.to_string(), hook: of_hook.hook, is_new, remarks }))
}

pub(super) async fn remove(
    Acting(app): Acting,
    account: Account,
    Access { project, .. }: Access,
    Path((_, name)): Path<(i64, String)>,
    Query(of_hook): Query<OfHook>,
) -> Result<Json<RemovedAnswer>, Problem> {
    let scope = of_hook.scope(&app, project.id).await?;
    if app.store.secret_removed(scope, &name, &account.login, Timestamp::now()).await? {
        Ok(Json(RemovedAnswer { name, hook: of_hook.hook }))
    } else {
        Err(Problem::not_found("secret"))
    }
}
