//! The commands. One file per command: parse, wire the rooms, print.

mod artifacts;
mod audit;
mod backup;
mod between;
#[cfg(test)]
mod book_tests;
mod completions;
mod config;
mod doctor;
mod gc;
mod hooks;
mod memory;
mod migrate;
mod node;
mod project;
mod pull;
mod queue;
mod remote;
mod restore;
mod role;
mod run;
mod secret;
mod secret_key;
mod serve;
mod server;
mod shell;
mod table;
mod token;
mod transfer;
mod try_tree;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::config::Settings;
use crate::engine::{ContainerLimits, Engine, EngineError};
use crate::github::Client;
use crate::log::Logs;
use crate::model::{FullName, Timestamp};
use crate::objects::Objects;
use crate::report_files::ArtifactLimits;
use crate::store::{Project, Store, sqlite_file};
use crate::upkeep::Upkeep;
use crate::worker::{ArtifactRules, Limits};

pub use role::Role;
pub use serve::{serve, serve_as};

/// A self-hosted continuous-integration server for GitHub, powered by Docker.
#[derive(Debug, Parser)]
#[command(name = "kozmic", version, arg_required_else_help = true)]
pub struct Cli {
    /// Settings file; the environment wins over it [default: kozmic.toml, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server: web, worker and reports in one process
    Serve(serve::Command),
    /// Run one job on a local git checkout, without a server
    Run(run::Command),
    /// Run the checkout here on a server, uncommitted changes included; reported to nobody
    Try(try_tree::Command),
    /// Show the settings in force and where they come from, without secrets
    Config(config::Command),
    /// Show who changed what, newest first
    Audit(audit::Command),
    /// Look at everything that a server needs, and say what is wrong and what to do
    Doctor(doctor::Command),
    /// Show what Kozmic has on the disks here, and remove what is beyond the budget
    Gc(gc::Command),
    /// Bring the database up to date and exit
    Migrate,
    /// Copy the database into another, empty one: from SQLite to PostgreSQL, or back
    Move(transfer::Command),
    /// Everything of this installation in one file, made while it runs
    Backup(backup::Command),
    /// Make an installation of a backup, where there is none
    Restore(restore::Command),
    /// Turn GitHub repositories into projects
    #[command(subcommand)]
    Project(project::Command),
    /// A project's hooks as plain files: scripts with a small header
    #[command(subcommand)]
    Hooks(hooks::Command),
    /// The key that tokens and secrets are sealed with
    #[command(subcommand)]
    SecretKey(secret_key::Command),
    /// What a project's scripts are given and nobody is shown
    #[command(subcommand)]
    Secret(secret::Command),
    /// Open a shell in the container of a failed job
    Shell(shell::Command),
    /// Bring the container of a failed job home, as an image of the engine here
    Pull(pull::Command),
    /// API tokens of this server's users
    #[command(subcommand)]
    Token(token::Command),
    /// What a shell needs to complete the commands
    Completions(completions::Command),
    /// Write the manual, a page for each command
    Man(completions::Man),
    #[command(flatten)]
    Remote(remote::Command),
}

