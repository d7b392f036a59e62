//! Before every handler: who asks, and whether they may. The table of routes says
//! for each who may enter; nothing else decides it.

use std::time::Duration;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::api::Problem;
use super::error::PageError;
use super::origin::Origin;
use super::visitor::{Access, Account};
use super::{App, admission, pace};
use crate::model::{Actor, BuildId, JobId, JobUuid, ProjectId, Role, Timestamp, TokenScope};
use crate::store::{Project, StoreError};

/// How a visitor shows who they are, and how a refusal is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// By nothing: it tells the same to everyone.
    Open,
    /// By GitHub's signature under the body, which the handler checks.
    Delivery,
    /// By a session; without one the way leads over `/login/`, and back.
    Page,
    /// As a page, or by an API token.
    File,
    /// As a file, but without one the answer is 401: nobody follows a web socket's redirect.
    Socket,
    /// By an API token; refusals are problem details.
    Api,
}

/// Who may enter. Each of the last six may do what those before may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Anyone,
    SignedIn,
    /// Of the project that the path leads to; anyone, when the project is visible to all.
    Member,
    /// As a member, also of a project that is visible to all.
    Insider,
    Manager,
    Owner,
    /// Of the installation.
    Administrator,
}

/// One route as it is declared, without its handler.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub method: &'static str,
    pub path: &'static str,
    pub door: Door,
    pub who: Who,
}

