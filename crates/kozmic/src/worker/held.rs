//! The jobs that this process carries out now.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::model::JobUuid;

#[derive(Debug, Clone, Default)]
pub struct Held(Arc<Jobs>);

#[derive(Debug, Default)]
struct Jobs {
    now: Mutex<HashSet<JobUuid>>,
    released: Notify,
}

/// Ends with the job, however that ends.
pub(super) struct Holding(Held, JobUuid);

impl Held {
    pub(super) fn contains(&self, job: JobUuid) -> bool {
        self.lock().contains(&job)
    }

    pub(super) fn hold(&self, job: JobUuid) -> Holding {
        self.lock().insert(job);
        Holding(self.clone(), job)
    }

    /// Returns when a job is not held any more, also when that was since the last call.
    pub(super) async fn released(&self) {
        self.0.released.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<JobUuid>> {
        self.0.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
        self.0.0.released.notify_one();
    }
}
