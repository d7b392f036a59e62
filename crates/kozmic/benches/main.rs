//! What `make bench` measures on release code: those whose names are given, or each in turn, in
//! a process of its own. One program, because a release takes minutes to link.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::format_collect,
    unreachable_pub,
    dead_code,
    unused_imports,
    reason = "measurements, with the tests' harness"
)]

mod figures;
mod first_line;
#[path = "../tests/it/harness/mod.rs"]
mod harness;
mod latency;
mod log_open;
mod log_throughput;
mod million;
mod pages;
mod process;
mod queue;
mod run;
mod timing;
mod upload;
mod viewers;
mod webhooks;

use std::process::{Command, ExitCode};

const ALL: [(&str, fn()); 9] = [
    ("first_line", first_line::main),
    ("log_open", log_open::main),
    ("log_throughput", log_throughput::main),
    ("pages", pages::main),
    ("queue", queue::main),
    ("run", run::main),
    ("upload", upload::main),
    ("viewers", viewers::main),
    ("webhooks", webhooks::main),
];

fn main() -> ExitCode {
    // Cargo says `--bench` to all of them.
    let mut names: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let all = ALL.map(|(name, _)| name);
    if let Some(unknown) = names.iter().find(|name| !all.contains(&name.as_str())) {
        eprintln!("nothing is measured by the name {unknown:?}, but by {}", all.join(", "));
        return ExitCode::FAILURE;
    }
    if let [name] = &names[..] {
        let (_, measure) = ALL.iter().find(|(known, _)| known == name).unwrap();
        measure();
        return ExitCode::SUCCESS;
    }
    if names.is_empty() {
        names = all.map(str::to_owned).to_vec();
    }
    let mut has_failed = false;
    for name in names {
        println!("== {name}");
        // Its memory is measured, and what one leaves is not the next one's.
        let measured = Command::new(std::env::current_exe().unwrap()).arg(name).status().unwrap();
        has_failed |= !measured.success();
    }
    ExitCode::from(u8::from(has_failed))
}
