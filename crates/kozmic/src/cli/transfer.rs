//! `kozmic move`: an installation's database into another one.

use clap::Args;

use super::table::table;
use super::{connect_store, say, serve};
use crate::config::{DatabaseUrl, Settings};
use crate::store::without_password;

#[derive(Debug, Args)]
pub(super) struct Command {
    /// The database to copy everything to, empty so far: postgres://USER@HOST/NAME (its
    /// password may be in PGPASSWORD) or sqlite:///PATH
    #[arg(long, value_name = "URL")]
    to: String,
}

/// The database at hand stays as it is; the settings decide which one counts.
pub(super) async fn run(settings: &Settings, command: Command) -> anyhow::Result<()> {
    if !settings.data_dir.is_dir() {
        anyhow::bail!(
            "the data folder {} is not there; is KOZMIC_DATA_DIR right?",
            settings.data_dir.display()
        );
    }
    // What a server writes meanwhile would be lost.
    let _locks = serve::lock(settings)?;
    let from = connect_store(settings).await?;
    let to = DatabaseUrl::trusting(command.to.clone(), &settings.trust);
    let to = from.open_other(&to).await?;
    to.migrate().await?;
    let copied = from.copy_to(&to).await?;
    from.close().await;
    to.close().await;
    let rows: u64 = copied.iter().map(|it| it.rows).sum();
    let with_rows = copied.iter().filter(|it| it.rows > 0);
    say(&table(["table", "rows"], with_rows.map(|it| [it.table.clone(), it.rows.to_string()])));
    let (old, new) = (without_password(&settings.database_url), without_password(&command.to));
    say(&format!(
        "Copied {rows} rows from {old} to {new}, and compared them. Set KOZMIC_DATABASE_URL to \
         the new one, then start; the old one is as it was.",
    ));
    Ok(())
}
