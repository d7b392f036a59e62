//! Hooks as people write them: added, changed, tried and deleted in a form.

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::App;
use super::error::PageError;
use super::page::{Page, Sidebar, Time, TokenTrouble, render, token_trouble};
use super::repositories::told;
use super::secrets::Secrets;
use super::settings::Done;
use super::visitor::{Access, Account, Acting, Visitor};
use super::words::{
    hook as words,
    problems::{self, Thing},
};
use crate::intake::{self, AskError, FindError, Typed};
use crate::model::{HookId, HookOptions, HookSpec, Invalid, Script, Timestamp, TrackedPath};
use crate::store::{Hook, HookChange, Project};

const DEFAULT_IMAGE: &str = "kozmic/debian:bookworm";
const DEFAULT_SCRIPT: &str = "#!/bin/bash\nset -euo pipefail\n\necho 'It works!'\n";
/// Changes of a hook that are listed beside it.
const CHANGES: u32 = 10;
/// Branches that are offered for a try.
const BRANCHES: i64 = 100;

#[derive(Template)]
#[template(path = "hook.html")]
struct HookPage {
    sidebar: Sidebar,
    project: Project,
    token_trouble: Option<TokenTrouble>,
    /// None: a new one.
    hook: Option<HookId>,
    form: HookForm,
    problems: Problems,
    /// Of a hook that is there.
    secrets: Option<Secrets>,
    changes: Vec<Change>,
    has_more_changes: bool,
    /// The change whose version is in the form, without being saved.
    restored: Option<Change>,
    /// Where a try may be made.
    branches: Vec<String>,
}

struct Change {
    id: i64,
    by: String,
    action: String,
    /// Which parts, in words.
    parts: String,
    at: Time,
}

impl Change {
    fn of(change: &HookChange, before: Option<&HookChange>, now: Timestamp) -> Self {
        let parts = before.map(|before| change.parts_changed(before).join(", "));
        Self {
            id: change.id,
            by: change.by.clone(),
            action: change.action.clone(),
            parts: parts.unwrap_or_default(),
            at: Time::new(change.at, now),
        }
    }
}

/// As it was typed.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct HookForm {
    pub(super) title: String,
    pub(super) image: String,
    pub(super) install_script: String,
    /// One a line.
    pub(super) tracked: String,
    pub(super) build_script: String,
    /// `name = value`, one a line.
    pub(super) options: String,
    /// What a try is made of; empty: the default branch.
    #[serde(rename = "ref")]
    pub(super) reference: String,
    /// The number of the hook that is written; empty: a new one.
    pub(super) hook: String,
    /// Its newest change when the form was opened; empty: not told.
    pub(super) base: String,
}

