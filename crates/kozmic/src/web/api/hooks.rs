//! Hooks: listed, added, changed, checked, tried and deleted, by the rules of the pages'
//! form.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answers::{self, BuildAnswer};
use super::body::{Body, object};
use super::conduct::{overtaken, unchanged};
use super::paging::{self, Paging};
use super::problem::Problem;
use crate::intake::{self, Typed};
use crate::model::{HookId, HookSpec, Script, Timestamp, TrackedPath};
use crate::store::{Hook, HookChange, Project};
use crate::web::App;
use crate::web::gate::Door::Api;
use crate::web::gate::Who::{Manager, Member};
use crate::web::hook_check::{self, Checked};
use crate::web::hook_form::{self, HookForm, Problems};
use crate::web::routes::{Route, delete, get, post, put};
use crate::web::settings;
use crate::web::visitor::{Access, Account, Acting};

const CHANGES: &str = "hook-changes";
/// Changes in one answer, unless more are wanted.
const PAGE: i64 = 50;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/v1/projects/{project}/hooks", Api, Member, list)
            .is("list_hooks", "A project's hooks, in the order in which they were added.")
            .query::<Paging>()
            .answers::<HooksAnswer>(),
        post("/api/v1/projects/{project}/hooks", Api, Manager, add)
            .is("add_hook", "Adds a hook, and its webhook at GitHub.")
            .takes::<HookBody>()
            .creates::<HookAnswer>()
            .refuses(&[409, 422, 502]),
        post("/api/v1/projects/{project}/hooks/ensure", Api, Manager, ensure)
            .is("ensure_hooks", "Puts right what GitHub has of the hooks and the deploy key.")
            .answers::<DoneAnswer>(),
        post("/api/v1/projects/{project}/hooks/check", Api, Manager, check)
            .is("check_hook", "Says what is wrong with a hook, and keeps nothing of it.")
            .takes::<Draft>()
            .answers::<Checked>(),
        post("/api/v1/projects/{project}/hooks/try", Api, Manager, try_out)
            .is("try_hook", "Runs a hook once as it is sent, and keeps nothing of it.")
            .takes::<Draft>()
            .creates::<BuildAnswer>()
            .refuses(&[409, 422, 502]),
        get("/api/v1/projects/{project}/hooks/{hook}", Api, Member, one)
            .is("get_hook", "A hook.")
            .answers::<HookAnswer>(),
        put("/api/v1/projects/{project}/hooks/{hook}", Api, Manager, change)
            .is("change_hook", "Makes a hook what is sent. It holds for jobs from now on.")
            .if_match()
            .takes::<HookBody>()
            .answers::<HookAnswer>()
            .refuses(&[409, 422, 502]),
        delete("/api/v1/projects/{project}/hooks/{hook}", Api, Manager, remove)
            .is("delete_hook", "Deletes a hook, and its webhook at GitHub.")
            .answers::<HookAnswer>()
            .refuses(&[409, 502]),
        get("/api/v1/projects/{project}/hooks/{hook}/changes", Api, Manager, changes)
            .is("list_hook_changes", "What a hook was after each change, the newest first.")
            .query::<Paging>()
            .answers::<ChangesAnswer>(),
    ]
}

#[derive(Serialize, ToSchema)]
struct HooksAnswer {
    hooks: Vec<HookAnswer>,
    /// To be sent as `after`; null: these were the last.
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct HookAnswer {
    id: i64,
    title: String,
    image: String,
    install_script: Option<String>,
    /// Paths whose content the image depends on.
    tracked: Vec<String>,
    build_script: String,
    /// Each as `name = value`; `env = NAME=value` is a variable.
    options: Vec<String>,
}

/// A hook as it is to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct HookBody {
    /// 1 to 100 characters on one line.
    title: String,
    /// The name of a Docker image.
    image: String,
    /// At most 1 MiB.
    #[serde(default)]
    install_script: Option<String>,
    /// Paths whose content the image depends on.
    #[serde(default)]
    tracked: Vec<String>,
    /// At most 1 MiB.
    build_script: String,
    /// Each as `name = value`; `env = NAME=value` is a variable.
    #[serde(default)]
    options: Vec<String>,
}

