//! Counts what there is.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::plan::{Removable, What};
use super::room::{DATA, ENGINE};
use super::{Beside, Disk, DiskParts, Result, measure};
use crate::engine::{EngineUsage, OfJob, UsedImage};
use crate::model::{DiskAccount, DiskKind, DiskUse, DroppedImage, ProjectId, Timestamp};
use crate::store::{KeptContainer, KeptFolder, KeptImage, KeptLog};
use crate::telemetry::count;

/// Logs that are asked for at once.
const LOGS: i64 = 1_000;
/// Characters of a cached image's id that people see.
const SHOWN_ID: usize = 14;

/// The account with what it was made of.
pub(super) struct Counted {
    pub(super) account: DiskAccount,
    pub(super) engine: EngineUsage,
    /// Of the checkouts' folders, by name.
    pub(super) checkouts: HashMap<String, u64>,
    /// Without logs, which are many.
    pub(super) removable: Vec<Removable>,
    /// Records of images that somebody else has removed.
    pub(super) gone: Vec<i64>,
}

/// What lies in the data folder.
struct Local {
    mirrors: Vec<(ProjectId, u64)>,
    checkouts: HashMap<String, u64>,
    logs: (u64, u64),
    artifacts: (u64, u64),
    trees: (u64, u64),
    database: Option<u64>,
}

impl Disk {
    pub(super) async fn count(&self) -> Result<Counted> {
        let parts = self.parts.clone();
        let local = tokio::task::spawn_blocking(move || local(&parts));
        let DiskParts { store, engine, .. } = &*self.parts;
        let kept = store.pulled_images(engine.identity()).await?;
        let ids: HashSet<String> = kept.iter().map(|it| it.image_id.clone()).collect();
        let engine = engine.usage(&ids).await?;
        let local = local.await.map_err(|panicked| super::DiskError::Disk {
            path: self.parts.data_dir.display().to_string(),
            source: std::io::Error::other(panicked),
        })?;
        let file_systems = self.file_systems()?;
        let sum = |kind, bytes: &mut dyn Iterator<Item = u64>| {
            let (count, bytes) = bytes.fold((0, 0), |(count, sum), it| (count + 1, sum + it));
            DiskUse { kind, count, bytes }
        };
        let mut uses = vec![
            sum(DiskKind::CachedImage, &mut engine.cached.iter().map(|it| it.bytes)),
            sum(DiskKind::PulledImage, &mut engine.pulled.iter().map(|it| it.bytes)),
            sum(DiskKind::Container, &mut engine.containers.iter().map(|it| it.bytes)),
            sum(DiskKind::Volume, &mut engine.volumes.iter().map(|it| it.bytes)),
            sum(DiskKind::CacheFolder, &mut engine.folders.iter().map(|it| it.bytes)),
            sum(DiskKind::Mirror, &mut local.mirrors.iter().map(|(_, bytes)| *bytes)),
            sum(DiskKind::Checkout, &mut local.checkouts.values().copied()),
            DiskUse { kind: DiskKind::Log, count: local.logs.0, bytes: local.logs.1 },
            DiskUse {
                kind: DiskKind::Artifact,
                count: local.artifacts.0,
                bytes: local.artifacts.1,
            },
        ];
        if !engine.failed.is_empty() {
            uses.push(sum(DiskKind::FailedImage, &mut engine.failed.iter().map(|it| it.bytes)));
        }
        if local.trees.0 > 0 {
            let (count, bytes) = local.trees;
            uses.push(DiskUse { kind: DiskKind::Tree, count, bytes });
        }
        uses.extend(local.database.map(|bytes| DiskUse {
            kind: DiskKind::Database,
            count: 1,
            bytes,
        }));
        for DiskUse { kind, bytes, .. } in &uses {
            count::disk(kind.as_str(), *bytes);
        }
        let account = DiskAccount {
            used: uses.iter().map(|it| it.bytes).sum(),
            uses,
            budget: self.parts.budget,
            file_systems,
        };
        let here: HashSet<&str> = engine.pulled.iter().map(|it| it.id.as_str()).collect();
        let gone = kept.iter().filter(|it| !here.contains(it.image_id.as_str()));
        Ok(Counted {
            removable: self.removable(&account, &engine, &kept, &local).await?,
            gone: gone.map(|it| it.record).collect(),
            checkouts: local.checkouts,
            account,
            engine,
        })
    }

