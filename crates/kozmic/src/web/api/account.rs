//! One's own account: who one is, where one is signed in, one's tokens and mails, and the
//! repositories that one may turn into projects. A token makes no other token: one that is
//! stolen would outlive its end.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::Body;
use super::paging::{self, Paging};
use super::problem::Problem;
use crate::model::{Invalid, MailChoice, ProjectId, SessionId, Timestamp, TokenId};
use crate::store::{Offer, Session, Token};
use crate::web::App;
use crate::web::gate::Door::Api;
use crate::web::gate::Who::SignedIn;
use crate::web::mail_choices::chosen;
use crate::web::repositories::synchronize;
use crate::web::routes::{Route, delete, get, post, put};
use crate::web::visitor::{Account, Acting};

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/v1/account", Api, SignedIn, me)
            .is("get_account", "Who the token's user is.")
            .answers::<AccountAnswer>(),
        post("/api/v1/account/sync", Api, SignedIn, sync)
            .is("sync_account", "Asks GitHub which projects you may see and turn on.")
            .tells_nothing()
            .refuses(&[502]),
        get("/api/v1/account/tokens", Api, SignedIn, tokens)
            .is("list_tokens", "Your API tokens, without what they are.")
            .query::<Paging>()
            .answers::<TokensAnswer>(),
        delete("/api/v1/account/tokens/{token}", Api, SignedIn, revoke)
            .is("revoke_token", "Makes an API token useless at once.")
            .tells_nothing(),
        get("/api/v1/account/sessions", Api, SignedIn, sessions)
            .is("list_sessions", "Where you are signed in.")
            .query::<Paging>()
            .answers::<SessionsAnswer>(),
        delete("/api/v1/account/sessions/{session}", Api, SignedIn, end_session)
            .is("end_session", "Signs you out there.")
            .tells_nothing(),
        get("/api/v1/account/mail", Api, SignedIn, mail)
            .is("get_mail", "Which mails you get.")
            .answers::<MailAnswer>(),
        put("/api/v1/account/mail", Api, SignedIn, choose_mail)
            .is("choose_mail", "Chooses which mails you get: of all projects, or of one.")
            .takes::<MailBody>()
            .answers::<MailAnswer>()
            .refuses(&[422]),
        get("/api/v1/repositories", Api, SignedIn, repositories)
            .is("list_repositories", "Repositories that you administer, as GitHub told last.")
            .query::<Paging>()
            .answers::<RepositoriesAnswer>(),
        post("/api/v1/repositories/sync", Api, SignedIn, sync)
            .is("sync_repositories", "Asks GitHub which repositories you administer.")
            .tells_nothing()
            .refuses(&[502]),
    ]
}

#[derive(Serialize, ToSchema)]
struct AccountAnswer {
    id: i64,
    login: String,
    name: String,
    email: Option<String>,
    is_administrator: bool,
    /// Of this token: `read` or `write`.
    scope: Option<&'static str>,
}

