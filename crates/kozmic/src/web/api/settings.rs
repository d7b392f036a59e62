//! What a project is set to, who is in it, and its beginning and end.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::answers::{self, ProjectAnswer};
use super::audit::{self, AuditAnswer};
use super::body::Body;
use super::conduct::{is_conditional, overtaken, unchanged};
use super::hooks::DoneAnswer;
use super::paging::{self, Paging};
use super::problem::Problem;
use crate::model::{
    AtOnce, Bound, ForkPolicy, Invalid, ProjectId, Timestamp, parse_days, parse_own_variable,
};
use crate::store::{Member, ProjectChange, ProjectOptions};
use crate::web::App;
use crate::web::gate::Door::Api;
use crate::web::gate::Who::{Insider, Manager, Member as Members, Owner, SignedIn};
use crate::web::routes::{Route, delete, get, patch, post};
use crate::web::visitor::{Access, Account, Acting};
use crate::web::{badge, repositories, settings};

pub(super) fn routes() -> Vec<Route> {
    vec![
        post("/api/v1/projects", Api, SignedIn, turn_on)
            .is("turn_on", "Turns a repository that you administer at GitHub into a project.")
            .takes::<Repository>()
            .creates::<ProjectAnswer>()
            .refuses(&[404, 409, 502]),
        delete("/api/v1/projects/{project}", Api, Owner, remove)
            .is("delete_project", "Deletes a project with all that belongs to it.")
            .query::<Confirmation>()
            .answers::<DeletedAnswer>()
            .refuses(&[409, 422, 502]),
        get("/api/v1/projects/{project}/options", Api, Insider, options)
            .is("get_options", "What a project is set to.")
            .answers::<OptionsAnswer>(),
        patch("/api/v1/projects/{project}/options", Api, Manager, change_options)
            .is("change_options", "Changes the options that are sent; the others stay.")
            .if_match()
            .takes::<OptionsBody>()
            .answers::<OptionsAnswer>()
            .refuses(&[409, 422]),
        get("/api/v1/projects/{project}/members", Api, Insider, members)
            .is("list_members", "Who may see a project, and what they are in it.")
            .query::<Paging>()
            .answers::<MembersAnswer>(),
        post("/api/v1/projects/{project}/sync", Api, Manager, sync)
            .is("sync_project", "Asks GitHub for names, members and all else of a project.")
            .answers::<DoneAnswer>(),
        post("/api/v1/projects/{project}/take-over", Api, Manager, take_over)
            .is("take_over", "Makes a project yours, when its owner has left it.")
            .answers::<ProjectAnswer>()
            .refuses(&[409, 502]),
        get("/api/v1/projects/{project}/changes", Api, Manager, changes)
            .is("list_project_changes", "Who changed what in a project, the newest first.")
            .query::<Paging>()
            .answers::<AuditAnswer>(),
        get("/api/v1/projects/{project}/badge", Api, Members, show_badge)
            .is("get_badge", "A branch's badge, and what to write to have it on a page.")
            .query::<OfBranch>()
            .answers::<BadgeAnswer>(),
    ]
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Repository {
    /// The number that it has at GitHub.
    repository: i64,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Confirmation {
    /// The project's full name, so that none is deleted by mistake.
    full_name: String,
}

#[derive(Serialize, ToSchema)]
struct DeletedAnswer {
    id: i64,
    full_name: String,
    /// What could not be removed there, in sentences.
    left_at_github: Vec<String>,
}

#[derive(Serialize, ToSchema)]
struct OptionsAnswer {
    /// A newer push to a ref cancels the older builds of it.
    cancels_superseded: bool,
    /// Anyone may see its builds and logs.
    is_visible_to_all: bool,
    /// What becomes of pull requests from forks: `build`, `ask` or `never`.
    forks: &'static str,
    /// None: for ever.
    keep_logs_days: Option<i64>,
    /// None: without a bound.
    keep_logs_bytes: Option<i64>,
    /// None: as many as there are places.
    jobs_at_once: Option<i64>,
    /// Of all hooks' scripts.
    variables: BTreeMap<String, String>,
}

/// What is not sent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OptionsBody {
    /// A newer push to a ref cancels the older builds of it.
    #[serde(default)]
    cancels_superseded: Option<bool>,
    /// Anyone may see its builds and logs.
    #[serde(default)]
    is_visible_to_all: Option<bool>,
    /// What becomes of pull requests from forks: `build`, `ask` or `never`.
    #[serde(default)]
    forks: Option<String>,
    /// A number of days, or `off`.
    #[serde(default)]
    keep_logs_days: Option<String>,
    /// A size like `512M`, or `off`.
    #[serde(default)]
    keep_logs_size: Option<String>,
    /// A number of jobs, or `off`.
    #[serde(default)]
    jobs_at_once: Option<String>,
    /// Of all hooks' scripts; null: it is not set any more.
    #[serde(default)]
    variables: BTreeMap<String, Option<String>>,
}

#[derive(Serialize, ToSchema)]
struct MembersAnswer {
    members: Vec<MemberAnswer>,
    /// To be sent as `after`; null: these were the last.
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct MemberAnswer {
    id: i64,
    login: String,
    name: String,
    /// `owner`, `manager` or `member`.
    role: &'static str,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OfBranch {
    /// None: the default one.
    #[serde(default)]
    branch: String,
}

#[derive(Serialize, ToSchema)]
struct BadgeAnswer {
    branch: String,
    url: String,
    markdown: String,
    html: String,
}

impl From<ProjectOptions> for OptionsAnswer {
    fn from(options: ProjectOptions) -> Self {
        Self {
            cancels_superseded: options.cancels_superseded,
            is_visible_to_all: options.is_visible_to_all,
            forks: options.forks.as_str(),
            keep_logs_days: options.keep_logs.days,
            keep_logs_bytes: options.keep_logs.bytes,
            jobs_at_once: options.jobs_at_once.0,
            variables: options.env,
        }
    }
}

impl OptionsBody {
    fn change(self) -> Result<ProjectChange, Invalid> {
        let parsed = |text: Option<String>, parse: fn(&str) -> Result<Bound, Invalid>| {
            text.map(|text| parse(&text)).transpose()
        };
        let mut change = ProjectChange {
            cancels_superseded: self.cancels_superseded,
            is_visible_to_all: self.is_visible_to_all,
            forks: self.forks.map(|forks| forks.parse::<ForkPolicy>()).transpose()?,
            keep_logs_days: parsed(self.keep_logs_days, parse_days)?,
            keep_logs_bytes: parsed(self.keep_logs_size, crate::model::parse_log_bytes)?,
            jobs_at_once: self.jobs_at_once.map(|limit| limit.parse::<AtOnce>()).transpose()?,
            ..ProjectChange::default()
        };
        for (name, value) in self.variables {
            match value {
                Some(value) => {
                    let (name, value) = parse_own_variable(&format!("{name}={value}"))?;
                    change.env.insert(name, value);
                }
                None => change.unset_env.push(name),
            }
        }
        Ok(change)
    }
}

async fn turn_on(
    Acting(app): Acting,
    account: Account,
    Body(Repository { repository }): Body<Repository>,
) -> Result<(StatusCode, Json<ProjectAnswer>), Problem> {
    let (_, turned_on) = repositories::turned_on(&app, &account, repository).await?;
    Ok((StatusCode::CREATED, Json(project(&app, turned_on?).await?)))
}

async fn project(app: &App, id: ProjectId) -> Result<ProjectAnswer, Problem> {
    let project = app.store.project(id).await?.ok_or_else(|| Problem::not_found("project"))?;
    Ok(answers::project(app, &project))
}

async fn remove(
    Acting(app): Acting,
    Access { project, .. }: Access,
    Query(confirmation): Query<Confirmation>,
) -> Result<Json<DeletedAnswer>, Problem> {
    let full_name = project.repository.full_name.to_string();
    if confirmation.full_name != full_name {
        let sentence = format!("To delete the project, send `full_name={full_name}`.");
        return Err(Problem::of(StatusCode::UNPROCESSABLE_ENTITY, sentence));
    }
    let left_at_github = app.upkeep.delete_project(&project).await?.left_at_github;
    Ok(Json(DeletedAnswer { id: project.id.0, full_name, left_at_github }))
}

async fn options(
    State(app): State<App>,
    Access { project, .. }: Access,
) -> Result<Json<OptionsAnswer>, Problem> {
    Ok(Json(app.store.project_options(project.id).await?.into()))
}

async fn change_options(
    Acting(app): Acting,
    Access { project, .. }: Access,
    headers: HeaderMap,
    Body(body): Body<OptionsBody>,
) -> Result<Json<OptionsAnswer>, Problem> {
    let now = app.store.project_options(project.id).await?;
    unchanged(&headers, "project's options", &OptionsAnswer::from(now.clone()))?;
    let mut change = body.change().map_err(|problem| {
        Problem::of(StatusCode::UNPROCESSABLE_ENTITY, format!("Nothing was changed: {problem}."))
    })?;
    change.only_if = is_conditional(&headers).then_some(now);
    let changed = app.store.project_options_changed(project.id, &change, Timestamp::now()).await;
    changed.map_err(|error| overtaken(&headers, error))?;
    Ok(Json(app.store.project_options(project.id).await?.into()))
}

async fn members(
    State(app): State<App>,
    Access { project, .. }: Access,
    Query(paging): Query<Paging>,
) -> Result<Json<MembersAnswer>, Problem> {
    let members = app.store.members(project.id).await?;
    let (members, next) = paging::part(members, &paging, "members", |member| member.user.0)?;
    let answer = |member: Member| MemberAnswer {
        id: member.user.0,
        login: member.login,
        name: member.name,
        role: member.role.as_str(),
    };
    Ok(Json(MembersAnswer { members: members.into_iter().map(answer).collect(), next }))
}

async fn sync(Acting(app): Acting, access: Access) -> Result<Json<DoneAnswer>, Problem> {
    let said = settings::synchronized(&app, &access).await?;
    Ok(Json(DoneAnswer { done: said.done, troubles: said.troubles }))
}

async fn take_over(
    Acting(app): Acting,
    account: Account,
    Access { project: taken, .. }: Access,
) -> Result<Json<ProjectAnswer>, Problem> {
    app.upkeep.take_over(&taken, account.id).await?;
    Ok(Json(project(&app, taken.id).await?))
}

async fn changes(
    State(app): State<App>,
    Access { project, .. }: Access,
    Query(paging): Query<Paging>,
) -> Result<Json<AuditAnswer>, Problem> {
    Ok(Json(audit::page(&app, Some(project.id), None, &paging).await?))
}

async fn show_badge(
    State(app): State<App>,
    Access { project, .. }: Access,
    Query(of): Query<OfBranch>,
) -> Result<Json<BadgeAnswer>, Problem> {
    let badge = badge::Snippets::of(&app, &project, &of.branch)?;
    Ok(Json(BadgeAnswer {
        branch: badge.branch,
        url: format!("{}{}", app.public_url, badge.path),
        markdown: badge.markdown,
        html: badge.html,
    }))
}
