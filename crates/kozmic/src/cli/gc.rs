//! `kozmic gc`: an account of the disks, and what is beyond the budget removed.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use super::table::table;
use super::{connect_store, now, open_logs, say, serve};
use crate::config::Settings;
use crate::engine::Engine;
use crate::model::{DiskAccount, readable, readable_bytes};
use crate::source::Source;
use crate::store::sqlite_file;
use crate::worker::{Alone, Beside, CacheKeeper, Disk, DiskParts, Removed};

#[derive(Debug, Args)]
pub(super) struct Command {
    /// Remove nothing, only tell what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Print JSON, with sizes in bytes
    #[arg(long)]
    json: bool,
}

/// What was found and done, for programs.
#[derive(Serialize)]
struct Answer<'a> {
    /// Before anything was removed.
    account: &'a DiskAccount,
    dry_run: bool,
    removed: &'a [Removed],
    /// Sum of what was removed.
    freed: u64,
    /// Bytes used now.
    used: u64,
    /// Bytes that stay beyond the budget.
    beyond_budget: u64,
    /// Mirrors that only the running server can remove.
    left_to_server: u64,
}

pub(super) async fn run(settings: &Settings, command: &Command) -> anyhow::Result<()> {
    if !settings.data_dir.is_dir() {
        anyhow::bail!(
            "the data folder {} is not there; is KOZMIC_DATA_DIR right?",
            settings.data_dir.display()
        );
    }
    let store = connect_store(settings).await?;
    let instance = store.instance(now()).await?;
    let engine = Engine::connect(settings.docker_host.as_deref(), &instance).await?;
    let disk = Disk::new(DiskParts {
        store: store.clone(),
        engine: Arc::new(engine),
        source: Source::new(&settings.data_dir, &settings.known_hosts),
        logs: open_logs(settings)?,
        cache: CacheKeeper::new(settings.cached_images_limit),
        data_dir: settings.data_dir.clone(),
        database: sqlite_file(&settings.database_url).map(Path::to_path_buf),
        budget: settings.disk_budget,
        reserve: settings.disk_reserve,
        beside: Beside::Server(alone(settings)),
    });
    let mut removed = disk.tidy_orphans(command.dry_run).await.context("what nobody owns")?;
    let tidied = disk.tidy(command.dry_run).await.context("the account of the disks")?;
    store.close().await;
    removed.extend(tidied.removed);
    let answer = Answer {
        account: &tidied.before,
        dry_run: command.dry_run,
        freed: removed.iter().map(|it| it.bytes).sum(),
        removed: &removed,
        used: tidied.after.used,
        beyond_budget: tidied.after.beyond_budget(),
        left_to_server: tidied.left_to_server,
    };
    if command.json {
        say(&serde_json::to_string_pretty(&answer)?);
    } else {
        show(&answer);
    }
    Ok(())
}

/// The server's own lock: while it is held, no server runs here.
fn alone(settings: &Settings) -> Alone {
    let settings = settings.clone();
    Box::new(move || serve::lock(&settings).ok().map(|locks| Box::new(locks) as _))
}

fn show(answer: &Answer<'_>) {
    let account = answer.account;
    let rows = account
        .uses
        .iter()
        .map(|it| [it.kind.plural().to_owned(), it.count.to_string(), readable_bytes(it.bytes)]);
    let budget = account.budget.map_or("none".to_owned(), readable_bytes);
    let sums = [("in all", readable_bytes(account.used)), ("budget", budget)];
    let sums = sums.map(|(what, bytes)| [what.to_owned(), String::new(), bytes]);
    say(&table(["what", "count", "size"], rows.chain(sums)));
    say("");
    let rows = account.file_systems.iter().map(|it| {
        [
            it.path.clone(),
            it.holds.join(", "),
            readable_bytes(it.total),
            readable_bytes(it.free),
            readable_bytes(it.reserve),
        ]
    });
    say(&table(["disk", "holds", "size", "free", "reserve"], rows));
    if !answer.removed.is_empty() {
        say("");
        let now = now();
        let rows = answer.removed.iter().map(|it| {
            let used = it.used.map(|used| format!("{} ago", readable(now.since(used))));
            [
                it.kind.singular().to_owned(),
                it.name.clone(),
                readable_bytes(it.bytes),
                used.unwrap_or_else(|| "nobody's".into()),
            ]
        });
        let head = if answer.dry_run { "would be removed" } else { "removed" };
        say(&table([head, "name", "size", "last used"], rows));
    }
    say("");
    say(&summary(answer));
}

fn summary(answer: &Answer<'_>) -> String {
    let freed = readable_bytes(answer.freed);
    let done = match (answer.removed.is_empty(), answer.dry_run) {
        (true, _) => "nothing to remove".to_owned(),
        (false, true) => format!("{freed} would be freed; nothing was removed"),
        (false, false) => format!("{freed} freed"),
    };
    let server = match answer.left_to_server {
        0 => "",
        _ => "; mirrors are left to the server that runs here",
    };
    let beyond = match answer.beyond_budget {
        0 => String::new(),
        _ if answer.dry_run => String::new(),
        beyond => {
            let beyond = readable_bytes(beyond);
            format!("; {beyond} beyond the budget are in use, or needed by hooks")
        }
    };
    format!("{done}{server}{beyond}")
}
