//! `kozmic backup`: everything of an installation in one file, while it runs.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use futures_util::TryStreamExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::{now, open_logs, say, secret_key};
use crate::backup::{FORMAT, Head, Writer};
use crate::config::Settings;
use crate::log::Logs;
use crate::model::{Action, Event, JobUuid, readable_bytes};
use crate::shutdown;
use crate::store::{Part, Store, TableSum, sqlite_file};

/// The entries of a backup, and below what they lie.
pub(super) const KEY: &str = "secret-key";
pub(super) const DATABASE: &str = "database/";
pub(super) const OBJECTS: &str = "objects/";
pub(super) const LIVE: &str = "live-logs/";

/// What lies among the objects.
pub(super) const KINDS: [&str; 4] = ["logs", "artifacts", "services", "trees"];
/// Bytes of a file that are read at once.
const CHUNK: usize = 1 << 20;
/// Missing files that are named.
const NAMED: usize = 10;

#[derive(Debug, Args)]
pub(super) struct Command {
    /// A new file, or `-` for standard output [default: kozmic-TIME.backup, in this folder]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The same as FILE
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    to: Option<PathBuf>,
    /// With the secret key in it: whoever has the file then has every token and secret
    #[arg(long)]
    with_key: bool,
}

/// What is told at the end of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Contents {
    pub(super) tables: Vec<TableSum>,
    /// Of finished jobs.
    pub(super) logs: u64,
    /// Of jobs that ran, or had just ended.
    pub(super) live_logs: u64,
    /// Artifacts, logs of services and trees that were tried.
    pub(super) files: u64,
    /// Files that the database names and that were not there.
    pub(super) missing: u64,
}

impl Contents {
    pub(super) fn in_words(&self) -> String {
        let rows: u64 = self.tables.iter().map(|table| table.rows).sum();
        let Self { logs, live_logs, files, .. } = self;
        format!("{rows} rows, {logs} finished logs, {live_logs} live logs, {files} other files")
    }
}

/// Where it goes.
enum Target {
    Standard(File),
    /// Beside its place until it is whole; readable by its owner alone, as such files are.
    New {
        file: NamedTempFile,
        path: PathBuf,
    },
}

pub(super) async fn run(settings: &Settings, command: Command) -> anyhow::Result<()> {
    if !settings.data_dir.is_dir() {
        bail!(
            "the data folder {} is not there; is KOZMIC_DATA_DIR right?",
            settings.data_dir.display()
        );
    }
    // It would be made, and be empty.
    if let Some(file) = sqlite_file(&settings.database_url).filter(|file| !file.exists()) {
        bail!("there is nothing to back up: {} is not there", file.display());
    }
    let target = Target::open(command.file.or(command.to))?;
    let stopped = async {
        shutdown::signal().await?;
        bail!("stopped; no backup was made")
    };
    let done = tokio::select! {
        done = back_up(settings, target, command.with_key) => done,
        stopped = stopped => stopped,
    };
    done
}

async fn back_up(settings: &Settings, target: Target, with_key: bool) -> anyhow::Result<()> {
    let (store, key) = secret_key::open_as_it_is(settings).await?;
    let key_id = store.seal().key_id();
    let head = Head {
        format: FORMAT,
        kozmic: env!("CARGO_PKG_VERSION").into(),
        made_at: now().to_string(),
        schema: store.schema_number().await.context("is there an installation?")?,
        key_id: key_id.clone(),
        with_key,
    };
    let name = target.name();
    let mut writer = Writer::new(target.writer()?, &name, &head)?;
    if let Some(key) = with_key.then_some(&key) {
        write_key(&mut writer, key)?;
    }
    let (tables, named) = write_rows(&store, &mut writer, head.schema).await?;
    let mut contents = Contents { tables, logs: 0, live_logs: 0, files: 0, missing: 0 };
    let missing = write_files(settings, named, &mut writer, &mut contents).await?;
    let is_standard = matches!(target, Target::Standard(_));
    let bytes = blocking(|| {
        writer.finish(&contents)?;
        target.keep()
    })?;
    if head.schema == Store::newest_schema() {
        let event = Event::of(Action::BackupMade, "backup", None, &name);
        store.noted(event.with("key", with_key)).await?;
    }
    store.close().await;
    let told = told(&contents, &name, bytes, &missing, (with_key, &key_id));
    if is_standard {
        tell(&told);
    } else {
        say(&told);
    }
    Ok(())
}

/// What who made it must know.
fn told(
    contents: &Contents,
    name: &str,
    bytes: Option<u64>,
    missing: &[String],
    (with_key, key_id): (bool, &str),
) -> String {
    let size = bytes.map(|bytes| format!(", {}", readable_bytes(bytes))).unwrap_or_default();
    let mut told = vec![format!("Backed up {} in {name}{size}.", contents.in_words())];
    if contents.missing > 0 {
        told.push(format!(
            "{} files that the database names were not there; they were removed meanwhile, or \
             are lost: {}{}",
            contents.missing,
            missing.join(", "),
            if contents.missing > NAMED as u64 { " and others" } else { "" },
        ));
    }
    told.push(if with_key {
        "The secret key is in it: whoever has the file has every token and secret. Keep it where \
         nobody else reads it."
            .to_owned()
    } else {
        format!(
            "The secret key is not in it. Only who has the one with the id {key_id} can restore \
             it: keep the file `secret-key`, or the value of KOZMIC_SECRET_KEY, in another place."
        )
    });
    told.push(
        "Settings are not in it, nor cached images and cache folders, which are made again."
            .to_owned(),
    );
    told.join("\n")
}

