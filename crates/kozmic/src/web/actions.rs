//! What a page's buttons do: stop, and run again.

use axum::Form;
use axum::extract::Path;
use axum::response::Redirect;
use serde::Deserialize;

use super::error::PageError;
use super::visitor::{Access, Account, Acting};
use super::words::problems;
use super::{App, builds, jobs};
use crate::log::{LogError, Reader};
use crate::model::{BuildId, CommitSha, JobId, JobUuid, Timestamp};
use crate::store::{Cancelled, Job, Project, StoreError};

#[derive(Deserialize)]
pub(super) struct Which {
    /// `failed`: only what is not green.
    #[serde(default)]
    jobs: String,
}

#[derive(Deserialize)]
pub(super) struct Approved {
    /// The commit that the page showed.
    sha: String,
    /// `trusted`: what its author sends from now on needs no approval.
    #[serde(default)]
    author: String,
}

pub(super) async fn approve_build(
    Acting(app): Acting,
    account: Account,
    Access { project, .. }: Access,
    Path((_, build)): Path<(i64, i64)>,
    Form(approved): Form<Approved>,
) -> Result<Redirect, PageError> {
    let build = builds::find(&app, &project, Some(build)).await?;
    let seen: CommitSha = approved
        .sha
        .parse()
        .map_err(|problem: crate::model::Invalid| PageError::BadRequest(problem.to_string()))?;
    let trusts = approved.author == "trusted";
    let now = Timestamp::now();
    app.store.build_approved(build.id, Some(&seen), trusts, &account.login, now).await?;
    Ok(to_build(&project, build.id))
}

pub(super) async fn cancel_job(
    Acting(app): Acting,
    account: Account,
    Access { project, .. }: Access,
    Path((_, job)): Path<(i64, i64)>,
) -> Result<Redirect, PageError> {
    let job = jobs::find(&app, &project, job).await?;
    app.cancel_job(job.id, &account.login).await?;
    Ok(to_job(&project, job.build, job.id))
}

/// Leads to the new job.
pub(super) async fn restart_job(
    Acting(app): Acting,
    account: Account,
    Access { project, .. }: Access,
    Path((_, job)): Path<(i64, i64)>,
) -> Result<Redirect, PageError> {
    let job = jobs::find(&app, &project, job).await?;
    let new = app.store.job_restarted(job.id, &account.login, Timestamp::now()).await?;
    Ok(to_job(&project, job.build, new))
}

/// The image of the job's install step is made anew when it is needed next.
pub(super) async fn drop_image(
    Acting(app): Acting,
    account: Account,
    Access { project, .. }: Access,
    Path((_, job)): Path<(i64, i64)>,
) -> Result<Redirect, PageError> {
    let job = jobs::find(&app, &project, job).await?;
    app.drop_image(&job, &account.login).await?;
    Ok(to_job(&project, job.build, job.id))
}

pub(super) async fn cancel_build(
    Acting(app): Acting,
    account: Account,
    Access { project, .. }: Access,
    Path((_, build)): Path<(i64, i64)>,
) -> Result<Redirect, PageError> {
    let build = builds::find(&app, &project, Some(build)).await?;
    app.cancel_build(build.id, &account.login).await?;
    Ok(to_build(&project, build.id))
}

pub(super) async fn restart_build(
    Acting(app): Acting,
    account: Account,
    Access { project, .. }: Access,
    Path((_, build)): Path<(i64, i64)>,
    Form(which): Form<Which>,
) -> Result<Redirect, PageError> {
    let build = builds::find(&app, &project, Some(build)).await?;
    let only_failed = which.jobs == "failed";
    app.store.build_restarted(build.id, only_failed, &account.login, Timestamp::now()).await?;
    Ok(to_build(&project, build.id))
}

fn to_build(project: &Project, build: BuildId) -> Redirect {
    Redirect::to(&format!("/projects/{}/builds/{build}/", project.id))
}

fn to_job(project: &Project, build: BuildId, job: JobId) -> Redirect {
    Redirect::to(&format!("/projects/{}/builds/{build}/jobs/{job}/", project.id))
}

impl App {
    /// Stops a job, and lets its followers go when that ended it at once.
    pub(super) async fn cancel_job(&self, job: JobId, by: &str) -> Result<(), StoreError> {
        let cancelled = self.store.job_cancelled(job, by, Timestamp::now()).await?;
        if let Cancelled::AtOnce(uuid) = cancelled {
            self.bus.finished(uuid);
        }
        Ok(())
    }

    /// No job uses the image of this job's install step any more.
    pub(super) async fn drop_image(&self, job: &Job, by: &str) -> Result<(), StoreError> {
        if self.store.image_dropped(job, by, Timestamp::now()).await? {
            tracing::info!(job = %job.uuid, by, "a cached image was dropped");
            return Ok(());
        }
        Err(StoreError::Refused(problems::NO_IMAGE.into()))
    }

    /// Stops what is not finished of a build.
    pub(super) async fn cancel_build(&self, build: BuildId, by: &str) -> Result<(), StoreError> {
        let mut cancelled = 0;
        for job in self.store.jobs_of(build).await? {
            match self.cancel_job(job.id, by).await {
                Ok(()) => cancelled += 1,
                // It is over already.
                Err(StoreError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        if cancelled == 0 {
            return Err(StoreError::Refused(problems::BUILD_OVER.into()));
        }
        Ok(())
    }

    /// Whether a job has its end in the store, or is gone. A store that does not
    /// answer has not said so.
    pub(super) async fn is_over(&self, uuid: JobUuid) -> bool {
        match self.store.job_by_uuid(uuid).await {
            Ok(job) => job.is_none_or(|job| job.status.is_finished()),
            Err(_) => false,
        }
    }

    /// The worker that has a job, or had it last; of no use where there is no other process.
    pub(super) async fn log_holder(&self, uuid: JobUuid) -> Result<Option<String>, LogError> {
        if self.logs.elsewhere().is_none() {
            return Ok(None);
        }
        // Without it, a log that is still there might pass for none.
        let job = self.store.job_by_uuid(uuid).await.map_err(|_| LogError::unheard())?;
        Ok(job.and_then(|job| job.worker))
    }

    /// None: nothing was written yet.
    pub(super) async fn log_of(&self, job: &Job) -> Result<Option<Reader>, LogError> {
        self.logs.reader_from(job.uuid, job.worker.as_deref()).await
    }
}
