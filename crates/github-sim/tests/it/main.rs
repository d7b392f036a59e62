//! What people and products see of the stand-in: one file per journey, with the real git
//! command line and a real receiver of webhooks.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at once")]

mod circumstances;
mod contract;
mod deploy_keys;
mod faults;
mod github;
mod manners;
mod oauth;
mod organizations;
mod program;
mod pull_requests;
mod pushes;
mod releases;
mod rest;
mod webhooks;
