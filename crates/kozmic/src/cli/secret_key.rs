//! The secret key: found, or made at the first start; and `kozmic secret-key rotate`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use secrecy::SecretString;

use super::{connect_store, now, restore, say, serve};
use crate::config::Settings;
use crate::model::Actor;
use crate::seal::{self, Seal};
use crate::store::Store;

/// What `rotate` takes a given key from: neither an argument, which others on the machine
/// can see, nor a setting, which would stay.
const NEW_KEY: &str = "KOZMIC_NEW_SECRET_KEY";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Seal everything with another key, while no server runs. It is the one in
    /// KOZMIC_NEW_SECRET_KEY, or a new one where the key is kept in the data folder
    Rotate,
}

/// Where the key at hand is from.
enum Origin {
    /// KOZMIC_SECRET_KEY
    Setting,
    File,
    /// Nowhere: it was made up just now, and is not kept yet.
    New,
}

/// Opens the store with its key, up to date. A database that was sealed with another
/// key is refused before anything is done with it.
pub(super) async fn open(settings: &Settings) -> anyhow::Result<Store> {
    let file = key_file(settings);
    let (key, origin) = match at_hand(settings)? {
        Some(known) => known,
        None => (seal::random_hex()?.into(), Origin::New),
    };
    let store = migrated(settings, &key).await?;
    let known = store.sealed_with().await?;
    restore::settled(settings, known.is_some())?;
    match known {
        Some(id) if id != store.seal().key_id() => {
            store.close().await;
            match origin {
                Origin::File | Origin::New => finish_rotation(settings, &id).await?,
                Origin::Setting => None,
            }
            .ok_or_else(|| other_key(&origin, &file, &id))
        }
        _ => {
            if matches!(origin, Origin::New) {
                seal::write_key(&file, &key)?;
            }
            match store.key_adopted(now()).await? {
                Some(id) if id != store.seal().key_id() => Err(other_key(&origin, &file, &id)),
                _ => Ok(store),
            }
        }
    }
}

/// The key of these settings, if there is one.
fn at_hand(settings: &Settings) -> anyhow::Result<Option<(SecretString, Origin)>> {
    Ok(match &settings.secret_key {
        Some(key) => Some((key.clone(), Origin::Setting)),
        None => seal::read_key(&key_file(settings))?.map(|key| (key, Origin::File)),
    })
}

/// As [`at_hand`], with the words for where it is from.
pub(super) fn given(settings: &Settings) -> anyhow::Result<Option<(SecretString, String)>> {
    let file = key_file(settings);
    Ok(at_hand(settings)?.map(|(key, origin)| match origin {
        Origin::Setting => (key, "KOZMIC_SECRET_KEY".to_owned()),
        Origin::File | Origin::New => (key, file.display().to_string()),
    }))
}

/// Opens a store that is there already, with its key; nothing of it is changed.
pub(super) async fn open_as_it_is(settings: &Settings) -> anyhow::Result<(Store, SecretString)> {
    let file = key_file(settings);
    let Some((key, origin)) = at_hand(settings)? else {
        bail!("there is no secret key: neither KOZMIC_SECRET_KEY nor {}", file.display());
    };
    let store = opened(settings, &key).await?;
    match store.sealed_with().await? {
        Some(id) if id != store.seal().key_id() => Err(other_key(&origin, &file, &id)),
        _ => Ok((store, key)),
    }
}

/// Opens the store with a key, whatever it was sealed with, in the hands of who runs this.
pub(super) async fn opened(settings: &Settings, key: &SecretString) -> anyhow::Result<Store> {
    let store = Store::open(&settings.database_url, Seal::from_text(key)?).await?;
    Ok(store.by(Actor::cli(&unix_user())))
}

async fn migrated(settings: &Settings, key: &SecretString) -> anyhow::Result<Store> {
    let store = opened(settings, key).await?;
    store.migrate().await?;
    Ok(store)
}

