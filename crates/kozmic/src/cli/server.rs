//! A server that a client command asks, through its API.

use anyhow::{Context as _, bail};
use base64::Engine as _;
use clap::Args;
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use url::Url;

use crate::model::FullName;

pub(super) type Socket = WebSocketStream<reqwest::Upgraded>;

#[derive(Debug, Args)]
pub(super) struct Server {
    /// The server's address
    #[arg(long, env = "KOZMIC_SERVER", value_name = "URL")]
    server: Url,
    /// An API token, made by `kozmic token create` on the server
    #[arg(long, env = "KOZMIC_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: String,
}

#[derive(Deserialize)]
struct Projects {
    projects: Vec<Project>,
    next: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Project {
    pub(super) id: i64,
    pub(super) full_name: String,
    pub(super) url: String,
}

impl Server {
    pub(super) async fn projects(&self) -> anyhow::Result<Vec<Project>> {
        let (mut all, mut path) = (Vec::new(), "projects".to_owned());
        loop {
            let page: Projects = self.json(Method::GET, &path).await?;
            all.extend(page.projects);
            let Some(next) = page.next else { return Ok(all) };
            path = format!("projects?after={next}");
        }
    }

    pub(super) async fn project(&self, name: &FullName) -> anyhow::Result<Project> {
        let name = name.to_string();
        let mut projects = self.projects().await?.into_iter();
        projects
            .find(|project| project.full_name.eq_ignore_ascii_case(&name))
            .with_context(|| format!("{name} is no project of yours on {}", self.server))
    }

    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
    ) -> anyhow::Result<T> {
        self.json_of(method, path, None).await
    }

    /// As [`Server::json`], with a body that is a text.
    pub(super) async fn json_of<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> anyhow::Result<T> {
        let answer = self.send_with(method, path, body).await?;
        answer
            .json()
            .await
            .with_context(|| format!("{} is no Kozmic server, or another version", self.server))
    }

    pub(super) async fn send(&self, method: Method, path: &str) -> anyhow::Result<Response> {
        self.send_with(method, path, None).await
    }

    /// Opens a web socket (RFC 6455), by an upgrade of the same client: what its requests
    /// go through, this does.
    pub(super) async fn socket(&self, path: &str) -> anyhow::Result<Socket> {
        let key = base64::engine::general_purpose::STANDARD.encode(uuid::Uuid::new_v4());
        let url = format!("{}/api/v1/{path}", self.server.as_str().trim_end_matches('/'));
        let client = reqwest::Client::builder().http1_only().build()?;
        let request = client
            .get(url)
            .bearer_auth(&self.token)
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", &key);
        let answer = self.answered(request.send().await).await?;
        let accepted = answer.headers().get("sec-websocket-accept").cloned();
        let upgraded = answer.upgrade().await;
        let upgraded = upgraded.with_context(|| format!("{} opens no web socket", self.server))?;
        if accepted.is_none_or(|accepted| accepted != derive_accept_key(key.as_bytes())) {
            bail!("{} opens no web socket; is it a Kozmic server?", self.server);
        }
        Ok(Socket::from_raw_socket(upgraded, Role::Client, None).await)
    }

    async fn send_with(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> anyhow::Result<Response> {
        self.send_body(method, path, body.unwrap_or_default().into()).await
    }

    pub(super) async fn send_body(
        &self,
        method: Method,
        path: &str,
        body: reqwest::Body,
    ) -> anyhow::Result<Response> {
        let url = format!("{}/api/v1/{path}", self.server.as_str().trim_end_matches('/'));
        let request = reqwest::Client::new().request(method, url).bearer_auth(&self.token);
        self.answered(request.body(body).send().await).await
    }

    /// What a server answered, or the sentence by which it refused.
    async fn answered(&self, answer: reqwest::Result<Response>) -> anyhow::Result<Response> {
        #[derive(Deserialize)]
        struct Problem {
            detail: String,
        }
        let answer =
            answer.with_context(|| format!("the server {} does not answer", self.server))?;
        let status = answer.status();
        if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(answer);
        }
        match answer.json::<Problem>().await {
            Ok(problem) => bail!("{}", problem.detail),
            Err(_) => bail!("{} answered {status}; is it a Kozmic server?", self.server),
        }
    }
}
