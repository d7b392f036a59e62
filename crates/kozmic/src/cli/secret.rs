//! `kozmic secret`: a project's secrets on a server.

use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Deserialize;

use super::say;
use super::server::Server;
use super::table::table;
use crate::model::{FullName, SecretName, SecretValue};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Save a secret: from standard input, or a file. Jobs that start later get it as a
    /// variable
    Set {
        #[command(flatten)]
        secret: Named,
        /// Where its value is, without a last line end [default: standard input]
        #[arg(long, value_name = "PATH")]
        file: Option<PathBuf>,
    },
    /// List a project's secrets, without their values
    List {
        #[command(flatten)]
        server: Server,
        /// The project, as owner/name
        project: FullName,
    },
    /// Remove a secret
    Remove {
        #[command(flatten)]
        secret: Named,
    },
}

#[derive(Debug, Args)]
pub(super) struct Named {
    #[command(flatten)]
    server: Server,
    /// The project, as owner/name
    project: FullName,
    /// The variable in which scripts find it
    name: SecretName,
    /// For this hook only
    #[arg(long, value_name = "TITLE")]
    hook: Option<String>,
}

#[derive(Deserialize)]
struct Secrets {
    secrets: Vec<Secret>,
}

#[derive(Deserialize)]
struct Secret {
    name: String,
    hook: Option<String>,
    updated_at: String,
    updated_by: String,
}

#[derive(Deserialize)]
struct Saved {
    is_new: bool,
    remarks: Vec<String>,
}

#[derive(Deserialize)]
struct Removed {}

pub(super) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Set { secret, file } => {
            let value = match &file {
                Some(path) => read(path)?,
                None => read_input()?,
            };
            let path = secret.path().await?;
            let body = Some(value.expose().to_owned());
            let saved: Saved = secret.server.json_of(Method::PUT, &path, body).await?;
            let done = if saved.is_new { "is saved" } else { "has a new value" };
            say(&format!("{} {done}. Jobs that start from now on get it.", secret.name));
            for remark in saved.remarks {
                say(&remark);
            }
        }
        Command::List { server, project } => {
            let project = server.project(&project).await?;
            let path = format!("projects/{}/secrets", project.id);
            let answer: Secrets = server.json(Method::GET, &path).await?;
            let rows = answer.secrets.into_iter().map(|secret| {
                let hook = secret.hook.unwrap_or_else(|| "all".into());
                [secret.name, hook, secret.updated_by, secret.updated_at]
            });
            say(&table(["secret", "hook", "set by", "at"], rows));
        }
        Command::Remove { secret } => {
            let path = secret.path().await?;
            let Removed {} = secret.server.json(Method::DELETE, &path).await?;
            say(&format!("{} is removed.", secret.name));
        }
    }
    Ok(())
}

impl Named {
    async fn path(&self) -> anyhow::Result<String> {
        let project = self.server.project(&self.project).await?;
        let query = self.hook.iter().map(|title| ("hook", title));
        let query =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        Ok(format!("projects/{}/secrets/{}?{query}", project.id, self.name))
    }
}

/// A file's content as a secret, without a last line end.
pub(super) fn read(path: &Path) -> anyhow::Result<SecretValue> {
    let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
    read_from(file).with_context(|| path.display().to_string())
}

fn read_input() -> anyhow::Result<SecretValue> {
    let input = std::io::stdin();
    if input.is_terminal() {
        bail!("the value is taken from standard input or --file, and a terminal would show it");
    }
    read_from(input).context("standard input")
}

fn read_from(from: impl std::io::Read) -> anyhow::Result<SecretValue> {
    let mut bytes = Vec::new();
    // No more than is needed to see that it is too much.
    from.take(SecretValue::LIMIT as u64 + 3).read_to_end(&mut bytes)?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    Ok(SecretValue::from_bytes(bytes)?)
}