/// Runs a command line; an error is one sentence on standard error.
pub fn run() -> ExitCode {
    memory::have_one_arena();
    let cli = Cli::parse();
    let is_run = matches!(cli.command, Command::Run(_) | Command::Try(_));
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            fail(&anyhow::Error::new(error).context("can't start threads"));
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(async {
        let settings = || Settings::load(cli.config.as_deref());
        match cli.command {
            Command::Serve(command) => serve::run(settings()?, &command).await?,
            // Its exit code is the script's.
            Command::Run(command) => return run::run(&settings()?, command).await,
            Command::Try(command) => return try_tree::run(command).await,
            // Nor is this one's.
            Command::Shell(command) => return shell::run(command).await,
            Command::Pull(command) => pull::run(&settings()?, command).await?,
            Command::Config(command) => config::run(settings, &command)?,
            Command::Doctor(command) => {
                let is_well = Box::pin(doctor::run(settings(), &command)).await?;
                return Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
            Command::Audit(command) => audit::run(&settings()?, command).await?,
            Command::Gc(command) => gc::run(&settings()?, &command).await?,
            Command::Migrate => migrate::run(&settings()?).await?,
            Command::Move(command) => transfer::run(&settings()?, command).await?,
            Command::Backup(command) => backup::run(&settings()?, command).await?,
            Command::Restore(command) => restore::run(&settings()?, command).await?,
            Command::Project(command) => project::run(&settings()?, command).await?,
            Command::Hooks(command) => hooks::run(&settings()?, command).await?,
            Command::SecretKey(command) => secret_key::run(&settings()?, command).await?,
            Command::Token(command) => token::run(&settings()?, command).await?,
            Command::Completions(command) => completions::run(&command)?,
            Command::Man(command) => completions::man(&command)?,
            // They talk to a server and need none of this machine's settings.
            Command::Secret(command) => secret::run(command).await?,
            Command::Remote(command) => remote::run(command).await?,
        }
        Ok(ExitCode::SUCCESS)
    });
    match done {
        Ok(code) => code,
        Err(error) => {
            fail(&error);
            // A script may end with 1, but not with this.
            ExitCode::from(if is_run { 125 } else { 1 })
        }
    }
}

#[allow(clippy::print_stderr, reason = "the errors of commands are for people at a terminal")]
fn fail(error: &anyhow::Error) {
    // The causes in one sentence; a cause that its error has told already is not repeated.
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    eprintln!("kozmic: {text}");
}

/// What a command was asked for goes to standard output.
fn say(text: &str) {
    // A reader that has enough (`| head`) is no error, and what was done is done.
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            fail(&anyhow::Error::new(error).context("the answer can't be written"));
            std::process::exit(1);
        }
        _ => {}
    }
}

/// Makes the data folder, and the database's, where there is none.
fn make_data_dir(settings: &Settings) -> anyhow::Result<()> {
    let data_dir = &settings.data_dir;
    std::fs::create_dir_all(data_dir)
        .with_context(|| format!("the data folder {} can't be made", data_dir.display()))?;
    // Tells a folder that can't be written from a broken database.
    tempfile::tempfile_in(data_dir)
        .with_context(|| format!("the data folder {} can't be written", data_dir.display()))?;
    let folder = sqlite_file(&settings.database_url).and_then(std::path::Path::parent);
    if let Some(folder) = folder {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("the database's folder {} can't be made", folder.display()))?;
    }
    Ok(())
}

/// Opens the store of these settings, up to date, made where there is none.
async fn open_store(settings: &Settings) -> anyhow::Result<Store> {
    make_data_dir(settings)?;
    connect_store(settings).await
}

/// As [`open_store`], where the data folder is there already.
async fn connect_store(settings: &Settings) -> anyhow::Result<Store> {
    secret_key::open(settings).await
}

/// The engine of these settings; `instance` labels all that is made there.
async fn connect_engine(settings: &Settings, instance: &str) -> Result<Engine, EngineError> {
    let engine = Engine::connect(settings.docker_host.as_deref(), instance).await?;
    Ok(engine.with_network_pool(settings.beside.network_pool))
}

/// Artifacts of one job.
const ARTIFACT_FILES: usize = 10_000;

/// Where the logs of these settings lie.
fn open_logs(settings: &Settings) -> anyhow::Result<Logs> {
    Ok(Logs::new(&settings.data_dir, Objects::open(&settings.objects, &settings.data_dir)?))
}

/// What holds for a job whose hook asks for nothing else.
fn limits(settings: &Settings) -> Limits {
    Limits {
        stall: settings.stall_timeout,
        job: settings.job_timeout,
        log: settings.log_limit,
        cache_folder: settings.beside.cache_folder_limit,
        container: ContainerLimits {
            memory: settings.memory_limit,
            cpus: None,
            pids: settings.pids_limit,
        },
    }
}

fn artifact_rules(settings: &Settings) -> ArtifactRules {
    ArtifactRules {
        limits: ArtifactLimits { bytes: settings.artifacts.limit, files: ARTIFACT_FILES },
        project: settings.artifacts.project_limit,
        age: settings.artifacts.age,
    }
}

fn upkeep(settings: &Settings, store: &Store) -> anyhow::Result<Upkeep> {
    Ok(Upkeep {
        store: store.clone(),
        github: Client::new(&settings.github_api_url, &settings.trust)?,
        public_url: settings.page_url(""),
    })
}

async fn find_project(store: &Store, name: &FullName) -> anyhow::Result<Project> {
    store.project_by_name(name).await?.with_context(|| {
        format!("{name} is not a project; add it with `kozmic project add {name}`")
    })
}

fn now() -> Timestamp {
    Timestamp::now()
}
