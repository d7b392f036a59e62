//! `kozmic artifacts`: what a job left, from a server into a folder.

use std::path::Path;

use anyhow::{Context as _, ensure};
use aws_lc_rs::digest;
use futures_util::StreamExt as _;
use reqwest::Method;
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use url::Url;

use super::say;
use super::server::Server;
use crate::model::readable_bytes;
use crate::report_files::create_below;

#[derive(Deserialize)]
struct Artifacts {
    artifacts: Vec<Artifact>,
    removed: Option<String>,
}

#[derive(Deserialize)]
struct Artifact {
    path: String,
    size: u64,
    sha256: String,
}

/// Each file is compared with its digest. The server's names don't lead out of the folder.
pub(super) async fn download(server: &Server, job: i64, output: &Path) -> anyhow::Result<()> {
    let listed: Artifacts = server.json(Method::GET, &format!("jobs/{job}/artifacts")).await?;
    if let Some(removed) = listed.removed {
        anyhow::bail!("{removed}");
    }
    if listed.artifacts.is_empty() {
        say(&format!("Job {job} has no artifacts."));
    }
    for artifact in listed.artifacts {
        let path = &artifact.path;
        let one = one(server, job, &artifact, output).await;
        one.with_context(|| format!("{path:?} could not be downloaded"))?;
        let place = output.join(path);
        say(&format!("{} ({})", place.display(), readable_bytes(artifact.size)));
    }
    Ok(())
}

async fn one(server: &Server, job: i64, artifact: &Artifact, output: &Path) -> anyhow::Result<()> {
    let mut url = Url::parse("http://server/")?;
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(artifact.path.split('/'));
    }
    let path = format!("jobs/{job}/artifacts{}", url.path());
    let mut body = server.send(Method::GET, &path).await?.bytes_stream();
    let mut file = create_below(output, &artifact.path).await?;
    let mut digest = digest::Context::new(&digest::SHA256);
    while let Some(chunk) = body.next().await {
        let chunk = chunk.context("the connection ended before the file did")?;
        digest.update(&chunk);
        file.write_all(&chunk).await?;
    }
    file.flush().await?;
    let found = hex::encode(digest.finish());
    ensure!(found == artifact.sha256, "its SHA-256 is {found}, not {}", artifact.sha256);
    Ok(())
}
