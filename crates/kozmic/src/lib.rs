//! Kozmic: a self-hosted continuous-integration server for GitHub, powered by Docker.
//!
//! The map, top floor first. A room imports only from the floors below it, as
//! `tests/layout.rs` checks; ARCHITECTURE.md follows one push through all of them.

pub mod cli; // commands: parse, wire the rooms, print

pub mod intake; // a verified delivery, or one that never came → what to build
pub mod report; // outbox → GitHub, mails, webhooks
pub mod schedule; // what happens by the clock → builds
pub mod upkeep; // projects in step with GitHub: hooks, keys, members
pub mod web; // HTTP in; HTML, JSON and sockets out
pub mod worker; // claim → execute → finish

pub mod backup; // what a backup is as a file: written, read, checked
pub mod engine; // containers and images, through Docker's API
pub mod github; // GitHub's words and wires
pub mod log; // the bytes of a run: append, follow, keep, render
pub mod rates; // how often somebody may ask
pub mod report_files; // what a script left behind: read, limited, kept
pub mod source; // git: one commit onto this disk
pub mod store; // all SQL
pub mod terminal; // where who looks into a failed job meets its worker
pub mod trees; // a work tree that somebody sends: packed, checked, kept, unpacked

pub mod config; // settings, from the environment and a file
pub mod model; // the vocabulary as types
pub mod objects; // what is kept for good: a folder, or S3
pub mod relay; // what passes between processes, over Redis
pub mod seal; // encryption at rest
pub mod shutdown; // one stop signal, one wait
pub mod telemetry; // what an operator watches: log, numbers, traces, errors
