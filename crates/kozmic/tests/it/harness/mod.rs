//! A world for one test: GitHub's stand-in, a server with a data folder of its
//! own, and what a person does with both.

mod daemon;
mod delivery;
mod disk;
mod engine;
mod postgres;
mod sshd;
pub mod trace;
mod world;

use std::time::Duration;

pub use daemon::Daemon;
pub use delivery::{push_payload, signature};
pub use disk::TinyDisk;
pub use engine::{
    BASE, CuttableEngine, Registry, busybox, containers_of, docker, docker_at, docker_config,
};
pub use postgres::Postgres;
pub use sshd::Sshd;
pub use world::{Build, Server, World, hook};

/// Nothing a test waits for takes longer, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(150);

/// Asks again and again until there is an answer; fails the test when there is
/// none in time.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited {PATIENCE:?} in vain for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
