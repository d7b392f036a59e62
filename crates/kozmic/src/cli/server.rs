//! A server that a client command asks, through its API.

use anyhow::{Context as _, bail};
use clap::Args;
use reqwest::{Method, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::model::FullName;

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
}

#[derive(Deserialize)]
pub(super) struct Project {
    pub(super) id: i64,
    pub(super) full_name: String,
    pub(super) url: String,
}

impl Server {
    pub(super) async fn projects(&self) -> anyhow::Result<Vec<Project>> {
        Ok(self.json::<Projects>(Method::GET, "projects").await?.projects)
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
        #[derive(Deserialize)]
        struct Problem {
            detail: String,
        }
        let url = format!("{}/api/v1/{path}", self.server.as_str().trim_end_matches('/'));
        let request = reqwest::Client::new().request(method, url).bearer_auth(&self.token);
        let request = request.body(body);
        let answer = request
            .send()
            .await
            .with_context(|| format!("the server {} does not answer", self.server))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        match answer.json::<Problem>().await {
            Ok(problem) => bail!("{}", problem.detail),
            Err(_) => bail!("{} answered {status}; is it a Kozmic server?", self.server),
        }
    }
}
