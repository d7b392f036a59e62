//! `kozmic completions` and `kozmic man`: what shells and manuals know of the commands.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Cli;

#[derive(Debug, Args)]
pub(super) struct Command {
    /// Which one
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct Man {
    /// The folder for the pages, like /usr/local/share/man/man1; made when it is not there
    folder: PathBuf,
}

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(command.shell, &mut Cli::command(), "kozmic", &mut script);
    std::io::stdout().write_all(&script).context("the script can't be written")
}

pub(super) fn man(command: &Man) -> anyhow::Result<()> {
    let folder = &command.folder;
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .with_context(|| format!("the manual can't be written to {}", folder.display()))
}
