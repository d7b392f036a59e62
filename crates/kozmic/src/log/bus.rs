//! Tells readers how far a log has grown; what was written lies in the file. Logs that
//! another process writes are told of as they arrive (`elsewhere`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::Elsewhere;
use crate::model::JobUuid;

/// How far a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Progress {
    /// Nobody writes it yet.
    #[default]
    Waiting,
    /// Bytes that may be read.
    Written(u64),
    /// The job is over and its end is in the store.
    Finished,
    /// Another process has it, and can't be heard now. Follow it again later.
    Unheard,
}

/// Sees every [`Progress`] of one log, the latest of them at least.
pub type Follower = watch::Receiver<Progress>;

#[derive(Debug, Clone, Default)]
pub struct Bus {
    logs: Arc<Mutex<HashMap<JobUuid, watch::Sender<Progress>>>>,
    /// None: no other process writes a log.
    elsewhere: Option<Elsewhere>,
}

impl Bus {
    /// Of an installation with several processes.
    pub fn with(elsewhere: Option<Elsewhere>) -> Self {
        Self { logs: Arc::default(), elsewhere }
    }

    /// Follow first and ask the store afterwards whether the job is over:
    /// then no end is missed in between.
    pub fn follow(&self, job: JobUuid) -> Follower {
        let mut logs = self.lock();
        // Logs that nobody writes or follows any more.
        logs.retain(|_, log| {
            log.receiver_count() > 0 || matches!(*log.borrow(), Progress::Written(_))
        });
        let log = logs.entry(job).or_default();
        let was_unheard = log.send_if_modified(|progress| {
            let is_unheard = *progress == Progress::Unheard;
            if is_unheard {
                *progress = Progress::Waiting;
            }
            is_unheard
        });
        let is_first = log.receiver_count() == 0;
        let follower = log.subscribe();
        if let Some(elsewhere) = self.elsewhere.as_ref().filter(|_| is_first || was_unheard) {
            elsewhere.follow(job, log.clone());
        }
        follower
    }

    /// Whoever writes the log tells by this how far it is, beginning with `length`.
    pub fn writer(&self, job: JobUuid, length: u64) -> watch::Sender<Progress> {
        let mut logs = self.lock();
        let log = logs.entry(job).or_default();
        log.send_replace(Progress::Written(length));
        log.clone()
    }

    /// What is written here in this attempt, from now on, is for other processes as well.
    pub fn share(&self, job: JobUuid, attempt: i64) {
        let Some(elsewhere) = &self.elsewhere else { return };
        if let Some(log) = self.lock().get(&job) {
            elsewhere.stream(job, attempt, log.subscribe());
        }
    }

    /// The job goes back to the queue.
    pub fn waiting(&self, job: JobUuid) {
        if let Some(log) = self.lock().get(&job) {
            log.send_replace(Progress::Waiting);
        }
    }

    /// The job's end is committed; its followers may go.
    pub fn finished(&self, job: JobUuid) {
        if let Some(log) = self.lock().remove(&job) {
            log.send_replace(Progress::Finished);
        }
        if let Some(elsewhere) = &self.elsewhere {
            elsewhere.over(job);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobUuid, watch::Sender<Progress>>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_follower_sees_the_latest_and_the_end() {
        let (bus, job) = (Bus::default(), JobUuid::random());
        let mut follower = bus.follow(job);
        assert_eq!(*follower.borrow_and_update(), Progress::Waiting);
        let writer = bus.writer(job, 3);
        writer.send_replace(Progress::Written(9));
        follower.changed().await.unwrap();
        assert_eq!(*follower.borrow_and_update(), Progress::Written(9));
        bus.finished(job);
        follower.changed().await.unwrap();
        assert_eq!(*follower.borrow_and_update(), Progress::Finished);
    }

    #[test]
    fn what_nobody_follows_is_forgotten() {
        let bus = Bus::default();
        drop(bus.follow(JobUuid::random()));
        let running = JobUuid::random();
        let _writer = bus.writer(running, 1);
        let _other = bus.follow(JobUuid::random());
        assert_eq!(bus.lock().len(), 2);
        bus.finished(running);
        assert_eq!(bus.lock().len(), 1);
    }
}