/// All rows; what is known of the tables, and the names of files, one a line, in a file that
/// has no name itself.
async fn write_rows(
    store: &Store,
    writer: &mut Writer<File>,
    schema: i64,
) -> anyhow::Result<(Vec<TableSum>, File)> {
    let mut named = std::io::BufWriter::new(tempfile::tempfile().context("a temporary file")?);
    let (mut of, mut piece) = (String::new(), 0);
    let (found, tables) = store
        .snapshot(async |part| -> anyhow::Result<()> {
            match part {
                Part::Rows { table, lines } => {
                    piece = if of == table { piece + 1 } else { 1 };
                    let name = format!("{DATABASE}{table}/{piece:06}.jsonl");
                    of = table;
                    blocking(|| writer.whole(&name, &lines))?;
                }
                Part::Log(job) => writeln!(named, "{LIVE}{job}").context("a temporary file")?,
                Part::Object(key) => writeln!(named, "{key}").context("a temporary file")?,
            }
            Ok(())
        })
        .await?;
    if found != schema {
        bail!("the database was brought up to date meanwhile; make the backup again");
    }
    let mut named = named.into_inner().context("a temporary file")?;
    named.rewind().context("a temporary file")?;
    Ok((tables, named))
}

/// The files that the rows name, as they are now: a finished one never changes. Some of those
/// that are missing.
async fn write_files(
    settings: &Settings,
    named: File,
    writer: &mut Writer<File>,
    contents: &mut Contents,
) -> anyhow::Result<Vec<String>> {
    let logs = open_logs(settings)?;
    let mut missing = Vec::new();
    for name in BufReader::new(named).lines() {
        let name = name.context("a temporary file")?;
        if let Some(job) = name.strip_prefix(LIVE) {
            let job: JobUuid = job.parse()?;
            // One that ends just now is live, or archived.
            if blocking(|| write_live(&logs, job, writer))? {
                contents.live_logs += 1;
            } else if write_object(&logs, &logs.key(job), writer).await? {
                contents.logs += 1;
            }
        } else if write_object(&logs, &name, writer).await? {
            contents.files += 1;
        } else {
            contents.missing += 1;
            if missing.len() < NAMED {
                missing.push(name);
            }
        }
    }
    Ok(missing)
}

/// What there is of a log that may be growing; false: there is none.
fn write_live(logs: &Logs, job: JobUuid, writer: &mut Writer<File>) -> anyhow::Result<bool> {
    let path = logs.folder().path(job);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let read = |error| anyhow::Error::new(error).context(path.display().to_string());
    let mut left = file.metadata().map_err(read)?.len();
    writer.begin(&format!("{LIVE}{job}"), left)?;
    let mut bytes = vec![0; CHUNK];
    while left > 0 {
        let some = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        file.read_exact(&mut bytes[..some]).map_err(read)?;
        writer.write(&bytes[..some])?;
        left -= some as u64;
    }
    writer.end()?;
    Ok(true)
}

/// False: it is not there.
async fn write_object(logs: &Logs, key: &str, writer: &mut Writer<File>) -> anyhow::Result<bool> {
    let Some((size, mut content)) = logs.objects().whole(key).await? else { return Ok(false) };
    blocking(|| writer.begin(&format!("{OBJECTS}{key}"), size))?;
    while let Some(bytes) = content.try_next().await? {
        blocking(|| writer.write(&bytes))?;
    }
    blocking(|| writer.end())?;
    Ok(true)
}

fn write_key(writer: &mut Writer<File>, key: &SecretString) -> anyhow::Result<()> {
    let text = format!("{}\n", key.expose_secret().trim());
    Ok(writer.whole(KEY, text.as_bytes())?)
}

impl Target {
    fn open(path: Option<PathBuf>) -> anyhow::Result<Self> {
        let path = path.unwrap_or_else(|| {
            let time = now().to_string().replace(':', "");
            PathBuf::from(format!("kozmic-{time}.backup"))
        });
        if path == Path::new("-") {
            let standard = std::io::stdout();
            if std::io::IsTerminal::is_terminal(&standard) {
                bail!("a backup is nothing for a terminal; give `-` a pipe, or name a file");
            }
            // Its own buffer looks for line ends.
            let copy = standard.as_fd().try_clone_to_owned().context("standard output")?;
            return Ok(Self::Standard(copy.into()));
        }
        if path.exists() {
            bail!("{} is there already; name a new file", path.display());
        }
        let folder = folder_of(&path);
        let file = tempfile::Builder::new().prefix(".kozmic-backup-").tempfile_in(folder);
        let file = file.with_context(|| format!("no file can be made in {}", folder.display()))?;
        Ok(Self::New { file, path })
    }

    /// For people.
    fn name(&self) -> String {
        match self {
            Self::Standard(_) => "standard output".into(),
            Self::New { path, .. } => path.display().to_string(),
        }
    }

    fn writer(&self) -> anyhow::Result<File> {
        let file = match self {
            Self::Standard(file) => file,
            Self::New { file, .. } => file.as_file(),
        };
        file.try_clone().with_context(|| self.name())
    }

    /// It is whole: from now on it has its name, and survives a power cut. Its bytes, where
    /// they can be told.
    fn keep(self) -> anyhow::Result<Option<u64>> {
        let Self::New { file, path } = self else { return Ok(None) };
        let keep = || {
            file.as_file().sync_all()?;
            let file = file.persist_noclobber(&path)?;
            File::open(folder_of(&path))?.sync_all()?;
            Ok::<_, std::io::Error>(file.metadata()?.len())
        };
        keep().map(Some).with_context(|| path.display().to_string())
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Files and packing hold up a thread.
pub(super) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

#[allow(clippy::print_stderr, reason = "standard output has the backup")]
fn tell(text: &str) {
    eprintln!("{text}");
}
