//! `kozmic run`: one job on a local checkout, without a server.

mod beside;

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;

use self::beside::Beside;
use super::{connect_engine, limits, secret};
use crate::config::Settings;
use crate::log::{Masked, Masks, Sink as _, Streams};
use crate::model::{
    Collected, DockerImage, ErrorKind, InstallFrom, Invalid, JobEnd, JobUuid, KnownImages,
    NoNewPrivileges, Script, SecretName, TestCounts, TrackedPath, parse_variable,
};
use crate::report_files::{ArtifactLimits, Shelf};
use crate::shutdown;
use crate::source::LocalTree;
use crate::worker::{
    CacheKeeper, CacheScope, Install, Outcome, Progress, Stop, Work, collect, execute,
    folder_variables,
};

/// What labels containers and images that no server owns.
const INSTANCE: &str = "local";

#[derive(Debug, Args)]
pub(super) struct Command {
    /// The image to run in
    #[arg(long, default_value = "kozmic/debian:bookworm")]
    image: DockerImage,
    /// Install script; what it leaves is kept as an image until an input changes
    #[arg(long, value_name = "FILE")]
    install: Option<PathBuf>,
    /// A path in the checkout whose change makes the install script run again
    #[arg(long, value_name = "PATH")]
    track: Vec<TrackedPath>,
    /// Where the install script starts: from the image (base), or from the cached image
    /// whose inputs are nearest (nearest)
    #[arg(long, value_name = "base|nearest", default_value = "base", hide_default_value = true)]
    install_from: InstallFrom,
    /// Whether no script (yes), or not the build script (build), may become another user, as
    /// by sudo
    #[arg(long, value_name = "no|build|yes", default_value = "no", hide_default_value = true)]
    no_new_privileges: NoNewPrivileges,
    /// Build script
    #[arg(long, value_name = "FILE")]
    build: PathBuf,
    /// A variable of the scripts; may be repeated
    #[arg(long, value_name = "K=V", value_parser = parse_variable)]
    env: Vec<(String, String)>,
    /// Put what the script leaves in /kozmic/artifacts into this folder
    #[arg(long, value_name = "DIR")]
    artifacts: Option<PathBuf>,
    /// A variable of the scripts that is not shown: the content of a file, without a last
    /// line end. May be repeated
    #[arg(long, value_name = "NAME=PATH", value_parser = parse_secret_file)]
    secret_file: Vec<(SecretName, PathBuf)>,
    #[command(flatten)]
    beside: Beside,
    /// Leave out what is not committed
    #[arg(long)]
    committed: bool,
    /// A git checkout
    #[arg(default_value = ".")]
    dir: PathBuf,
}

/// The script's return code; 125 when Kozmic or the engine failed.
pub(super) async fn run(settings: &Settings, command: Command) -> anyhow::Result<ExitCode> {
    let engine = connect_engine(settings, INSTANCE);
    let (tree, engine) = tokio::join!(LocalTree::open(&command.dir), engine);
    let (tree, engine) = (tree?, engine?);
    let folder = tempfile::Builder::new()
        .prefix("kozmic-run-")
        .tempdir()
        .context("a folder for the checkout")?;
    let folders = command.beside.folders(&engine, &command.dir, settings.beside.cache_folder_limit);
    let work = Work { folders: folders.await?, ..work(settings, &command, &tree)? };
    let masks = Masks::new(work.secrets.values().map(ExposeSecret::expose_secret))?;
    let checkout_path = folder.path().join("src");
    let checkout = tree.copy(&checkout_path, command.committed);
    let progress = Spinner::new();
    let log = Streams::new(std::io::stdout(), AboveSpinner(progress.0.clone()));
    let mut log = Masked::new(log, masks.clone());
    let stop = stop_on_signal();
    let tell = |step: Progress| progress.tell(&step);
    let outcome = execute(&engine, &work, checkout, &mut log, &tell, stop).await;
    progress.end();
    let outcome = outcome.and_then(|outcome| log.settle().map(|()| outcome));
    let end = match outcome {
        Ok(Outcome::Ended(end)) => end,
        Ok(Outcome::Stopped(_) | Outcome::Unattended) => JobEnd::Cancelled("by a signal".into()),
        // The reader of a pipe went away: nobody wants the rest.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            JobEnd::Cancelled("nobody reads its output any more".into())
        }
        Err(error) => {
            JobEnd::Error(ErrorKind::Internal, format!("the output can't be written: {error}"))
        }
    };
    let shelf = command.artifacts.clone().map(Shelf::Folder);
    let limits = ArtifactLimits { bytes: u64::MAX, files: usize::MAX };
    let shelf = shelf.as_ref().map(|shelf| (shelf, limits));
    // What can't be taken changes no script's return code.
    match collect(&engine, (work.job, work.attempt), &masks, shelf).await {
        Ok(Some(collected)) => tell_collected(&collected)?,
        Ok(None) => {}
        Err(error) => writeln!(std::io::stderr(), "kozmic: what it left was not taken: {error}")?,
    }
    if let Err(error) = command.beside.keep_logs(&engine, &work, &masks).await {
        writeln!(std::io::stderr(), "kozmic: the services' logs are not kept: {error:#}")?;
    }
    for words in beside::clean_up(&engine, &work).await? {
        log.note(&words)?;
    }
    if !matches!(end, JobEnd::Exited(_)) {
        log.note(&end.to_string())?;
    }
    Ok(ExitCode::from(end.exit_code()))
}

