//! The REST API, under `/api/v3` as on GitHub Enterprise Server; one file per noun.
//!
//! Around every route: the log of requests, the headers GitHub puts on every answer, and
//! conditional requests (`ETag`, `If-None-Match`). A caller without `User-Agent` is refused, as
//! GitHub does. Follows <https://docs.github.com/rest>.

mod answer;
mod branches;
mod commits;
mod deliveries;
mod deploy_keys;
mod emails;
mod forks;
mod hooks;
mod page;
mod pulls;
mod repositories;
mod scopes;
mod statuses;
mod users;

use aws_lc_rs::digest;
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};

use self::answer::{Caller, Refusal};
use crate::{
    app::App,
    client::LoggedRequest,
    credentials::{self, Credentials},
    faults::Dropped,
};

/// Requests per hour GitHub grants a user; counted and shown here, not enforced.
const RATE_LIMIT: usize = 5000;
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

pub(crate) fn routes(app: &App) -> Router<App> {
    Router::new()
        .route("/user", get(users::me))
        .route("/user/emails", get(emails::mine))
        .route("/user/repos", get(repositories::mine))
        .route("/repos/{owner}/{repo}", get(repositories::get))
        .route("/repos/{owner}/{repo}/branches", get(branches::list))
        .route("/repos/{owner}/{repo}/branches/{*branch}", get(branches::get))
        .route("/repos/{owner}/{repo}/git/ref/{*reference}", get(branches::reference))
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
        .route("/repos/{owner}/{repo}/pulls", get(pulls::list).post(pulls::create))
        .route("/repos/{owner}/{repo}/pulls/{number}", get(pulls::get).patch(pulls::change))
        .fallback(not_found)
        .method_not_allowed_fallback(not_found)
        .layer(middleware::from_fn_with_state(app.clone(), scopes::check))
        .layer(middleware::from_fn_with_state(app.clone(), around))
}

/// GitHub answers so to a wrong verb as well.
async fn not_found() -> Refusal {
    Refusal::not_found()
}

/// What GitHub does with every request, whatever its route.
async fn around(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let caller = {
        let world = app.world();
        match credentials::of(request.headers(), &world.users) {
            Credentials::None => Ok(Caller(None)),
            Credentials::Wrong => Err(Refusal::bad_credentials()),
            Credentials::User(user) => Ok(Caller(Some((user.id, user.login.clone())))),
        }
    };
    let login =
        caller.as_ref().ok().and_then(|caller| caller.0.as_ref()).map(|(_, login)| login.clone());
    let wanted_tag = request.headers().get(header::IF_NONE_MATCH).cloned();
    let reading = request.method() == Method::GET;
    let answer = match caller {
        _ if !request.headers().contains_key(header::USER_AGENT) => no_user_agent(),
        Err(refusal) => refusal.into_response(),
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
    };
    let mut answer = if reading && answer.status() == StatusCode::OK {
        conditional(answer, wanted_tag.as_ref()).await
    } else {
        answer
    };
    put_headers(&app, login.as_deref(), &mut answer);
    answer
}

/// Middleware outside of everything else: remembers what was asked and answered.
pub(crate) async fn log(State(app): State<App>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    if !path.starts_with("/api/v3") {
        return next.run(request).await;
    }
    let login = match credentials::of(request.headers(), &app.world().users) {
        Credentials::User(user) => Some(user.login.clone()),
        Credentials::None | Credentials::Wrong => None,
    };
    let method = request.method().to_string();
    let query = request.uri().query().map(str::to_owned);
    let answer = next.run(request).await;
    let status =
        if answer.extensions().get::<Dropped>().is_some() { 0 } else { answer.status().as_u16() };
    app.world().requests.push(LoggedRequest { method, path, query, status, login });
    answer
}

fn no_user_agent() -> Response {
    let text = "Request forbidden by administrative rules. Please make sure your request has a \
                User-Agent header (https://docs.github.com/en/rest/overview/resources-in-the-rest-api#user-agent-required). \
                Check https://developer.github.com for other possible causes.\n";
    (StatusCode::FORBIDDEN, text).into_response()
}

/// Follows <https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api#use-conditional-requests-if-appropriate>.
async fn conditional(answer: Response, wanted: Option<&HeaderValue>) -> Response {
    let (mut parts, body) = answer.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_ANSWER).await else {
        return Refusal::broken("the answer is too large").into_response();
    };
    let tag = format!("W/\"{}\"", hex::encode(digest::digest(&digest::SHA256, &body)));
    let unchanged = wanted
        .and_then(|wanted| wanted.to_str().ok())
        .is_some_and(|wanted| wanted.split(',').any(|one| one.trim() == tag));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        parts.headers.insert(header::ETAG, tag);
    }
    parts.headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, max-age=60, s-maxage=60"),
    );
    if unchanged {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(body))
}

/// Follows <https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#checking-the-status-of-your-rate-limit>.
fn put_headers(app: &App, login: Option<&str>, answer: &mut Response) {
    let used =
        app.world().requests.iter().filter(|request| request.login.as_deref() == login).count() + 1;
    let reset = jiff::Timestamp::now().as_second() + 3600;
    let id = uuid::Uuid::new_v4().simple().to_string().to_uppercase();
    let headers = answer.headers_mut();
    for (name, value) in [
        ("x-github-request-id", format!("{}:{}", &id[..4], &id[4..16])),
        ("x-github-media-type", "github.v3; format=json".to_owned()),
        ("x-github-api-version-selected", "2022-11-28".to_owned()),
        ("x-ratelimit-limit", RATE_LIMIT.to_string()),
        ("x-ratelimit-remaining", RATE_LIMIT.saturating_sub(used).max(1).to_string()),
        ("x-ratelimit-used", used.to_string()),
        ("x-ratelimit-reset", reset.to_string()),
        ("x-ratelimit-resource", "core".to_owned()),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
}
