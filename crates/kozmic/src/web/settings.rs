//! A project's settings: its hooks, its members, its options, and its end.

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::badge::Snippets;
use super::cache_folders::ShownFolder;
use super::error::PageError;
use super::page::{Page, Sidebar, Time, TokenTrouble, render, token_trouble};
use super::repositories::told;
use super::secrets::Secrets;
use super::visitor::{Access, Account, Acting, Visitor};
use super::{App, cache_folders};
use crate::model::{
    Action, AtOnce, BuildId, Event, ForkPolicy, HookId, Invalid, Role, Timestamp, parse_days,
    parse_log_bytes, readable_bytes,
};
use crate::store::{Hook, HookChange, Member, Project, ProjectChange, ProjectOptions, Schedule};
use crate::upkeep::Ensured;

/// Changes of hooks that are shown.
const CHANGES: i64 = 20;
/// Branches that are offered for a badge.
const BRANCHES: i64 = 100;

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    sidebar: Sidebar,
    project: Project,
    token_trouble: Option<TokenTrouble>,
    may_manage: bool,
    is_owner: bool,
    /// Somebody else owns it; they may not administer it any more.
    trouble: Option<String>,
    said: Said,
    hooks: Vec<Hook>,
    schedules: Vec<Clocked>,
    changes: Vec<Change>,
    members: Vec<Member>,
    /// For managers only.
    secrets: Option<Secrets>,
    folders: Vec<ShownFolder>,
    badge: Snippets,
    /// Whose badge may be wanted.
    branches: Vec<String>,
    options: ProjectOptions,
    /// What its logs take.
    log_bytes: String,
}

/// When a hook runs by the clock.
struct Clocked {
    hook: HookId,
    line: String,
    /// On the line's own clock.
    next: String,
    next_at: Time,
    /// When it was due last, and the build that was made then.
    last: Option<(String, Option<BuildId>)>,
    trouble: Option<String>,
    /// When what did not work is tried again.
    again: Option<Time>,
}

struct Change {
    by: String,
    action: String,
    title: String,
    at: Time,
}

/// What a change has led to.
#[derive(Default)]
pub(super) struct Said {
    /// The part of the page that it is about: its id there.
    pub(super) about: &'static str,
    pub(super) done: Vec<String>,
    pub(super) troubles: Vec<String>,
}

/// What the form sent before has changed: it leads here, so that going back or loading
/// the page again sends nothing twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    OptionsSaved,
    HookAdded,
    HookSaved,
    HookDeleted,
    TakenOver,
}

impl Done {
    const ALL: [Self; 5] =
        [Self::OptionsSaved, Self::HookAdded, Self::HookSaved, Self::HookDeleted, Self::TakenOver];

    /// As the page's address has it.
    fn word(self) -> &'static str {
        match self {
            Self::OptionsSaved => "options-saved",
            Self::HookAdded => "hook-added",
            Self::HookSaved => "hook-saved",
            Self::HookDeleted => "hook-deleted",
            Self::TakenOver => "taken-over",
        }
    }

    fn said(self) -> Said {
        let (about, sentence) = match self {
            Self::OptionsSaved => ("options", "Saved."),
            Self::HookAdded => ("hooks", "The hook was added. The next push is built."),
            Self::HookSaved => ("hooks", "Saved. It holds for the jobs made from now on."),
            Self::HookDeleted => ("hooks", "The hook was deleted."),
            Self::TakenOver => ("owner", "The project is yours now."),
        };
        Said { about, done: vec![sentence.into()], troubles: Vec::new() }
    }

    /// The settings, which say it.
    pub(super) fn at(self, project: &Project) -> Redirect {
        Redirect::to(&format!(
            "/projects/{}/settings/?done={}#{}",
            project.id,
            self.word(),
            self.said().about
        ))
    }
}

#[derive(Deserialize)]
pub(super) struct Shown {
    /// One of [`Done`]'s words; others say nothing.
    #[serde(default)]
    done: String,
    /// The branch whose badge is shown; empty: the default one.
    #[serde(default)]
    badge: String,
}

pub(super) async fn show(
    State(app): State<App>,
    visitor: Visitor,
    access: Access,
    Query(shown): Query<Shown>,
) -> Page {
    let done = Done::ALL.into_iter().find(|done| done.word() == shown.done);
    let said = done.map(Done::said).unwrap_or_default();
    with_badge(&app, visitor, access, said, &shown.badge).await
}

