//! What `kozmic run` has beside the script: services, and cache folders of this checkout's.

use std::path::Path;

use anyhow::Context as _;
use clap::Args;

use crate::engine::{Engine, Found};
use crate::log::Masks;
use crate::model::{CacheFolder, CacheFolders, Invalid, Services, readable_bytes};
use crate::worker::{Folder, Work, measure};

/// Jobs of one checkout that have a folder of one name at once.
const AT_ONCE: u32 = 8;
/// Bytes of a service's log that are written.
const LOG_LIMIT: usize = 8 << 20;
/// As the project of folders that no server owns.
const PROJECT: &str = "local";

#[derive(Debug, Args)]
pub(super) struct Beside {
    /// A service beside the build script, under a host name; may be repeated
    #[arg(long, value_name = "NAME=IMAGE")]
    service: Vec<String>,
    /// A variable of a service; may be repeated
    #[arg(long, value_name = "NAME=K=V")]
    service_env: Vec<String>,
    /// A port, or a command run in the service, that tells whether it is ready
    #[arg(long, value_name = "NAME=CHECK")]
    service_ready: Vec<String>,
    /// Seconds in which a service is ready
    #[arg(long, value_name = "NAME=SECONDS")]
    service_timeout: Vec<String>,
    /// Put what the services have written into this folder
    #[arg(long, value_name = "DIR")]
    service_logs: Option<std::path::PathBuf>,
    /// A folder that the next run on this checkout finds again; may be repeated
    #[arg(long, value_name = "NAME=/PATH")]
    cache_folder: Vec<String>,
}

/// As a hook's file has it: a colon after the name.
fn as_in_hooks(text: &str) -> Result<String, Invalid> {
    let (name, value) = text.split_once('=').ok_or_else(|| Invalid::new("write it as NAME=…"))?;
    Ok(format!("{name}: {value}"))
}

impl Beside {
    pub(super) fn services(&self) -> anyhow::Result<Services> {
        let mut services = Services::default();
        let given = [
            ("service", &self.service),
            ("service-env", &self.service_env),
            ("service-ready", &self.service_ready),
            ("service-timeout", &self.service_timeout),
        ];
        for (option, values) in given {
            for value in values {
                let set = as_in_hooks(value).and_then(|value| services.set(option, &value));
                set.with_context(|| format!("--{option} {value}"))?;
            }
        }
        Ok(services)
    }

    /// The folders of the checkout at `dir`, each with a volume that nobody has now.
    pub(super) async fn folders(
        &self,
        engine: &Engine,
        dir: &Path,
        limit: u64,
    ) -> anyhow::Result<Vec<Folder>> {
        let mut given = CacheFolders::default();
        for value in &self.cache_folder {
            let added = as_in_hooks(value).and_then(|value| given.add(&value));
            added.with_context(|| format!("--cache-folder {value}"))?;
        }
        let dir = dir.canonicalize().with_context(|| dir.display().to_string())?;
        let mut folders = Vec::new();
        for folder in given.iter() {
            let volume = free_volume(engine, &dir, folder).await?;
            folders.push(Folder {
                folder: folder.clone(),
                found: match &volume {
                    Some(volume) => format!("in the volume {volume}"),
                    None => format!("empty, since {AT_ONCE} runs have theirs already"),
                },
                volume,
                project: PROJECT.into(),
                whose: format!("{} {}", dir.display(), folder.name),
                limit: folder.limit.unwrap_or(limit),
            });
        }
        Ok(folders)
    }

    /// Before the containers go.
    pub(super) async fn keep_logs(
        &self,
        engine: &Engine,
        work: &Work,
        masks: &Masks,
    ) -> anyhow::Result<()> {
        let Some(dir) = &self.service_logs else { return Ok(()) };
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        for service in engine.services(work.job, work.attempt).await? {
            let written = masks.hide(&service.container.written(LOG_LIMIT).await?);
            let path = dir.join(format!("{}.log", service.name));
            std::fs::write(&path, written).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }
}

/// The first that no other run on this checkout has.
async fn free_volume(
    engine: &Engine,
    dir: &Path,
    folder: &CacheFolder,
) -> anyhow::Result<Option<String>> {
    let dir = dir.to_string_lossy();
    for number in 0..AT_ONCE {
        let volume = folder.local_volume(&dir, number);
        if !engine.is_volume_used(&volume).await? {
            return Ok(Some(volume));
        }
    }
    Ok(None)
}

/// Removes the job's containers and what was theirs alone, and folders that are too large;
/// what is to be said of these.
pub(super) async fn clean_up(engine: &Engine, work: &Work) -> anyhow::Result<Vec<String>> {
    let measured = match engine.unattended(work.job, work.attempt).await? {
        Found::Started(found) if !work.folders.is_empty() => {
            let job = (work.job, work.attempt);
            measure(engine, job, &found.container, &work.folders).await
        }
        _ => Vec::new(),
    };
    engine.remove_of_job(work.job, 0..=work.attempt).await?;
    if !work.services.is_empty() {
        engine.remove_networks_of_job(work.job, 0..=work.attempt).await?;
    }
    let mut said = Vec::new();
    for folder in measured {
        match (folder.too_large, folder.bytes) {
            (Some(why), _) => {
                engine.remove_volume(&folder.volume).await?;
                said.push(why);
            }
            (None, Some(bytes)) => {
                let size = readable_bytes(bytes);
                said.push(format!("the volume {} has {size} now", folder.volume));
            }
            (None, None) => {}
        }
    }
    Ok(said)
}
