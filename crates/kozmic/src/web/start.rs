//! A build that nobody pushed for: of any branch, tag or commit, asked for in a form.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{RawForm, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::App;
use super::error::PageError;
use super::page::{Page, Sidebar, TokenTrouble, render, token_trouble};
use super::visitor::{Access, Account, Acting, Visitor};
use super::words::problems;
use crate::intake::{self, AskError, FindError, Start};
use crate::model::Timestamp;
use crate::store::Project;

#[derive(Template)]
#[template(path = "start.html")]
struct StartPage {
    sidebar: Sidebar,
    project: Project,
    token_trouble: Option<TokenTrouble>,
    hooks: Vec<Choice>,
    /// What hooks set by themselves, each with the titles of those that do.
    set: Vec<(String, String)>,
    reference: String,
    variables: String,
    problem: Option<String>,
}

struct Choice {
    title: String,
    is_chosen: bool,
}

pub(super) async fn form(State(app): State<App>, visitor: Visitor, access: Access) -> Page {
    page(&app, &visitor, access, Start::default(), None).await
}

/// Leads to the build, or shows the form again with what is wrong.
pub(super) async fn start(
    Acting(app): Acting,
    account: Account,
    access: Access,
    RawForm(body): RawForm,
) -> Result<Response, PageError> {
    // The same name many times: one for each hook.
    let (mut start, mut has_ref) = (Start::default(), false);
    for (name, value) in url::form_urlencoded::parse(&body) {
        match &*name {
            "ref" => {
                has_ref = true;
                start.reference = value.trim().to_owned();
            }
            "hook" => start.hooks.push(value.into_owned()),
            "variables" => {
                let lines = value.lines().filter(|line| !line.trim().is_empty());
                start.variables = lines.map(str::to_owned).collect();
            }
            _ => {}
        }
    }
    if !has_ref {
        return Err(PageError::BadRequest(problems::NO_REF.into()));
    }
    let (project, by, now) = (&access.project, &account.login, Timestamp::now());
    let why = match intake::start(&app.store, &app.github, project, &start, by, now).await {
        Ok(made) => {
            let path = format!("/projects/{}/builds/{}/", project.id, made.build);
            return Ok(Redirect::to(&path).into_response());
        }
        Err(FindError::Ask(AskError::Store(error))) => return Err(error.into()),
        Err(FindError::Ask(error)) => problems::sentence(error),
        Err(FindError::Unknown(why)) => why,
    };
    let page = page(&app, &Visitor(Some(account)), access, start, Some(why)).await?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
}

async fn page(
    app: &App,
    visitor: &Visitor,
    access: Access,
    start: Start,
    problem: Option<String>,
) -> Page {
    let project = access.project;
    let hooks = app.store.hooks(project.id).await?;
    let mut set: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for hook in &hooks {
        for (name, value) in &hook.spec.options.env {
            set.entry(format!("{name}={value}")).or_default().push(&hook.spec.title);
        }
    }
    let set = set.into_iter().map(|(variable, titles)| (variable, titles.join(", "))).collect();
    let choice = |title: String| Choice { is_chosen: start.hooks.contains(&title), title };
    render(&StartPage {
        sidebar: Sidebar::load(app, visitor, Some(project.id.0)).await?,
        token_trouble: token_trouble(app, &project).await?,
        project,
        set,
        hooks: hooks.into_iter().map(|hook| choice(hook.spec.title)).collect(),
        reference: start.reference,
        variables: start.variables.join("\n"),
        problem,
    })
}