/// Why somebody may not enter.
pub(super) enum Refusal {
    /// Nobody known.
    Anonymous,
    /// Of somebody once, or of nobody; what is wrong with it.
    BadToken(&'static str),
    /// It is not there, or they must not learn that it is.
    Missing(&'static str),
    /// Their token may not do this, whatever they may.
    Scope,
    /// They see it, and may not do this.
    Forbidden(&'static str),
    /// It came too often: how long to wait, and what is to be said.
    TooOften(Duration, String),
    Store(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Lets pass who may, and hands on who it is; others never reach the handler.
pub(super) async fn enter(
    State((app, entry)): State<(App, Entry)>,
    params: Result<RawPathParams, RawPathParamsRejection>,
    mut request: Request,
    next: Next,
) -> Response {
    let mut renewed = None;
    let origin = Origin::of(request.extensions());
    if let Err(refusal) = pace::signs_in(&app, entry, origin).await {
        return refusal.told_at(entry.door, &request);
    }
    let asked = who_asks(&app, entry.door, request.headers(), &mut renewed).await;
    let account = match pace::asks(&app, entry.door, origin, asked).await {
        Ok(account) => account,
        Err(refusal) => return refusal.told_at(entry.door, &request),
    };
    match may_enter(&app, entry, account.as_ref(), params.ok().as_ref()).await {
        Ok(Some(access)) => {
            request.extensions_mut().insert(access);
        }
        Ok(None) => {}
        Err(refusal) => return refusal.told_at(entry.door, &request),
    }
    let actor = actor(account.as_ref(), origin);
    request.extensions_mut().insert(actor);
    if let Some(account) = account {
        request.extensions_mut().insert(account);
    }
    let mut answer = next.run(request).await;
    // Signing in and out set it themselves.
    if let Some(cookie) = renewed.filter(|_| !answer.headers().contains_key(header::SET_COOKIE)) {
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    answer
}

/// Who the audit log says it was.
fn actor(account: Option<&Account>, origin: Origin) -> Actor {
    let address = Some(origin.address);
    match account {
        Some(account) => Actor::person(account.id, &account.login, account.via, address),
        None => Actor::nobody(address),
    }
}

async fn who_asks(
    app: &App,
    door: Door,
    headers: &HeaderMap,
    renewed: &mut Option<header::HeaderValue>,
) -> Result<Option<Account>, Refusal> {
    let may_be_token = matches!(door, Door::File | Door::Socket | Door::Api);
    match (door, bearer(headers).filter(|_| may_be_token)) {
        (_, Some(token)) => by_token(app, token).await.map(Some),
        (Door::Open | Door::Delivery, None) => Ok(None),
        (Door::Api, None) => Err(Refusal::Anonymous),
        (Door::Page | Door::File | Door::Socket, None) => by_session(app, headers, renewed).await,
    }
}

/// `Authorization: Bearer …` (RFC 6750).
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

pub(super) async fn by_token(app: &App, token: &str) -> Result<Account, Refusal> {
    let used = app.store.token_used(token, Timestamp::now()).await?;
    let used = used.ok_or(Refusal::BadToken("This token is unknown or has expired."))?;
    let Some(admitted) = admission::of(app, &used.user).await? else {
        let sentence = "The settings of this server do not let the token's user in.";
        return Err(Refusal::BadToken(sentence));
    };
    Ok(Account::by_token(used, admitted.is_administrator))
}

/// Nobody, too, when the settings let them in no more.
async fn by_session(
    app: &App,
    headers: &HeaderMap,
    renewed: &mut Option<header::HeaderValue>,
) -> Result<Option<Account>, Refusal> {
    let Some(secret) = app.cookies.session(headers) else { return Ok(None) };
    let Some(session) = app.store.session_used(&secret, Timestamp::now()).await? else {
        return Ok(None);
    };
    let Some(admitted) = admission::of(app, &session.user).await? else { return Ok(None) };
    if session.is_renewed {
        *renewed = app.cookies.keep_session(&secret);
    }
    Ok(Some(Account::by_session(session.user, admitted.is_administrator, session.id)))
}

async fn may_enter(
    app: &App,
    entry: Entry,
    account: Option<&Account>,
    params: Option<&RawPathParams>,
) -> Result<Option<Access>, Refusal> {
    let may_only_read = account.is_some_and(|account| account.token == Some(TokenScope::Read));
    if may_only_read && !is_reading(entry) {
        return Err(Refusal::Scope);
    }
    let needed = match (entry.who, account) {
        (Who::Anyone, _) | (Who::SignedIn, Some(_)) => return Ok(None),
        (Who::SignedIn | Who::Administrator, None) => return Err(Refusal::Anonymous),
        (Who::Administrator, Some(account)) if account.is_administrator => return Ok(None),
        (Who::Administrator, Some(_)) => return Err(Refusal::Missing("page")),
        (Who::Member | Who::Insider, _) => Role::Member,
        (Who::Manager, _) => Role::Manager,
        (Who::Owner, _) => Role::Owner,
    };
    let wanted = params.and_then(Wanted::of);
    let project = match &wanted {
        Some(wanted) => wanted.project(app).await?,
        None => None,
    };
    let role = match (account, &project) {
        (Some(account), Some(_)) if account.is_administrator => Some(Role::Owner),
        (Some(account), Some(project)) => app.store.role(project.id, account.id).await?,
        _ => None,
    };
    let is_visible = project.as_ref().is_some_and(|project| project.is_visible_to_all);
    let verdict = match (entry.who, role) {
        (Who::Insider, None) if is_visible => Verdict::Sees,
        _ => verdict(needed, role, is_visible),
    };
    match (verdict, project) {
        (Verdict::Enters, Some(project)) => Ok(Some(Access { project, role })),
        // Neither sees whether there is one.
        _ if account.is_none() => Err(Refusal::Anonymous),
        (Verdict::Sees, Some(_)) => Err(Refusal::Forbidden(reserved(needed))),
        _ => Err(Refusal::Missing(wanted.as_ref().map_or("page", Wanted::noun))),
    }
}

/// Whether it is what members may look at. What is for managers is not, even if it
/// changes nothing by itself.
fn is_reading(entry: Entry) -> bool {
    let is_for_members = match entry.who {
        Who::Anyone | Who::SignedIn | Who::Member | Who::Insider => true,
        Who::Manager | Who::Owner | Who::Administrator => false,
    };
    entry.method == "GET" && is_for_members
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Enters,
    /// May see the project, but not do this.
    Sees,
    /// Must not learn of it.
    SeesNothing,
}

/// What somebody with this role, or a stranger, may do where `needed` is declared.
fn verdict(needed: Role, role: Option<Role>, is_visible: bool) -> Verdict {
    match role {
        Some(role) if role.allows(needed) => Verdict::Enters,
        _ if is_visible && needed == Role::Member => Verdict::Enters,
        Some(_) => Verdict::Sees,
        None if is_visible => Verdict::Sees,
        None => Verdict::SeesNothing,
    }
}

fn reserved(needed: Role) -> &'static str {
    match needed {
        Role::Owner => "Only the owner of the project may do this.",
        Role::Manager => "Members may look; managers and the owner may change this.",
        Role::Member => "Only members of the project may see this.",
    }
}

/// What a path names, by the names of its parameters.
enum Wanted<'a> {
    Project(&'a str),
    /// A build or a job without its project.
    Build(&'a str),
    Job(&'a str),
    Tailer(&'a str),
}

impl<'a> Wanted<'a> {
    fn of(params: &'a RawPathParams) -> Option<Self> {
        // The first one: what follows a project is looked for in it by the handler.
        params.iter().find_map(|(name, value)| match name {
            "project" => Some(Self::Project(value)),
            "build" => Some(Self::Build(value)),
            "job" => Some(Self::Job(value)),
            "uuid" => Some(Self::Tailer(value)),
            _ => None,
        })
    }

    fn noun(&self) -> &'static str {
        match self {
            Self::Project(_) => "project",
            Self::Build(_) => "build",
            Self::Job(_) | Self::Tailer(_) => "job",
        }
    }

    async fn project(&self, app: &App) -> Result<Option<Project>, StoreError> {
        let store = &app.store;
        let job = match self {
            Self::Project(id) => {
                let Ok(id) = id.parse() else { return Ok(None) };
                return store.project(ProjectId(id)).await;
            }
            Self::Build(id) => {
                let Ok(id) = id.parse() else { return Ok(None) };
                let Some(build) = store.build(BuildId(id)).await? else { return Ok(None) };
                return store.project(build.project).await;
            }
            Self::Job(id) => {
                let Ok(id) = id.parse() else { return Ok(None) };
                store.job(JobId(id)).await?
            }
            Self::Tailer(uuid) => {
                let Ok(uuid) = uuid.parse::<JobUuid>() else { return Ok(None) };
                store.job_by_uuid(uuid).await?
            }
        };
        let Some(job) = job else { return Ok(None) };
        let Some(build) = store.build(job.build).await? else { return Ok(None) };
        store.project(build.project).await
    }
}

impl Refusal {
    const SCOPE: &str = "This token may only read; make one that may write.";

    fn told_at(self, door: Door, request: &Request) -> Response {
        if let Self::TooOften(..) = self {
            return PageError::from(self).into_response();
        }
        match door {
            Door::Api => Problem::from(self).into_response(),
            Door::Socket if request.uri().path().starts_with("/api/") => {
                Problem::from(self).into_response()
            }
            Door::Page | Door::File if matches!(self, Self::Anonymous) => {
                to_sign_in(request.method(), request.uri()).into_response()
            }
            _ => PageError::from(self).into_response(),
        }
    }
}

/// And back to where they wanted to go, when that can be gone to.
fn to_sign_in(method: &Method, uri: &Uri) -> Redirect {
    let mut target = "/login/".to_owned();
    if method == Method::GET && uri.path() != "/" {
        let back = uri.path_and_query().map_or("/", |path| path.as_str());
        let query: String =
            url::form_urlencoded::Serializer::new(String::new()).append_pair("next", back).finish();
        target = format!("{target}?{query}");
    }
    Redirect::to(&target)
}

impl From<Refusal> for PageError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Anonymous => {
                Self::Unauthorized("Sign in, or send an API token as `Authorization: Bearer …`.")
            }
            Refusal::BadToken(sentence) => Self::Unauthorized(sentence),
            Refusal::Missing(what) => Self::no_such(what),
            Refusal::Scope => Self::Forbidden(Refusal::SCOPE.into()),
            Refusal::Forbidden(sentence) => Self::Forbidden(sentence.into()),
            Refusal::TooOften(wait, sentence) => Self::TooOften(wait, sentence),
            Refusal::Store(error) => error.into(),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Anonymous => Self::unauthorized(
                "Send a token as `Authorization: Bearer …`; `kozmic token create` makes one.",
            ),
            Refusal::BadToken(sentence) => Self::bad_token(sentence),
            Refusal::Missing(what) => Self::not_found(what),
            Refusal::Scope => Self::insufficient_scope(Refusal::SCOPE),
            Refusal::Forbidden(sentence) => Self::forbidden(sentence),
            Refusal::TooOften(_, sentence) => Self::of(StatusCode::TOO_MANY_REQUESTS, sentence),
            Refusal::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Enters, Sees, SeesNothing};
    use super::*;

    #[test]
    fn each_role_may_what_those_below_it_may() {
        let roles = [None, Some(Role::Member), Some(Role::Manager), Some(Role::Owner)];
        let told = |needed, is_visible| roles.map(|role| verdict(needed, role, is_visible));
        assert_eq!(told(Role::Member, false), [SeesNothing, Enters, Enters, Enters]);
        assert_eq!(told(Role::Manager, false), [SeesNothing, Sees, Enters, Enters]);
        assert_eq!(told(Role::Owner, false), [SeesNothing, Sees, Sees, Enters]);
        assert_eq!(told(Role::Member, true), [Enters, Enters, Enters, Enters]);
        assert_eq!(told(Role::Manager, true), [Sees, Sees, Enters, Enters]);
        assert_eq!(told(Role::Owner, true), [Sees, Sees, Sees, Enters]);
    }
}
