//! In and out: GitHub says who somebody is ("Authorizing OAuth apps"), a session
//! remembers it.

use std::time::{Duration, Instant};

use askama::Template;
use axum::Form;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::cookies::UnderWay;
use super::error::PageError;
use super::origin::Origin;
use super::page::{Page, render};
use super::visitor::{Account, Acting, Visitor};
use super::{App, admission};
use crate::github::{GithubError, Granted, OAuthApp, OAuthError};
use crate::model::{Action, Actor, Event, Timestamp, UserId, Via};
use crate::rates::{TooOften, What};

/// Where GitHub sends people back to; registered there.
const CALLBACK: &str = "/_auth/auth-callback/";
/// How long a sign-in waits for GitHub to tell all that the user may see.
const LEARNING: Duration = Duration::from_secs(5);
/// A path that is longer is no path of ours.
const LONGEST_WAY_BACK: usize = 2_000;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    /// Leads to GitHub; none as long as sign-in is not configured.
    begin: Option<String>,
    callback: String,
}

#[derive(Deserialize)]
pub(super) struct Next {
    /// Where to go on afterwards.
    next: Option<String>,
}

impl Next {
    /// Home, when it does not lead to a path of this site.
    fn path(&self) -> String {
        self.next.as_deref().and_then(local_path).unwrap_or_else(|| "/".into())
    }
}

/// A path of this site as browsers understand the text; none when they would leave it.
fn local_path(text: &str) -> Option<String> {
    let here: url::Url = "http://here.invalid/".parse().ok()?;
    let url = here.join(text).ok()?;
    let is_local = text.starts_with('/')
        && text.len() <= LONGEST_WAY_BACK
        && url.origin() == here.origin()
        && !url.path().starts_with("//")
        && !url.path().starts_with("/_auth");
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    is_local.then(|| format!("{}{query}", url.path()))
}

/// What will be asked of GitHub, and why.
pub(super) async fn login(
    State(app): State<App>,
    Visitor(account): Visitor,
    Query(next): Query<Next>,
) -> Result<Response, PageError> {
    let back = next.path();
    if account.is_some() {
        return Ok(Redirect::to(&back).into_response());
    }
    let query: String =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("next", &back).finish();
    let begin = app.oauth.is_some().then(|| format!("/_auth/?{query}"));
    let page: Page = render(&LoginPage { begin, callback: app.callback() });
    Ok(page?.into_response())
}

/// To GitHub.
pub(super) async fn begin(
    State(app): State<App>,
    origin: Origin,
    Query(next): Query<Next>,
) -> Result<Response, PageError> {
    let Some(oauth) = &app.oauth else { return Ok(Redirect::to("/login/").into_response()) };
    if origin.is_plain && app.public_url.starts_with("https://") {
        return Err(app.plain());
    }
    let sealing = |error| PageError::internal("a sign-in", &error);
    let under_way = UnderWay::new(next.path(), Timestamp::now()).map_err(sealing)?;
    let url = oauth.authorize_url(&app.callback(), &under_way.state, &under_way.verifier);
    let cookie = app.cookies.keep_sign_in(&under_way).map_err(sealing)?;
    Ok(with_cookies(Redirect::to(url.as_str()), [cookie]))
}

/// What GitHub adds to the way back.
#[derive(Deserialize)]
pub(super) struct Answer {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
}

/// Back from GitHub: a new session, or the reason why there is none.
pub(super) async fn callback(
    Acting(app): Acting,
    Visitor(before): Visitor,
    origin: Origin,
    answer: Result<Query<Answer>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let Some(oauth) = &app.oauth else { return Ok(Redirect::to("/login/").into_response()) };
    let now = Timestamp::now();
    let Query(answer) = answer.map_err(|_| unknown())?;
    let (under_way, code) = expected(&app, &headers, answer, now)?;
    let secret = app.signed_in(oauth, origin, (&code, &under_way.verifier), now).await?;
    // The browser's session before is of no more use.
    if let Some(session) = before.and_then(|account| account.session) {
        app.store.session_ended(session).await?;
    }
    let cookies = [app.cookies.keep_session(&secret), app.cookies.forget_sign_in()];
    Ok(with_cookies(Redirect::to(&under_way.back), cookies))
}

/// The sign-in that GitHub answers, and its code.
fn expected(
    app: &App,
    headers: &HeaderMap,
    answer: Answer,
    now: Timestamp,
) -> Result<(UnderWay, String), PageError> {
    if let Some(word) = answer.error {
        return Err(app.explained(&OAuthError::of(&word)));
    }
    let under_way = app.cookies.sign_in(headers, now).ok_or_else(unknown)?;
    let (Some(code), Some(state)) = (answer.code, answer.state) else { return Err(unknown()) };
    let (ours, theirs) = (under_way.state.as_bytes(), state.as_bytes());
    aws_lc_rs::constant_time::verify_slices_are_equal(ours, theirs).map_err(|_| unknown())?;
    Ok((under_way, code))
}