/// What is wrong, each with the name of its field; with none: of the hook as a whole.
#[derive(Default)]
pub(super) struct Problems(pub(super) Vec<(&'static str, String)>);

impl Problems {
    fn whole(problem: String) -> Self {
        Self(vec![("", problem)])
    }

    fn of(&self, field: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(of, _)| *of == field).map(|(_, problem)| problem.as_str())
    }

    fn are_in(&self, field: &str) -> bool {
        self.of(field).next().is_some()
    }

    fn are_in_fields(&self) -> bool {
        self.0.iter().any(|(field, _)| !field.is_empty())
    }

    /// The value, or nothing and one problem more. `what` is the field as people read it.
    fn keep<T>(
        &mut self,
        field: &'static str,
        what: &str,
        parsed: Result<T, Invalid>,
    ) -> Option<T> {
        parsed.map_err(|problem| self.0.push((field, words::problem(what, problem)))).ok()
    }
}

impl HookForm {
    fn new() -> Self {
        Self { image: DEFAULT_IMAGE.into(), build_script: DEFAULT_SCRIPT.into(), ..Self::default() }
    }

    fn of(spec: &HookSpec) -> Self {
        Self {
            title: spec.title.clone(),
            image: spec.image.to_string(),
            install_script: spec.install_script.as_ref().map_or("", Script::as_str).to_owned(),
            tracked: spec.tracked.iter().map(TrackedPath::as_str).collect::<Vec<_>>().join("\n"),
            build_script: spec.build_script.as_str().to_owned(),
            options: spec.options.lines(),
            ..Self::default()
        }
    }

    /// The hook as it was after a change.
    fn after(change: &HookChange) -> Self {
        let [(_, title), (_, image), (_, install_script), (_, tracked), (_, build_script), options] =
            change.written();
        let (_, options) = options;
        Self { title, image, install_script, tracked, build_script, options, ..Self::default() }
    }

    /// The hook that is written, if it is there.
    pub(super) async fn hook(
        &self,
        app: &App,
        project: &Project,
    ) -> Result<Option<Hook>, PageError> {
        match self.hook.trim() {
            "" => Ok(None),
            id => {
                let id = id.parse().map_err(|_| PageError::no_such(Thing::Hook))?;
                find(app, project, id).await.map(Some)
            }
        }
    }

    pub(super) fn image(&self) -> &str {
        &self.image
    }

    /// The scripts that are written, each with the name of its field.
    pub(super) fn scripts(&self) -> [(&'static str, &str); 2] {
        [("install_script", &self.install_script), ("build_script", &self.build_script)]
    }

    /// Whether the hook is another one by now than the form was opened with.
    fn is_older_than(&self, newest: &HookChange) -> bool {
        !self.base.is_empty() && self.base != newest.id.to_string()
    }

    /// The hook, or all that is wrong with it.
    pub(super) fn parse(&self) -> Result<HookSpec, Problems> {
        let mut problems = Problems::default();
        let title = problems.keep("title", words::TITLE, HookSpec::parse_title(&self.title));
        let image = problems.keep("image", words::IMAGE, self.image.parse());
        let install_script = match self.install_script.trim() {
            "" => None,
            _ => problems.keep(
                "install_script",
                words::INSTALL_SCRIPT,
                Script::parse(&self.install_script),
            ),
        };
        let build_script =
            problems.keep("build_script", words::BUILD_SCRIPT, Script::parse(&self.build_script));
        let mut tracked = Vec::new();
        for line in self.tracked.lines().filter(|line| !line.trim().is_empty()) {
            tracked.extend(problems.keep("tracked", words::TRACKED, line.parse()));
        }
        tracked.sort();
        tracked.dedup();
        let mut options = HookOptions::default();
        for line in self.options.lines().filter(|line| !line.trim().is_empty()) {
            let set = match line.split_once('=') {
                Some((name, value)) => options.set(name.trim(), value),
                None => Err(Invalid::new(words::NO_OPTION)),
            };
            problems.keep("options", &words::option(line.trim()), set);
        }
        match (title, image, build_script) {
            (Some(title), Some(image), Some(build_script)) if problems.0.is_empty() => {
                Ok(HookSpec { title, image, install_script, tracked, build_script, options })
            }
            _ => Err(problems),
        }
    }
}

pub(super) async fn add_form(State(app): State<App>, visitor: Visitor, access: Access) -> Page {
    page(&app, visitor, access, None, HookForm::new(), Problems::default()).await
}

pub(super) async fn add(
    Acting(app): Acting,
    account: Account,
    access: Access,
    Form(form): Form<HookForm>,
) -> Result<Response, PageError> {
    let problems = match form.parse() {
        Ok(spec) => match app.upkeep.add_hook(&access.project, &spec, &account.login).await {
            Ok(_) => return Ok(Done::HookAdded.at(&access.project).into_response()),
            Err(error) => Problems::whole(problems::hook_not_added(told(error)?)),
        },
        Err(problems) => problems,
    };
    refused(page(&app, Visitor(Some(account)), access, None, form, problems).await)
}

pub(super) async fn edit_form(
    State(app): State<App>,
    visitor: Visitor,
    access: Access,
    Path((_, hook)): Path<(i64, i64)>,
    Query(shown): Query<Shown>,
) -> Page {
    let hook = find(&app, &access.project, hook).await?;
    let Some(version) = shown.version else {
        let form = HookForm::of(&hook.spec);
        return page(&app, visitor, access, Some(hook.id), form, Problems::default()).await;
    };
    let change = app.store.change_of_hook(hook.id, version).await?;
    let change = change.ok_or_else(|| PageError::no_such(Thing::HookVersion))?;
    let mut page = prepare(&app, &visitor, access, Some(hook.id), HookForm::after(&change)).await?;
    page.restored = Some(Change::of(&change, None, Timestamp::now()));
    render(&page)
}

#[derive(Deserialize)]
pub(super) struct Shown {
    /// The change whose version is put into the form.
    version: Option<i64>,
}

pub(super) async fn edit(
    Acting(app): Acting,
    account: Account,
    access: Access,
    Path((_, hook)): Path<(i64, i64)>,
    Form(mut form): Form<HookForm>,
) -> Result<Response, PageError> {
    let hook = find(&app, &access.project, hook).await?;
    let saved = || Done::HookSaved.at(&access.project).into_response();
    let newest = app.store.changes_of_hook(hook.id, None, 1).await?.pop();
    let others = newest.filter(|newest| form.is_older_than(newest));
    let problems = match (form.parse(), others) {
        (Ok(spec), _) if spec == hook.spec => return Ok(saved()),
        (Ok(_), Some(others)) => {
            // Whoever sends it again has been told.
            form.base = others.id.to_string();
            Problems::whole(problems::hook_changed_meanwhile(&others.by, &others.action))
        }
        (Ok(spec), None) => {
            match app.upkeep.edit_hook(&access.project, &hook, &spec, &account.login).await {
                Ok(()) => return Ok(saved()),
                Err(error) => Problems::whole(problems::hook_not_changed(told(error)?)),
            }
        }
        (Err(problems), _) => problems,
    };
    refused(page(&app, Visitor(Some(account)), access, Some(hook.id), form, problems).await)
}

pub(super) async fn delete(
    Acting(app): Acting,
    account: Account,
    access: Access,
    Path((_, hook)): Path<(i64, i64)>,
) -> Result<Response, PageError> {
    let hook = find(&app, &access.project, hook).await?;
    match app.upkeep.delete_hook(&access.project, &hook, &account.login).await {
        Ok(()) => Ok(Done::HookDeleted.at(&access.project).into_response()),
        Err(error) => {
            let problems = Problems::whole(problems::hook_not_deleted(told(error)?));
            let form = HookForm::of(&hook.spec);
            refused(page(&app, Visitor(Some(account)), access, Some(hook.id), form, problems).await)
        }
    }
}

/// Runs the hook as it stands in the form, once, on a branch as GitHub has it. Nothing is
/// saved, and nobody is told.
pub(super) async fn try_out(
    Acting(app): Acting,
    account: Account,
    access: Access,
    Form(form): Form<HookForm>,
) -> Result<Response, PageError> {
    let of = form.hook(&app, &access.project).await?.map(|hook| hook.id);
    let problems = match form.parse() {
        Ok(spec) => {
            let typed = Typed { spec, of, reference: form.reference.clone() };
            let (project, now) = (&access.project, Timestamp::now());
            let login = &account.login;
            match intake::try_typed(&app.store, &app.github, project, &typed, login, now).await {
                Ok(made) => {
                    let path = format!("/projects/{}/builds/{}/", project.id, made.build);
                    return Ok(Redirect::to(&path).into_response());
                }
                Err(FindError::Ask(AskError::Store(error))) => return Err(error.into()),
                Err(FindError::Ask(error)) => {
                    Problems(vec![("ref", problems::hook_not_tried(error))])
                }
                Err(FindError::Unknown(why)) => {
                    Problems(vec![("ref", problems::hook_not_tried(why))])
                }
            }
        }
        Err(problems) => problems,
    };
    refused(page(&app, Visitor(Some(account)), access, of, form, problems).await)
}

pub(super) async fn find(app: &App, project: &Project, hook: i64) -> Result<Hook, PageError> {
    let hook = app.store.hook(HookId(hook)).await?;
    hook.filter(|hook| hook.project == project.id).ok_or_else(|| PageError::no_such(Thing::Hook))
}

/// The form again, with what is wrong.
fn refused(page: Page) -> Result<Response, PageError> {
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page?).into_response())
}