    /// What nobody needs now, as far as that can be told without trying.
    async fn removable(
        &self,
        account: &DiskAccount,
        engine: &EngineUsage,
        kept: &[KeptImage],
        local: &Local,
    ) -> Result<Vec<Removable>> {
        let parts = &*self.parts;
        let at_work = parts.store.projects_at_work().await?;
        let wanted = parts.engine.image_ids(&parts.store.images_wanted().await?).await?;
        let built = parts.store.projects_built().await?;
        let dropped = parts.store.dropped_images().await?;
        let at_engine = place(account, ENGINE);
        let cached = engine.cached.iter().filter(|it| !it.is_needed && it.names <= 1);
        let mut removable: Vec<Removable> = cached
            .filter(|it| match it.names {
                // One that is being kept now gets its name in a moment.
                0 => is_idle(&it.scope, &at_work),
                _ => self.may_remove_of(&it.scope, &at_work),
            })
            .map(|it| cached_image(it, at_engine, &dropped))
            .collect();
        for image in engine.pulled.iter().filter(|it| !it.is_needed && !wanted.contains(&it.id)) {
            let records: Vec<&KeptImage> =
                kept.iter().filter(|it| it.image_id == image.id).collect();
            // A name that is not ours is somebody's who wants it.
            if image.names <= records.len() {
                removable.extend(pulled_image(image, &records, at_engine));
            }
        }
        let failed = parts.store.kept_containers(parts.engine.identity()).await?.into_iter();
        // Somebody is at the others.
        let failed = failed.filter(|it| it.held_until <= Timestamp::now());
        removable.extend(failed.map(|it| failed_container(&it, engine, at_engine)));
        let folders = parts.store.cache_folders_at(parts.engine.identity()).await?;
        removable.extend(engine.folders.iter().filter_map(|volume| {
            // One that the store does not know goes with the next sweep.
            let folder = folders.iter().find(|it| it.volume == volume.name && !it.is_used)?;
            Some(cache_folder(folder, volume.bytes, at_engine))
        }));
        let idle = local.mirrors.iter().filter(|(project, _)| !at_work.contains(project));
        removable.extend(idle.map(|(project, bytes)| Removable {
            what: What::Mirror(*project),
            name: format!("of project {project}"),
            bytes: *bytes,
            used: built.get(project).copied().unwrap_or(Timestamp(0)),
            file_system: place(account, DATA),
        }));
        Ok(removable)
    }

    /// The server's own locks tell whether one of its jobs is about to use a cached
    /// image; from outside, only that no job of the project is under way.
    pub(super) fn may_remove_of(&self, scope: &str, at_work: &HashSet<ProjectId>) -> bool {
        match self.parts.beside {
            Beside::Nobody => true,
            Beside::Server(_) => is_idle(scope, at_work),
        }
    }

    /// The logs that have to go to free so many bytes, the oldest first.
    pub(super) async fn oldest_logs(&self, bytes: u64) -> Result<Vec<Removable>> {
        let (mut logs, mut found) = (Vec::new(), 0);
        let mut last: Option<KeptLog> = None;
        while found < bytes {
            let next = self.parts.store.oldest_logs(last.as_ref(), LOGS).await?;
            for log in &next {
                // A job that was never started has none.
                let files = self.parts.logs.files(log.uuid);
                let size = files.iter().map(|path| measure::files_and_bytes(path).1).sum();
                if size > 0 && found < bytes {
                    found += size;
                    logs.push(Removable {
                        what: What::Log(log.job, log.uuid),
                        name: format!("of {} #{} {}", log.project, log.build_number, log.title),
                        bytes: size,
                        used: log.finished_at,
                        file_system: None,
                    });
                }
            }
            match next.into_iter().next_back() {
                Some(log) => last = Some(log),
                None => break,
            }
        }
        Ok(logs)
    }
}

/// Whether the project of a cached image has no job under way.
pub(super) fn is_idle(scope: &str, at_work: &HashSet<ProjectId>) -> bool {
    project_of(scope).is_some_and(|project| !at_work.contains(&project))
}

/// Whose cached image it is, by its scope.
fn project_of(scope: &str) -> Option<ProjectId> {
    scope.split('-').next().and_then(|project| project.parse().ok()).map(ProjectId)
}

fn place(account: &DiskAccount, what: &str) -> Option<usize> {
    account.file_systems.iter().position(|it| it.holds.iter().any(|held| held == what))
}

