//! `kozmic project add`

use anyhow::Context as _;
use clap::Subcommand;

use super::{find_project, now, open_store, say};
use crate::config::Settings;
use crate::github::Client;
use crate::model::FullName;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Turn a repository into a project, owned by whoever KOZMIC_GITHUB_TOKEN belongs to
    Add {
        /// The repository, as owner/name
        #[arg(value_name = "FULL_NAME")]
        name: FullName,
    },
    /// Change how a project is built
    Set {
        /// The project, as owner/name
        #[arg(value_name = "FULL_NAME")]
        name: FullName,
        /// Whether a newer push to a branch cancels the older builds of it
        #[arg(long, value_name = "on|off", value_parser = on_or_off, action = clap::ArgAction::Set)]
        cancel_superseded: bool,
    },
}

fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("write on or off".into()),
    }
}

pub(super) async fn run(settings: &Settings, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Add { name } => add(settings, &name).await,
        Command::Set { name, cancel_superseded } => {
            let store = open_store(settings).await?;
            let project = find_project(&store, &name).await?;
            store.cancels_superseded_set(project.id, cancel_superseded).await?;
            store.close().await;
            let word = if cancel_superseded { "cancels" } else { "leaves alone" };
            say(&format!("A newer push to a branch of {name} now {word} its older builds."));
            Ok(())
        }
    }
}

async fn add(settings: &Settings, name: &FullName) -> anyhow::Result<()> {
    let token = settings.github_token.clone().context(
        "set KOZMIC_GITHUB_TOKEN to a GitHub token with the scope `repo` of the project's owner",
    )?;
    let github = Client::new(&settings.github_api_url)?;
    let owner = github.user(&token).await?;
    let repository = github.repository(&token, name).await?;
    if !repository.is_public {
        anyhow::bail!(
            "{} is private; this version builds public repositories only",
            repository.full_name
        );
    }
    let store = open_store(settings).await?;
    let owner_id = store.user_signed_in(&owner, &token, now()).await?;
    let project = store.project_added(&repository, owner_id, now()).await?;
    store.close().await;
    say(&format!("Added {} as project {project}, owned by {}.", repository.full_name, owner.login));
    Ok(())
}
