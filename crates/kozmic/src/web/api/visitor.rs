//! Who asks, by their token, and what they may.

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;

use super::problem::Problem;
use crate::model::{BuildId, JobId, ProjectId, Role, Timestamp};
use crate::store::{Build, Job, Project, TokenUser};
use crate::web::App;

/// Somebody with a token. As an extractor it refuses everybody else.
pub(super) struct Visitor {
    app: App,
    user: TokenUser,
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(|header| {
            let (scheme, token) = header.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let token = token.ok_or_else(|| {
            Problem::unauthorized(
                "Send a token as `Authorization: Bearer …`; `kozmic token create` makes one.",
            )
        })?;
        let user = app.store.token_used(token, Timestamp::now()).await?;
        let user =
            user.ok_or_else(|| Problem::unauthorized("This token is unknown or has expired."))?;
        Ok(Self { app: app.clone(), user })
    }
}

impl Visitor {
    pub(super) fn login(&self) -> &str {
        &self.user.login
    }

    pub(super) fn user(&self) -> crate::model::UserId {
        self.user.id
    }

    /// A project that this visitor may see.
    pub(super) async fn project(&self, id: i64) -> Result<Project, Problem> {
        self.with_role(ProjectId(id)).await.map(|(project, _)| project)
    }

    pub(super) async fn build(&self, id: i64) -> Result<(Project, Build), Problem> {
        let build =
            self.app.store.build(BuildId(id)).await?.ok_or_else(|| Problem::not_found("build"))?;
        let project =
            self.with_role(build.project).await.map_err(|problem| problem.about("build"))?.0;
        Ok((project, build))
    }

    pub(super) async fn job(&self, id: i64) -> Result<(Project, Job), Problem> {
        let job = self.app.store.job(JobId(id)).await?.ok_or_else(|| Problem::not_found("job"))?;
        let (project, _) = self.build(job.build.0).await.map_err(|problem| problem.about("job"))?;
        Ok((project, job))
    }

    /// Refuses who may look but not change.
    pub(super) async fn manages(&self, project: &Project) -> Result<(), Problem> {
        match self.app.store.role(project.id, self.user.id).await? {
            Some(Role::Owner | Role::Manager) => Ok(()),
            _ => {
                Err(Problem::forbidden("Members may look; managers and the owner may change this."))
            }
        }
    }

    async fn with_role(&self, id: ProjectId) -> Result<(Project, Role), Problem> {
        let missing = || Problem::not_found("project");
        let project = self.app.store.project(id).await?.ok_or_else(missing)?;
        let role = self.app.store.role(id, self.user.id).await?.ok_or_else(missing)?;
        Ok((project, role))
    }
}

impl Problem {
    /// What is missing is what was asked for, not what it belongs to.
    fn about(self, what: &str) -> Self {
        if self.is_missing() { Self::not_found(what) } else { self }
    }
}
