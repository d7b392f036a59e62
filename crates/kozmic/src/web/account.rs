//! One's own account: who one is here, where one is signed in, and one's API tokens.

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::App;
use super::error::PageError;
use super::mail_choices::MailPart;
use super::page::{Page, Sidebar, Time, render};
use super::repositories::synchronize;
use super::settings::Said;
use super::visitor::{Account, Acting, Visitor};
use super::words::{
    answers,
    problems::{self, Thing},
};
use crate::model::{SessionId, Timestamp, TokenId, TokenSpec};
use crate::store::{StoreError, Token};

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    sidebar: Sidebar,
    account: Account,
    profile_url: String,
    mail: MailPart,
    sessions: Vec<SessionRow>,
    tokens: Vec<TokenRow>,
    /// To be tried with `kozmic projects`.
    server_url: String,
    said: Said,
    /// Shown this once.
    new_token: Option<String>,
    /// As it was typed.
    form: TokenForm,
}

struct SessionRow {
    id: SessionId,
    is_this: bool,
    began: Time,
    seen: Time,
}

struct TokenRow {
    token: Token,
    created: Time,
    used: Option<Time>,
    /// The day, and the exact time.
    expires: Option<(String, String)>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct TokenForm {
    name: String,
    scope: String,
    days: String,
}

/// Which projects the visitor may see, asked of GitHub now.
pub(super) async fn sync(Acting(app): Acting, account: Account) -> Result<Response, PageError> {
    Ok(match synchronize(&app, &account).await {
        None => to("synchronized", "projects"),
        Some(trouble) => {
            let said = Said { about: "projects", troubles: vec![trouble], ..Said::default() };
            page(&app, account, said, None, TokenForm::default()).await?.into_response()
        }
    })
}

#[derive(Deserialize)]
pub(super) struct Shown {
    /// That was just done.
    #[serde(default)]
    done: String,
}

pub(super) async fn settings(
    State(app): State<App>,
    account: Account,
    Query(shown): Query<Shown>,
) -> Page {
    let said = match shown.done.as_str() {
        "synchronized" => done("projects", answers::UP_TO_DATE),
        "mail-chosen" => done("mail", answers::MAILS_CHOSEN),
        "session-ended" => done("sessions", answers::SESSION_ENDED),
        "token-revoked" => done("tokens", answers::TOKEN_REVOKED),
        _ => Said::default(),
    };
    page(&app, account, said, None, TokenForm::default()).await
}

/// Shows the token, this once; there is no other way to see it.
pub(super) async fn create_token(
    Acting(app): Acting,
    account: Account,
    Form(form): Form<TokenForm>,
) -> Result<Response, PageError> {
    let now = Timestamp::now();
    let made = match TokenSpec::parse(&form.name, &form.scope, &form.days) {
        Ok(spec) => match app.store.token_created(account.id, &spec, now).await {
            Err(StoreError::Refused(why)) => Err(why),
            made => Ok(made?),
        },
        Err(problem) => Err(problems::token_not_made(problem)),
    };
    Ok(match made {
        Ok(token) => {
            tracing::info!(by = account.login, "an API token was made");
            let said = done("tokens", answers::TOKEN_MADE);
            page(&app, account, said, Some(token), TokenForm::default()).await?.into_response()
        }
        Err(trouble) => {
            let said = Said { about: "tokens", troubles: vec![trouble], ..Said::default() };
            let page = page(&app, account, said, None, form).await?;
            (StatusCode::UNPROCESSABLE_ENTITY, page).into_response()
        }
    })
}

pub(super) async fn revoke_token(
    Acting(app): Acting,
    account: Account,
    Path(token): Path<i64>,
) -> Result<Response, PageError> {
    if !app.store.token_revoked(account.id, TokenId(token)).await? {
        return Err(PageError::no_such(Thing::Token));
    }
    tracing::info!(by = account.login, token, "an API token was revoked");
    Ok(to("token-revoked", "tokens"))
}

pub(super) async fn end_session(
    Acting(app): Acting,
    account: Account,
    Path(session): Path<i64>,
) -> Result<Response, PageError> {
    if !app.store.own_session_ended(account.id, SessionId(session)).await? {
        return Err(PageError::no_such(Thing::Session));
    }
    Ok(to("session-ended", "sessions"))
}

fn done(about: &'static str, what: &str) -> Said {
    Said { about, done: vec![what.to_owned()], ..Said::default() }
}

fn to(done: &str, about: &str) -> Response {
    Redirect::to(&format!("/account/settings/?done={done}#{about}")).into_response()
}

async fn page(
    app: &App,
    account: Account,
    mut said: Said,
    new_token: Option<String>,
    form: TokenForm,
) -> Page {
    let now = Timestamp::now();
    let sessions = app.store.sessions(account.id, now).await?;
    let sessions = sessions.into_iter().map(|session| SessionRow {
        id: session.id,
        is_this: account.session == Some(session.id),
        began: Time::new(session.created_at, now),
        seen: Time::new(session.seen_at, now),
    });
    let tokens = app.store.tokens(account.id, now).await?;
    let tokens = tokens.into_iter().map(|token| TokenRow {
        created: Time::new(token.created_at, now),
        used: token.last_used_at.map(|at| Time::new(at, now)),
        expires: token.expires_at.map(|at| {
            let exact = at.to_string();
            (exact.chars().take_while(|c| *c != 'T').collect(), exact)
        }),
        token,
    });
    let about_mail = if said.about == "mail" { std::mem::take(&mut said) } else { Said::default() };
    render(&AccountPage {
        mail: MailPart::of(app, &account, about_mail).await?,
        sidebar: Sidebar::load(app, &Visitor(Some(account.clone())), None).await?,
        profile_url: format!("{}/{}", app.github_url, account.login),
        sessions: sessions.collect(),
        tokens: tokens.collect(),
        server_url: app.public_url.clone(),
        said,
        new_token,
        form,
        account,
    })
}
