//! Holds a job while it runs: renews the lease, passes on what the job is
//! doing, and turns a cancel, a lost lease or a shutdown into a stop signal.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{LEASE, Progress, Stop};
use crate::model::{JobId, Timestamp};
use crate::shutdown::Shutdown;
use crate::store::{ClaimedJob, LeaseState, Store, StoreError};

/// Two renewals may fail before the lease ends.
const RENEW_EVERY: Duration = Duration::from_secs(10);

pub(super) struct Lease {
    steps: mpsc::UnboundedSender<(Progress, Timestamp)>,
    stop: watch::Receiver<Option<Stop>>,
    /// Ends the renewals also when a panic drops this.
    ended: DropGuard,
    keeper: JoinHandle<()>,
}

impl Lease {
    pub(super) fn keep(store: Store, job: &ClaimedJob, shutdown: Shutdown) -> Self {
        let (steps, steps_told) = mpsc::unbounded_channel();
        let (stop_sender, stop) = watch::channel(None);
        let ended = CancellationToken::new();
        let keeper = Keeper { store, job: job.id, attempt: job.attempt, stop: stop_sender };
        let keeper = tokio::spawn(keeper.run(steps_told, shutdown, ended.clone()));
        Self { steps, stop, ended: ended.drop_guard(), keeper }
    }

    /// What the job is doing now, for people.
    pub(super) fn tell(&self, step: Progress) {
        let _ = self.steps.send((step, Timestamp::now()));
    }

    pub(super) fn stop(&self) -> watch::Receiver<Option<Stop>> {
        self.stop.clone()
    }

    /// No renewal comes after this.
    pub(super) async fn end(self) {
        drop(self.ended);
        let _ = self.keeper.await;
    }
}

struct Keeper {
    store: Store,
    job: JobId,
    attempt: i64,
    stop: watch::Sender<Option<Stop>>,
}

impl Keeper {
    async fn run(
        self,
        mut steps: mpsc::UnboundedReceiver<(Progress, Timestamp)>,
        shutdown: Shutdown,
        ended: CancellationToken,
    ) {
        let mut renewal = tokio::time::interval(RENEW_EVERY);
        let mut step_telling = true;
        let mut changed = self.store.leases_changed();
        loop {
            tokio::select! {
                () = ended.cancelled() => break,
                () = shutdown.requested(), if self.stop.borrow().is_none() => self.ask(Stop::Shutdown),
                _ = renewal.tick() => self.renew().await,
                // Somebody may want this job stopped now.
                Ok(()) = changed.changed() => self.renew().await,
                step = steps.recv(), if step_telling => match step {
                    Some((step, at)) => self.note(&step, at).await,
                    None => step_telling = false,
                },
            }
        }
        // What was told last counts as well.
        while let Ok((step, at)) = steps.try_recv() {
            self.note(&step, at).await;
        }
    }

    async fn note(&self, step: &Progress, at: Timestamp) {
        if let Err(error) = self.keep(step, at).await {
            tracing::warn!(%error, "a job's step could not be noted");
        }
    }

    async fn keep(&self, step: &Progress, at: Timestamp) -> Result<(), StoreError> {
        let (job, attempt) = (self.job, self.attempt);
        match step {
            Progress::Begins(phase) => self.store.phase_began(job, attempt, *phase, at).await,
            Progress::Over(phase) => self.store.phase_ended(job, attempt, *phase, at).await,
            Progress::Prepares(words) | Progress::Installs(words) => {
                self.store.job_is(job, attempt, words).await
            }
            Progress::Install(step) => self.store.install_step_is(job, attempt, step).await,
            Progress::Installed(took) => {
                self.store.install_step_made(job, attempt, *took, at).await
            }
            Progress::Builds(words) => self.store.script_started(job, attempt, words).await,
            Progress::Ends(end) => self.store.job_ends(job, attempt, end).await,
        }
    }

    async fn renew(&self) {
        match self.store.lease_renewed(self.job, self.attempt, LEASE, Timestamp::now()).await {
            Ok(LeaseState::Held) => {}
            Ok(LeaseState::CancelRequested(why)) => self.ask(Stop::Cancel(why)),
            Ok(LeaseState::Lost) => self.ask(Stop::LeaseLost),
            Err(error) => tracing::warn!(%error, "a lease could not be renewed"),
        }
    }

    /// The first reason stays, but a lost lease overrules it: then nothing of
    /// this attempt may be written any more.
    fn ask(&self, stop: Stop) {
        self.stop.send_if_modified(|current| {
            let change =
                current.is_none() || (stop == Stop::LeaseLost && current.as_ref() != Some(&stop));
            if change {
                *current = Some(stop);
            }
            change
        });
    }
}
