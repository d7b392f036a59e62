//! Who is told that there may be something to do.

use std::time::Duration;

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::Store;

/// Between two looks for work, of which the first one found none: each webhook tells of some,
/// and where hundreds come a second a look for each would take as long as what they bring.
const BETWEEN: Duration = Duration::from_millis(25);
/// Of what goes to others, whose own answer takes longer than that.
const BETWEEN_MESSAGES: Duration = Duration::from_millis(100);

/// Resolves when told, and no sooner than so long after it was made: just before a look.
fn paced(told: Notified<'_>, between: Duration) -> impl Future<Output = ()> {
    let looks = Instant::now();
    async move {
        told.await;
        tokio::time::sleep_until(looks + between).await;
    }
}

/// Told in this process when there may be work; other processes poll, and are told of jobs by
/// PostgreSQL.
#[derive(Default)]
pub(super) struct Wakes {
    pub(super) jobs: Notify,
    pub(super) outbox: BuildsWake,
    pub(super) leases: watch::Sender<()>,
    pub(super) leavings: Notify,
    pub(super) schedules: Notify,
}

/// Wakes whoever reports builds, and counts for those who show them: what changes a build
/// gives both something to do.
#[derive(Default)]
pub(super) struct BuildsWake {
    pub(super) reports: Notify,
    pub(super) messages: Notify,
    pub(super) changes: watch::Sender<u64>,
}

impl BuildsWake {
    pub(super) fn notify_one(&self) {
        self.reports.notify_one();
        self.messages.notify_one();
        self.shown();
    }

    /// Changed in what is shown and not in what is reported.
    pub(super) fn shown(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }
}

impl Store {
    /// Resolves when a job may wait for a worker. Register before looking.
    pub fn jobs_changed(&self) -> impl Future<Output = ()> {
        if let Some(others) = &self.others {
            others.listen(&self.wakes);
        }
        paced(self.wakes.jobs.notified(), BETWEEN)
    }

    /// Resolves when a project, a hook or a cache folder was deleted. Register before looking.
    pub fn leavings_changed(&self) -> Notified<'_> {
        self.wakes.leavings.notified()
    }

    /// Resolves when a hook's schedules may have changed. Register before looking.
    pub fn schedules_changed(&self) -> Notified<'_> {
        self.wakes.schedules.notified()
    }

    /// Resolves when there may be something to report.
    pub fn outbox_changed(&self) -> impl Future<Output = ()> {
        paced(self.wakes.outbox.reports.notified(), BETWEEN_MESSAGES)
    }

    /// Resolves when there may be a build's end to announce, or a message to send.
    pub fn messages_changed(&self) -> impl Future<Output = ()> {
        paced(self.wakes.outbox.messages.notified(), BETWEEN_MESSAGES)
    }

    /// How often this process has changed builds or jobs since it was started.
    pub fn builds_changed(&self) -> watch::Receiver<u64> {
        self.wakes.outbox.changes.subscribe()
    }

    /// Changes when a running job may have to stop.
    pub fn leases_changed(&self) -> watch::Receiver<()> {
        self.wakes.leases.subscribe()
    }

    /// A process that serves pages has changed something: there may be a job to be claimed,
    /// or to be stopped.
    pub fn web_changed(&self) {
        self.wakes.jobs.notify_one();
        self.wakes.leases.send_replace(());
    }

    /// A worker in another process has changed builds or jobs.
    pub fn worker_changed(&self) {
        self.wakes.outbox.notify_one();
    }
}
