//! Where a project's builds are told of, as managers see it: webhooks, and what became of
//! the last deliveries. URLs and secrets go in and never come out.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::{Path, Query, RawForm, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::App;
use super::error::PageError;
use super::page::{Page, Sidebar, Time, TokenTrouble, render, token_trouble};
use super::settings::Said;
use super::visitor::{Access, Account, Acting, Visitor};
use super::words::{
    answers,
    problems::{self, Thing},
};
use crate::model::{BuildEvent, ProjectId, Timestamp, WebhookSpec};
use crate::store::{Project, SentMessage, StoreError, Webhook};

/// Deliveries of each webhook that are shown.
const DELIVERIES: i64 = 10;

#[derive(Template)]
#[template(path = "notifications.html")]
struct NotificationsPage {
    sidebar: Sidebar,
    project: Project,
    token_trouble: Option<TokenTrouble>,
    said: Said,
    webhooks: Vec<Row>,
    problem: Option<String>,
    form: Form,
}

struct Row {
    webhook: Webhook,
    added: Time,
    deliveries: Vec<Delivery>,
    /// The last delivery did not arrive.
    has_trouble: bool,
}

struct Delivery {
    delivery: SentMessage,
    at: Time,
}

/// As it was sent, without what is secret.
struct Form {
    format: String,
    events: BTreeSet<BuildEvent>,
}

impl Default for Form {
    fn default() -> Self {
        let events = [BuildEvent::Failed, BuildEvent::Fixed].into();
        Self { format: "json".into(), events }
    }
}

#[derive(Deserialize)]
pub(super) struct Shown {
    /// That was just done.
    #[serde(default)]
    done: String,
}

pub(super) async fn show(
    State(app): State<App>,
    account: Account,
    access: Access,
    Query(shown): Query<Shown>,
) -> Page {
    let sentence = match shown.done.as_str() {
        "added" => answers::WEBHOOK_ADDED,
        "removed" => answers::WEBHOOK_REMOVED,
        "tested" => answers::WEBHOOK_TESTED,
        "again" => answers::WEBHOOK_AGAIN,
        _ => "",
    };
    let done = (!sentence.is_empty()).then(|| sentence.to_owned()).into_iter().collect();
    let said = Said { about: "webhooks", done, troubles: Vec::new() };
    page(&app, account, access, said, None, Form::default()).await
}

pub(super) async fn add(
    Acting(app): Acting,
    account: Account,
    access: Access,
    RawForm(body): RawForm,
) -> Result<Response, PageError> {
    let (mut format, mut url, mut secret) = (String::new(), String::new(), String::new());
    let mut events = Vec::new();
    for (name, value) in url::form_urlencoded::parse(&body) {
        match &*name {
            "format" => format = value.into_owned(),
            "url" => url = value.into_owned(),
            "secret" => secret = value.into_owned(),
            "event" => events.push(value.into_owned()),
            _ => {}
        }
    }
    let spec = WebhookSpec::parse(&format, &url, &secret, events.iter().map(String::as_str));
    let (project, by) = (access.project.id, &account.login);
    let problem = match spec {
        Err(problem) => problem.to_string(),
        Ok(spec) => match app.store.webhook_added(project, &spec, by, Timestamp::now()).await {
            Ok(webhook) => {
                tracing::info!(%project, webhook, by, host = spec.host(), "a webhook was added");
                return Ok(to("added", project));
            }
            Err(StoreError::Refused(why)) => why,
            Err(error) => return Err(error.into()),
        },
    };
    let problem = Some(problems::webhook_not_added(problem));
    let events = events.iter().filter_map(|event| event.parse().ok()).collect();
    let form = Form { format, events };
    let page = page(&app, account, access, Said::default(), problem, form).await?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
}

pub(super) async fn remove(
    Acting(app): Acting,
    account: Account,
    access: Access,
    Path((_, webhook)): Path<(i64, i64)>,
) -> Result<Response, PageError> {
    let project = access.project.id;
    let removed = app.store.webhook_removed(project, webhook).await?;
    let host = removed.ok_or_else(|| PageError::no_such(Thing::Webhook))?;
    tracing::info!(%project, webhook, by = account.login, host, "a webhook was removed");
    Ok(to("removed", project))
}

pub(super) async fn test(
    State(app): State<App>,
    access: Access,
    Path((_, webhook)): Path<(i64, i64)>,
) -> Result<Response, PageError> {
    let project = access.project.id;
    if !app.store.webhook_tested(project, webhook, Timestamp::now()).await? {
        return Err(PageError::no_such(Thing::Webhook));
    }
    Ok(to("tested", project))
}

pub(super) async fn again(
    State(app): State<App>,
    access: Access,
    Path((_, delivery)): Path<(i64, i64)>,
) -> Result<Response, PageError> {
    let project = access.project.id;
    if !app.store.delivery_again(project, delivery, Timestamp::now()).await? {
        return Err(PageError::no_such(Thing::Delivery));
    }
    Ok(to("again", project))
}

fn to(done: &str, project: ProjectId) -> Response {
    Redirect::to(&format!("/projects/{project}/notifications/?done={done}#webhooks"))
        .into_response()
}

async fn page(
    app: &App,
    account: Account,
    access: Access,
    said: Said,
    problem: Option<String>,
    form: Form,
) -> Page {
    let now = Timestamp::now();
    let project = access.project;
    let mut webhooks = Vec::new();
    for webhook in app.store.webhooks(project.id).await? {
        let deliveries = app.store.deliveries_of(webhook.id, DELIVERIES).await?;
        webhooks.push(Row {
            added: Time::new(webhook.created_at, now),
            has_trouble: deliveries.first().is_some_and(|last| {
                last.state == "refused" || (last.state == "waiting" && last.answer.is_some())
            }),
            deliveries: deliveries
                .into_iter()
                .map(|delivery| Delivery { at: Time::new(delivery.updated_at, now), delivery })
                .collect(),
            webhook,
        });
    }
    render(&NotificationsPage {
        sidebar: Sidebar::load(app, &Visitor(Some(account)), Some(project.id.0)).await?,
        token_trouble: token_trouble(app, &project).await?,
        project,
        said,
        webhooks,
        problem,
        form,
    })
}
