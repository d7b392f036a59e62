//! A narrow client of GitHub's REST API: the calls that are made, with the fields
//! that are used. Here is how a call is made; which ones there are, the other files
//! say, one per noun.
//!
//! It follows "Best practices for using the REST API": what did not change is not
//! sent again, a limit is obeyed before it is met, pages are followed by their links.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use reqwest::{Method, Response, StatusCode, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Serialize, de::DeserializeOwned};
use url::Url;

use super::error::{GithubError, cause, number, pause_of, refusal};
use super::limits::Limits;
use super::remembered::{Remembered, Seen};
use crate::config::Trust;
use crate::model::with_causes;
use crate::outgoing;
use crate::telemetry::count;

/// "API Versions" in GitHub's documentation.
const API_VERSION: &str = "2022-11-28";
const TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of an answer that are read at the most.
const ANSWER_LIMIT: usize = 16 * 1024 * 1024;
/// Pages of one list that are read at the most, of a hundred each.
const PAGES: usize = 100;

pub(super) type Result<T> = std::result::Result<T, GithubError>;

/// Cheap to clone; keeps connections, limits and answers.
#[derive(Debug, Clone)]
pub struct Client {
    pub(super) http: reqwest::Client,
    api: Url,
    limits: Arc<Limits>,
    /// None: no answer is remembered.
    remembered: Option<Arc<Remembered>>,
}

/// A list, and whether it ends where GitHub's does.
#[derive(Debug, Clone)]
pub struct Listed<T> {
    pub all: Vec<T>,
    pub is_whole: bool,
}

/// A body, and where the rest of the list is.
struct Answer {
    body: Bytes,
    next: Option<String>,
}

impl Client {
    /// `api` is the root of the REST API: `https://api.github.com`, or
    /// `https://HOST/api/v3` of an Enterprise Server.
    pub fn new(api: &Url, trust: &Trust) -> Result<Self> {
        let away = |error: reqwest::Error| GithubError::Away {
            call: "any call".into(),
            problem: with_causes(&error),
        };
        let http = outgoing::http(trust)
            .map_err(away)?
            .timeout(TIMEOUT)
            .connect_timeout(Duration::from_secs(5))
            // GitHub redirects where a repository was renamed; a token must not
            // follow to another host.
            .redirect(reqwest::redirect::Policy::custom(|attempt| {
                let from = attempt.previous().last().map(Url::origin);
                if from == Some(attempt.url().origin()) && attempt.previous().len() < 5 {
                    attempt.follow()
                } else {
                    attempt.stop()
                }
            }))
            .build()
            .map_err(away)?;
        let remembered = Some(Arc::default());
        Ok(Self { http, api: api.clone(), limits: Arc::default(), remembered })
    }

    /// For what is asked for once: of a commit or a delivery, or a list that has changed by the
    /// next time. Its answers would stay in memory in vain.
    pub(super) fn once(&self) -> Self {
        Self { remembered: None, ..self.clone() }
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        token: &SecretString,
        path: &str,
    ) -> Result<T> {
        self.send(Method::GET, token, path, None::<&()>).await
    }

    /// All pages of a list; an error when they are too many.
    pub(super) async fn get_all<T: DeserializeOwned>(
        &self,
        token: &SecretString,
        path: &str,
    ) -> Result<Vec<T>> {
        let listed = self.get_pages(token, path, PAGES).await?;
        if listed.is_whole {
            return Ok(listed.all);
        }
        let problem = format!("the list goes on after {} entries", listed.all.len());
        Err(GithubError::Unreadable { call: format!("GET {path}"), problem })
    }

