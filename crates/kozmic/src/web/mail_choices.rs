//! Which mails somebody wants: on the account page, and by the link in each mail.

use askama::Template;
use axum::extract::{Path, RawForm, State};
use axum::response::{IntoResponse as _, Redirect, Response};

use super::App;
use super::error::PageError;
use super::page::{Page, Time, render};
use super::settings::Said;
use super::visitor::{Account, Acting};
use crate::model::{Invalid, MailChoice, ProjectId, Timestamp};
use crate::store::StoreError;

/// A part of the account page.
#[derive(Template)]
#[template(path = "mail_choices.html")]
pub(super) struct MailPart {
    said: Said,
    can_mail: bool,
    address: Option<String>,
    /// What holds for who chose nothing.
    default: MailChoice,
    general: Option<MailChoice>,
    projects: Vec<(ProjectId, String, Option<MailChoice>)>,
    /// Something was chosen for a single project.
    has_own: bool,
    trouble: Option<(String, Time)>,
}

impl MailPart {
    pub(super) async fn of(app: &App, account: &Account, said: Said) -> Result<Self, StoreError> {
        let choices = app.store.mail_choices(account.id).await?;
        let now = Timestamp::now();
        Ok(Self {
            said,
            can_mail: app.mail.is_some(),
            address: account.email.clone(),
            default: app.mail.unwrap_or(MailChoice::Never),
            general: choices.general,
            has_own: choices.projects.iter().any(|(_, _, choice)| choice.is_some()),
            projects: choices.projects,
            trouble: choices.trouble.map(|(why, at)| (why, Time::new(at, now))),
        })
    }
}

/// One choice for all projects, and one for each that differs.
pub(super) async fn choose(
    Acting(app): Acting,
    account: Account,
    RawForm(body): RawForm,
) -> Result<Response, PageError> {
    let bad = |problem: Invalid| PageError::BadRequest(format!("Nothing was saved: {problem}."));
    let choice = |text: &str| match text {
        "" => Ok(None),
        text => text.parse::<MailChoice>().map(Some),
    };
    let mut chosen = Vec::new();
    for (name, value) in url::form_urlencoded::parse(&body) {
        let project = match &*name {
            "general" => None,
            name => match name.strip_prefix("project-").map(str::parse) {
                Some(Ok(id)) => Some(ProjectId(id)),
                _ => continue,
            },
        };
        chosen.push((project, choice(&value).map_err(bad)?));
    }
    if chosen.is_empty() {
        return Err(bad(Invalid::new("the form has no choice")));
    }
    self::chosen(&app, &account, chosen).await?;
    Ok(Redirect::to("/account/settings/?done=mail-chosen#mail").into_response())
}

/// Each of a project, or of all. Of others' projects they learn nothing, and choose nothing.
pub(super) async fn chosen(
    app: &App,
    account: &Account,
    chosen: Vec<(Option<ProjectId>, Option<MailChoice>)>,
) -> Result<(), StoreError> {
    let known = app.store.mail_choices(account.id).await?;
    for (project, choice) in chosen {
        match project {
            None if choice == known.general => {}
            None => app.store.mail_chosen(account.id, choice).await?,
            Some(project) => {
                let is_other = |(id, _, before): &(_, _, _)| *id == project && *before != choice;
                if known.projects.iter().any(is_other) {
                    app.store.mail_chosen_for(account.id, project, choice).await?;
                }
            }
        }
    }
    Ok(())
}

#[derive(Template)]
#[template(path = "unsubscribe.html")]
struct UnsubscribePage {
    name: String,
    token: String,
    is_done: bool,
}

/// A button: what only looks at links, as filters of mail do, must not press it.
pub(super) async fn unsubscribe_form(State(app): State<App>, Path(token): Path<String>) -> Page {
    unsubscribe_page(&app, token, false).await
}

/// By the button, or by a mail program in one click (RFC 8058).
pub(super) async fn unsubscribe(Acting(app): Acting, Path(token): Path<String>) -> Page {
    unsubscribe_page(&app, token, true).await
}

async fn unsubscribe_page(app: &App, token: String, is_done: bool) -> Page {
    let known = app.store.unsubscribe_token_of(&token).await?;
    let (user, project) = known.ok_or_else(|| PageError::no_such("link"))?;
    if is_done {
        app.store.mail_chosen_for(user, project.id, Some(MailChoice::Never)).await?;
        tracing::info!(%user, project = %project.id, "mails were ended by a link");
    }
    render(&UnsubscribePage { name: project.repository.full_name.to_string(), token, is_done })
}
