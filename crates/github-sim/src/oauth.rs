//! Authorizing OAuth apps: the page where a user agrees, and the exchange of a code for a token.
//!
//! Nobody signs in to the stand-in, so the page has one button for each user. Follows
//! <https://docs.github.com/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps> and
//! <https://docs.github.com/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-oauth-app-access-token-request-errors>.

use std::{fmt::Write as _, time::Duration};

use aws_lc_rs::digest;
use axum::{
    Form, Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::{
    app::App,
    state::oauth::{Code, OAuthApp, normalized},
};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/login/oauth/authorize", get(ask).post(decide))
        .route("/login/oauth/access_token", post(exchange))
}

const MISMATCH: &str =
    "The redirect_uri MUST match the registered callback URL for this application.";

/// What people do on GitHub's settings pages, and what time does.
pub(crate) fn control() -> Router<App> {
    Router::new()
        .route("/oauth/apps", post(add_app))
        .route("/oauth/age_codes", post(age_codes))
        .route("/oauth/revoke", post(revoke))
}

#[derive(Deserialize)]
struct NewApp {
    name: String,
    callback: String,
}

async fn add_app(State(app): State<App>, Json(new): Json<NewApp>) -> Response {
    let Ok(callback) = new.callback.parse::<Url>() else {
        let message = format!("{:?} is not a URL", new.callback);
        return (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({"message": message})))
            .into_response();
    };
    let client_id = format!("Ov23li{}", &uuid::Uuid::new_v4().simple().to_string()[..14]);
    let client_secret = format!("{}{:08x}", uuid::Uuid::new_v4().simple(), app.world().next_id());
    let made = json!({"client_id": client_id, "client_secret": client_secret});
    app.world().oauth.add_app(OAuthApp { client_id, client_secret, name: new.name, callback });
    Json(made).into_response()
}

#[derive(Deserialize)]
struct Age {
    seconds: u64,
}

async fn age_codes(State(app): State<App>, Json(age): Json<Age>) -> Json<Value> {
    app.world().oauth.age_codes(Duration::from_secs(age.seconds));
    Json(json!({}))
}

#[derive(Deserialize)]
struct Revoke {
    token: String,
}

/// As a user does in their settings: from now on nobody can use the token.
async fn revoke(State(app): State<App>, Json(wanted): Json<Revoke>) -> Response {
    let mut world = app.world();
    world.oauth.revoke(&wanted.token);
    if world.users.revoke(&wanted.token) {
        return Json(json!({})).into_response();
    }
    (StatusCode::NOT_FOUND, Json(json!({"message": "nobody has this token"}))).into_response()
}

/// What an app asks a user for.
#[derive(Deserialize, Clone)]
struct Asked {
    client_id: String,
    redirect_uri: Option<String>,
    #[serde(default)]
    scope: String,
    state: Option<String>,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
}

/// What the user says to it; the scopes are those of the form.
#[derive(Deserialize)]
struct Decided {
    /// Who agrees; nobody does with `Cancel`.
    login: Option<String>,
    #[serde(flatten)]
    asked: Asked,
}

/// Back to the app with an error, as GitHub tells one.
fn refuse(back: &Url, state: Option<&str>, error: &str, description: &str) -> Response {
    let mut back = back.clone();
    back.query_pairs_mut()
        .append_pair("error", error)
        .append_pair("error_description", description);
    if let Some(state) = state {
        back.query_pairs_mut().append_pair("state", state);
    }
    Redirect::to(back.as_str()).into_response()
}

/// A request that no page is shown for.
enum Wrong {
    NoSuchApp,
    /// Told to the app at its callback.
    Redirect {
        callback: Box<Url>,
        state: Option<String>,
    },
}

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        match self {
            Self::NoSuchApp => {
                let page = Html("<!doctype html><title>Page not found</title><h1>404</h1>");
                (StatusCode::NOT_FOUND, page).into_response()
            }
            Self::Redirect { callback, state } => {
                refuse(&callback, state.as_deref(), "redirect_uri_mismatch", MISMATCH)
            }
        }
    }
}

/// The app and where the user goes back to.
fn find(app: &App, asked: &Asked) -> Result<(OAuthApp, Url), Wrong> {
    let found = app.world().oauth.app(&asked.client_id).cloned().ok_or(Wrong::NoSuchApp)?;
    match found.redirect(asked.redirect_uri.as_deref()) {
        Some(back) => Ok((found, back)),
        None => {
            let callback = Box::new(found.callback);
            Err(Wrong::Redirect { callback, state: asked.state.clone() })
        }
    }
}

