//! One's own account: who one is here, and where one is signed in.

use askama::Template;
use axum::extract::State;
use axum::response::Redirect;

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
}

struct SessionRow {
    is_this: bool,
    began: Time,
    seen: Time,
}

/// Which projects the visitor may see, asked of GitHub now.
pub(super) async fn sync(State(app): State<App>, account: Account) -> Result<Redirect, PageError> {
    match synchronize(&app, &account).await {
        None => Ok(Redirect::to("/account/settings/")),
        Some(trouble) => Err(PageError::Conflict(trouble)),
    }
}

pub(super) async fn settings(State(app): State<App>, account: Account) -> Page {
    let now = Timestamp::now();
    let sessions = app.store.sessions(account.id, now).await?;
    let sessions = sessions.into_iter().map(|session| SessionRow {
        is_this: account.session == Some(session.id),
        began: Time::new(session.created_at, now),
        seen: Time::new(session.seen_at, now),
    });
    render(&AccountPage {
        sidebar: Sidebar::load(&app, &Visitor(Some(account.clone())), None).await?,
        profile_url: format!("{}/{}", app.github_url, account.login),
        sessions: sessions.collect(),
        account,
    })
}