async fn page(
    app: &App,
    visitor: Visitor,
    access: Access,
    hook: Option<HookId>,
    form: HookForm,
    problems: Problems,
) -> Page {
    render(&HookPage { problems, ..prepare(app, &visitor, access, hook, form).await? })
}

async fn prepare(
    app: &App,
    visitor: &Visitor,
    access: Access,
    hook: Option<HookId>,
    mut form: HookForm,
) -> Result<HookPage, PageError> {
    let project = access.project;
    // One more, so that the oldest that is shown has one to differ from.
    let changes = match hook {
        Some(hook) => app.store.changes_of_hook(hook, None, i64::from(CHANGES) + 1).await?,
        None => Vec::new(),
    };
    if let Some(newest) = changes.first().filter(|_| form.base.is_empty()) {
        form.base = newest.id.to_string();
    }
    let secrets = match hook {
        Some(hook) => Some(Secrets::of_hook(app, project.id, hook).await?),
        None => None,
    };
    let now = Timestamp::now();
    let earlier = changes.iter().skip(1).map(Some).chain([None]);
    let listed = changes.iter().zip(earlier).take(CHANGES as usize);
    Ok(HookPage {
        sidebar: Sidebar::load(app, visitor, Some(project.id.0)).await?,
        token_trouble: token_trouble(app, &project).await?,
        changes: listed.map(|(change, before)| Change::of(change, before, now)).collect(),
        has_more_changes: changes.len() > CHANGES as usize,
        restored: None,
        branches: app.store.branches_seen(project.id, BRANCHES).await?,
        project,
        hook,
        form,
        problems: Problems::default(),
        secrets,
    })
}
