//! One stop signal, one wait.
//!
//! Whoever works in the background takes a clone of [`Shutdown`], is spawned by
//! it, and ends when [`Shutdown::requested`] does. [`Shutdown::finish`] asks all
//! of them to end and returns when the last one has.

use std::future::Future;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks everyone to stop; does not wait.
    pub fn request(&self) {
        self.token.cancel();
    }

    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Resolves once stopping was asked for.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// Runs `task` in the background; [`Shutdown::finish`] waits for it.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(task)
    }

    /// Asks everyone to stop and waits until all have.
    pub async fn finish(&self) {
        self.request();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Resolves at the first SIGTERM or SIGINT of this process.
pub async fn signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
