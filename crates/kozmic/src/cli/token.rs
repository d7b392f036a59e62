//! `kozmic token create`

use clap::Subcommand;

use super::{now, open_store, say};
use crate::config::Settings;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make an API token and print it, once
    Create {
        /// Whose token it is: the login of a user known here
        #[arg(long, value_name = "LOGIN")]
        user: String,
        /// What it is for, to know it again
        #[arg(long, default_value = "command line")]
        name: String,
    },
}

pub(super) async fn run(settings: &Settings, command: Command) -> anyhow::Result<()> {
    let Command::Create { user, name } = command;
    let store = open_store(settings).await?;
    let token = store.token_created(&user, &name, now()).await?;
    store.close().await;
    say(&token);
    Ok(())
}