fn cached_image(
    image: &UsedImage,
    file_system: Option<usize>,
    dropped: &[(ProjectId, DroppedImage)],
) -> Removable {
    let scope = image.scope.clone();
    let (id, what) = match image.name.split(['/', ':']).nth(1) {
        Some(id) => {
            // One that was used again since is another one.
            let is_dropped = dropped.iter().any(|(project, dropped)| {
                project_of(&scope) == Some(*project)
                    && dropped.cache_id == id
                    && image.used <= dropped.at
            });
            (id, What::CachedImage { name: image.name.clone(), scope, is_dropped })
        }
        None => ("without a name", What::Nameless { id: image.id.clone(), scope }),
    };
    Removable {
        name: format!("{id:.SHOWN_ID$} of project {}", image.scope.replacen('-', ", ", 1)),
        what,
        bytes: image.bytes,
        used: image.used,
        file_system,
    }
}

fn pulled_image(
    image: &UsedImage,
    records: &[&KeptImage],
    file_system: Option<usize>,
) -> Option<Removable> {
    Some(Removable {
        what: What::pulled(&image.id, records),
        name: records.first()?.name.clone(),
        bytes: image.bytes,
        used: records.iter().map(|it| it.used).max()?,
        file_system,
    })
}

fn failed_container(
    kept: &KeptContainer,
    engine: &EngineUsage,
    file_system: Option<usize>,
) -> Removable {
    let of_attempt = |it: &&OfJob| (it.job, it.attempt) == (kept.uuid, kept.attempt);
    let of_jobs = engine.containers.iter().chain(&engine.volumes).filter(of_attempt);
    let images =
        engine.failed.iter().filter(|it| (it.job, it.attempt) == (kept.uuid, kept.attempt));
    Removable {
        what: What::Failed { id: kept.job, job: kept.uuid, attempt: kept.attempt },
        name: format!("of {} #{} {}, which failed", kept.project, kept.build_number, kept.title),
        bytes: of_jobs.map(|it| it.bytes).chain(images.map(|it| it.bytes)).sum(),
        used: kept.kept_at,
        file_system,
    }
}

fn cache_folder(folder: &KeptFolder, bytes: u64, file_system: Option<usize>) -> Removable {
    let name = format!("{} of {} {}", folder.name, folder.project_name, folder.job_title);
    Removable {
        what: What::CacheFolder(folder.volume.clone()),
        name: match folder.pull_request {
            Some(number) => format!("{name}, pull request {number}"),
            None => name,
        },
        bytes,
        used: folder.used_at,
        file_system,
    }
}

fn local(parts: &Arc<DiskParts>) -> Local {
    let mirrors = parts.source.mirrors().into_iter();
    let checkouts = folders(parts.source.checkouts_folder());
    Local {
        mirrors: mirrors.map(|(id, path)| (id, measure::files_and_bytes(&path).1)).collect(),
        checkouts: checkouts
            .into_iter()
            .map(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                (name, measure::files_and_bytes(&path).1)
            })
            .collect(),
        logs: logs(parts),
        artifacts: objects_below(parts, "artifacts"),
        trees: objects_below(parts, "trees"),
        database: parts.database.as_deref().map(database_bytes),
    }
}

/// What lies in S3 takes no room here.
fn objects_below(parts: &DiskParts, prefix: &str) -> (u64, u64) {
    let folder = parts.logs.objects().folder();
    folder.map_or((0, 0), |folder| measure::files_and_bytes(&folder.join(prefix)))
}

/// Of a live log and its index, one is counted; the logs of services are part of their job's.
fn logs(parts: &DiskParts) -> (u64, u64) {
    let folders = parts.logs.folders();
    let is_log =
        |name: &str| name.strip_suffix(".zst").unwrap_or(name).strip_suffix(".log").is_some();
    let counted = folders.iter().map(|folder| measure::some_and_bytes(folder, is_log));
    let of_services = objects_below(parts, "services").1;
    counted.fold((0, of_services), |sum, of| (sum.0 + of.0, sum.1 + of.1))
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

/// With what SQLite keeps beside it.
fn database_bytes(path: &Path) -> u64 {
    let beside = ["", "-wal", "-shm"].map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        measure::files_and_bytes(Path::new(&name)).1
    });
    beside.iter().sum()
}
