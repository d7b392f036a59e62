//! The blocks of code in docs/: all of them, and the text of one for the test that runs it in
//! place of a copy of its own.

use std::path::{Path, PathBuf};
use std::process::Output;

use tokio::process::Command;

use super::World;

pub struct Block {
    /// Page and line.
    pub at: String,
    pub language: String,
    /// Who runs it, as FILE::NAME; none: `docs.rs`, by what it is.
    pub run_by: Option<String>,
    pub text: String,
}

/// Those of all pages.
pub fn blocks() -> Vec<Block> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let mut pages: Vec<PathBuf> =
        std::fs::read_dir(docs).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.retain(|page| page.extension().is_some_and(|end| end == "md"));
    pages.sort();
    let mut blocks = Vec::new();
    for page in pages {
        let name = page.file_name().unwrap().to_string_lossy().into_owned();
        let mut open: Option<(usize, Block)> = None;
        for (index, line) in std::fs::read_to_string(&page).unwrap().lines().enumerate() {
            let begun = line.trim_start();
            match (begun.strip_prefix("```"), &mut open) {
                (Some(said), None) => {
                    let (language, rest) = said.split_once(' ').unwrap_or((said, ""));
                    let run_by = rest.strip_prefix("run-by: ").map(str::to_owned);
                    assert!(rest.is_empty() || run_by.is_some(), "{name}: what is {rest:?}?");
                    let at = format!("docs/{name}:{}", index + 1);
                    let language = language.to_owned();
                    let block = Block { at, language, run_by, text: String::new() };
                    open = Some((line.len() - begun.len(), block));
                }
                (Some(_), Some(_)) => blocks.extend(open.take().map(|(_, block)| block)),
                // A block in a list is indented as a whole.
                (None, Some((indent, block))) => {
                    block.text += line.get(*indent..).unwrap_or_default();
                    block.text.push('\n');
                }
                (None, None) => {}
            }
        }
    }
    blocks
}

/// The text of the block whose page says `run-by: NAME` behind its language.
pub fn shown(name: &str) -> String {
    let mut found = blocks();
    found.retain(|block| block.run_by.as_deref() == Some(name));
    let [block] = &found[..] else { panic!("docs/ has {} blocks for {name}", found.len()) };
    block.text.clone()
}

/// With what is so in a test in place of what stands on the page, and must stand there.
pub fn as_here(text: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(text.to_owned(), |text, (shown, here)| {
        assert!(text.contains(shown), "there is no {shown:?} in:\n{text}");
        text.replace(shown, here)
    })
}

/// A shell that does what a block says, and ends where something of it fails.
pub fn shell(text: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", text]).stdin(std::process::Stdio::null());
    command.kill_on_drop(true);
    command
}

/// The PATH of a shell that finds the program that is tested, as `kozmic`.
pub fn path() -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_kozmic")).parent().unwrap();
    format!("{}:{}", program.display(), std::env::var("PATH").unwrap())
}

impl World {
    /// Such a shell, with this world's settings.
    pub fn shell(&self, url: &str, text: &str) -> Command {
        let mut command = shell(text);
        command.current_dir(self.folder()).env_clear().env("PATH", path());
        command.envs(self.environment(url.trim_start_matches("http://")));
        command
    }
}

/// What it printed; fails the test when it fails.
pub fn succeeded(output: Output) -> String {
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}{errors}", output.status);
    said
}

/// Whether a page's lines are what was printed: `…` is anything, and numbers, sizes and times are
/// others each time.
pub fn is_as_printed(said: &str, page: &[&str]) {
    let numbers = regex::Regex::new(r"\d+(\\\.\d+)?").unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), page.len(), "{said}");
    for (line, shown) in lines.iter().zip(page) {
        // A command's code.
        if shown.parse::<u8>().is_ok() {
            assert_eq!(line, shown, "{said}");
        }
        let anything = shown.replace("[...]", "\u{1}").replace('…', "\u{2}");
        let pattern = numbers.replace_all(&regex::escape(&anything), r"\d+(\.\d+)?").into_owned();
        let pattern = pattern.replace("MiB", "([KM]iB|B|bytes)");
        let pattern = pattern.replace('\u{1}', r"\[.*\]").replace('\u{2}', ".*");
        let is_like_it = regex::Regex::new(&format!("^{pattern}$")).unwrap().is_match(line);
        assert!(is_like_it, "{line:?} is not {shown:?} in:\n{said}");
    }
}

/// A terminal for what wants one: util-linux's script(1) makes it.
pub fn in_terminal(text: &str) -> Command {
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--flush", "--command", text, "/dev/null"]);
    command.env("SHELL", "/bin/bash").stdin(std::process::Stdio::null()).kill_on_drop(true);
    command
}

pub fn put_program(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
