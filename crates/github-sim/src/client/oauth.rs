//! OAuth apps, and what users say to them.

use std::time::Duration;

use anyhow::Context;
use reqwest::{Client, Method, header, redirect::Policy};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::Sim;

/// What GitHub tells whoever registers an OAuth app.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OAuthApp {
    /// Public: part of the address that users are sent to.
    pub client_id: String,
    /// Only the app knows it.
    pub client_secret: String,
}

impl Sim {
    /// Registers an OAuth app. A callback on `127.0.0.1` fits every port.
    pub async fn add_oauth_app(&self, name: &str, callback: &str) -> anyhow::Result<OAuthApp> {
        let body = json!({"name": name, "callback": callback});
        self.control(Method::POST, "/oauth/apps", Some(body)).await
    }

    /// A user opens the page that an app sent them to and agrees; where it leads them.
    pub async fn authorize(&self, page: &str, login: &str) -> anyhow::Result<String> {
        self.decide(page, &[("login", login)]).await
    }

    /// The same, but with these scopes only.
    pub async fn authorize_only(
        &self,
        page: &str,
        login: &str,
        scopes: &str,
    ) -> anyhow::Result<String> {
        self.decide(page, &[("login", login), ("scope", scopes)]).await
    }

    /// A user opens the page that an app sent them to and presses Cancel; where it leads them.
    pub async fn deny(&self, page: &str) -> anyhow::Result<String> {
        self.decide(page, &[]).await
    }

    /// Makes the codes that were not exchanged yet older.
    pub async fn age_oauth_codes(&self, by: Duration) -> anyhow::Result<()> {
        let body = json!({"seconds": by.as_secs()});
        let _: Value = self.control(Method::POST, "/oauth/age_codes", Some(body)).await?;
        Ok(())
    }

    /// Nobody can use this token any more.
    pub async fn revoke_token(&self, token: &str) -> anyhow::Result<()> {
        let body = json!({"token": token});
        let _: Value = self.control(Method::POST, "/oauth/revoke", Some(body)).await?;
        Ok(())
    }

    async fn decide(&self, page: &str, decision: &[(&str, &str)]) -> anyhow::Result<String> {
        let page: Url = page.parse().context("the page's address is no URL")?;
        let mut form: Vec<(String, String)> = page.query_pairs().into_owned().collect();
        form.retain(|(name, _)| !decision.iter().any(|(decided, _)| decided == name));
        form.extend(decision.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let http = Client::builder().no_proxy().redirect(Policy::none()).build()?;
        let answer = http
            .post(format!("{}/login/oauth/authorize", self.url))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await
            .context("the page of the stand-in can't be reached")?;
        let to = answer.headers().get(header::LOCATION).context("the page leads nowhere")?;
        Ok(to.to_str()?.to_owned())
    }
}
