//! One's own account: who one is here, and where one is signed in.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::App;
use super::error::PageError;
use super::page::{Page, Sidebar, Time, render};
use super::repositories::synchronize;
use super::visitor::{Account, Visitor};
use crate::model::Timestamp;

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    sidebar: Sidebar,
    account: Account,
    profile_url: String,
    sessions: Vec<SessionRow>,
    is_synchronized: bool,
    /// What kept GitHub from telling of projects.
    trouble: Option<String>,
}

struct SessionRow {
    is_this: bool,
    began: Time,
    seen: Time,
}

/// Which projects the visitor may see, asked of GitHub now.
pub(super) async fn sync(State(app): State<App>, account: Account) -> Result<Response, PageError> {
    Ok(match synchronize(&app, &account).await {
        None => Redirect::to("/account/settings/?done=synchronized#projects").into_response(),
        trouble => page(&app, account, false, trouble).await?.into_response(),
    })
}

#[derive(Deserialize)]
pub(super) struct Shown {
    /// `synchronized`: that was just done.
    #[serde(default)]
    done: String,
}

pub(super) async fn settings(
    State(app): State<App>,
    account: Account,
    Query(shown): Query<Shown>,
) -> Page {
    page(&app, account, shown.done == "synchronized", None).await
}

async fn page(app: &App, account: Account, is_synchronized: bool, trouble: Option<String>) -> Page {
    let now = Timestamp::now();
    let sessions = app.store.sessions(account.id, now).await?;
    let sessions = sessions.into_iter().map(|session| SessionRow {
        is_this: account.session == Some(session.id),
        began: Time::new(session.created_at, now),
        seen: Time::new(session.seen_at, now),
    });
    render(&AccountPage {
        sidebar: Sidebar::load(app, &Visitor(Some(account.clone())), None).await?,
        profile_url: format!("{}/{}", app.github_url, account.login),
        sessions: sessions.collect(),
        is_synchronized,
        trouble,
        account,
    })
}