/// A hook that is written just now.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Draft {
    /// It as it is to be.
    #[serde(deserialize_with = "object")]
    written: HookBody,
    /// The number of the hook that it is to be; none: a new one.
    #[serde(default)]
    hook: Option<i64>,
    /// What a try is made of; none: the default branch.
    #[serde(default, rename = "ref")]
    reference: Option<String>,
}

/// What was done, and what could not be.
#[derive(Serialize, ToSchema)]
pub(super) struct DoneAnswer {
    pub(super) done: Vec<String>,
    pub(super) troubles: Vec<String>,
}

#[derive(Serialize, ToSchema)]
struct ChangesAnswer {
    changes: Vec<ChangeAnswer>,
    /// To be sent as `after`; null: these were the first.
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct ChangeAnswer {
    id: i64,
    at: String,
    by: String,
    /// `added`, `edited` or `deleted`.
    action: String,
    title: String,
    image: String,
    install_script: String,
    tracked: Vec<String>,
    build_script: String,
    options: Vec<String>,
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

impl HookAnswer {
    fn of(id: HookId, spec: &HookSpec) -> Self {
        Self {
            id: id.0,
            title: spec.title.clone(),
            image: spec.image.to_string(),
            install_script: spec.install_script.as_ref().map(|it| it.as_str().to_owned()),
            tracked: spec.tracked.iter().map(|it| TrackedPath::as_str(it).to_owned()).collect(),
            build_script: Script::as_str(&spec.build_script).to_owned(),
            options: lines(&spec.options.lines()),
        }
    }
}

impl ChangeAnswer {
    fn of(change: &HookChange) -> Self {
        let [title, image, install_script, tracked, build_script, options] =
            change.written().map(|(_, text)| text);
        Self {
            id: change.id,
            at: change.at.to_string(),
            by: change.by.clone(),
            action: change.action.clone(),
            title,
            image,
            install_script,
            tracked: lines(&tracked),
            build_script,
            options: lines(&options),
        }
    }
}

impl HookBody {
    fn form(self) -> HookForm {
        HookForm {
            title: self.title,
            image: self.image,
            install_script: self.install_script.unwrap_or_default(),
            tracked: self.tracked.join("\n"),
            build_script: self.build_script,
            options: self.options.join("\n"),
            ..HookForm::default()
        }
    }

    fn spec(self) -> Result<HookSpec, Problem> {
        self.form().parse().map_err(wrong)
    }
}

impl Draft {
    fn form(self) -> HookForm {
        HookForm {
            hook: self.hook.map(|hook| hook.to_string()).unwrap_or_default(),
            reference: self.reference.unwrap_or_default(),
            ..self.written.form()
        }
    }
}

fn wrong(Problems(problems): Problems) -> Problem {
    let problems: Vec<String> = problems.into_iter().map(|(_, it)| format!("{it}.")).collect();
    Problem::of(StatusCode::UNPROCESSABLE_ENTITY, problems.join(" "))
}

async fn list(
    State(app): State<App>,
    Access { project, .. }: Access,
    Query(paging): Query<Paging>,
) -> Result<Json<HooksAnswer>, Problem> {
    let hooks = app.store.hooks(project.id).await?;
    let (hooks, next) = paging::part(hooks, &paging, "hooks", |hook| hook.id.0)?;
    let hooks = hooks.iter().map(|hook| HookAnswer::of(hook.id, &hook.spec)).collect();
    Ok(Json(HooksAnswer { hooks, next }))
}

async fn one(
    State(app): State<App>,
    Access { project, .. }: Access,
    Path((_, hook)): Path<(i64, i64)>,
) -> Result<Json<HookAnswer>, Problem> {
    let hook = hook_form::find(&app, &project, hook).await?;
    Ok(Json(HookAnswer::of(hook.id, &hook.spec)))
}

async fn answer(app: &App, project: &Project, hook: HookId) -> Result<HookAnswer, Problem> {
    let Hook { id, spec, .. } = hook_form::find(app, project, hook.0).await?;
    Ok(HookAnswer::of(id, &spec))
}

async fn add(
    Acting(app): Acting,
    account: Account,
    Access { project, .. }: Access,
    Body(body): Body<HookBody>,
) -> Result<(StatusCode, Json<HookAnswer>), Problem> {
    let spec = body.spec()?;
    let hook = app.upkeep.add_hook(&project, &spec, &account.login).await?;
    Ok((StatusCode::CREATED, Json(answer(&app, &project, hook).await?)))
}

async fn change(
    Acting(app): Acting,
    account: Account,
    Access { project, .. }: Access,
    Path((_, hook)): Path<(i64, i64)>,
    headers: HeaderMap,
    Body(body): Body<HookBody>,
) -> Result<Json<HookAnswer>, Problem> {
    let hook = hook_form::find(&app, &project, hook).await?;
    unchanged(&headers, "hook", &HookAnswer::of(hook.id, &hook.spec))?;
    let spec = body.spec()?;
    if spec != hook.spec {
        let edited = app.upkeep.edit_hook(&project, &hook, &spec, &account.login).await;
        edited.map_err(|error| overtaken(&headers, error))?;
    }
    Ok(Json(answer(&app, &project, hook.id).await?))
}

/// The answer is what it was.
async fn remove(
    Acting(app): Acting,
    account: Account,
    Access { project, .. }: Access,
    Path((_, hook)): Path<(i64, i64)>,
) -> Result<Json<HookAnswer>, Problem> {
    let hook = hook_form::find(&app, &project, hook).await?;
    app.upkeep.delete_hook(&project, &hook, &account.login).await?;
    Ok(Json(HookAnswer::of(hook.id, &hook.spec)))
}

async fn ensure(Acting(app): Acting, access: Access) -> Result<Json<DoneAnswer>, Problem> {
    let said = settings::ensured(&app, &access).await?;
    Ok(Json(DoneAnswer { done: said.done, troubles: said.troubles }))
}

async fn check(
    State(app): State<App>,
    Access { project, .. }: Access,
    Body(draft): Body<Draft>,
) -> Result<Json<Checked>, Problem> {
    Ok(Json(hook_check::checked(&app, &project, &draft.form()).await?))
}

async fn try_out(
    Acting(app): Acting,
    account: Account,
    Access { project, .. }: Access,
    Body(draft): Body<Draft>,
) -> Result<(StatusCode, Json<BuildAnswer>), Problem> {
    let form = draft.form();
    let of = form.hook(&app, &project).await?.map(|hook| hook.id);
    let spec = form.parse().map_err(wrong)?;
    let typed = Typed { spec, of, reference: form.reference };
    let (by, now) = (&account.login, Timestamp::now());
    let made = intake::try_typed(&app.store, &app.github, &project, &typed, by, now).await?;
    let build = app.store.build(made.build).await?.ok_or_else(|| Problem::not_found("build"))?;
    Ok((StatusCode::CREATED, Json(answers::build(&app, build).await?)))
}

async fn changes(
    State(app): State<App>,
    Access { project, .. }: Access,
    Path((_, hook)): Path<(i64, i64)>,
    Query(paging): Query<Paging>,
) -> Result<Json<ChangesAnswer>, Problem> {
    let hook = hook_form::find(&app, &project, hook).await?;
    let (limit, after) = (paging.limit(PAGE)?, paging.after::<i64>(CHANGES)?);
    let up_to = after.map(|after| after.saturating_sub(1));
    let mut found = app.store.changes_of_hook(hook.id, up_to, limit + 1).await?;
    let next = paging::page(&mut found, limit, CHANGES, |change| change.id);
    Ok(Json(ChangesAnswer { changes: found.iter().map(ChangeAnswer::of).collect(), next }))
}
