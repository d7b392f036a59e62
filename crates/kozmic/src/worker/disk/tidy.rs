//! Removes what is beyond the bounds.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::account::is_idle;
use super::orphans::Orphan;
use super::plan::{Removable, What, plan};
use super::{Beside, Disk, Result};
use crate::model::{Action, DiskAccount, DiskKind, Event, Timestamp, readable_bytes};

/// Counting again after so many removals has to end.
const ROUNDS: usize = 10;

/// Something that was removed, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removed {
    pub kind: DiskKind,
    /// For people.
    pub name: String,
    pub bytes: u64,
    /// When it was used last; what nobody owns has no such time.
    pub used: Option<Timestamp>,
}

/// What became of the disks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tidied {
    pub before: DiskAccount,
    /// The same as before when nothing was removed.
    pub after: DiskAccount,
    pub removed: Vec<Removed>,
    /// Mirrors that only the server which runs here can remove.
    pub left_to_server: u64,
}

impl Tidied {
    pub(super) fn log(&self) {
        for it in &self.removed {
            let (kind, name) = (it.kind.singular(), &it.name);
            tracing::info!(kind, name, bytes = it.bytes, "removed to make room");
        }
        if self.after.beyond_budget() > 0 {
            let beyond = readable_bytes(self.after.beyond_budget());
            tracing::warn!(beyond, "the disk budget is used up, and nothing more can be removed");
        }
    }
}

/// Whether something was removed.
enum Removal {
    Done,
    InUse,
    LeftToServer,
}

impl Disk {
    /// Counts, and removes what is beyond the bounds; with `dry_run`, only tells what
    /// would be.
    pub async fn tidy(&self, dry_run: bool) -> Result<Tidied> {
        let mut counted = self.count().await?;
        let before = counted.account.clone();
        let mut removed = Vec::new();
        let (mut stays, mut left_to_server) = (BTreeSet::new(), 0);
        for _ in 0..ROUNDS {
            if !dry_run {
                for record in &counted.gone {
                    self.parts.store.pulled_image_gone(*record).await?;
                }
            }
            let mut removable = counted.removable;
            let beyond = counted.account.beyond_budget();
            if beyond > 0 {
                removable.extend(self.oldest_logs(beyond).await?);
            }
            removable.retain(|it| !stays.contains(&it.what));
            let goes = plan(&counted.account, removable);
            if dry_run || goes.is_empty() {
                removed.extend(goes.into_iter().map(of_removable));
                break;
            }
            for it in goes {
                match self.remove(&it.what).await? {
                    Removal::Done => removed.push(of_removable(it)),
                    Removal::InUse => {
                        stays.insert(it.what);
                    }
                    Removal::LeftToServer => {
                        left_to_server += 1;
                        stays.insert(it.what);
                    }
                }
            }
            counted = self.count().await?;
        }
        let after = if dry_run { before.clone() } else { counted.account };
        if !dry_run && !removed.is_empty() {
            self.parts.store.noted(made_room(&removed)).await?;
        }
        if !dry_run {
            self.set_beyond_budget(after.beyond_budget() > 0);
            self.set_account(after.clone());
        }
        Ok(Tidied { before, after, removed, left_to_server })
    }

    /// Removes what nobody owns any more; with `dry_run`, only tells what would be.
    pub async fn tidy_orphans(&self, dry_run: bool) -> Result<Vec<Removed>> {
        let orphans = self.orphans().await?;
        if orphans.is_empty() {
            return Ok(Vec::new());
        }
        let counted = self.count().await?;
        let size = |orphan: &Orphan| {
            let of_attempt =
                |it: &&crate::engine::OfJob| it.job == orphan.job && it.attempt == orphan.attempt;
            match orphan.kind {
                DiskKind::Container => {
                    counted.engine.containers.iter().filter(of_attempt).map(|it| it.bytes).sum()
                }
                DiskKind::Volume => {
                    let volumes = counted.engine.volumes.iter();
                    volumes.filter(|it| it.name == orphan.name).map(|it| it.bytes).sum()
                }
                _ => counted.checkouts.get(&orphan.name).copied().unwrap_or(0),
            }
        };
        let mut removed = Vec::new();
        for orphan in orphans {
            if dry_run || self.remove_orphan(&orphan).await? {
                removed.push(Removed {
                    bytes: size(&orphan),
                    kind: orphan.kind,
                    name: orphan.name,
                    used: None,
                });
            }
        }
        Ok(removed)
    }

