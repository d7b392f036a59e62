//! Sign-in by GitHub's web application flow ("Authorizing OAuth apps"), with PKCE
//! (RFC 7636).

use std::collections::BTreeSet;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

use super::client::Client;
use super::error::cause;
use crate::config::OAuthKeys;

/// What is asked for. GitHub drops a scope from its answer that a granted one includes
/// ("Scopes for OAuth apps").
const SCOPES: [(&str, &[&str]); 3] =
    [("repo", &[]), ("read:org", &["write:org", "admin:org"]), ("user:email", &["user"])];

/// Why GitHub let nobody in ("Troubleshooting authorization request errors" and
/// "Troubleshooting OAuth app access token request errors").
#[derive(Debug, thiserror::Error)]
pub enum OAuthError {
    #[error("access was denied at GitHub")]
    Denied,
    #[error("GitHub knows another client secret for this client id")]
    WrongSecret,
    #[error("the callback URL is not the one that is registered at GitHub")]
    RedirectMismatch,
    #[error("GitHub does not know the code, or not any more")]
    BadCode,
    #[error("the account at GitHub has no verified e-mail address")]
    UnverifiedEmail,
    #[error("the OAuth app was suspended by GitHub")]
    Suspended,
    #[error("GitHub did not answer: {0}")]
    Away(String),
    #[error("GitHub refused with `{0}`")]
    Other(String),
}

impl OAuthError {
    /// From the word that GitHub tells.
    pub fn of(word: &str) -> Self {
        match word {
            "access_denied" => Self::Denied,
            "incorrect_client_credentials" => Self::WrongSecret,
            "redirect_uri_mismatch" => Self::RedirectMismatch,
            "bad_verification_code" => Self::BadCode,
            "unverified_user_email" => Self::UnverifiedEmail,
            "application_suspended" => Self::Suspended,
            other => Self::Other(other.chars().filter(char::is_ascii_graphic).take(60).collect()),
        }
    }
}

/// Kozmic as GitHub knows it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct OAuthApp {
    client_id: String,
    client_secret: SecretString,
    authorize: Url,
    access_token: Url,
    http: reqwest::Client,
}

/// What a user let Kozmic have.
#[derive(Debug)]
pub struct Granted {
    pub token: SecretString,
    scopes: BTreeSet<String>,
}

impl Granted {
    /// The scopes that were asked for and not given.
    pub fn missing(&self) -> Vec<&'static str> {
        let has = |scope: &str| self.scopes.contains(scope);
        let missing = SCOPES
            .iter()
            .filter(|(scope, within)| !has(scope) && !within.iter().any(|whole| has(whole)));
        missing.map(|(scope, _)| *scope).collect()
    }
}

impl OAuthApp {
    /// `site` is where GitHub's pages are.
    pub fn new(keys: &OAuthKeys, site: &Url, client: &Client) -> Result<Self, url::ParseError> {
        let page = |path: &str| format!("{}{path}", site.as_str().trim_end_matches('/')).parse();
        Ok(Self {
            client_id: keys.client_id.clone(),
            client_secret: keys.client_secret.clone(),
            authorize: page("/login/oauth/authorize")?,
            access_token: page("/login/oauth/access_token")?,
            http: client.http.clone(),
        })
    }

    /// The page where a user agrees. `verifier` is kept until the exchange.
    pub fn authorize_url(&self, redirect_uri: &str, state: &str, verifier: &str) -> Url {
        let scopes: Vec<&str> = SCOPES.iter().map(|(scope, _)| *scope).collect();
        let challenge =
            URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
        let mut url = self.authorize.clone();
        url.query_pairs_mut()
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("scope", &scopes.join(" "))
            .append_pair("state", state)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        url
    }

    /// The token that a code stands for; a code serves once and ten minutes.
    pub async fn exchange(
        &self,
        code: &str,
        redirect_uri: &str,
        verifier: &str,
    ) -> Result<Granted, OAuthError> {
        /// Errors come with status 200, too.
        #[derive(Deserialize)]
        struct Answer {
            access_token: Option<String>,
            #[serde(default)]
            scope: String,
            error: Option<String>,
        }
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", &self.client_id)
            .append_pair("client_secret", self.client_secret.expose_secret())
            .append_pair("code", code)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("code_verifier", verifier)
            .finish();
        let away = |error: reqwest::Error| OAuthError::Away(cause(&error));
        let answer = self
            .http
            .post(self.access_token.clone())
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form)
            .send()
            .await
            .map_err(away)?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(away)?;
        // An error of a proxy in between is no JSON.
        let answer: Answer = serde_json::from_slice(&bytes)
            .map_err(|_| OAuthError::Away(format!("it answered {status} and no JSON")))?;
        match answer {
            Answer { error: Some(word), .. } => Err(OAuthError::of(&word)),
            Answer { access_token: Some(token), scope, .. } => Ok(Granted {
                token: token.into(),
                scopes: scope.split([',', ' ']).map(str::to_owned).collect(),
            }),
            _ => Err(OAuthError::Away(format!("it answered {status} without a token"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Trust;

    fn granted(scopes: &str) -> Granted {
        let scopes = scopes.split(',').map(str::to_owned).collect();
        Granted { token: "x".into(), scopes }
    }

    #[test]
    fn a_scope_within_a_granted_one_is_not_missing() {
        assert_eq!(granted("repo,read:org,user:email").missing(), Vec::<&str>::new());
        assert_eq!(granted("repo,admin:org,user").missing(), Vec::<&str>::new());
        assert_eq!(granted("public_repo,user:email").missing(), ["repo", "read:org"]);
        assert_eq!(granted("").missing(), ["repo", "read:org", "user:email"]);
    }

    #[test]
    fn the_page_is_asked_with_everything_but_the_secret() {
        let keys = OAuthKeys { client_id: "Iv1".into(), client_secret: "hush".into() };
        let site: Url = "https://github.example/".parse().unwrap();
        let client = Client::new(&site, &Trust::default()).unwrap();
        let app = OAuthApp::new(&keys, &site, &client).unwrap();
        // The verifier and the challenge are those of RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let url = app.authorize_url("http://ci.example/_auth/auth-callback/", "st", verifier);
        assert_eq!(
            url.as_str(),
            "https://github.example/login/oauth/authorize?client_id=Iv1\
             &redirect_uri=http%3A%2F%2Fci.example%2F_auth%2Fauth-callback%2F\
             &scope=repo+read%3Aorg+user%3Aemail&state=st\
             &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256"
        );
        assert!(!format!("{app:?}").contains("hush"));
    }
}
