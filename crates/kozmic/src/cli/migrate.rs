//! `kozmic migrate`

use super::{open_store, say};
use crate::config::Settings;
use crate::store::without_password;

pub(super) async fn run(settings: &Settings) -> anyhow::Result<()> {
    let store = open_store(settings).await?;
    store.close().await;
    say(&format!("The database {} is up to date.", without_password(&settings.database_url)));
    Ok(())
}
