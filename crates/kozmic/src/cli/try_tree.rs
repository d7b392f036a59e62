//! `kozmic try`: the tree here, with what was not committed, run on a server.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use futures_util::StreamExt as _;
use reqwest::{Body, Method};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::server::Server;
use crate::model::{FullName, readable_bytes};
use crate::shutdown;
use crate::source::LocalTree;
use crate::trees::{Packable, TreeLimits, pack};

/// Between two looks whether the build is over, or the server is back.
const LOOK: Duration = Duration::from_millis(500);
/// A server that is restarted is waited for so long.
const PATIENCE: u32 = 240;
/// Bytes of a piece that is sent.
const PIECE: usize = 64 << 10;

#[derive(Debug, Args)]
pub(super) struct Command {
    #[command(flatten)]
    server: Server,
    /// The project, as owner/name
    project: FullName,
    /// A hook's title [default: the hooks that run for a pull request]
    hook: Vec<String>,
    /// The git checkout whose files are sent
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

#[derive(Deserialize)]
struct Build {
    id: i64,
    number: i64,
    status: String,
    url: String,
    jobs: Vec<Job>,
}

#[derive(Deserialize)]
struct Job {
    id: i64,
    title: String,
    status: String,
    reason: String,
    return_code: Option<i64>,
}

impl Build {
    fn is_over(&self) -> bool {
        !matches!(self.status.as_str(), "enqueued" | "pending")
    }

    /// As `kozmic run` exits: 125 when Kozmic failed, the first failed script's code, 130
    /// when it was cancelled.
    fn exit_code(&self) -> u8 {
        let with = |status: &str| self.jobs.iter().find(|job| job.status == status);
        if with("error").is_some() {
            return 125;
        }
        if let Some(job) = with("failure") {
            return job.return_code.and_then(|code| u8::try_from(code).ok()).unwrap_or(125);
        }
        if with("cancelled").is_some() { 130 } else { 0 }
    }
}

/// Sends the tree, shows the logs, and ends as the build does.
pub(super) async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let Command { server, project, hook, dir } = command;
    let tree = LocalTree::open(&dir).await?;
    let packable = Packable::look(tree.root(), tree.files().await?)?;
    if let Some(why) = packable.too_large(TreeLimits::default()) {
        bail!("{why}.");
    }
    let id = server.project(&project).await?.id;
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("sha", tree.sha.as_str());
    query.append_pair("branch", tree.branch.as_deref().unwrap_or_default());
    for title in &hook {
        query.append_pair("hook", title);
    }
    let path = format!("projects/{id}/tries?{}", query.finish());
    note(&format!("sending {} files, {}", packable.files(), readable_bytes(packable.bytes())));
    let sent = send(&server, &path, packable);
    let build = tokio::select! {
        build = sent => build?,
        // Nothing is kept of what was not sent whole.
        _ = shutdown::signal() => return Ok(ExitCode::from(130)),
    };
    note(&format!("build #{}, reported to nobody: {}", build.number, build.url));
    let build = tokio::select! {
        build = follow(&server, &build) => build?,
        _ = shutdown::signal() => {
            note("cancelling the build; once more, and it is left alone");
            let cancelled = async {
                // It may just have ended.
                let _ = server.send(Method::POST, &format!("builds/{}/cancel", build.id)).await;
                until_over(&server, build.id).await
            };
            tokio::select! {
                _ = cancelled => {}
                _ = shutdown::signal() => {}
            }
            return Ok(ExitCode::from(130));
        }
    };
    for job in build.jobs.iter().filter(|job| job.status != "success") {
        note(&format!("{} is {}: {}", job.title, job.status, job.reason));
    }
    Ok(ExitCode::from(build.exit_code()))
}

/// Packs while it sends.
async fn send(server: &Server, path: &str, packable: Packable) -> anyhow::Result<Build> {
    let (sender, pieces) = mpsc::channel::<std::io::Result<Vec<u8>>>(8);
    let packing = tokio::task::spawn_blocking(move || {
        let out = std::io::BufWriter::with_capacity(PIECE, Pieces(sender.clone()));
        let packed = pack(&packable, out);
        if let Err(error) = &packed {
            // The server must not take it for whole.
            let _ = sender.blocking_send(Err(std::io::Error::other(error.to_string())));
        }
        packed
    });
    let pieces = tokio_stream::wrappers::ReceiverStream::new(pieces);
    let answer = server.send_body(Method::POST, path, Body::wrap_stream(pieces)).await;
    let packed = packing.await?;
    match (answer, packed) {
        (Ok(answer), _) => answer.json().await.context("the server's answer can't be read"),
        // Whoever reads no more has said why.
        (Err(error), Err(crate::trees::TreeError::Cut(_)) | Ok(())) => Err(error),
        (Err(_), Err(error)) => Err(error.into()),
    }
}

struct Pieces(mpsc::Sender<std::io::Result<Vec<u8>>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let sent = self.0.blocking_send(Ok(bytes.to_vec()));
        sent.map_err(|_| std::io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Shows the logs, one job after the other, until the build is over.
async fn follow(server: &Server, build: &Build) -> anyhow::Result<Build> {
    for job in &build.jobs {
        if build.jobs.len() > 1 {
            note(&format!("{} (job {})", job.title, job.id));
        }
        show_log(server, job.id).await?;
    }
    until_over(server, build.id).await
}

/// The bytes as they come. A server that goes away meanwhile is waited for, and the log is
/// gone on with where it was.
async fn show_log(server: &Server, job: i64) -> anyhow::Result<()> {
    let (mut shown, mut failures) = (0_usize, 0);
    loop {
        match show_from(server, job, &mut shown).await {
            Ok(()) => return Ok(()),
            Err(Broken::Output(error)) => return Err(error.into()),
            Err(Broken::Server(error)) => {
                failures += 1;
                if failures > PATIENCE {
                    return Err(error);
                }
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

enum Broken {
    Output(std::io::Error),
    Server(anyhow::Error),
}

async fn show_from(server: &Server, job: i64, shown: &mut usize) -> Result<(), Broken> {
    let answer = server.send(Method::GET, &format!("jobs/{job}/log?follow=1")).await;
    let mut body = answer.map_err(Broken::Server)?.bytes_stream();
    let mut output = std::io::stdout();
    let mut passed = 0;
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| Broken::Server(error.into()))?;
        let new = piece.get(shown.saturating_sub(passed)..).unwrap_or_default();
        output.write_all(new).and_then(|()| output.flush()).map_err(Broken::Output)?;
        passed += piece.len();
        *shown = passed.max(*shown);
    }
    // A server that stops ends the log as well.
    let job: Job =
        server.json(Method::GET, &format!("jobs/{job}")).await.map_err(Broken::Server)?;
    match job.status.as_str() {
        "enqueued" | "pending" => Err(Broken::Server(anyhow::anyhow!("the log ended early"))),
        _ => Ok(()),
    }
}

async fn until_over(server: &Server, build: i64) -> anyhow::Result<Build> {
    let mut failures = 0;
    loop {
        match server.json::<Build>(Method::GET, &format!("builds/{build}")).await {
            Ok(build) if build.is_over() => return Ok(build),
            Ok(_) => failures = 0,
            Err(error) if failures == PATIENCE => return Err(error),
            Err(_) => failures += 1,
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Standard output is the logs' alone.
#[allow(clippy::print_stderr, reason = "for the person at the terminal")]
fn note(text: &str) {
    eprintln!("kozmic: {text}");
}
