//! The stand-in as a program: `github-sim serve`, and commands that act upon a running one.

use std::{convert::Infallible, path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use github_sim::client::{FileChange, Push, Sim, Status};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

/// A stand-in for GitHub with state: people push, it delivers signed webhooks and keeps statuses.
#[derive(Parser)]
#[command(name = "github-sim", version)]
struct Cli {
    /// The running stand-in to act upon.
    #[arg(long, global = true, env = "GITHUB_SIM_SERVER", default_value = "http://127.0.0.1:4020")]
    server: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve a new, empty GitHub until SIGINT or SIGTERM.
    Serve {
        /// Address and port; port 0 takes a free one.
        #[arg(long, default_value = "127.0.0.1:4020")]
        listen: String,
        /// Folder for the repositories; made when missing, must be empty.
        #[arg(long)]
        root: PathBuf,
    },
    /// Users.
    #[command(subcommand)]
    User(UserCommand),
    /// Repositories.
    #[command(subcommand)]
    Repo(RepoCommand),
    /// Commit and push as a person would; prints the id of the commit.
    Push(PushArgs),
    /// Open a pull request; prints its number.
    PullRequest {
        #[arg(value_name = "OWNER/NAME")]
        repository: String,
        /// Who opens it.
        #[arg(long = "as", value_name = "LOGIN")]
        login: String,
        /// BRANCH, or OWNER:BRANCH in a fork.
        #[arg(long)]
        head: String,
        #[arg(long, default_value = "main")]
        base: String,
        #[arg(long)]
        title: String,
        #[arg(long, default_value = "")]
        body: String,
    },
    /// Fork a repository; prints the fork's full name.
    Fork {
        #[arg(value_name = "OWNER/NAME")]
        repository: String,
        /// Into whose account.
        #[arg(long = "as", value_name = "LOGIN")]
        login: String,
    },
    /// Statuses of a commit, newest first: state, context, description and URL between tabs.
    Statuses {
        #[arg(value_name = "OWNER/NAME")]
        repository: String,
        sha: String,
        /// Only the newest of each context.
        #[arg(long)]
        latest: bool,
    },
    /// Webhook deliveries, oldest first: GUID, event, action and answer between tabs.
    Deliveries {
        #[arg(value_name = "OWNER/NAME")]
        repository: String,
    },
}

#[derive(Subcommand)]
enum UserCommand {
    /// Make a user; prints an access token.
    Add { login: String },
}

#[derive(Subcommand)]
enum RepoCommand {
    /// Make an empty public repository; prints its id.
    Add {
        #[arg(value_name = "OWNER/NAME")]
        repository: String,
    },
}

#[derive(Args)]
#[command(group(clap::ArgGroup::new("content").required(true).multiple(true).args(["from", "write"])))]
struct PushArgs {
    #[arg(value_name = "OWNER/NAME")]
    repository: String,
    /// Who commits and pushes.
    #[arg(long = "as", value_name = "LOGIN")]
    login: String,
    #[arg(long, default_value = "main")]
    branch: String,
    #[arg(long, default_value = "Change the content")]
    message: String,
    /// Replace the whole tree by the content of this folder.
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Write a file.
    #[arg(long, value_name = "PATH=TEXT", num_args = 1..)]
    write: Vec<String>,
    /// Replace the tip of the branch instead of adding to it.
    #[arg(long)]
    force: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn")),
        )
        .with_writer(std::io::stderr)
        .init();
    match run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let sim = Sim::new(&cli.server);
    match cli.command {
        Command::Serve { listen, root } => serve(&listen, root).await?,
        Command::User(UserCommand::Add { login }) => say(&sim.add_user(&login).await?),
        Command::Repo(RepoCommand::Add { repository }) => {
            let Some((owner, name)) = repository.split_once('/') else {
                bail!("{repository:?} is not OWNER/NAME");
            };
            say(&sim.add_repository(owner, name).await?.to_string());
        }
        Command::Push(args) => say(&sim.push(&args.push()?).await?),
        Command::PullRequest { repository, login, head, base, title, body } => {
            let opened =
                sim.open_pull_request(&repository, &login, &head, &base, &title, &body).await?;
            say(&opened.to_string());
        }
        Command::Fork { repository, login } => say(&sim.fork(&repository, &login).await?),
        Command::Statuses { repository, sha, latest } => {
            let mut statuses = sim.statuses(&repository, &sha).await?;
            if latest {
                statuses = newest_per_context(statuses);
            }
            for status in statuses {
                say(&row(&[
                    &status.state,
                    &status.context,
                    status.description.as_deref().unwrap_or_default(),
                    status.target_url.as_deref().unwrap_or_default(),
                ]));
            }
        }
        Command::Deliveries { repository } => {
            for delivery in sim.deliveries(&repository).await? {
                say(&row(&[
                    &delivery.guid,
                    &delivery.event,
                    delivery.action.as_deref().unwrap_or_default(),
                    &delivery.status_code.to_string(),
                ]));
            }
        }
    }
    Ok(())
}

async fn serve(listen: &str, root: PathBuf) -> anyhow::Result<()> {
    let listener =
        TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let address = listener.local_addr().context("the listener has no address")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    let url = format!("http://{address}");
    let watch = github_sim::Watch::default();
    let serving = github_sim::serve_watched(listener, root, watch.clone(), async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    });
    // Said only once it answers: scripts wait for this line.
    let ready = async {
        if Sim::new(&url).requests().await.is_ok() {
            say(&url);
        }
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        ended = serving => ended?,
        never = ready => match never {},
    }
    let violations = watch.violations();
    if !violations.is_empty() {
        bail!("exchanges were not as GitHub describes them:\n{}", violations.join("\n"));
    }
    Ok(())
}

impl PushArgs {
    fn push(self) -> anyhow::Result<Push> {
        let files = self
            .write
            .iter()
            .map(|argument| {
                let (path, text) = argument
                    .split_once('=')
                    .with_context(|| format!("{argument:?} is not PATH=TEXT"))?;
                let bytes = text.as_bytes().to_vec();
                let executable = false;
                Ok((path.to_owned(), FileChange::Write { bytes, executable }))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Push {
            repository: self.repository,
            login: self.login,
            branch: self.branch,
            message: self.message,
            files,
            force: self.force,
            from_dir: self.from,
            submodule: None,
        })
    }
}

/// `statuses` is newest first, so the first of each context stays.
fn newest_per_context(statuses: Vec<Status>) -> Vec<Status> {
    let mut newest: Vec<Status> = Vec::new();
    for status in statuses {
        if !newest.iter().any(|known| known.context.eq_ignore_ascii_case(&status.context)) {
            newest.push(status);
        }
    }
    newest
}

/// Columns between tabs, one line whatever they hold.
fn row(columns: &[&str]) -> String {
    columns
        .iter()
        .map(|column| column.replace(['\t', '\n', '\r'], " "))
        .collect::<Vec<_>>()
        .join("\t")
}

#[allow(clippy::print_stdout, reason = "what a command answers goes to standard output")]
fn say(line: &str) {
    println!("{line}");
}

#[allow(clippy::print_stderr, reason = "the one place where a command says why it failed")]
fn complain(error: &anyhow::Error) {
    eprintln!("github-sim: {error:#}");
}
