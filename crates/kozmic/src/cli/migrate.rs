//! `kozmic migrate`

use super::{open_store, say};
use crate::config::Settings;
use crate::store::without_password;

pub(super) async fn run(settings: &Settings) -> anyhow::Result<()> {
    let store = open_store(settings).await?;
    let ahead = store.schema().await?.ahead;
    store.close().await;
    let shown = without_password(&settings.database_url);
    say(&match ahead {
        0 => format!("The database {shown} is up to date."),
        _ => {
            format!("The database {shown} is that of a newer Kozmic, and this one may work on it.")
        }
    });
    Ok(())
}
