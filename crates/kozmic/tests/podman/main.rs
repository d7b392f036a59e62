//! The engine room's journeys once more, word for word, on Podman's socket: docs/podman.md
//! names what differs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test fails by panicking and says why"
)]
#![allow(unreachable_pub, dead_code, unused_imports, reason = "modules of another test binary")]

#[path = "../it/harness/mod.rs"]
mod harness;

#[path = "../it/again.rs"]
mod again;
#[path = "../it/build.rs"]
mod build;
#[path = "../it/cache.rs"]
mod cache;
#[path = "../it/crash.rs"]
mod crash;
#[path = "../it/ends.rs"]
mod ends;
#[path = "../it/scripts.rs"]
mod scripts;

mod blocked;
mod left_files;
mod setup;
mod volumes;
