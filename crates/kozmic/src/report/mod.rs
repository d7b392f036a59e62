//! Empties the outbox: what changed here becomes known at GitHub, as often as
//! it takes.

mod status;

use std::time::Duration;

use crate::github::{Client, GithubError};
use crate::model::Timestamp;
use crate::shutdown::Shutdown;
use crate::store::{Report, Store, StoreError};

/// Reports taken at once.
const BATCH: i64 = 50;
/// Reports of other processes, and those that were postponed, are found by this poll.
const POLL: Duration = Duration::from_secs(5);
/// The pause doubles from the first to the second of these.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

#[derive(Clone)]
pub struct Reporter {
    pub store: Store,
    pub github: Client,
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

/// Runs until shutdown; a report under way is finished first.
pub async fn run(reporter: Reporter, shutdown: Shutdown) {
    loop {
        let changed = reporter.store.outbox_changed();
        let pause = match reporter.send_due(&shutdown).await {
            Ok(pause) => pause,
            // What was sent may not be noted as sent: a quick second try would
            // only send it again.
            Err(error) => {
                tracing::error!(%error, "the outbox can't be read or written");
                tokio::select! {
                    () = shutdown.requested() => return,
                    () = tokio::time::sleep(POLL) => continue,
                }
            }
        };
        tokio::select! {
            () = shutdown.requested() => return,
            () = changed => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

impl Reporter {
    /// Sends what is due; how long nothing more will be.
    async fn send_due(&self, shutdown: &Shutdown) -> Result<Duration, StoreError> {
        let reports = self.store.reports_due(Timestamp::now(), BATCH).await?;
        let mut sent = Ok(());
        // One after the other: GitHub asks for that, and it keeps the order. One
        // whose outcome can't be kept holds up none of the others.
        for report in &reports {
            sent = self.send(report).await.and(sent);
            if shutdown.is_requested() {
                break;
            }
        }
        sent?;
        let next = self.store.next_report_at().await?;
        Ok(next.map_or(POLL, |at| at.since(Timestamp::now()).min(POLL)))
    }

    async fn send(&self, report: &Report) -> Result<(), StoreError> {
        let outcome = status::post(self, report).await;
        let now = Timestamp::now();
        let Err(error) = outcome else { return self.store.report_settled(report, None, now).await };
        match pause_before_retry(&error, report.attempts) {
            Some(pause) => {
                tracing::warn!(%error, retry_in_s = pause.as_secs(), "a report did not arrive");
                self.store.report_failed(report, &error.to_string(), pause, now).await
            }
            None => {
                tracing::error!(%error, "a report was given up");
                self.store.report_settled(report, Some(&error.to_string()), now).await
            }
        }
    }
}

/// None when trying again can't help.
fn pause_before_retry(error: &ReportError, failed_attempts: i64) -> Option<Duration> {
    let asked = match error {
        ReportError::Github(error) => error.retry_after()?,
        ReportError::Store(_) => Duration::ZERO,
        ReportError::NoProject => return None,
    };
    let doublings = u32::try_from(failed_attempts.clamp(0, 16)).unwrap_or(16);
    Some((FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE).max(asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_a_limit_and_obeys_github() {
        let away = ReportError::Github(GithubError::Away { call: "x".into(), problem: "x".into() });
        let pauses: Vec<_> =
            [0, 1, 2, 20].map(|n| pause_before_retry(&away, n).unwrap().as_secs()).into();
        assert_eq!(pauses, [1, 2, 4, 300]);
        let pause = Duration::from_mins(15);
        let limited = ReportError::Github(GithubError::RateLimited { call: "x".into(), pause });
        assert_eq!(pause_before_retry(&limited, 0), Some(pause));
        let gone = ReportError::Github(GithubError::NotFound { call: "x".into() });
        assert_eq!(pause_before_retry(&gone, 0), None);
    }
}