/// The tests that failed, how many there were, and what was left out.
fn tell_collected(collected: &Collected) -> std::io::Result<()> {
    let mut out = std::io::stderr();
    let counts = TestCounts::of(&collected.cases);
    for case in collected.cases.iter().filter(|case| case.outcome.is_bad()) {
        let class = if case.class.is_empty() { &case.suite } else { &case.class };
        let message = case.message.lines().next().unwrap_or_default();
        writeln!(out, "kozmic: {} {class} {}: {message}", case.outcome, case.name)?;
    }
    if counts.total() > 0 {
        writeln!(out, "kozmic: {counts}")?;
    }
    for note in &collected.notes {
        writeln!(out, "kozmic: {note}")?;
    }
    for artifact in &collected.artifacts {
        writeln!(out, "kozmic: artifact {}", artifact.path)?;
    }
    Ok(())
}

fn work(settings: &Settings, command: &Command, tree: &LocalTree) -> anyhow::Result<Work> {
    let mut env: Vec<(String, String)> = [
        ("CI", "true"),
        ("KOZMIC", "true"),
        ("TERM", "xterm"),
        ("KOZMIC_BUILD_SHA", tree.sha.as_str()),
        ("KOZMIC_BUILD_REF", tree.branch.as_deref().unwrap_or_default()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    env.extend(command.env.clone());
    env.extend(folder_variables());
    let install = match &command.install {
        Some(path) => Some(Install {
            script: read_script(path)?,
            tracked: command.track.clone(),
            env: env.clone(),
            variables: BTreeMap::new(),
            hook: path.display().to_string(),
            scope: CacheScope::new("local", None),
            from: command.install_from,
            known: KnownImages::default(),
        }),
        None => None,
    };
    Ok(Work {
        job: JobUuid::random(),
        attempt: 1,
        image: command.image.clone(),
        install,
        build_script: read_script(&command.build)?,
        env,
        secrets: read_secrets(&command.secret_file)?,
        limits: limits(settings),
        no_new_privileges: command.no_new_privileges,
        services: command.beside.services()?,
        service_limits: limits(settings).container,
        folders: Vec::new(),
        spent: std::time::Duration::ZERO,
        decided: None,
        cache: CacheKeeper::new(settings.cached_images_limit),
    })
}

fn read_script(path: &Path) -> anyhow::Result<Script> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("the script {} can't be read", path.display()))?;
    Script::parse(&text).with_context(|| path.display().to_string())
}

fn parse_secret_file(text: &str) -> Result<(SecretName, PathBuf), Invalid> {
    let (name, path) = text.split_once('=').ok_or_else(|| Invalid::new("write it as NAME=PATH"))?;
    Ok((name.parse()?, path.into()))
}

fn read_secrets(files: &[(SecretName, PathBuf)]) -> anyhow::Result<BTreeMap<String, SecretString>> {
    let mut secrets = BTreeMap::new();
    for (name, path) in files {
        let value = secret::read(path).with_context(|| name.to_string())?;
        if secrets.insert(name.to_string(), value.expose().into()).is_some() {
            bail!("the secret {name} was given twice");
        }
    }
    Ok(secrets)
}

/// Ctrl-C cancels: SIGTERM for the script, and 10 s later SIGKILL.
fn stop_on_signal() -> watch::Receiver<Option<Stop>> {
    let (sender, stop) = watch::channel(None);
    tokio::spawn(async move {
        if shutdown::signal().await.is_ok() {
            sender.send_replace(Some(Stop::Cancel("by a signal".into())));
        }
        // A sender that is gone would look as if nobody could ask any more.
        std::future::pending::<()>().await;
    });
    stop
}

/// Standard error, with the spinner out of the way.
struct AboveSpinner(ProgressBar);

impl std::io::Write for AboveSpinner {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.suspend(|| std::io::stderr().write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// What happens before the script writes, on a terminal only.
struct Spinner(ProgressBar);

impl Spinner {
    fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        Self(bar)
    }

    fn tell(&self, step: &Progress) {
        match step {
            Progress::Prepares(words) => {
                self.0.set_message(words.clone());
                self.0.enable_steady_tick(std::time::Duration::from_millis(120));
            }
            Progress::Begins(_)
            | Progress::Over(_)
            | Progress::Install(_)
            | Progress::Installed(_) => {}
            // From here on the terminal is the script's.
            Progress::Installs(_) | Progress::Builds(_) | Progress::Ends(_) => {
                self.0.finish_and_clear();
            }
        }
    }

    fn end(&self) {
        self.0.finish_and_clear();
    }
}
