//! OAuth apps: the page where a user agrees, the exchange, what a token may do.

use std::time::Duration;

use github_sim::client::{OAuthApp, Sim};
use serde_json::Value;

use crate::github::GitHub;

const CALLBACK: &str = "http://127.0.0.1:7000/_auth/callback/";
/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn page(sim: &Sim, app: &OAuthApp, scope: &str, redirect: &str) -> String {
    format!(
        "{}/login/oauth/authorize?client_id={}&redirect_uri={redirect}&scope={scope}&state=st\
         &code_challenge={CHALLENGE}&code_challenge_method=S256",
        sim.url(),
        app.client_id
    )
}

fn parameter(url: &str, name: &str) -> Option<String> {
    let url: url::Url = url.parse().unwrap();
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

async fn exchange(sim: &Sim, app: &OAuthApp, code: &str, more: &[(&str, &str)]) -> Value {
    let mut form = vec![
        ("client_id", app.client_id.as_str()),
        ("client_secret", &app.client_secret),
        ("code", code),
        ("code_verifier", VERIFIER),
    ];
    form.retain(|(name, _)| !more.iter().any(|(given, _)| given == name));
    form.extend(more);
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let answer = reqwest::Client::new()
        .post(format!("{}/login/oauth/access_token", sim.url()))
        .header("accept", "application/json")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

async fn ask(sim: &Sim, path: &str, token: &str) -> reqwest::Response {
    let request = reqwest::Client::new().get(format!("{}{path}", sim.api_url()));
    request.header("user-agent", "test").bearer_auth(token).send().await.unwrap()
}

#[tokio::test]
async fn a_user_agrees_and_the_app_acts_for_them() {
    let github = GitHub::start().await;
    let sim = &github.sim;
    let app = sim.add_oauth_app("CI", "http://127.0.0.1/_auth/").await.unwrap();
    let page = page(sim, &app, "repo%20user%20user:email", CALLBACK);
    let shown = reqwest::get(&page).await.unwrap().text().await.unwrap();
    assert!(shown.contains("Authorize as alice") && shown.contains("Cancel"), "{shown}");
    let back = sim.authorize(&page, "alice").await.unwrap();
    assert!(back.starts_with(CALLBACK), "{back}");
    assert_eq!(parameter(&back, "state").as_deref(), Some("st"));
    let code = parameter(&back, "code").unwrap();
    let granted = exchange(sim, &app, &code, &[("redirect_uri", CALLBACK)]).await;
    assert_eq!(
        (&granted["token_type"], &granted["scope"]),
        (&"bearer".into(), &"repo,user".into())
    );
    let token = granted["access_token"].as_str().unwrap();
    let me = ask(sim, "/user", token).await;
    assert_eq!(me.headers()["x-oauth-scopes"], "repo, user");
    assert_eq!(me.json::<Value>().await.unwrap()["login"], "alice");
    let emails = ask(sim, "/user/emails", token).await;
    assert_eq!(emails.headers()["x-accepted-oauth-scopes"], "user:email");
    let emails: Value = emails.json().await.unwrap();
    assert_eq!(
        (&emails[1]["email"], &emails[1]["primary"]),
        (&"alice@example.org".into(), &true.into())
    );
    assert_eq!(ask(sim, "/user/orgs", token).await.status(), 404, "it has no read:org");
    sim.revoke_token(token).await.unwrap();
    assert_eq!(ask(sim, "/user", token).await.status(), 401);
}

#[tokio::test]
async fn what_is_wrong_is_told_as_github_does() {
    let github = GitHub::start().await;
    let sim = &github.sim;
    let app = sim.add_oauth_app("CI", "http://127.0.0.1/_auth/").await.unwrap();
    let good = page(sim, &app, "repo", CALLBACK);
    let denied = sim.deny(&good).await.unwrap();
    assert_eq!(parameter(&denied, "error").as_deref(), Some("access_denied"));
    assert_eq!(parameter(&denied, "state").as_deref(), Some("st"));
    let elsewhere = page(sim, &app, "repo", "http://evil.example/");
    let mismatch = sim.authorize(&elsewhere, "alice").await.unwrap();
    assert!(
        mismatch.starts_with("http://127.0.0.1/_auth/?error=redirect_uri_mismatch"),
        "{mismatch}"
    );
    let code = async || parameter(&sim.authorize(&good, "alice").await.unwrap(), "code").unwrap();
    for (wrong, error) in [
        (("client_secret", "x"), "incorrect_client_credentials"),
        (("redirect_uri", "http://127.0.0.1:7000/_auth/"), "redirect_uri_mismatch"),
        (("code_verifier", "x"), "bad_verification_code"),
    ] {
        assert_eq!(exchange(sim, &app, &code().await, &[wrong]).await["error"], error);
    }
    let used = code().await;
    assert!(exchange(sim, &app, &used, &[]).await["access_token"].is_string());
    assert_eq!(exchange(sim, &app, &used, &[]).await["error"], "bad_verification_code");
    let old = code().await;
    sim.age_oauth_codes(Duration::from_mins(10)).await.unwrap();
    assert_eq!(exchange(sim, &app, &old, &[]).await["error"], "bad_verification_code");
}
