//! `kozmic restore`: a backup becomes an installation, where there is none.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use futures_util::TryStreamExt as _;
use secrecy::SecretString;

use super::backup::{Contents, DATABASE, KEY, KINDS, LIVE, OBJECTS, blocking};
use super::{make_data_dir, open_logs, say, secret_key, serve};
use crate::backup::{Entry, Head, Manifest, Reader};
use crate::config::Settings;
use crate::log::Logs;
use crate::model::JobUuid;
use crate::seal::{self, Seal};
use crate::store::{Restoring, Store, Tables, without_password};

/// In the data folder while a restore is under way; what lies there then is not used.
const UNFINISHED: &str = "restore-unfinished";

#[derive(Debug, Args)]
pub(super) struct Command {
    /// What `kozmic backup` made
    file: PathBuf,
    /// Only read all of it, and say whether it can be restored; nothing is written
    #[arg(long)]
    check: bool,
}

/// A backup, and the key that opens what is sealed in it.
struct Backup {
    path: PathBuf,
    head: Head,
    key: Option<Key>,
}

struct Key {
    text: SecretString,
    seal: Seal,
    is_from_backup: bool,
}

pub(super) async fn run(settings: &Settings, command: Command) -> anyhow::Result<()> {
    let backup = Backup::open(command.file, settings)?;
    if command.check {
        let manifest = backup.verified().await?;
        let opened = match backup.key {
            Some(_) => "and its secrets open".to_owned(),
            None => format!(
                "but the secret key is not at hand: whether its secrets open is not known. To \
                 restore it you need the one with the id {}",
                backup.head.key_id
            ),
        };
        let Head { made_at, kozmic, .. } = &backup.head;
        say(&format!(
            "{} is whole, {opened}. Kozmic {kozmic} made it at {made_at}: {}.",
            backup.name(),
            manifest.contents.in_words()
        ));
        return Ok(());
    }
    let key = backup.key()?;
    make_data_dir(settings)?;
    let _locks = serve::lock(settings).context("stop the server; it must have nothing yet")?;
    let store = secret_key::opened(settings, &key.text).await?;
    let logs = open_logs(settings)?;
    let is_again = marker(settings).exists();
    let place = without_password(&settings.database_url);
    prepare(&store, &place, backup.head.schema).await?;
    if !is_again {
        no_files(&logs).await?;
    }
    let manifest = backup.verified().await.context("nothing was written")?;
    mark(settings)?;
    if let Err(error) = restore(settings, &backup, &store, &logs, &manifest).await {
        let tidied = remove_files(&logs).await.and_then(|()| unmark(settings));
        return Err(error.context(match tidied {
            Ok(()) => "nothing was restored".to_owned(),
            Err(problem) => format!(
                "nothing was restored, and what was written can't be removed ({problem:#}); once \
                 that is mended, do it again"
            ),
        }));
    }
    unmark(settings)?;
    // One of an older version is brought up to date, as at the first start.
    store.migrate().await?;
    store.close().await;
    tell(settings, &backup, &manifest.contents, logs.objects().place());
    Ok(())
}

/// After a restore that was cut off nothing is used; one that had just ended has left nothing
/// but its mark.
pub(super) fn settled(settings: &Settings, has_content: bool) -> anyhow::Result<()> {
    if !marker(settings).exists() {
        return Ok(());
    }
    if has_content {
        return unmark(settings);
    }
    bail!(
        "a restore into {} was cut off; do it again with `kozmic restore FILE`",
        settings.data_dir.display()
    )
}