/// Not what GitHub answers to a sign-in that this browser began.
fn unknown() -> PageError {
    let sentence = "This sign-in was not begun in this browser, or more than ten minutes ago. \
                    Please begin it again; cookies of this site must be allowed.";
    PageError::not_signed_in(StatusCode::BAD_REQUEST, sentence)
}

#[derive(Deserialize)]
pub(super) struct Out {
    /// Any text: not only here.
    #[serde(default)]
    everywhere: String,
}

/// Ends this session, or all of the user's.
pub(super) async fn logout(
    Acting(app): Acting,
    account: Account,
    Form(out): Form<Out>,
) -> Result<Response, PageError> {
    match account.session {
        Some(session) if out.everywhere.is_empty() => app.store.session_ended(session).await?,
        _ => app.store.sessions_ended(account.id).await?,
    }
    Ok(with_cookies(Redirect::to("/login/"), [app.cookies.forget_session()]))
}

fn with_cookies<const N: usize>(to: Redirect, cookies: [Option<HeaderValue>; N]) -> Response {
    let mut response = to.into_response();
    for cookie in cookies.into_iter().flatten() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

impl App {
    /// Which projects the user may see, as GitHub tells. It may take longer than a person
    /// waits; then it goes on.
    async fn learn_projects(&self, user: UserId) {
        let upkeep = self.upkeep.clone();
        let learning = tokio::spawn(async move {
            if let Err(error) = upkeep.synchronize_user(user).await {
                tracing::warn!(%user, %error, "what a user may see could not be asked for");
            }
        });
        let _ = tokio::time::timeout(LEARNING, learning).await;
    }

    fn callback(&self) -> String {
        format!("{}{CALLBACK}", self.public_url)
    }

    /// What GitHub gives for a code.
    async fn granted(
        &self,
        oauth: &OAuthApp,
        origin: Origin,
        (code, verifier): (&str, &str),
    ) -> Result<Granted, PageError> {
        let Some(_place) = self.exchanges.place().await else {
            let sentence = "Too many sign-ins that GitHub did not know came within a minute, so it \
                            is not asked for now. Please begin yours again in a minute.";
            return Err(PageError::not_signed_in(StatusCode::TOO_MANY_REQUESTS, sentence));
        };
        // Who makes them up does not use up what is there for all.
        if self.rates.is_over(What::Code, origin.who()) {
            self.counted(What::Code, origin.who()).await?;
        }
        let granted = oauth.exchange(code, &self.callback(), verifier).await;
        if let Err(OAuthError::BadCode) = granted {
            self.exchanges.unknown(Instant::now());
            if let Err(TooOften(_)) = self.rates.take(What::Code, origin.who()).await {
                tracing::info!(address = %origin.address, "made-up codes of sign-ins come from it");
            }
        }
        granted.map_err(|error| self.explained(&error))
    }

    /// Whoever has this code at GitHub is let in, or is not; the secret of their session.
    async fn signed_in(
        &self,
        oauth: &OAuthApp,
        origin: Origin,
        code: (&str, &str),
        now: Timestamp,
    ) -> Result<String, PageError> {
        let granted = self.granted(oauth, origin, code).await?;
        let missing = granted.missing();
        if !missing.is_empty() {
            let sentence = format!(
                "GitHub did not give Kozmic what it needs: the scope {} is missing. \
                 Please sign in again and agree to all that is asked for.",
                missing.join(" and the scope ")
            );
            return Err(PageError::not_signed_in(StatusCode::FORBIDDEN, &sentence));
        }
        let away = |error: GithubError| self.explained(&OAuthError::Away(error.to_string()));
        let mut user = self.github.user(&granted.token).await.map_err(away)?;
        if let Some(email) = self.github.primary_email(&granted.token).await.map_err(away)? {
            user.email = Some(email);
        }
        self.store.login_taken(&user.login, user.gh_id).await?;
        let is_meant = admission::is_meant(self, &user.login, user.gh_id, None).await?;
        let is_another = !is_meant && self.admission.names(&user.login);
        if is_another {
            tracing::warn!(
                login = user.login,
                "the settings name this login, but mean the account that had it before"
            );
        }
        let organization = if is_meant || self.admission.is_open() {
            None
        } else {
            let organization = admission::organization_of(self, &granted.token).await;
            let organization = organization.map_err(away)?;
            match organization {
                None => {
                    let event = Event::of(Action::SignInRefused, "user", None, &user.login);
                    self.store.noted(event.with("github", user.gh_id)).await?;
                    return Err(not_admitted(&user.login, is_another));
                }
                known => known,
            }
        };
        let id = self.store.user_signed_in(&user, &granted.token, now).await?;
        let address = self.store.actor().address;
        let theirs = self.by(Actor::person(id, &user.login, Via::Request, address));
        theirs.learn_projects(id).await;
        self.store.user_admitted(id, organization.as_deref(), now).await?;
        tracing::info!(login = user.login, "signed in");
        Ok(theirs.store.session_begun(id, now).await?)
    }

    /// What failed and what to do, for the person who wanted to sign in.
    fn explained(&self, error: &OAuthError) -> PageError {
        let tell = PageError::not_signed_in;
        match error {
            OAuthError::Denied => tell(
                StatusCode::FORBIDDEN,
                "You did not let Kozmic act for you at GitHub, so it does not know who you are. \
                 Nothing was kept; you can sign in any time.",
            ),
            OAuthError::BadCode => tell(
                StatusCode::BAD_REQUEST,
                "GitHub does not know this sign-in any more: it was used already, or took more \
                 than ten minutes. Please begin it again.",
            ),
            OAuthError::UnverifiedEmail => tell(
                StatusCode::FORBIDDEN,
                "Your account at GitHub has no verified e-mail address. Verify one in GitHub's \
                 settings, then sign in again.",
            ),
            OAuthError::Away(problem) => {
                tracing::warn!(problem, "GitHub let nobody sign in");
                let sentence =
                    "GitHub did not answer, or not as expected. Please try again in a minute.";
                tell(StatusCode::BAD_GATEWAY, sentence)
            }
            // The rest is for the administrator to mend.
            OAuthError::WrongSecret => self.misconfigured(
                error,
                "The client secret is not the one that GitHub knows: an administrator makes a new \
                 one there and sets KOZMIC_GITHUB_CLIENT_SECRET.",
            ),
            OAuthError::RedirectMismatch => self.misconfigured(
                error,
                &format!(
                    "GitHub knows another callback URL: an administrator sets the one of the OAuth \
                     app to {}, or corrects KOZMIC_PUBLIC_URL.",
                    self.callback()
                ),
            ),
            OAuthError::Suspended => self.misconfigured(
                error,
                "GitHub has suspended Kozmic's OAuth app: its owner asks GitHub's support why.",
            ),
            OAuthError::Other(word) => self
                .misconfigured(error, &format!("GitHub refused with `{word}`. Please try again.")),
        }
    }

    /// Cookies would not come back.
    fn plain(&self) -> PageError {
        let sentence = format!(
            "You came by http, and who is signed in is kept in a cookie for https alone. Please go \
             to {}/login/. If you are there, the proxy says otherwise: an administrator lets it set \
             X-Forwarded-Proto to what the browser has used.",
            self.public_url
        );
        PageError::not_signed_in(StatusCode::BAD_REQUEST, &sentence)
    }

    fn misconfigured(&self, error: &OAuthError, sentence: &str) -> PageError {
        tracing::error!(%error, callback = self.callback(), "GitHub let nobody sign in");
        PageError::not_signed_in(StatusCode::BAD_GATEWAY, sentence)
    }
}

/// `is_another`: the settings name the login, and mean who had it before.
fn not_admitted(login: &str, is_another: bool) -> PageError {
    let sentence = if is_another {
        format!(
            "The settings of this server name {login}, and mean the account that had this login \
             before yours. If you are meant now, an administrator takes the name out of the \
             settings, starts the server, puts the name back and starts it again."
        )
    } else {
        format!(
            "This server lets in certain users and members of certain organizations, and {login} \
             is none of them. An administrator adds you to KOZMIC_ALLOWED_USERS; if your \
             organization is allowed, see that it has approved Kozmic's OAuth app and that your \
             membership is active."
        )
    };
    PageError::not_signed_in(StatusCode::FORBIDDEN, &sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_stays_on_this_site() {
        for (text, path) in [
            ("/projects/1/?before=3", "/projects/1/?before=3"),
            ("/a/../projects/", "/projects/"),
            ("/ä", "/%C3%A4"),
        ] {
            assert_eq!(local_path(text).as_deref(), Some(path), "{text}");
        }
        for foreign in [
            "",
            "projects",
            "//evil.example/",
            "/\\evil.example/",
            "/\t/evil.example/",
            "/.//evil.example/",
            "https://evil.example/",
            "javascript:alert(1)",
            "/_auth/",
            &format!("/{}", "x".repeat(3_000)),
        ] {
            assert_eq!(local_path(foreign), None, "{foreign:?}");
        }
    }
}
