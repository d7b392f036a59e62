//! Kozmic as its users see it: a real server, real git, a real engine, and a
//! GitHub with state. One file per journey; each test has a world of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test fails by panicking and says why"
)]
#![allow(unreachable_pub, reason = "modules of a test binary")]

mod harness;
#[path = "../../benches/million/mod.rs"]
#[allow(dead_code, reason = "the bench of pages reads more of it")]
mod million;

mod administration;
mod again;
mod air_gapped;
mod api;
mod archived;
mod artifacts;
mod asked;
mod at_once;
mod audit;
mod backup;
mod badge;
mod behind_proxy;
mod bounds;
mod build;
mod cache;
mod cache_folders;
mod cached_images;
mod cli;
mod completions;
mod compose;
mod contained;
mod crash;
mod demo;
mod disk;
mod docs;
mod doctor;
mod doors;
mod ends;
mod engine_lost;
mod enterprise;
mod examples;
mod faults;
mod find;
mod floods;
mod forks;
mod guide;
mod hook;
mod hook_editor;
mod image;
mod installed;
mod job_networks;
mod kept_logs;
mod large_files;
mod limits;
mod live;
mod log_view;
mod logins;
mod logs;
mod look_inside;
mod machine_faults;
mod mails;
mod many_machines;
mod metrics;
mod namesake;
mod nginx;
mod order;
mod pace;
mod package;
mod pages;
mod people;
mod phases;
mod prism;
mod private;
mod pulled;
mod reconcile;
mod reports;
mod repositories;
mod run;
mod schedules;
mod scripts;
mod secret_key;
mod secrets;
mod secrets_kept;
mod services;
mod shapes;
mod signin;
mod start;
mod store;
mod store_asked;
mod store_at_once;
mod store_audit;
mod store_kept;
mod store_listen;
mod store_logs;
mod store_machines;
mod store_order;
mod store_pages;
mod store_plans;
mod store_queue;
mod store_secrets;
mod store_wanted;
mod store_work;
mod synced;
mod systemd;
mod test_reports;
mod tokens;
mod transfer;
mod try_tree;
mod turn_on;
mod upgrade;
mod upkeep;
mod variables;
mod viewers;
mod wanted;
mod webhooks_out;