pub(super) async fn page(app: &App, visitor: Visitor, access: Access, said: Said) -> Page {
    with_badge(app, visitor, access, said, "").await
}

async fn with_badge(app: &App, visitor: Visitor, access: Access, said: Said, branch: &str) -> Page {
    let id = access.project.id;
    // What was just done may have changed it.
    let project = app.store.project(id).await?.ok_or_else(|| PageError::no_such("project"))?;
    let now = Timestamp::now();
    let change = |change: HookChange| Change {
        by: change.by,
        action: change.action,
        title: change.title,
        at: Time::new(change.at, now),
    };
    let changes = app.store.hook_changes(id, CHANGES).await?;
    let schedules = app.store.schedules(id).await?;
    let (of_secrets, said) = match said.about {
        "secrets" => (said, Said::default()),
        _ => (Said::default(), said),
    };
    let secrets = if access.may_manage() {
        Some(Secrets::of_project(app, id, of_secrets).await?)
    } else {
        None
    };
    render(&SettingsPage {
        sidebar: Sidebar::load(app, &visitor, Some(id.0)).await?,
        token_trouble: token_trouble(app, &project).await?,
        may_manage: access.may_manage(),
        is_owner: access.role == Some(Role::Owner),
        trouble: app.store.project_trouble(id).await?,
        said,
        hooks: app.store.hooks(id).await?,
        schedules: schedules.into_iter().map(|schedule| clocked(schedule, now)).collect(),
        changes: changes.into_iter().map(change).collect(),
        members: app.store.members(id).await?,
        secrets,
        folders: cache_folders::of_project(app, id).await?,
        badge: Snippets::of(app, &project, branch)?,
        branches: app.store.branches_seen(id, BRANCHES).await?,
        options: app.store.project_options(id).await?,
        log_bytes: readable_bytes(app.store.log_bytes(id).await?),
        project,
    })
}

fn clocked(schedule: Schedule, now: Timestamp) -> Clocked {
    let Schedule { hook, line, next_at, wake_at, last_due_at, last_build, trouble, .. } = schedule;
    Clocked {
        hook,
        next: line.shows(next_at),
        next_at: Time::new(next_at, now),
        last: last_due_at.map(|due| (line.shows(due), last_build)),
        trouble,
        again: (wake_at > next_at).then(|| Time::new(wake_at, now)),
        line: line.to_string(),
    }
}

/// Webhooks and key as they must be at GitHub.
pub(super) async fn ensure_hooks(Acting(app): Acting, visitor: Visitor, access: Access) -> Page {
    let said = ensured(&app, &access).await?;
    page(&app, visitor, access, said).await
}

pub(super) async fn ensured(app: &App, access: &Access) -> Result<Said, PageError> {
    let mut said = Said { about: "hooks", ..Said::default() };
    for hook in app.store.hooks(access.project.id).await? {
        let title = &hook.spec.title;
        match app.upkeep.ensure_hook(&access.project, &hook).await {
            Ok(Ensured::AsItMustBe) => {
                said.done.push(format!("The webhook of `{title}` is as it must be."));
            }
            Ok(Ensured::Made) => said.done.push(format!("The webhook of `{title}` was made.")),
            Ok(Ensured::Repaired(what)) => {
                let what = what.join(", ");
                said.done.push(format!("The webhook of `{title}` was put right: {what}."));
            }
            Err(error) => said.troubles.push(format!("The webhook of `{title}`: {}", told(error)?)),
        }
    }
    match app.upkeep.follow_visibility(&access.project).await {
        Ok(true) => said.done.push("The deploy key was put right.".into()),
        Ok(false) => {}
        Err(error) => said.troubles.push(format!("The deploy key: {}", told(error)?)),
    }
    let mut event = of_project(Action::HooksEnsured, access);
    event.details.extend([("done".into(), said.done.clone().into())]);
    app.store.noted(event).await?;
    Ok(said)
}

/// Names, members and all else that GitHub knows of the project.
pub(super) async fn sync(Acting(app): Acting, visitor: Visitor, access: Access) -> Page {
    let said = synchronized(&app, &access).await?;
    page(&app, visitor, access, said).await
}

pub(super) async fn synchronized(app: &App, access: &Access) -> Result<Said, PageError> {
    let about = "members";
    app.store.noted(of_project(Action::ProjectSynchronized, access)).await?;
    Ok(match app.upkeep.synchronize(&access.project).await {
        Ok(troubles) if troubles.is_empty() => {
            Said { about, done: vec!["Up to date with GitHub.".into()], troubles }
        }
        Ok(troubles) => Said { about, done: Vec::new(), troubles },
        Err(error) => Said { about, done: Vec::new(), troubles: vec![told(error)?] },
    })
}

