//! Tells readers how far a log has grown. In this process only; what was
//! written lies in the file.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

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
}

/// Sees every [`Progress`] of one log, the latest of them at least.
pub type Follower = watch::Receiver<Progress>;

#[derive(Debug, Clone, Default)]
pub struct Bus {
    logs: Arc<Mutex<HashMap<JobUuid, watch::Sender<Progress>>>>,
}

impl Bus {
    /// Follow first and ask the store afterwards whether the job is over:
    /// then no end is missed in between.
    pub fn follow(&self, job: JobUuid) -> Follower {
        let mut logs = self.lock();
        // Logs that nobody writes or follows any more.
        logs.retain(|_, log| {
            log.receiver_count() > 0 || matches!(*log.borrow(), Progress::Written(_))
        });
        logs.entry(job).or_default().subscribe()
    }

    /// Whoever writes the log tells by this how far it is, beginning with `length`.
    pub fn writer(&self, job: JobUuid, length: u64) -> watch::Sender<Progress> {
        let mut logs = self.lock();
        let log = logs.entry(job).or_default();
        log.send_replace(Progress::Written(length));
        log.clone()
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
