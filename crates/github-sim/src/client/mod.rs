//! A small async client of the stand-in, for tests and for the command line.
//!
//! What a person can do goes by git over HTTP and by the REST API, with that person's token;
//! the control endpoints serve only what GitHub has no door for.

mod accounts;
mod answers;
mod circumstances;
mod oauth;
mod releases;

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
pub use reqwest::Method;
use reqwest::{Client, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use self::answers::DeliveryShape;
pub use self::answers::{Delivery, DeployKey, LoggedRequest, Status, Webhook};
pub use self::oauth::OAuthApp;
use crate::person::Person;
pub use crate::{
    faults::{Fault, FaultKind},
    person::{FileChange, Push},
};

/// A running stand-in.
#[derive(Debug, Clone)]
pub struct Sim {
    url: String,
    http: Client,
}

impl Sim {
    /// A client of the stand-in at this base URL, such as `http://127.0.0.1:4020`.
    pub fn new(url: &str) -> Self {
        let url = url.trim_end_matches('/').to_owned();
        // The stand-in is never behind a proxy; the environment may name one for other things.
        let http = Client::builder().no_proxy().build().unwrap_or_default();
        Self { url, http }
    }

    /// The stand-in's base URL, without a trailing slash.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The base URL of its REST API.
    pub fn api_url(&self) -> String {
        format!("{}/api/v3", self.url)
    }

    /// Makes a user; their access token.
    pub async fn add_user(&self, login: &str) -> anyhow::Result<String> {
        let made: Token =
            self.control(Method::POST, "/users", Some(json!({"login": login}))).await?;
        Ok(made.token)
    }

    /// An access token of a user, of an organization an owner's.
    pub async fn token(&self, login: &str) -> anyhow::Result<String> {
        let known = self.browser(login).await?;
        known.token.with_context(|| format!("{login} has no token that was not revoked"))
    }

    async fn browser(&self, login: &str) -> anyhow::Result<Browser> {
        self.control(Method::GET, &format!("/users/{login}/token"), None).await
    }

    /// Makes an empty public repository with the default branch `main`; its id.
    pub async fn add_repository(&self, owner: &str, name: &str) -> anyhow::Result<u64> {
        let body = json!({"owner": owner, "name": name});
        let made: Value = self.control(Method::POST, "/repositories", Some(body)).await?;
        made["id"].as_u64().context("the answer has no id")
    }

    /// Commits and pushes; the id of the new commit.
    pub async fn push(&self, push: &Push) -> anyhow::Result<String> {
        self.person(&push.login).await?.push(push).await
    }

    /// Pushes a tag of the tip of `main`; the id of the tagged commit.
    pub async fn tag(&self, repository: &str, login: &str, name: &str) -> anyhow::Result<String> {
        self.person(login).await?.tag(repository, name).await
    }

    /// Pushes a new branch at the tip of `from`, without a new commit: one commit, two branches.
    pub async fn branch(
        &self,
        repository: &str,
        login: &str,
        branch: &str,
        from: &str,
    ) -> anyhow::Result<String> {
        self.person(login).await?.branch(repository, branch, from).await
    }

    /// Deletes a branch by a push.
    pub async fn delete_branch(
        &self,
        repository: &str,
        login: &str,
        branch: &str,
    ) -> anyhow::Result<()> {
        let reference = format!("refs/heads/{branch}");
        self.person(login).await?.delete(repository, &reference).await
    }

    /// Deletes a tag by a push.
    pub async fn delete_tag(
        &self,
        repository: &str,
        login: &str,
        name: &str,
    ) -> anyhow::Result<()> {
        let reference = format!("refs/tags/{name}");
        self.person(login).await?.delete(repository, &reference).await
    }

    /// Makes a commit that no reference reaches really go away: after a force-push.
    pub async fn vanish(&self, repository: &str, sha: &str) -> anyhow::Result<()> {
        let body = json!({"repository": repository, "sha": sha});
        let _: Value = self.control(Method::POST, "/vanish", Some(body)).await?;
        Ok(())
    }

    /// Forks a repository into a user's account; the fork's full name.
    pub async fn fork(&self, repository: &str, login: &str) -> anyhow::Result<String> {
        let path = format!("/repos/{repository}/forks");
        let fork = self.rest(login, Method::POST, &path, Some(json!({}))).await?;
        let name = fork["full_name"].as_str();
        Ok(name.context("the answer has no full_name")?.to_owned())
    }

    /// Opens a pull request from `branch` or `owner:branch`; its number.
    pub async fn open_pull_request(
        &self,
        repository: &str,
        login: &str,
        head: &str,
        base: &str,
        title: &str,
        body: &str,
    ) -> anyhow::Result<u64> {
        let path = format!("/repos/{repository}/pulls");
        let wanted = json!({"title": title, "body": body, "head": head, "base": base});
        let pull = self.rest(login, Method::POST, &path, Some(wanted)).await?;
        pull["number"].as_u64().context("the answer has no number")
    }

    /// Closes a pull request.
    pub async fn close_pull_request(
        &self,
        repository: &str,
        login: &str,
        number: u64,
    ) -> anyhow::Result<()> {
        self.set_state(repository, login, number, "closed").await
    }

    /// Opens a closed pull request again.
    pub async fn reopen_pull_request(
        &self,
        repository: &str,
        login: &str,
        number: u64,
    ) -> anyhow::Result<()> {
        self.set_state(repository, login, number, "open").await
    }

    async fn set_state(
        &self,
        repository: &str,
        login: &str,
        number: u64,
        state: &str,
    ) -> anyhow::Result<()> {
        let path = format!("/repos/{repository}/pulls/{number}");
        let body = json!({"state": state});
        self.rest(login, Method::PATCH, &path, Some(body)).await?;
        Ok(())
    }

    /// All statuses of a commit, newest first, as its owner sees them.
    pub async fn statuses(&self, repository: &str, sha: &str) -> anyhow::Result<Vec<Status>> {
        let owner = owner_of(repository)?;
        let mut all: Vec<Status> = Vec::new();
        for page in 1.. {
            let path =
                format!("/repos/{repository}/commits/{sha}/statuses?per_page=100&page={page}");
            let found = self.rest(owner, Method::GET, &path, None).await?;
            let found: Vec<Status> =
                serde_json::from_value(found).context("the statuses have another shape")?;
            let last = found.len() < 100;
            all.extend(found);
            if last {
                break;
            }
        }
        Ok(all)
    }

    /// The webhooks of a repository, oldest first.
    pub async fn webhooks(&self, repository: &str) -> anyhow::Result<Vec<Webhook>> {
        let owner = owner_of(repository)?;
        let path = format!("/repos/{repository}/hooks?per_page=100");
        let found = self.rest(owner, Method::GET, &path, None).await?;
        let found = found.as_array().context("the answer is no list")?;
        Ok(found.iter().map(Webhook::from_shape).collect())
    }

    /// From now on every `ssh_url` is `start` and the repository's full name, as
    /// `ssh://git@127.0.0.1:2222/` or `git@127.0.0.1:`.
    pub async fn set_ssh(&self, start: &str) -> anyhow::Result<()> {
        let _: Value = self.control(Method::POST, "/ssh", Some(json!({"url": start}))).await?;
        Ok(())
    }

    /// From now on every URL that GitHub tells begins with this, without a trailing slash: the
    /// address of what stands before it.
    pub async fn set_base(&self, url: &str) -> anyhow::Result<()> {
        let _: Value = self.control(Method::POST, "/base", Some(json!({"url": url}))).await?;
        Ok(())
    }

    /// What was transferred of files in Git LFS, oldest first: `GET oid`, `PUT oid`.
    pub async fn lfs_transfers(&self) -> anyhow::Result<Vec<String>> {
        self.control(Method::GET, "/lfs", None).await
    }

    /// What `git-lfs-authenticate` is to print, but for the repository's full name behind it.
    pub fn lfs_authenticate_url(&self) -> String {
        format!("{}/_sim/lfs_authenticate?repository=", self.url)
    }

    /// What an `AuthorizedKeysCommand` of sshd is to print: the deploy keys of all repositories,
    /// each allowed to run `command` only, with the repository's full name and its access.
    pub fn authorized_keys_url(&self, command: &str) -> String {
        format!("{}/_sim/authorized_keys?command={command}", self.url)
    }

    /// The deploy keys of a repository, oldest first.
    pub async fn deploy_keys(&self, repository: &str) -> anyhow::Result<Vec<DeployKey>> {
        let owner = owner_of(repository)?;
        let path = format!("/repos/{repository}/keys?per_page=100");
        let found = self.rest(owner, Method::GET, &path, None).await?;
        serde_json::from_value(found).context("the deploy keys have another shape")
    }

    /// Removes a deploy key, as its owner does.
    pub async fn delete_deploy_key(&self, repository: &str, id: u64) -> anyhow::Result<()> {
        let owner = owner_of(repository)?;
        let path = format!("/repos/{repository}/keys/{id}");
        self.rest(owner, Method::DELETE, &path, None).await?;
        Ok(())
    }

    /// The deliveries to all webhooks of a repository that have ended, oldest first; also those
    /// of webhooks that are gone.
    pub async fn deliveries(&self, repository: &str) -> anyhow::Result<Vec<Delivery>> {
        let path = format!("/deliveries?repository={repository}");
        let found: Vec<DeliveryShape> = self.control(Method::GET, &path, None).await?;
        Ok(found.into_iter().map(Delivery::from).collect())
    }

    /// Delivers an event again to every webhook that was told about it; how many those are.
    pub async fn redeliver(&self, guid: &str) -> anyhow::Result<usize> {
        let body = json!({"guid": guid});
        let made: Value = self.control(Method::POST, "/redeliver", Some(body)).await?;
        let webhooks = made["webhooks"].as_u64().unwrap_or_default();
        Ok(usize::try_from(webhooks)?)
    }

    /// Waits until at least `n` deliveries have ended since the start, pings and failures
    /// included; all that have.
    pub async fn wait_for_deliveries(
        &self,
        repository: &str,
        n: usize,
        timeout: Duration,
    ) -> anyhow::Result<Vec<Delivery>> {
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            let found = self.deliveries(repository).await?;
            if found.len() >= n {
                return Ok(found);
            }
            if tokio::time::Instant::now() >= deadline {
                let events: Vec<&str> = found.iter().map(|one| one.event.as_str()).collect();
                bail!(
                    "{repository} has {} of {n} deliveries after {timeout:?}: {events:?}",
                    found.len()
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Lets the next matching requests meet a fault; its id.
    pub async fn add_fault(&self, fault: Fault) -> anyhow::Result<u64> {
        let body = serde_json::to_value(fault)?;
        let made: Value = self.control(Method::POST, "/faults", Some(body)).await?;
        made["id"].as_u64().context("the answer has no id")
    }

    /// Ends one fault; it may be used up already.
    pub async fn lift_fault(&self, id: u64) -> anyhow::Result<()> {
        let _: Value = self.control(Method::DELETE, &format!("/faults/{id}"), None).await?;
        Ok(())
    }

    /// Ends all faults.
    pub async fn clear_faults(&self) -> anyhow::Result<()> {
        let _: Value = self.control(Method::DELETE, "/faults", None).await?;
        Ok(())
    }

    /// Every REST request so far, oldest first.
    pub async fn requests(&self) -> anyhow::Result<Vec<LoggedRequest>> {
        self.control(Method::GET, "/requests", None).await
    }

    /// One REST request as `login` (of an organization, as an owner); the answer, or GitHub's own
    /// message. It meets no fault and no limit, and is not among [`Self::requests`].
    pub async fn rest(
        &self,
        login: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Value> {
        let session = self.browser(login).await?.session;
        let request = self
            .http
            .request(method, format!("{}{path}", self.api_url()))
            .header("Accept", "application/vnd.github+json")
            .header("User-Agent", "github-sim")
            .bearer_auth(session);
        self.answer(request, body).await
    }

    async fn control<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<T> {
        let request = self.http.request(method, format!("{}/_sim{path}", self.url));
        let answer = self.answer(request, body).await?;
        serde_json::from_value(answer).context("the stand-in answered in another shape")
    }

    async fn answer(
        &self,
        mut request: reqwest::RequestBuilder,
        body: Option<Value>,
    ) -> anyhow::Result<Value> {
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request
            .send()
            .await
            .with_context(|| format!("cannot reach the stand-in for GitHub at {}", self.url))?;
        let status = answer.status();
        let text = answer.text().await.context("the answer broke off")?;
        if status.is_success() {
            if text.is_empty() {
                return Ok(Value::Null);
            }
            return serde_json::from_str(&text).context("the answer is not JSON");
        }
        Err(explained(status, &text))
    }

    async fn person(&self, login: &str) -> anyhow::Result<Person> {
        let me = self.rest(login, Method::GET, "/user", None).await?;
        Ok(Person {
            url: self.url.clone(),
            login: me["login"].as_str().unwrap_or(login).to_owned(),
            email: me["email"].as_str().unwrap_or_default().to_owned(),
            token: self.browser(login).await?.session,
        })
    }
}

/// GitHub's message and what it says about each field, in one line.
fn explained(status: StatusCode, text: &str) -> anyhow::Error {
    let body: Value = serde_json::from_str(text).unwrap_or_default();
    let Some(message) = body["message"].as_str() else {
        return anyhow!("{status}: {}", text.trim());
    };
    let details: Vec<String> = body["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|error| match error["message"].as_str() {
            Some(message) => message.to_owned(),
            None => format!(
                "{} is {}",
                error["field"].as_str().unwrap_or("something"),
                error["code"].as_str().unwrap_or("wrong")
            ),
        })
        .collect();
    if details.is_empty() {
        anyhow!("{message}")
    } else {
        anyhow!("{message}: {}", details.join("; "))
    }
}

fn owner_of(repository: &str) -> anyhow::Result<&str> {
    repository
        .split_once('/')
        .map(|(owner, _)| owner)
        .with_context(|| format!("{repository:?} is not OWNER/NAME"))
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

/// What a person has at hand.
#[derive(Deserialize)]
struct Browser {
    token: Option<String>,
    session: String,
}