async fn ask(State(app): State<App>, Query(asked): Query<Asked>) -> Result<Response, Wrong> {
    let (found, _) = find(&app, &asked)?;
    let mut fields = String::new();
    for (name, value) in [
        ("client_id", Some(&asked.client_id)),
        ("redirect_uri", asked.redirect_uri.as_ref()),
        ("scope", Some(&asked.scope)),
        ("state", asked.state.as_ref()),
        ("code_challenge", asked.code_challenge.as_ref()),
        ("code_challenge_method", asked.code_challenge_method.as_ref()),
    ] {
        if let Some(value) = value {
            let value = escaped(value);
            let _ = write!(fields, "<input type=\"hidden\" name=\"{name}\" value=\"{value}\">");
        }
    }
    let logins: Vec<String> = app.world().users.logins().map(str::to_owned).collect();
    for login in &logins {
        let button =
            format!("<button name=\"login\" value=\"{login}\">Authorize as {login}</button>");
        let _ = write!(fields, "<p>{button}");
    }
    let (name, scope) = (escaped(&found.name), escaped(&asked.scope));
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Authorize {name}</title>\
         <body style=\"font: 16px/1.5 system-ui, sans-serif; max-width: 32rem; margin: 3rem auto\">\
         <h1>Authorize {name}</h1><p>This is the stand-in for GitHub. {name} asks for: <code>{scope}</code>\
         <form method=\"post\">{fields}<p><button>Cancel</button></form></body></html>"
    );
    Ok(Html(page).into_response())
}

async fn decide(State(app): State<App>, Form(decided): Form<Decided>) -> Result<Response, Wrong> {
    let Decided { login, asked } = decided;
    let (_, back) = find(&app, &asked)?;
    let state = asked.state.as_deref();
    let mut world = app.world();
    let Some(user) = login.and_then(|login| world.users.by_login(&login).map(|user| user.id))
    else {
        let description = "The user has denied your application access.";
        return Ok(refuse(&back, state, "access_denied", description));
    };
    if asked.code_challenge.is_some() && asked.code_challenge_method.as_deref() != Some("S256") {
        let description = "The code_challenge_method must be S256.";
        return Ok(refuse(&back, state, "invalid_request", description));
    }
    let code = &uuid::Uuid::new_v4().simple().to_string()[..20];
    let promised = Code {
        client_id: asked.client_id.clone(),
        user,
        scopes: normalized(&asked.scope),
        redirect_uri: asked.redirect_uri.clone(),
        challenge: asked.code_challenge.clone(),
        made_at: Timestamp::now(),
    };
    world.oauth.promise(code.to_owned(), promised);
    let mut back = back;
    back.query_pairs_mut().append_pair("code", code);
    if let Some(state) = state {
        back.query_pairs_mut().append_pair("state", state);
    }
    Ok(Redirect::to(back.as_str()).into_response())
}

#[derive(Deserialize)]
struct Exchange {
    client_id: String,
    client_secret: String,
    code: String,
    redirect_uri: Option<String>,
    code_verifier: Option<String>,
}

/// Errors come with status 200. Without `Accept: application/json` the answer is a form.
async fn exchange(
    State(app): State<App>,
    headers: HeaderMap,
    Form(exchange): Form<Exchange>,
) -> Response {
    let answer = exchanged(&app, exchange).unwrap_or_else(|(error, description)| {
        json!({
            "error": error,
            "error_description": description,
            "error_uri": "https://docs.github.com/apps/oauth-apps/maintaining-oauth-apps/\
                          troubleshooting-oauth-app-access-token-request-errors",
        })
    });
    let wants_json = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("application/json"));
    if wants_json {
        return Json(answer).into_response();
    }
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in answer.as_object().into_iter().flatten() {
        form.append_pair(name, value.as_str().unwrap_or_default());
    }
    ([(header::CONTENT_TYPE, "application/x-www-form-urlencoded")], form.finish()).into_response()
}

fn exchanged(app: &App, exchange: Exchange) -> Result<Value, (&'static str, &'static str)> {
    let mut world = app.world();
    let known = world.oauth.app(&exchange.client_id);
    let Some(known) = known.filter(|app| app.client_secret == exchange.client_secret).cloned()
    else {
        let description = "The client_id and/or client_secret passed are incorrect.";
        return Err(("incorrect_client_credentials", description));
    };
    let bad_code = ("bad_verification_code", "The code passed is incorrect or expired.");
    let code = world.oauth.redeem(&exchange.code, &known.client_id, Timestamp::now());
    let code = code.ok_or(bad_code)?;
    if exchange.redirect_uri.is_some() && exchange.redirect_uri != code.redirect_uri {
        return Err(("redirect_uri_mismatch", MISMATCH));
    }
    if let Some(challenge) = &code.challenge {
        let verifier = exchange.code_verifier.unwrap_or_default();
        let digest = digest::digest(&digest::SHA256, verifier.as_bytes());
        if URL_SAFE_NO_PAD.encode(digest) != *challenge {
            return Err(bad_code);
        }
    }
    let token = format!("gho_{}", uuid::Uuid::new_v4().simple());
    world.users.add_token(code.user, token.clone());
    let scope = code.scopes.iter().map(String::as_str).collect::<Vec<_>>().join(",");
    world.oauth.grant(token.clone(), code.scopes);
    Ok(json!({"access_token": token, "scope": scope, "token_type": "bearer"}))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