impl Backup {
    fn open(path: PathBuf, settings: &Settings) -> anyhow::Result<Self> {
        let mut reader = reader(&path)?;
        let head = reader.head().clone();
        if head.schema > Store::newest_schema() {
            bail!(
                "{} was made by a newer Kozmic, {}; restore it with that one",
                path.display(),
                head.kozmic
            );
        }
        let key = match secret_key::given(settings)? {
            Some((text, place)) => {
                let seal = Seal::from_text(&text).with_context(|| place.clone())?;
                if seal.key_id() != head.key_id {
                    bail!(
                        "{place} has the key with the id {}, and {} needs the one with the id {}; \
                         nothing was written",
                        seal.key_id(),
                        path.display(),
                        head.key_id
                    );
                }
                Some(Key { text, seal, is_from_backup: false })
            }
            None if head.with_key => {
                let damaged = || anyhow!("{} is damaged: its key is missing", path.display());
                let entry =
                    reader.next_entry()?.filter(|entry| entry.name == KEY).ok_or_else(damaged)?;
                if entry.size > 64 << 10 {
                    return Err(damaged());
                }
                let text: SecretString =
                    String::from_utf8(reader.whole()?).map_err(|_| damaged())?.into();
                let seal = Seal::from_text(&text)?;
                if seal.key_id() != head.key_id {
                    return Err(damaged());
                }
                Some(Key { text, seal, is_from_backup: true })
            }
            None => None,
        };
        Ok(Self { path, head, key })
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn key(&self) -> anyhow::Result<&Key> {
        self.key.as_ref().ok_or_else(|| {
            anyhow!(
                "{} was made without its secret key; set KOZMIC_SECRET_KEY to the one with the id \
                 {}, or put its file `secret-key` into the data folder",
                self.name(),
                self.head.key_id
            )
        })
    }

    /// Reads all of it, and opens every sealed value; nothing is written.
    async fn verified(&self) -> anyhow::Result<Manifest<Contents>> {
        let tables = Tables::of(self.head.schema).await?;
        let seal = self.key.as_ref().map(|key| &key.seal);
        blocking(|| {
            let mut reader = reader(&self.path)?;
            while let Some(entry) = reader.next_entry()? {
                match Kind::of(&entry).with_context(|| self.unknown(&entry))? {
                    Kind::Rows(table) => {
                        let rows = reader.whole()?;
                        tables.checked(table, &rows, seal).with_context(|| self.name())?;
                    }
                    Kind::Key | Kind::Object(_) | Kind::Live(_) => {}
                }
            }
            Ok(reader.finish()?)
        })
    }

    fn unknown(&self, entry: &Entry) -> String {
        format!("{} is damaged: no entry is called {}", self.name(), entry.name)
    }
}

/// What an entry is.
enum Kind<'a> {
    Key,
    Rows(&'a str),
    Object(&'a str),
    Live(JobUuid),
}

impl<'a> Kind<'a> {
    fn of(entry: &'a Entry) -> Option<Self> {
        let name = entry.name.as_str();
        if name == KEY {
            return Some(Self::Key);
        }
        if let Some(rows) = name.strip_prefix(DATABASE) {
            return rows.split_once('/').map(|(table, _)| Self::Rows(table));
        }
        if let Some(job) = name.strip_prefix(LIVE) {
            return job.parse().ok().map(Self::Live);
        }
        let key = name.strip_prefix(OBJECTS)?;
        let (kind, _) = key.split_once('/')?;
        KINDS.contains(&kind).then_some(Self::Object(key))
    }
}

/// Makes the tables as the backup has them, in a database that has nothing.
async fn prepare(store: &Store, place: &str, schema: i64) -> anyhow::Result<()> {
    store.migrate_to(schema).await?;
    let found = store.schema_number().await?;
    if found != schema {
        bail!("the database {place} is newer than the backup; take a new one, without tables");
    }
    if let Some(table) = store.content().await? {
        bail!(
            "the database {place} is not empty: it has {table}. A backup becomes an installation \
             of its own: name an empty database, or move this one away"
        );
    }
    Ok(())
}

async fn no_files(logs: &Logs) -> anyhow::Result<()> {
    let objects = logs.objects();
    for kind in KINDS {
        if let Some(object) = objects.list(kind).try_next().await? {
            bail!(
                "{} is not empty: it has {}. Name an empty place (KOZMIC_LOG_URL), or move what \
                 is there away",
                objects.place(),
                object.key
            );
        }
    }
    if let Some(job) = logs.live_jobs().first() {
        let path = logs.folder().path(*job);
        bail!("there is a log already, {}; move what is there away", path.display());
    }
    Ok(())
}

/// Removes all files that a restore wrote; there were none before.
async fn remove_files(logs: &Logs) -> anyhow::Result<()> {
    let objects = logs.objects();
    for kind in KINDS {
        let mut found = objects.list(kind);
        while let Some(object) = found.try_next().await? {
            objects.delete(&object.key).await?;
        }
    }
    for job in logs.live_jobs() {
        logs.remove_here(job).await?;
    }
    Ok(())
}

/// First the files, which nothing names yet, then all rows at once.
async fn restore(
    settings: &Settings,
    backup: &Backup,
    store: &Store,
    logs: &Logs,
    manifest: &Manifest<Contents>,
) -> anyhow::Result<()> {
    // Of one that was cut off.
    remove_files(logs).await?;
    write_files(backup, logs).await?;
    let mut restoring = store.restoring().await?;
    write_rows(backup, &mut restoring).await?;
    let key = backup.key()?;
    if key.is_from_backup {
        seal::write_key(&secret_key::key_file(settings), &key.text)?;
    }
    let finished = restoring.finish(&manifest.contents.tables).await;
    if finished.is_err() && key.is_from_backup {
        let _ = std::fs::remove_file(secret_key::key_file(settings));
    }
    Ok(finished?)
}

async fn write_files(backup: &Backup, logs: &Logs) -> anyhow::Result<()> {
    let mut reader = blocking(|| reader(&backup.path))?;
    while let Some(entry) = blocking(|| reader.next_entry())? {
        match Kind::of(&entry) {
            Some(Kind::Object(key)) => {
                let mut upload = logs.objects().upload(key)?;
                while let Some(bytes) = blocking(|| reader.chunk())? {
                    upload.write(bytes).await?;
                }
                upload.finish().await?;
            }
            Some(Kind::Live(job)) => {
                let path = logs.folder().path(job);
                blocking(|| write_live(&path, &mut reader))
                    .with_context(|| path.display().to_string())?;
            }
            _ => {}
        }
    }
    // It may have changed since it was verified.
    blocking(|| reader.finish::<Contents>())?;
    Ok(())
}

fn write_live(path: &Path, reader: &mut Reader<File>) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = File::create(path)?;
    while let Some(bytes) = reader.chunk()? {
        file.write_all(&bytes)?;
    }
    file.sync_all()?;
    Ok(File::open(folder)?.sync_all()?)
}

async fn write_rows(backup: &Backup, restoring: &mut Restoring) -> anyhow::Result<()> {
    let mut reader = blocking(|| reader(&backup.path))?;
    while let Some(entry) = blocking(|| reader.next_entry())? {
        match Kind::of(&entry) {
            Some(Kind::Rows(table)) => {
                let rows = blocking(|| reader.whole())?;
                restoring.rows(table, &rows).await?;
            }
            Some(Kind::Key) => {}
            // All rows come before all files.
            _ => break,
        }
    }
    Ok(())
}

fn reader(path: &Path) -> anyhow::Result<Reader<File>> {
    let name = path.display().to_string();
    let file = File::open(path).with_context(|| name.clone())?;
    Ok(Reader::open(file, &name)?)
}

fn marker(settings: &Settings) -> PathBuf {
    settings.data_dir.join(UNFINISHED)
}

fn mark(settings: &Settings) -> anyhow::Result<()> {
    let path = marker(settings);
    let made = File::create(&path).and_then(|file| {
        file.sync_all()?;
        File::open(&settings.data_dir)?.sync_all()
    });
    made.with_context(|| path.display().to_string())
}

fn unmark(settings: &Settings) -> anyhow::Result<()> {
    let path = marker(settings);
    std::fs::remove_file(&path).with_context(|| path.display().to_string())
}

fn tell(settings: &Settings, backup: &Backup, contents: &Contents, objects: &str) {
    let (place, made_at) = (without_password(&settings.database_url), &backup.head.made_at);
    say(&format!("Restored {} of {made_at} into {place} and {objects}.", contents.in_words()));
    if contents.missing > 0 {
        say(&format!("{} files were missing when it was made.", contents.missing));
    }
    say("Jobs that ran then begin again. Stop the installation that the backup is of before you \
         start this one: both would speak to GitHub.");
}