fn of_project(action: Action, Access { project, .. }: &Access) -> Event {
    let name = &project.repository.full_name;
    Event::of(action, "project", Some(project.id.0), name).in_project(project.id)
}

#[derive(Deserialize)]
pub(super) struct Options {
    #[serde(default)]
    cancels_superseded: bool,
    #[serde(default)]
    is_visible_to_all: bool,
    /// As [`ForkPolicy`] is written.
    forks: Option<String>,
    /// As [`parse_days`] takes it.
    keep_logs_days: Option<String>,
    /// As [`parse_log_bytes`] takes it.
    keep_logs_size: Option<String>,
    /// As [`AtOnce`] is read.
    jobs_at_once: Option<String>,
}

/// A box that is not ticked is not sent.
pub(super) async fn set_options(
    Acting(app): Acting,
    Access { project, .. }: Access,
    Form(options): Form<Options>,
) -> Result<Redirect, PageError> {
    let forks = options.forks.map(|forks| forks.parse::<ForkPolicy>()).transpose();
    let days = options.keep_logs_days.map(|days| parse_days(&days)).transpose();
    let size = options.keep_logs_size.map(|size| parse_log_bytes(&size)).transpose();
    let at_once = options.jobs_at_once.map(|limit| limit.parse::<AtOnce>()).transpose();
    let refused = |what: &str| {
        let what = what.to_owned();
        move |problem: Invalid| PageError::BadRequest(format!("{what}{problem}"))
    };
    let change = ProjectChange {
        cancels_superseded: Some(options.cancels_superseded),
        is_visible_to_all: Some(options.is_visible_to_all),
        forks: forks.map_err(refused(""))?,
        keep_logs_days: days.map_err(refused("The days for which logs are kept: "))?,
        keep_logs_bytes: size.map_err(refused("The size of all logs: "))?,
        jobs_at_once: at_once.map_err(refused("Its jobs at once: "))?,
        ..ProjectChange::default()
    };
    app.store.project_options_changed(project.id, &change, Timestamp::now()).await?;
    Ok(Done::OptionsSaved.at(&project))
}

/// For a manager, when the owner has left.
pub(super) async fn take_over(
    Acting(app): Acting,
    account: Account,
    access: Access,
) -> Result<Response, PageError> {
    match app.upkeep.take_over(&access.project, account.id).await {
        Ok(()) => Ok(Done::TakenOver.at(&access.project).into_response()),
        Err(error) => {
            let troubles = vec![told(error)?];
            let said = Said { about: "owner", done: Vec::new(), troubles };
            Ok(page(&app, Visitor(Some(account)), access, said).await?.into_response())
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Confirmation {
    #[serde(default)]
    full_name: String,
}

#[derive(Template)]
#[template(path = "deleted.html")]
struct DeletedPage {
    sidebar: Sidebar,
    full_name: String,
    /// Where it is removed by hand.
    settings_url: String,
    left_at_github: Vec<String>,
}

/// Confirmed by the project's full name.
pub(super) async fn delete(
    Acting(app): Acting,
    visitor: Visitor,
    access: Access,
    Form(confirmation): Form<Confirmation>,
) -> Result<Response, PageError> {
    let full_name = access.project.repository.full_name.to_string();
    let refused = if confirmation.full_name.trim() == full_name {
        match app.upkeep.delete_project(&access.project).await {
            Ok(deleted) if deleted.left_at_github.is_empty() => {
                return Ok(Redirect::to("/").into_response());
            }
            Ok(deleted) => {
                let sidebar = Sidebar::load(&app, &visitor, None).await?;
                let left_at_github = deleted.left_at_github;
                let settings_url = format!("{}/{full_name}/settings/hooks", app.github_url);
                let page = DeletedPage { sidebar, full_name, settings_url, left_at_github };
                return Ok(render(&page)?.into_response());
            }
            Err(error) => told(error)?,
        }
    } else {
        format!("type {full_name} to delete it.")
    };
    let troubles = vec![format!("The project was not deleted: {refused}")];
    let said = Said { about: "delete", done: Vec::new(), troubles };
    Ok(page(&app, visitor, access, said).await?.into_response())
}
