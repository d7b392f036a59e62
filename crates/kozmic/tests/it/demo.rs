//! `make demo`, the first thing that anybody sees of Kozmic.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

/// Compiled already: the rest of it, to the outcome that it expects.
#[tokio::test(flavor = "multi_thread")]
async fn the_demo_comes_to_the_outcome_that_it_expects() {
    let program = Path::new(env!("CARGO_BIN_EXE_kozmic"));
    let target = program.ancestors().nth(2).unwrap();
    let mut demo = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/demo"));
    demo.arg("--here").env("ONCE", "1").env("CARGO_TARGET_DIR", target);
    let output = demo.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{complained}");
    assert!(said.contains("The outcome is the expected one."), "{said}");
    assert!(said.contains("Its page: http://127.0.0.1:"), "{said}");
}