#[derive(Serialize, ToSchema)]
struct TokensAnswer {
    tokens: Vec<TokenAnswer>,
    /// To be sent as `after`; null: these were the last.
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct TokenAnswer {
    id: i64,
    name: String,
    /// `read` or `write`.
    scope: &'static str,
    created_at: String,
    /// To the minute.
    last_used_at: Option<String>,
    /// None: never.
    expires_at: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct SessionsAnswer {
    sessions: Vec<SessionAnswer>,
    /// To be sent as `after`; null: these were the last.
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct SessionAnswer {
    id: i64,
    created_at: String,
    /// To the hour.
    seen_at: String,
}

#[derive(Serialize, ToSchema)]
struct MailAnswer {
    /// Where they go; none: nowhere.
    address: Option<String>,
    /// `never`, `own` or `all`; null: as the server's settings say.
    general: Option<&'static str>,
    projects: Vec<ProjectMail>,
}

#[derive(Serialize, ToSchema)]
struct ProjectMail {
    project_id: i64,
    project: String,
    /// `never`, `own` or `all`; null: as for all projects.
    choice: Option<&'static str>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MailBody {
    /// One of your projects; null: all.
    #[serde(default)]
    project_id: Option<i64>,
    /// `never`, `own` or `all`; null: what holds without a choice.
    choice: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct RepositoriesAnswer {
    repositories: Vec<RepositoryAnswer>,
    /// When GitHub told; null: never.
    synchronized_at: Option<String>,
    /// To be sent as `after`; null: these were the last.
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct RepositoryAnswer {
    /// At GitHub.
    id: i64,
    full_name: String,
    is_public: bool,
    is_archived: bool,
    is_project: bool,
    /// The project, where you are a member of it.
    project_id: Option<i64>,
}

async fn me(account: Account) -> Json<AccountAnswer> {
    Json(AccountAnswer {
        id: account.id.0,
        login: account.login,
        name: account.name,
        email: account.email,
        is_administrator: account.is_administrator,
        scope: account.token.map(crate::model::TokenScope::as_str),
    })
}

async fn sync(Acting(app): Acting, account: Account) -> Result<StatusCode, Problem> {
    match synchronize(&app, &account).await {
        None => Ok(StatusCode::NO_CONTENT),
        Some(trouble) => Err(Problem::of(StatusCode::BAD_GATEWAY, trouble)),
    }
}

async fn tokens(
    State(app): State<App>,
    account: Account,
    Query(paging): Query<Paging>,
) -> Result<Json<TokensAnswer>, Problem> {
    let tokens = app.store.tokens(account.id, Timestamp::now()).await?;
    let (tokens, next) = paging::part(tokens, &paging, "tokens", |token| token.id.0)?;
    let answer = |token: Token| TokenAnswer {
        id: token.id.0,
        name: token.name,
        scope: token.scope.as_str(),
        created_at: token.created_at.to_string(),
        last_used_at: token.last_used_at.map(|at| at.to_string()),
        expires_at: token.expires_at.map(|at| at.to_string()),
    };
    Ok(Json(TokensAnswer { tokens: tokens.into_iter().map(answer).collect(), next }))
}

async fn revoke(
    Acting(app): Acting,
    account: Account,
    Path(token): Path<i64>,
) -> Result<StatusCode, Problem> {
    if !app.store.token_revoked(account.id, TokenId(token)).await? {
        return Err(Problem::not_found("token"));
    }
    tracing::info!(by = account.login, token, "an API token was revoked");
    Ok(StatusCode::NO_CONTENT)
}

async fn sessions(
    State(app): State<App>,
    account: Account,
    Query(paging): Query<Paging>,
) -> Result<Json<SessionsAnswer>, Problem> {
    let sessions = app.store.sessions(account.id, Timestamp::now()).await?;
    let (sessions, next) = paging::part(sessions, &paging, "sessions", |session| session.id.0)?;
    let answer = |session: Session| SessionAnswer {
        id: session.id.0,
        created_at: session.created_at.to_string(),
        seen_at: session.seen_at.to_string(),
    };
    Ok(Json(SessionsAnswer { sessions: sessions.into_iter().map(answer).collect(), next }))
}

async fn end_session(
    Acting(app): Acting,
    account: Account,
    Path(session): Path<i64>,
) -> Result<StatusCode, Problem> {
    if !app.store.own_session_ended(account.id, SessionId(session)).await? {
        return Err(Problem::not_found("session"));
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn mail(State(app): State<App>, account: Account) -> Result<Json<MailAnswer>, Problem> {
    let choices = app.store.mail_choices(account.id).await?;
    let word = |choice: Option<MailChoice>| choice.map(MailChoice::as_str);
    let projects = choices.projects.into_iter().map(|(id, project, choice)| ProjectMail {
        project_id: id.0,
        project,
        choice: word(choice),
    });
    Ok(Json(MailAnswer {
        address: account.email,
        general: word(choices.general),
        projects: projects.collect(),
    }))
}

async fn choose_mail(
    Acting(app): Acting,
    account: Account,
    Body(body): Body<MailBody>,
) -> Result<Json<MailAnswer>, Problem> {
    let choice = body.choice.map(|choice| choice.parse::<MailChoice>()).transpose();
    let choice = choice.map_err(|problem: Invalid| {
        Problem::of(StatusCode::UNPROCESSABLE_ENTITY, format!("Nothing was saved: {problem}."))
    })?;
    chosen(&app, &account, vec![(body.project_id.map(ProjectId), choice)]).await?;
    mail(State(app), account).await
}

async fn repositories(
    State(app): State<App>,
    account: Account,
    Query(paging): Query<Paging>,
) -> Result<Json<RepositoriesAnswer>, Problem> {
    let offers = app.store.offers(account.id).await?;
    let all: Vec<Offer> = offers.by_owner.into_iter().flat_map(|(_, offers)| offers).collect();
    let (all, next) = paging::part(all, &paging, "repositories", |it| it.full_name.to_string())?;
    let answer = |offer: Offer| RepositoryAnswer {
        id: offer.gh_id,
        full_name: offer.full_name.to_string(),
        is_public: offer.is_public,
        is_archived: offer.is_archived,
        is_project: offer.is_project,
        project_id: offer.project.map(|project| project.0),
    };
    Ok(Json(RepositoriesAnswer {
        repositories: all.into_iter().map(answer).collect(),
        synchronized_at: offers.synchronized_at.map(|at| at.to_string()),
        next,
    }))
}
