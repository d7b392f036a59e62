//! From a job's number to what is left of it: whether it is there, and why not.

use super::{HOLD, Kept, LONGER};
use crate::engine::{Account, Container, ContainerLimits, EngineError, Labels, Step};
use crate::model::{JobId, Timestamp};
use crate::store::{KeptContainer, StoreError};
use crate::terminal::Refusal;
use crate::worker::Worker;
use crate::worker::environment;

/// What is left of a job, held for whoever looks into it.
pub(super) struct Left<'engine> {
    pub(super) row: KeptContainer,
    /// The container that failed.
    pub(super) failed: Container<'engine>,
    pub(super) account: Account,
    /// As its script found them.
    pub(super) env: Vec<(String, String)>,
    /// Its limits, and whether nobody in it may become another user.
    pub(super) bounds: (ContainerLimits, bool),
    /// Of what is made of it.
    pub(super) labels: Labels,
}

/// Why somebody can't look into a job.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotOpened {
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl NotOpened {
    /// For whoever asked.
    pub(super) fn told(self, job: JobId) -> Refusal {
        match self {
            Self::Refused(sentence) => Refusal(sentence),
            Self::Engine(error) => {
                tracing::warn!(%job, %error, "a kept container could not be opened");
                Refusal(format!("The container of job {job} can't be opened: {error}."))
            }
            Self::Store(error) => {
                tracing::error!(%job, %error, "a kept container could not be opened");
                Refusal("It was not your doing; the administrator finds the reason in the server's log.".into())
            }
        }
    }
}

impl Kept {
    /// Finds what is left, and holds it.
    pub(super) async fn open(&self, job: JobId) -> Result<Left<'_>, NotOpened> {
        let Worker { store, engine, .. } = &self.worker;
        let Some(row) = store.kept_container(job).await? else {
            return Err(NotOpened::Refused(self.why_not(job).await?));
        };
        if row.engine != engine.identity() {
            let sentence =
                format!("The container of job {job} lies at an engine of another machine.");
            return Err(NotOpened::Refused(sentence));
        }
        if !self.hold(&row).await? {
            return Err(NotOpened::Refused(gone(&row)));
        }
        let failed = engine.container(&row.container);
        let Some(made) = failed.as_made().await? else {
            let (now, because) = (Timestamp::now(), "somebody else removed it");
            store.kept_container_held(job, now, now).await?;
            store.kept_container_goes(job, because, true, now).await?;
            let row = KeptContainer { gone_because: Some(because.into()), ..row };
            return Err(NotOpened::Refused(gone(&row)));
        };
        let (uuid, attempt) = (row.uuid, row.attempt);
        let labels = Labels { job: uuid, attempt, step: Step::Shell, log_offset: 0 };
        let job = store.finished_job(job).await?;
        let account = engine.account(&job.image, &made.image_id, &labels).await?;
        Ok(Left {
            account: Account { user: made.user, ..account },
            env: environment::of_build(&job, &self.worker.public_url),
            bounds: (
                self.worker.limits.with(&job.options).container,
                job.options.no_new_privileges.holds_for_build(),
            ),
            failed,
            labels,
            row,
        })
    }

    /// What is held is not removed for a while. False when it is gone.
    pub(super) async fn hold(&self, row: &KeptContainer) -> Result<bool, StoreError> {
        let now = Timestamp::now();
        let until = now.plus(HOLD).min(row.until.plus(LONGER));
        self.worker.store.kept_container_held(row.job, until, now).await
    }

    /// Nobody is at it any more.
    pub(super) async fn let_go(&self, job: JobId) {
        let now = Timestamp::now();
        if let Err(error) = self.worker.store.kept_container_held(job, now, now).await {
            tracing::warn!(%job, %error, "a kept container stays a little longer");
        }
    }

    /// Nothing was ever kept of it.
    async fn why_not(&self, job: JobId) -> Result<String, StoreError> {
        use crate::model::JobStatus::{Cancelled, Enqueued, Error, Failure, Pending, Success};
        let Some(found) = self.worker.store.job(job).await? else {
            return Ok(format!("There is no job {job}."));
        };
        Ok(match found.status {
            Enqueued | Pending => {
                format!("Job {job} is not over; the container of a job that fails can be opened.")
            }
            Success | Cancelled => format!(
                "Job {job} did not fail (it is {}); only the containers of failed jobs are kept.",
                found.status.as_str()
            ),
            Failure | Error if self.worker.keep_failed.is_zero() => format!(
                "The container of job {job} was not kept: this server keeps none. \
                 KOZMIC_KEEP_FAILED, on the server, is for how many seconds it does; \
                 then run the job again (`kozmic restart {job}`)."
            ),
            Failure | Error => format!(
                "The container of job {job} was not kept: it had none when it ended, or ended \
                 before KOZMIC_KEEP_FAILED was set. Run the job again (`kozmic restart {job}`)."
            ),
        })
    }
}

fn gone(row: &KeptContainer) -> String {
    let why = row.gone_because.as_deref().unwrap_or("its time was over");
    format!(
        "The container of job {} is gone: {why}. It was kept until {}. Run the job again \
         (`kozmic restart {}`), or let the server keep them for longer (KOZMIC_KEEP_FAILED).",
        row.job, row.until, row.job
    )
}
