//! `kozmic token`

use anyhow::{Context as _, bail};
use clap::Subcommand;

use super::table::table;
use super::{now, open_store, say};
use crate::config::Settings;
use crate::model::{Timestamp, TokenId, TokenSpec, UserId};
use crate::store::Store;

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
        /// What it may be used for: read, or write as well; never more than its user may
        #[arg(long, default_value = "write", value_name = "read|write")]
        scope: String,
        /// Days after which it expires [default: never]
        #[arg(long, default_value = "off", hide_default_value = true, value_name = "DAYS")]
        expires: String,
    },
    /// List a user's API tokens
    List {
        /// The login of a user known here
        #[arg(long, value_name = "LOGIN")]
        user: String,
    },
    /// Make an API token useless
    Revoke {
        /// Whose token it is
        #[arg(long, value_name = "LOGIN")]
        user: String,
        /// Its number in the list
        number: i64,
    },
}

pub(super) async fn run(settings: &Settings, command: Command) -> anyhow::Result<()> {
    let store = open_store(settings).await?;
    match command {
        Command::Create { user, name, scope, expires } => {
            let spec = TokenSpec::parse(&name, &scope, &expires)?;
            let user = find(&store, &user).await?;
            say(&store.token_created(user, &spec, now()).await?);
        }
        Command::List { user } => {
            let user = find(&store, &user).await?;
            let rows = store.tokens(user, now()).await?.into_iter().map(|token| {
                [
                    token.id.to_string(),
                    token.name,
                    token.scope.to_string(),
                    token.created_at.to_string(),
                    or_never(token.last_used_at),
                    or_never(token.expires_at),
                ]
            });
            say(&table(["token", "name", "scope", "created", "last used", "expires"], rows));
        }
        Command::Revoke { user, number } => {
            let id = find(&store, &user).await?;
            if !store.token_revoked(id, TokenId(number)).await? {
                bail!("{user} has no token {number}; `kozmic token list --user {user}` shows them");
            }
            say(&format!("Token {number} of {user} is revoked."));
        }
    }
    store.close().await;
    Ok(())
}

fn or_never(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "never".into(), |at| at.to_string())
}

async fn find(store: &Store, login: &str) -> anyhow::Result<UserId> {
    let user = store.user_named(login).await?;
    user.with_context(|| {
        format!("there is no user {login}; people are known once they have signed in")
    })
}