/// Who runs this command. With sudo it is who asked for it; root could say anything anyway.
fn unix_user() -> String {
    let id = rustix::process::getuid();
    let asked = std::env::var("SUDO_USER").ok().filter(|name| id.is_root() && !name.is_empty());
    let named = || {
        let users = std::fs::read_to_string("/etc/passwd").ok()?;
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (name, number) = (fields.next()?, fields.nth(1)?);
            (number == id.as_raw().to_string()).then(|| name.to_owned())
        })
    };
    asked.or_else(named).unwrap_or_else(|| format!("uid {}", id.as_raw()))
}

fn other_key(origin: &Origin, file: &Path, id: &str) -> anyhow::Error {
    let file = file.display();
    match origin {
        Origin::Setting => anyhow::anyhow!(
            "KOZMIC_SECRET_KEY is not the key that the database was sealed with; \
             set it to the one with the id {id}"
        ),
        Origin::File => anyhow::anyhow!(
            "{file} does not hold the key that the database was sealed with; put back the one with \
             the id {id}, or set KOZMIC_SECRET_KEY to it"
        ),
        Origin::New => anyhow::anyhow!(
            "{file} is missing, and the database was sealed with the key in it; put it back from a \
             backup, or set KOZMIC_SECRET_KEY to the key with the id {id}"
        ),
    }
}

/// A rotation that was cut off after the database had changed: its key takes its place.
/// None when there was none, or of another key.
async fn finish_rotation(settings: &Settings, id: &str) -> anyhow::Result<Option<Store>> {
    let new = new_key_file(settings);
    let Some(key) = seal::read_key(&new)? else { return Ok(None) };
    if Seal::from_text(&key)?.key_id() != id {
        return Ok(None);
    }
    seal::replace_key(&new, &key_file(settings))?;
    Ok(Some(migrated(settings, &key).await?))
}

pub(super) async fn run(settings: &Settings, command: Command) -> anyhow::Result<()> {
    let Command::Rotate = command;
    if !settings.data_dir.is_dir() {
        bail!("the data folder {} is not there", settings.data_dir.display());
    }
    let _locks = serve::lock(settings).context("stop the server before its key is changed")?;
    let store = connect_store(settings).await?;
    let given = std::env::var(NEW_KEY).ok().filter(|key| !key.trim().is_empty());
    let key: SecretString = match (given, &settings.secret_key) {
        (Some(given), _) => given.into(),
        (None, None) => seal::random_hex()?.into(),
        (None, Some(_)) => bail!(
            "the key is given by KOZMIC_SECRET_KEY, so the new one must be given, too: \
             set {NEW_KEY} for this command"
        ),
    };
    let new = Seal::from_text(&key).context(NEW_KEY)?;
    if new.key_id() == store.seal().key_id() {
        bail!("{NEW_KEY} is the key that everything is sealed with already");
    }
    let count = if settings.secret_key.is_some() {
        store.resealed(&new, now()).await?
    } else {
        rotate_file(settings, &store, &key, &new).await?
    };
    store.close().await;
    say(&format!("Sealed {count} values with the key {}.", new.key_id()));
    if settings.secret_key.is_some() {
        say("Set KOZMIC_SECRET_KEY to the new key before the next start.");
    }
    say("Keep the old key as long as you keep backups from before.");
    Ok(())
}

/// The new key is on the disk before anything is sealed with it, and takes the old one's
/// place afterwards: whenever this is cut off, the next start finds the right one.
async fn rotate_file(
    settings: &Settings,
    store: &Store,
    key: &SecretString,
    new: &Seal,
) -> anyhow::Result<usize> {
    let beside = new_key_file(settings);
    // Of a rotation that was cut off before it changed anything.
    if seal::read_key(&beside)?.is_some() {
        std::fs::remove_file(&beside).with_context(|| beside.display().to_string())?;
    }
    seal::write_key(&beside, key)?;
    let count = match store.resealed(new, now()).await {
        Ok(count) => count,
        Err(error) => {
            let _ = std::fs::remove_file(&beside);
            return Err(error.into());
        }
    };
    seal::replace_key(&beside, &key_file(settings))?;
    Ok(count)
}

pub(super) fn key_file(settings: &Settings) -> PathBuf {
    settings.data_dir.join("secret-key")
}

fn new_key_file(settings: &Settings) -> PathBuf {
    settings.data_dir.join("secret-key.new")
}
