//! A world for one test: GitHub's stand-in, a server with a data folder of its
//! own, and what a person does with both.

mod behind;
mod checkout;
mod daemon;
mod delivery;
mod disk;
mod engine;
mod installation;
mod machines;
mod mail;
mod podman;
mod postgres;
mod prism;
mod project;
mod proxy;
mod redis;
mod s3;
mod services;
mod shown;
mod sink;
mod sshd;
pub mod tailer;
pub mod terminal;
pub mod trace;
mod visitor;
mod way;
mod world;

use std::time::Duration;

pub use behind::{Tinyproxy, Tls};
pub use checkout::{Checkout, OTHER_ROLE};
pub use daemon::Daemon;
pub use delivery::{push_payload, signature};
pub use disk::TinyDisk;
pub use engine::{
    BASE, CuttableEngine, Registry, address_for_containers, busybox, cached_images, containers_of,
    docker, docker_at, docker_config, engine_host, free_port, is_podman, remove_cached_images,
    remove_images_of_runs, touch, touch_at,
};
pub use installation::{Installation, Shape};
pub use machines::{Machines, Node};
pub use mail::{Mail, MailServer};
pub use postgres::Postgres;
pub use prism::Prism;
pub use project::Project;
pub use proxy::Proxy;
pub use redis::Redis;
pub use s3::S3;
pub use services::{
    cache_folder_volumes, networks_of, postgres_image, remove_cache_folders, web_image,
};
pub use shown::{
    Block, as_here, blocks, in_terminal, is_as_printed, put_program, shell, shown, succeeded,
};
pub use sink::{Received, Sink};
pub use sshd::Sshd;
pub use visitor::{client, cookies, location, post_form};
pub use way::{Cut, Way};
pub use world::{Build, REPOSITORY, Server, World, hook, with_header};

/// Nothing a test waits for takes longer, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(150);
/// Between two looks.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(300);

/// A command as root: as it is, or through sudo, which must not ask.
pub fn as_root(command: &[&str]) -> std::process::Command {
    use std::os::unix::fs::MetadataExt as _;
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let words = if is_root { command.to_vec() } else { [&["sudo", "-n"], command].concat() };
    let mut root = std::process::Command::new(words[0]);
    root.args(&words[1..]);
    root
}

/// Asks again and again until there is an answer; fails the test when there is
/// none in time.
pub async fn eventually<T>(what: &str, ask: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, what, ask).await
}

/// The same, for what takes longer than anything should.
pub async fn eventually_within<T>(
    patience: Duration,
    what: &str,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> T {
    let start = tokio::time::Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        let waited = start.elapsed();
        assert!(waited < patience, "waited {patience:?} in vain for {what}");
        // What takes long is asked for less often, or asking takes what it waits for its time.
        tokio::time::sleep((waited / 8).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)).await;
    }
}
