//! The program, as scripts use it.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
};

struct Program {
    child: Child,
    url: String,
}

impl Program {
    fn start(root: &std::path::Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_github-sim"))
            .args(["serve", "--listen", "127.0.0.1:0", "--root"])
            .arg(root)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        Self { child, url: line.trim().to_owned() }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_github-sim"))
            .args(arguments)
            .args(["--server", &self.url])
            .output()
            .unwrap()
    }

    fn said(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_script_makes_a_repository_pushes_and_looks() {
    let folder = tempfile::tempdir().unwrap();
    let mut github = Program::start(&folder.path().join("github"));
    assert!(github.said(&["user", "add", "alice"]).starts_with("ghp_"));
    github.said(&["repo", "add", "alice/site"]);
    let app = github.said(&["oauth-app", "add", "CI", "http://127.0.0.1/_auth/"]);
    assert!(
        app.split_once('\t')
            .is_some_and(|(id, secret)| id.starts_with("Ov23li") && secret.len() == 40)
    );
    let sha = github.said(&["push", "alice/site", "--as", "alice", "--write", "README=one"]);
    assert_eq!(sha.len(), 40);
    github.said(&[
        "push",
        "alice/site",
        "--as",
        "alice",
        "--branch",
        "change",
        "--write",
        "a=1",
        "b=2",
    ]);
    let pull =
        ["pull-request", "alice/site", "--as", "alice", "--head", "change", "--title", "A change"];
    assert_eq!(github.said(&pull), "1");
    github.said(&["user", "add", "bob"]);
    assert_eq!(github.said(&["fork", "alice/site", "--as", "bob"]), "bob/site");
    assert_eq!(github.said(&["statuses", "alice/site", &sha, "--latest"]), "");
    assert_eq!(github.said(&["deliveries", "alice/site"]), "");

    let refused = github.run(&["user", "add", "alice"]);
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&refused.stderr),
        "github-sim: There is a user alice already\n"
    );
    let id = github.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert!(github.child.wait().unwrap().success());
}
