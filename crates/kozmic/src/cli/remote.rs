//! The client: `projects`, `builds`, `queue`, `logs`, `artifacts`, `restart`, `cancel` against a
//! server.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use futures_util::StreamExt as _;
use reqwest::Method;
use serde::Deserialize;

use super::server::Server;
use super::table::table;
use super::{artifacts, queue, say};
use crate::model::FullName;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List your projects on a server
    Projects {
        #[command(flatten)]
        server: Server,
    },
    /// List the latest builds of a project
    Builds {
        #[command(flatten)]
        server: Server,
        /// The project, as owner/name
        project: FullName,
    },
    /// List what runs and what waits in your projects, and what for
    Queue {
        #[command(flatten)]
        server: Server,
        /// Only of this project, as owner/name
        project: Option<FullName>,
    },
    /// Print a job's log
    Logs {
        #[command(flatten)]
        server: Server,
        /// The job's number: the last one in the address of its page
        job: i64,
        /// Go on until the job is over
        #[arg(short, long)]
        follow: bool,
        /// Leave out colours and other escape sequences
        #[arg(long)]
        plain: bool,
    },
    /// Download the artifacts of a job
    Artifacts {
        #[command(flatten)]
        server: Server,
        job: i64,
        /// The folder that they are put into; what is there under their names is replaced
        #[arg(short, long, value_name = "DIR", default_value = ".")]
        output: PathBuf,
    },
    /// Run a finished job again
    Restart {
        #[command(flatten)]
        server: Server,
        job: i64,
    },
    /// Let the jobs of a pull request from a fork run, once you have looked at its commit
    Approve {
        #[command(flatten)]
        server: Server,
        /// The project, as owner/name
        project: FullName,
        /// The build's number in the project
        build: i64,
        /// From now on, let all run that its author sends from their forks
        #[arg(long)]
        trust_author: bool,
    },
    /// Stop a job
    Cancel {
        #[command(flatten)]
        server: Server,
        job: i64,
    },
}

#[derive(Deserialize)]
struct Builds {
    builds: Vec<Build>,
}

#[derive(Deserialize)]
struct Build {
    id: i64,
    number: i64,
    status: String,
    #[serde(rename = "ref")]
    git_ref: String,
    sha: String,
    message: String,
    url: String,
    jobs: Vec<Job>,
}

#[derive(Deserialize)]
struct Job {
    id: i64,
    title: String,
    status: String,
    reason: String,
    url: String,
}

pub(super) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Projects { server } => {
            let projects = server.projects().await?;
            let rows = projects.into_iter().map(|project| [project.full_name, project.url]);
            say(&table(["project", "page"], rows));
        }
        Command::Builds { server, project } => builds(&server, &project).await?,
        Command::Queue { server, project } => queue::run(&server, project.as_ref()).await?,
        Command::Approve { server, project, build, trust_author } => {
            approve(&server, &project, build, trust_author).await?;
        }
        Command::Logs { server, job, follow, plain } => logs(&server, job, follow, plain).await?,
        Command::Artifacts { server, job, output } => {
            artifacts::download(&server, job, &output).await?;
        }
        Command::Restart { server, job } => {
            let new: Job = server.json(Method::POST, &format!("jobs/{job}/restart")).await?;
            say(&format!("Job {} ({}) is {}: {}", new.id, new.title, new.status, new.url));
        }
        Command::Cancel { server, job } => {
            let job: Job = server.json(Method::POST, &format!("jobs/{job}/cancel")).await?;
            say(&format!("Job {} ({}) is {}: {}", job.id, job.title, job.status, job.reason));
        }
    }
    Ok(())
}

async fn approve(
    server: &Server,
    name: &FullName,
    number: i64,
    trust_author: bool,
) -> anyhow::Result<()> {
    let project = server.project(name).await?;
    let before = number.saturating_add(1);
    let path = format!("projects/{}/builds?before={before}", project.id);
    let builds: Builds = server.json(Method::GET, &path).await?;
    let build = builds.builds.into_iter().find(|build| build.number == number);
    let build = build.with_context(|| format!("{name} has no build #{number}"))?;
    // For exactly the commit that has this number.
    let query = format!("?sha={}&trust_author={trust_author}", build.sha);
    let path = format!("builds/{}/approve{query}", build.id);
    let build: Build = server.json(Method::POST, &path).await?;
    say(&format!("Build #{number} is approved: {}", build.url));
    Ok(())
}

async fn builds(server: &Server, name: &FullName) -> anyhow::Result<()> {
    let project = server.project(name).await?;
    let builds: Builds =
        server.json(Method::GET, &format!("projects/{}/builds", project.id)).await?;
    let rows = builds.builds.into_iter().map(|build| {
        let jobs = build.jobs.iter().map(|job| match job.status.as_str() {
            "enqueued" => format!("{} {} ({})", job.id, job.title, job.reason),
            status => format!("{} {} ({status})", job.id, job.title),
        });
        [
            format!("#{}", build.number),
            build.status,
            build.git_ref,
            build.sha.chars().take(7).collect(),
            build.message.lines().next().unwrap_or_default().to_owned(),
            jobs.collect::<Vec<_>>().join(", "),
        ]
    });
    say(&table(["build", "status", "ref", "commit", "message", "jobs"], rows));
    Ok(())
}

/// The bytes as they come; a pipe that is closed (`| head`) is no error.
async fn logs(server: &Server, job: i64, follow: bool, plain: bool) -> anyhow::Result<()> {
    let query = format!("?follow={}&plain={}", u8::from(follow), u8::from(plain));
    let answer = server.send(Method::GET, &format!("jobs/{job}/log{query}")).await?;
    let mut body = answer.bytes_stream();
    let mut output = std::io::stdout();
    let mut next = {
        let first = body.next();
        tokio::pin!(first);
        tokio::select! {
            chunk = &mut first => chunk,
            // The log is empty until the job has started.
            () = queue::tell_while_it_waits(server, job), if follow => first.await,
        }
    };
    while let Some(chunk) = next {
        let chunk = chunk.context("the connection ended before the log did")?;
        match output.write_all(&chunk).and_then(|()| output.flush()) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
        next = body.next().await;
    }
    Ok(())
}
