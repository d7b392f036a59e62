//! `kozmic pull`: the container of a failed job, as an image on this machine.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail};
use clap::Args;
use futures_util::StreamExt as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::Method;

use super::say;
use super::server::Server;
use crate::config::Settings;
use crate::engine::Engine;
use crate::model::{DockerImage, readable_bytes};

#[derive(Debug, Args)]
pub(super) struct Command {
    #[command(flatten)]
    server: Server,
    /// The job's number: the last one in the address of its page
    job: i64,
    /// What the image is called here [default: kozmic-job:JOB]
    #[arg(long, value_name = "NAME")]
    tag: Option<DockerImage>,
}

pub(super) async fn run(settings: &Settings, command: Command) -> anyhow::Result<()> {
    let Command { server, job, tag } = command;
    let name = match tag {
        Some(name) if name.as_str().contains('@') => {
            bail!("{name} has a digest; an image is called NAME or NAME:TAG")
        }
        Some(name) => name,
        None => format!("kozmic-job:{job}").parse()?,
    };
    // Before the server makes an image that nobody can take.
    let engine = Engine::connect(settings.docker_host.as_deref(), "pull").await?;
    let answer = server.send(Method::GET, &format!("jobs/{job}/image")).await?;
    let header = |name| answer.headers().get(name)?.to_str().ok().map(str::to_owned);
    let size = header("x-kozmic-image-size").and_then(|size| size.parse().ok()).unwrap_or(0);
    let bar = progress(size);
    let (shown, cut_off) = (bar.clone(), Arc::new(Mutex::new(None)));
    let noted = cut_off.clone();
    let packed = answer.bytes_stream().map(move |piece| {
        match &piece {
            Ok(bytes) => shown.inc(bytes.len() as u64),
            Err(error) => {
                let why = error.to_string();
                noted.lock().unwrap_or_else(PoisonError::into_inner).replace(why);
            }
        }
        piece
    });
    let loaded = engine.load(packed).await;
    bar.finish_and_clear();
    let cut_off = cut_off.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(why) = cut_off {
        bail!(
            "the image was cut off after {}; nothing of it is kept here: {why}",
            readable_bytes(bar.position())
        );
    }
    let id = loaded.context("the image can't be taken in here")?;
    engine.tag(&id, &name).await?;
    say(&format!(
        "{name} is here: what was left of job {job}.\n\
         a shell in it:     docker run --rm -it {name}\n\
         the script again:  docker run --rm {name} /kozmic/script"
    ));
    Ok(())
}

/// Only in a terminal.
fn progress(size: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::stderr());
    let style =
        ProgressStyle::with_template("{bar:30} {bytes} of about {total_bytes}, {bytes_per_sec}");
    style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style))
}