    /// As many pages of a list, along GitHub's links: one may be shorter than what was asked
    /// for and not be the last. `path` has no paging of its own in its query.
    pub(super) async fn get_pages<T: DeserializeOwned>(
        &self,
        token: &SecretString,
        path: &str,
        most: usize,
    ) -> Result<Listed<T>> {
        let call = format!("GET {path}");
        let separator = if path.contains('?') { '&' } else { '?' };
        let mut url = self.url(&format!("{path}{separator}per_page=100"));
        let mut all = Vec::new();
        for _ in 0..most {
            let answer = self.fetch(Method::GET, token, &url, &call, None::<&()>).await?;
            all.append(&mut read::<Vec<T>>(&call, &answer.body)?);
            match answer.next {
                None => return Ok(Listed { all, is_whole: true }),
                Some(next) => url = self.own(&call, next)?,
            }
        }
        Ok(Listed { all, is_whole: false })
    }

    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        token: &SecretString,
        path: &str,
        body: Option<&(impl Serialize + ?Sized)>,
    ) -> Result<T> {
        let call = format!("{method} {path}");
        let answer = self.fetch(method, token, &self.url(path), &call, body).await?;
        read(&call, &answer.body)
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.api.as_str().trim_end_matches('/'))
    }

    /// The next page, if it is at the same place: a token goes nowhere else.
    fn own(&self, call: &str, next: String) -> Result<String> {
        if next.parse::<Url>().is_ok_and(|url| url.origin() == self.api.origin()) {
            return Ok(next);
        }
        let problem = "its next page is on another server".into();
        Err(GithubError::Unreadable { call: call.to_owned(), problem })
    }

    async fn fetch(
        &self,
        method: Method,
        token: &SecretString,
        url: &str,
        call: &str,
        body: Option<&(impl Serialize + ?Sized)>,
    ) -> Result<Answer> {
        if let Some(pause) = self.limits.pause(token, Instant::now()) {
            return Err(GithubError::RateLimited { call: call.to_owned(), pause });
        }
        let away = |error: reqwest::Error| GithubError::Away {
            call: call.to_owned(),
            problem: cause(&error),
        };
        let remembered = self.remembered.as_ref().filter(|_| method == Method::GET);
        let seen = remembered.and_then(|remembered| remembered.seen(token, url));
        let mut request = self
            .http
            .request(method.clone(), url)
            .bearer_auth(token.expose_secret())
            .header(header::ACCEPT, "application/vnd.github+json")
            .header("X-GitHub-Api-Version", API_VERSION);
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(seen) = &seen {
            request = request.header(header::IF_NONE_MATCH, &seen.etag);
        }
        let answer = request.send().await.map_err(|error| {
            count::github_call(None, None);
            away(error)
        })?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        // Calls that are left until the token's hour is over ("Rate limits for the REST API").
        let left = number(&headers, "x-ratelimit-remaining");
        let left = left.and_then(|left| u32::try_from(left).ok());
        count::github_call(Some(status.as_u16()), left);
        if let (StatusCode::NOT_MODIFIED, Some(seen)) = (status, seen) {
            return Ok(Answer { body: seen.body, next: seen.next });
        }
        let pause = pause_of(status, &headers);
        self.limits.learn(token, status, &headers, pause, Instant::now());
        let body = read_body(answer, call).await?;
        if !status.is_success() {
            let error = refusal(call.to_owned(), status, pause, &String::from_utf8_lossy(&body));
            if let GithubError::RateLimited { pause, .. } = &error {
                self.limits.wait(token, *pause, Instant::now());
            }
            return Err(error);
        }
        let next = next_page(&headers);
        if let Some((remembered, etag)) = remembered.zip(headers.get(header::ETAG)) {
            remembered.keep(token, url, Seen::new(etag, &body, next.clone()));
        }
        Ok(Answer { body, next })
    }
}

async fn read_body(mut answer: Response, call: &str) -> Result<Bytes> {
    let mut body = BytesMut::new();
    loop {
        match answer.chunk().await {
            Ok(None) => return Ok(body.freeze()),
            Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER_LIMIT => {
                body.extend_from_slice(&chunk);
            }
            Ok(Some(_)) => {
                let problem = format!("it is larger than {} MiB", ANSWER_LIMIT >> 20);
                return Err(GithubError::Unreadable { call: call.to_owned(), problem });
            }
            Err(error) => {
                return Err(GithubError::Away { call: call.to_owned(), problem: cause(&error) });
            }
        }
    }
}

fn read<T: DeserializeOwned>(call: &str, body: &[u8]) -> Result<T> {
    // What was deleted has nothing to be told.
    let text = if body.is_empty() { b"null" } else { body };
    serde_json::from_slice(text).map_err(|error| GithubError::Unreadable {
        call: call.to_owned(),
        problem: error.to_string(),
    })
}

/// The link to the page after this one (RFC 8288; GitHub documentation, "Using
/// pagination in the REST API").
fn next_page(headers: &header::HeaderMap) -> Option<String> {
    let links = headers.get(header::LINK)?.to_str().ok()?;
    links.split(',').find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters.split(';').any(|parameter| parameter.trim() == r#"rel="next""#);
        is_next.then(|| target.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linked(links: &str) -> Option<String> {
        let mut headers = header::HeaderMap::new();
        headers.insert(header::LINK, links.parse().unwrap());
        next_page(&headers)
    }

    #[test]
    fn the_next_page_is_found_among_the_links() {
        let links = r#"<https://x/y?page=1>; rel="prev", <https://x/y?a=b&page=3>; rel="next", <https://x/y?page=9>; rel="last""#;
        assert_eq!(linked(links).as_deref(), Some("https://x/y?a=b&page=3"));
        assert_eq!(linked(r#"<https://x/y?page=1>; rel="first""#), None);
        assert_eq!(linked("nonsense"), None);
        assert_eq!(next_page(&header::HeaderMap::new()), None);
    }

    #[test]
    fn a_token_follows_no_link_to_another_server() {
        let client =
            Client::new(&"https://api.github.com".parse().unwrap(), &Trust::default()).unwrap();
        let own = "https://api.github.com/user/repos?page=2".to_owned();
        assert_eq!(client.own("x", own.clone()).unwrap(), own);
        for elsewhere in ["https://evil.example/user/repos?page=2", "http://api.github.com/", "x"] {
            assert!(client.own("x", elsewhere.into()).is_err(), "{elsewhere}");
        }
    }
}
