//! Empties the outbox: what changed here becomes known at GitHub, to people by mail, and to
//! other servers by webhooks, as often as it takes.

mod body;
mod facts;
mod letter;
mod mail;
mod notify;
mod retry;
mod status;
mod webhook;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::github::{Client, GithubError};
use crate::model::{ProjectId, Timestamp};
use crate::shutdown::Shutdown;
use crate::store::{Report, Store, StoreError};
use retry::{is_of_others, pause_before_retry};

pub use mail::try_mail_server;
pub use notify::{Notifier, notify};
pub use webhook::try_webhook;

/// Reports of one project taken at once.
const BATCH: i64 = 50;
/// Projects that are told of at the same time, so that one whose calls hang does not hold up
/// the others. GitHub asks for few calls at once ("Avoid concurrent requests").
const AT_ONCE: usize = 8;
/// One report takes no longer, all tokens that are tried included.
const PATIENCE: Duration = Duration::from_mins(1);
/// Reports of other processes, and those that were postponed, are found by this poll.
const POLL: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Reporter {
    pub store: Store,
    pub github: Client,
    /// Names this process among those that send.
    pub name: String,
    /// The root of links to pages, without a trailing slash.
    pub public_url: String,
}

/// Why a report did not arrive.
#[derive(Debug, thiserror::Error)]
enum ReportError {
    #[error(transparent)]
    Github(#[from] GithubError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("its project is gone")]
    NoProject,
}

/// The projects whose reports are being sent.
#[derive(Default)]
struct UnderWay {
    rounds: JoinSet<()>,
    projects: BTreeMap<tokio::task::Id, ProjectId>,
}

impl UnderWay {
    /// Resolves when a round has ended; never when there is none.
    async fn ended(&mut self) {
        let id = match self.rounds.join_next_with_id().await {
            None => return std::future::pending().await,
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => {
                tracing::error!(%error, "the reports of a project were broken off");
                error.id()
            }
        };
        self.projects.remove(&id);
    }
}

/// Runs until shutdown; reports under way are finished first.
pub async fn run(reporter: Reporter, shutdown: Shutdown) {
    let mut under_way = UnderWay::default();
    loop {
        let changed = reporter.store.outbox_changed();
        let begun = reporter.begin_due(&mut under_way, &shutdown).await;
        let can_read = begun.is_ok();
        let pause = begun.unwrap_or_else(|error| {
            tracing::error!(%error, "the outbox can't be read");
            POLL
        });
        tokio::select! {
            () = shutdown.requested() => break,
            () = changed, if can_read => {}
            () = under_way.ended(), if can_read => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    while !under_way.projects.is_empty() {
        under_way.ended().await;
    }
}

impl Reporter {
    /// Begins to tell of projects that have something to be told; how long nothing more
    /// will become due.
    async fn begin_due(
        &self,
        under_way: &mut UnderWay,
        shutdown: &Shutdown,
    ) -> Result<Duration, StoreError> {
        let now = Timestamp::now();
        let limit = i64::try_from(AT_ONCE + under_way.projects.len()).unwrap_or(i64::MAX);
        for project in self.store.projects_to_report(now, limit).await? {
            if under_way.projects.len() >= AT_ONCE {
                break;
            }
            if under_way.projects.values().any(|busy| *busy == project) {
                continue;
            }
            let round = self.clone().round(project, shutdown.clone());
            let id = under_way.rounds.spawn(round).id();
            under_way.projects.insert(id, project);
        }
        let next = self.store.next_report_after(now).await?;
        Ok(next.map_or(POLL, |at| at.since(Timestamp::now()).min(POLL)))
    }

    /// One project's round; when its outcome can't be kept, nothing more of it for a while:
    /// a quick second try would only send the same again.
    async fn round(self, project: ProjectId, shutdown: Shutdown) {
        if let Err(error) = self.send_due(project, &shutdown).await {
            tracing::error!(%error, %project, "the outbox can't be read or written");
            tokio::select! {
                () = shutdown.requested() => {}
                () = tokio::time::sleep(POLL) => {}
            }
            // What it was sending is anybody's again, this process's as well.
            if let Err(error) = self.store.reports_given_back(project, &self.name).await {
                tracing::error!(%error, %project, "reports wait until they are nobody's");
            }
        }
    }

    /// Sends what is due of a project, one after the other: that keeps the order.
    async fn send_due(&self, project: ProjectId, shutdown: &Shutdown) -> Result<(), StoreError> {
        let reports = self.store.reports_due(project, Timestamp::now(), BATCH).await?;
        let failed_attempts = reports.iter().map(|report| report.attempts).sum();
        for report in &reports {
            if shutdown.is_requested() || !self.send(report, failed_attempts).await? {
                break;
            }
        }
        Ok(())
    }

    /// Whether the next one of the project may go its way.
    async fn send(&self, report: &Report, failed_attempts: i64) -> Result<bool, StoreError> {
        // Noted before it is sent: a server that ends in between asks first, the next time.
        if !self.store.report_begun(report, &self.name, Timestamp::now()).await? {
            return Ok(true);
        }
        let posted = tokio::time::timeout(PATIENCE, status::post(self, report));
        let outcome = posted.await.unwrap_or_else(|_| {
            let (call, problem) = ("for a report".into(), "no answer in time".into());
            Err(GithubError::Away { call, problem }.into())
        });
        let now = Timestamp::now();
        let Err(error) = outcome else {
            self.store.report_settled(report, &self.name, None, now).await?;
            return Ok(true);
        };
        let why = error.to_string();
        let goes_on = !is_of_others(&error);
        let failed_attempts = if goes_on { report.attempts } else { failed_attempts };
        if let Some(pause) = pause_before_retry(&error, report.attempts, failed_attempts) {
            tracing::warn!(%error, retry_in_s = pause.as_secs(), "a report did not arrive");
            if goes_on {
                self.store.report_postponed(report, &self.name, &why, pause, now).await?;
            } else {
                self.store.reports_postponed(report.project, &self.name, &why, pause, now).await?;
            }
            return Ok(goes_on);
        }
        tracing::error!(%error, "a report was given up");
        self.store.report_settled(report, &self.name, Some(&why), now).await?;
        Ok(true)
    }
}
