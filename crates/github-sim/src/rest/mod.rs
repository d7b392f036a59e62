//! The REST API, under `/api/v3` as on GitHub Enterprise Server; one file per noun.
//!
//! Around every route: the log of requests, what GitHub asks of everybody (`manners`), and where
//! repositories have moved. Follows <https://docs.github.com/rest>.

mod answer;
mod branches;
mod collaborators;
mod commits;
mod compare;
mod deliveries;
mod deploy_keys;
mod emails;
mod forks;
mod hooks;
pub(crate) mod manners;
mod moved;
mod organizations;
pub(crate) mod page;
mod pulls;
mod releases;
mod repositories;
mod scopes;
mod statuses;
mod tags;
mod teams;
mod users;

use axum::{
    Router,
    extract::{Path, Request, State},
    http::{Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use jiff::Timestamp;
use serde::Deserialize;

use self::answer::{Caller, Refusal};
use crate::{
    app::App,
    client::LoggedRequest,
    credentials::{self, Credentials},
    faults::Dropped,
};

pub(crate) fn routes(app: &App) -> Router<App> {
    let inner = of_repository().layer(middleware::from_fn_with_state(app.clone(), unless_deleted));
    let by_id = {
        let inner = inner.clone();
        move |State(app): State<App>, Path(path): Path<ById>, request: Request| async move {
            let rest = path.rest.map(|rest| format!("/{rest}")).unwrap_or_default();
            moved::by_id(&app, inner, path.id, &rest, request).await
        }
    };
    Router::new()
        .route("/rate_limit", get(manners::rate_limit))
        .route("/user", get(users::me))
        .route("/user/emails", get(emails::mine))
        .route("/user/repos", get(repositories::mine))
        .route("/user/orgs", get(organizations::mine))
        .route("/user/memberships/orgs", get(organizations::memberships))
        .route("/user/memberships/orgs/{org}", get(organizations::membership))
        .route("/orgs/{org}", get(organizations::get))
        .route("/orgs/{org}/repos", get(organizations::repositories))
        .route("/orgs/{org}/members", get(organizations::members))
        .route("/orgs/{org}/members/{user}", get(organizations::is_member))
        .route("/orgs/{org}/teams", get(teams::list))
        .route("/orgs/{org}/teams/{slug}", get(teams::get))
        .route("/orgs/{org}/teams/{slug}/members", get(teams::members))
        .merge(inner)
        .route("/repositories/{id}", any(by_id.clone()))
        .route("/repositories/{id}/{*rest}", any(by_id))
        .fallback(not_found)
        .method_not_allowed_fallback(not_found)
        .layer(middleware::from_fn_with_state(app.clone(), scopes::check))
        .layer(middleware::from_fn_with_state(app.clone(), around))
}

/// The routes that are found by a repository's id as well.
fn of_repository() -> Router<App> {
    Router::new()
        .route("/repos/{owner}/{repo}", get(repositories::get))
        .route("/repos/{owner}/{repo}/teams", get(teams::of_repository))
        .route("/repos/{owner}/{repo}/collaborators", get(collaborators::list))
        .route("/repos/{owner}/{repo}/collaborators/{user}", get(collaborators::is_collaborator))
        .route(
            "/repos/{owner}/{repo}/collaborators/{user}/permission",
            get(collaborators::permission),
        )
        .route("/repos/{owner}/{repo}/branches", get(branches::list))
        .route("/repos/{owner}/{repo}/branches/{*branch}", get(branches::get))
        .route("/repos/{owner}/{repo}/git/ref/{*reference}", get(branches::reference))
        .route("/repos/{owner}/{repo}/git/matching-refs/{*start}", get(branches::matching))
        .route("/repos/{owner}/{repo}/compare/{*basehead}", get(compare::get))
        .route("/repos/{owner}/{repo}/commits/{*rest}", get(commits::get))
        .route("/repos/{owner}/{repo}/statuses/{sha}", post(statuses::create))
        .route("/repos/{owner}/{repo}/hooks", get(hooks::list).post(hooks::create))
        .route(
            "/repos/{owner}/{repo}/hooks/{id}",
            get(hooks::get).patch(hooks::change).delete(hooks::delete),
        )
        .route("/repos/{owner}/{repo}/hooks/{id}/pings", post(hooks::ping))
        .route("/repos/{owner}/{repo}/hooks/{id}/deliveries", get(deliveries::list))
        .route("/repos/{owner}/{repo}/hooks/{id}/deliveries/{delivery}", get(deliveries::get))
        .route(
            "/repos/{owner}/{repo}/hooks/{id}/deliveries/{delivery}/attempts",
            post(deliveries::attempt),
        )
        .route("/repos/{owner}/{repo}/keys", get(deploy_keys::list).post(deploy_keys::create))
        .route("/repos/{owner}/{repo}/keys/{id}", get(deploy_keys::get).delete(deploy_keys::delete))
        .route("/repos/{owner}/{repo}/forks", post(forks::create))
        .route("/repos/{owner}/{repo}/tags", get(tags::list))
        .route("/repos/{owner}/{repo}/releases", post(releases::create))
        .route("/repos/{owner}/{repo}/pulls", get(pulls::list).post(pulls::create))
        .route("/repos/{owner}/{repo}/pulls/{number}", get(pulls::get).patch(pulls::change))
        .route("/repos/{owner}/{repo}/pulls/{number}/files", get(pulls::files))
}

#[derive(Deserialize)]
struct ById {
    id: u64,
    rest: Option<String>,
}

/// A repository that was deleted while it was looked at is not there, as on GitHub: here its
/// objects may go before what needs them.
async fn unless_deleted(State(app): State<App>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let id = || {
        let mut parts = path.split('/').skip_while(|part| *part != "repos").skip(1);
        let (owner, name) = (parts.next()?, parts.next()?);
        app.world().repositories.by_name(owner, name).map(|found| found.id)
    };
    let before = id();
    let answer = next.run(request).await;
    if answer.status() == StatusCode::INTERNAL_SERVER_ERROR && id() != before {
        return Refusal::not_found().into_response();
    }
    answer
}

/// GitHub answers so to a wrong verb as well.
async fn not_found() -> Refusal {
    Refusal::not_found()
}

/// What GitHub does with every request, whatever its route.
async fn around(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    let (caller, is_browser) = {
        let world = app.world();
        let caller = match credentials::of(headers, &world.users) {
            Credentials::None => Ok(Caller(None)),
            Credentials::Wrong => Err(Refusal::bad_credentials()),
            Credentials::User(user) => Ok(Caller(Some((user.id, user.login.clone())))),
        };
        (caller, credentials::is_browser(headers, &world.users))
    };
    let who = caller.as_ref().ok().and_then(Caller::id);
    let wanted_tag = headers.get(header::IF_NONE_MATCH).cloned();
    let reading = request.method() == Method::GET;
    let is_free = is_browser || request.uri().path().ends_with("/rate_limit");
    let now = Timestamp::now();
    let answer = match (manners::check(headers), caller) {
        (Err(refused), _) => *refused,
        (_, Err(refusal)) => refusal.into_response(),
        (_, Ok(caller)) => {
            if !is_free && !app.world().limits.take(who, now) {
                manners::limited(&caller)
            } else if let Some(answer) =
                moved::intercept(&app, &caller, request.method(), request.uri())
            {
                answer
            } else {
                request.extensions_mut().insert(caller);
                next.run(request).await
            }
        }
    };
    let mut answer = if reading && answer.status() == StatusCode::OK {
        manners::conditional(answer, wanted_tag.as_ref()).await
    } else {
        answer
    };
    let mut world = app.world();
    if answer.status() == StatusCode::NOT_MODIFIED && !is_free {
        world.limits.refund(who, now);
    }
    let hour = *world.limits.hour(who, now);
    manners::put_headers(answer.headers_mut(), &hour);
    answer
}

/// Middleware outside of everything else: remembers what was asked and answered, but for what
/// people do in their browsers.
pub(crate) async fn log(State(app): State<App>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    if !path.starts_with("/api/v3") {
        return next.run(request).await;
    }
    let (login, is_browser) = {
        let world = app.world();
        let login = match credentials::of(request.headers(), &world.users) {
            Credentials::User(user) => Some(user.login.clone()),
            Credentials::None | Credentials::Wrong => None,
        };
        (login, credentials::is_browser(request.headers(), &world.users))
    };
    if is_browser {
        return next.run(request).await;
    }
    let method = request.method().to_string();
    let query = request.uri().query().map(str::to_owned);
    let answer = next.run(request).await;
    let status =
        if answer.extensions().get::<Dropped>().is_some() { 0 } else { answer.status().as_u16() };
    app.world().requests.push(LoggedRequest { method, path, query, status, login });
    answer
}