    /// Looks once more whether it is needed, as late as possible.
    async fn remove(&self, what: &What) -> Result<Removal> {
        let (store, engine) = (&self.parts.store, &self.parts.engine);
        let is_done = match what {
            What::CachedImage { name, scope, .. } => {
                let lock = self.parts.cache.lock_of(name);
                let Ok(_held) = lock.try_lock() else { return Ok(Removal::InUse) };
                self.may_remove_of(scope, &store.projects_at_work().await?)
                    && engine.remove_image(name).await?
            }
            What::Nameless { id, scope } => {
                is_idle(scope, &store.projects_at_work().await?) && engine.remove_image(id).await?
            }
            What::PulledImage { id, records } => {
                let wanted = engine.image_ids(&store.images_wanted().await?).await?;
                let mut is_done = !wanted.contains(id);
                for (record, name) in records {
                    is_done = is_done && engine.remove_pulled(id, name).await?;
                    if is_done {
                        store.pulled_image_gone(*record).await?;
                    }
                }
                is_done
            }
            What::CacheFolder(volume) => {
                // From then on no job gets it. One that a container has goes with a sweep.
                store.idle_cache_folder_dropped(engine.identity(), volume).await?
                    && engine.remove_volume(volume).await?
            }
            What::Mirror(project) => {
                let alone = match &self.parts.beside {
                    Beside::Nobody => None,
                    Beside::Server(alone) => match alone() {
                        Some(alone) => Some(alone),
                        None => return Ok(Removal::LeftToServer),
                    },
                };
                // Held before the store is asked: a job that comes later fetches later.
                let mirror = self.parts.source.hold_mirror(*project);
                let is_idle = !store.projects_at_work().await?.contains(project);
                let is_done = match mirror.filter(|_| is_idle) {
                    Some(mirror) => mirror.remove().await.map(|()| true)?,
                    None => false,
                };
                drop(alone);
                is_done
            }
            What::Failed { id, job, attempt } => {
                let now = Timestamp::now();
                // Not when somebody has come to it meanwhile.
                let goes = store.kept_container_goes(*id, "its disk space was needed", true, now);
                let goes = goes.await?;
                goes && engine.remove_kept(*job, *attempt).await.map(|()| true)?
            }
            What::Log(job, uuid) => {
                // Its page says so first: no log is missing without a word.
                let may = store.log_removed(*job, "to free disk space", Timestamp::now()).await?;
                may && self.parts.logs.remove(*uuid).await.map(|()| true)?
            }
        };
        Ok(if is_done { Removal::Done } else { Removal::InUse })
    }
}

/// What the audit log says of it: how many of each kind, and the bytes of all.
fn made_room(removed: &[Removed]) -> Event {
    let mut counts = BTreeMap::<_, u64>::new();
    for it in removed {
        *counts.entry(it.kind.plural()).or_default() += 1;
    }
    let bytes: u64 = removed.iter().map(|it| it.bytes).sum();
    let event = Event::of(Action::DiskTidied, "disk", None, "").with("bytes", bytes);
    counts.into_iter().fold(event, |event, (kind, count)| event.with(kind, count))
}

fn of_removable(it: Removable) -> Removed {
    Removed { kind: it.what.kind(), name: it.name, bytes: it.bytes, used: Some(it.used) }
}
