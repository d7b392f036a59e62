//! What shells and `man` are told of the commands.

use std::path::Path;
use std::process::{Command, Output};

use crate::cli::printed;

fn kozmic(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kozmic")).args(arguments).output().unwrap()
}

/// The commands that `kozmic --help` lists.
fn commands() -> Vec<String> {
    let help = printed(&kozmic(&["--help"]));
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    let names = listed.filter_map(|line| line.split_whitespace().next()).map(str::to_owned);
    let names: Vec<String> = names.filter(|name| name != "help").collect();
    assert!(names.len() > 20 && names.contains(&"backup".to_owned()), "{names:?}");
    names
}

/// What bash offers after these words.
fn offered(script: &Path, words: &[&str]) -> String {
    let ask = "source \"$1\"; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
               _kozmic kozmic \"${COMP_WORDS[-1]}\" \"${COMP_WORDS[-2]}\"; echo \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", ask, "bash"]).arg(script).args(words);
    printed(&bash.output().unwrap()).trim().to_owned()
}

#[test]
fn shells_complete_every_command() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&kozmic(&["completions", shell]));
        for name in commands() {
            assert!(script.contains(&name), "{shell} does not know {name}");
        }
        std::fs::write(folder.path().join(shell), script).unwrap();
    }
    let bash = folder.path().join("bash");
    let parsed = Command::new("bash").arg("-n").arg(&bash).output().unwrap();
    assert!(parsed.status.success() && parsed.stderr.is_empty(), "{parsed:?}");
    assert_eq!(offered(&bash, &["kozmic", "back"]), "backup");
    assert_eq!(offered(&bash, &["kozmic", "backup", "--with"]), "--with-key");
    assert_eq!(offered(&bash, &["kozmic", "hooks", "app"]), "apply");
}

#[test]
fn the_manual_has_a_page_of_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let man = folder.path().join("man1");
    printed(&kozmic(&["man", man.to_str().unwrap()]));
    let mut names = commands();
    names.push("hooks-apply".into());
    for name in names {
        let page = man.join(format!("kozmic-{name}.1"));
        assert!(page.exists(), "{}", page.display());
    }
    let first = std::fs::read_to_string(man.join("kozmic.1")).unwrap();
    for name in commands() {
        assert!(first.contains(&name.replace('-', "\\-")), "{name} is not in kozmic.1");
    }
    let pages: Vec<_> = std::fs::read_dir(&man).unwrap().map(|page| page.unwrap().path()).collect();
    for page in pages {
        let mut shown = Command::new("man");
        shown.arg("--warnings").arg("--local-file").arg(&page);
        // So wide that every line fits.
        shown.env("LC_ALL", "C.UTF-8").env("MANPAGER", "cat").env("MANWIDTH", "400");
        let shown = shown.output().unwrap();
        assert!(shown.status.success() && shown.stderr.is_empty(), "{}: {shown:?}", page.display());
        assert!(shown.stdout.windows(4).any(|four| four == b"NAME"), "{}", page.display());
    }
}
