//! How much `kozmic run` adds to a trivial script, beside a bare `docker run --rm`
//! of the same script in the same minute.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::figures::Figure;
use crate::timing;

const BASE: &str = "kozmic/debian:bookworm";
const RUNS: usize = 20;

fn timed(command: &mut Command) -> Duration {
    let started = Instant::now();
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout, b"done\n");
    started.elapsed()
}

fn git(folder: &Path, arguments: &[&str]) {
    let identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"];
    let mut git = Command::new("git");
    assert!(git.current_dir(folder).args(identity).args(arguments).status().unwrap().success());
}

pub fn main() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("build.sh"), "#!/bin/sh\necho done\n").unwrap();
    git(folder.path(), &["init", "--quiet"]);
    git(folder.path(), &["add", "--all"]);
    git(folder.path(), &["commit", "--quiet", "--message", "First"]);
    let ours = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kozmic"));
        command.args(["run", "--image", BASE, "--build", "build.sh"]);
        timed(command.current_dir(folder.path()))
    };
    let bare =
        || timed(Command::new("docker").args(["run", "--rm", BASE, "/bin/sh", "-c", "echo done"]));
    ours();
    bare();
    let (ours, bare): (Vec<_>, Vec<_>) = (0..RUNS).map(|_| (ours(), bare())).unzip();
    let mut rows = [("kozmic run", ours), ("docker run --rm", bare)];
    let medians = timing::table(&format!("{RUNS} runs in turn"), &mut rows);
    Figure::times("run", "`kozmic run` of a trivial script", &rows[0].1)
        .beside("docker run --rm", &rows[1].1)
        .write();
    println!("ratio of the medians: {:.2}", medians[0] / medians[1]);
}
