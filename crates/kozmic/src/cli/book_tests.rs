//! The documentation is held to the program: its commands are ones that the command line
//! takes, its hooks and settings ones that can be read, its links lead somewhere, and the
//! functions that it names exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory as _;

use super::{Cli, hooks};
use crate::config::Settings;

/// One block of code, of a page.
struct Block {
    at: String,
    language: String,
    text: String,
}

impl Block {
    fn has_commands(&self) -> bool {
        let has_prompts = self.text.lines().any(|line| line.starts_with("$ "));
        (self.language == "sh" || has_prompts) && !self.is_hook()
    }

    fn is_hook(&self) -> bool {
        self.text.starts_with("#!") && self.text.contains("# kozmic: title")
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every page for users, by its path from the root.
fn pages() -> Vec<(String, String)> {
    let mut names: Vec<String> = fs::read_dir(root().join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| Path::new(name).extension().is_some_and(|end| end == "md"))
        .map(|name| format!("docs/{name}"))
        .collect();
    names.push("README.md".into());
    names.sort();
    assert!(names.len() > 20, "{names:?}");
    names
        .into_iter()
        .map(|name| {
            let text = fs::read_to_string(root().join(&name)).unwrap();
            (name, text)
        })
        .collect()
}

fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    for (page, text) in pages() {
        let mut open: Option<Block> = None;
        for (number, line) in text.lines().enumerate() {
            match (line.trim_start().strip_prefix("```"), &mut open) {
                (Some(said), None) => {
                    let at = format!("{page}:{}", number + 1);
                    // Behind it may stand why it is not run.
                    let language = said.split(' ').next().unwrap_or_default().to_owned();
                    let text = String::new();
                    open = Some(Block { at, language, text });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (None, Some(block)) => {
                    block.text += line;
                    block.text.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{page} ends within a block");
    }
    blocks
}

/// The arguments of each call of `kozmic` in a block, as a shell takes it apart. It finds no
/// other program, so nothing else happens.
fn calls(block: &Block) -> Vec<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    for name in ["token", "other-token"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    let has_prompts = block.text.lines().any(|line| line.starts_with("$ "));
    let lines: Vec<&str> = block
        .text
        .lines()
        .filter_map(|line| if has_prompts { line.strip_prefix("$ ") } else { Some(line) })
        .collect();
    let lines = lines.join("\n");
    // Printed as one line of words with a unit separator between, for each call.
    let stub = "kozmic() { { for word; do printf '%s\\037' \"$word\"; done; echo; } >>calls; }\n";
    let done = Command::new("/bin/sh")
        .args(["-c", &format!("{stub}{lines}\nwait")])
        .current_dir(folder.path())
        .env_clear()
        .env("PATH", "/nonexistent")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(!said.contains("yntax error"), "{}: {said}", block.at);
    let calls = fs::read_to_string(folder.path().join("calls")).unwrap_or_default();
    calls.lines().map(|line| line.split_terminator('\u{1f}').map(str::to_owned).collect()).collect()
}

#[test]
fn each_command_shown_is_one_that_is_taken() {
    let (mut seen, mut commands) = (0, BTreeSet::new());
    for block in blocks().iter().filter(|block| block.has_commands()) {
        let calls = calls(block);
        let is_called = block.text.lines().any(|line| {
            let line = line.strip_prefix("$ ").unwrap_or(line);
            // Variables may be set before it.
            let mut words = line.split_whitespace().skip_while(|word| word.contains('='));
            words.next() == Some("kozmic")
        });
        assert!(!is_called || !calls.is_empty(), "{}: no call of it is understood", block.at);
        for call in calls {
            let words = std::iter::once("kozmic".to_owned()).chain(call.iter().cloned());
            // The variables that name a server are set earlier in a page.
            let server = ["--server", "https://ci.example.org", "--token", "kozmic_x"];
            let with_server = words.clone().chain(server.map(str::to_owned));
            let taken = Cli::command()
                .try_get_matches_from(words)
                .or_else(|_| Cli::command().try_get_matches_from(with_server));
            if let Err(error) = taken {
                panic!("{}: kozmic {}: {error}", block.at, call.join(" "));
            }
            commands.insert(call[0].clone());
            seen += 1;
        }
    }
    assert!(seen > 30, "only {seen} commands were found");
    for known in ["serve", "run", "try", "shell", "pull", "queue", "gc", "doctor", "secret"] {
        assert!(commands.contains(known), "{known} is in no page: {commands:?}");
    }
}

#[test]
fn each_hook_shown_is_one_that_apply_takes() {
    let mut seen = 0;
    for block in blocks().iter().filter(|block| block.is_hook()) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("shown.sh"), &block.text).unwrap();
        let read = hooks::files::read(folder.path());
        assert!(read.is_ok(), "{}: {:#}", block.at, read.unwrap_err());
        seen += 1;
    }
    assert!(seen >= 10, "only {seen} hooks were found");
}

#[test]
fn each_setting_named_exists() {
    let known: BTreeSet<&str> =
        crate::config::SETTINGS.iter().map(|setting| setting.name).collect();
    for (page, text) in pages() {
        // What scripts are given, what clients are told, and what is only spoken of.
        let others = ["KOZMIC_JOB_", "KOZMIC_BUILD_", "KOZMIC_SERVER", "KOZMIC_TOKEN"];
        for name in text.split(|c: char| !c.is_ascii_uppercase() && c != '_') {
            let Some(rest) = name.strip_prefix("KOZMIC_") else { continue };
            let plain = name.strip_suffix("_FILE").unwrap_or(name);
            let is_known = known.contains(plain)
                || known.contains(format!("KOZMIC_{rest}").as_str())
                || others.iter().any(|other| name.starts_with(other))
                || ALSO_VARIABLES.contains(&name)
                || page == "docs/internals.md";
            assert!(is_known, "{page} names {name}, which is no setting");
        }
    }
    for block in blocks().iter().filter(|block| block.language == "toml") {
        if block.text.starts_with('[') {
            continue; // of another program
        }
        let read = Settings::from_parts(&[], Some(("kozmic.toml".as_ref(), &block.text)));
        assert!(read.is_ok(), "{}: {:?}", block.at, read.err());
    }
}

/// Variables that are no settings: of the programs' output, of scripts and of commands.
const ALSO_VARIABLES: [&str; 6] = [
    "KOZMIC_LOG",
    "KOZMIC_CONFIG",
    "KOZMIC_NEW_SECRET_KEY",
    "KOZMIC_ARTIFACTS",
    "KOZMIC_REPORTS",
    "KOZMIC_",
];

#[test]
fn each_link_leads_to_a_page_that_is_in_the_book() {
    let contents = fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    for (page, text) in pages() {
        if let Some(name) = page.strip_prefix("docs/").filter(|name| *name != "SUMMARY.md") {
            assert!(contents.contains(&format!("({name})")), "{page} is not in docs/SUMMARY.md");
        }
        let folder = root().join(&page);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") || path.contains(' ') {
                continue;
            }
            assert!(folder.with_file_name(path).exists(), "{page} links to {link}");
        }
    }
}

/// In a cell like `` `store/jobs.rs`: `job_finished`, `jobs_of` `` the file has those names.
#[test]
fn what_the_internals_name_exists() {
    let text = fs::read_to_string(root().join("docs/internals.md")).unwrap();
    let mut seen = 0;
    for part in text.split(['|', ';']) {
        let mut quoted = part.split('`').skip(1).step_by(2);
        let mut file: Option<String> = None;
        for name in quoted.by_ref() {
            if Path::new(name).extension().is_some_and(|end| end == "rs") {
                let path = root().join("crates/kozmic/src").join(name);
                file = Some(fs::read_to_string(&path).unwrap_or_else(|_| panic!("no {name}")));
            } else if let Some(source) = &file
                && part.contains(&format!(": `{name}`"))
            {
                let is_there = ["fn ", "struct ", "enum ", "type "]
                    .iter()
                    .any(|kind| source.contains(&format!("{kind}{name}")))
                    || source.contains(&format!("    {name}")); // made by a macro
                assert!(is_there, "docs/internals.md: {name} is not where `{part}` says");
            }
            seen += 1;
        }
    }
    assert!(seen > 100, "only {seen} names were found");
}

/// Each defence names the test that shows it: a file, or one function of it.
#[test]
fn each_defence_is_shown_by_a_test_that_exists() {
    let text = fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    let mut seen = 0;
    for name in text.split('`').skip(1).step_by(2).filter(|name| name.contains("::")) {
        let (file, function) = name.split_once("::").unwrap();
        let path = root().join(format!("crates/kozmic/tests/it/{file}.rs"));
        let source = fs::read_to_string(&path).unwrap_or_else(|_| panic!("no test {name}"));
        assert!(source.contains(&format!("async fn {function}")), "no test {name}");
        seen += 1;
    }
    assert!(seen > 25, "only {seen} tests are named");
}
