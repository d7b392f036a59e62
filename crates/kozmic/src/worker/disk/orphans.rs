//! What nobody owns any more: containers, with their volumes, and checkouts of
//! attempts that hold no lease, and that nobody keeps. Only what carries this installation's labels, or
//! lies in its own folder, is looked at; what another process's jobs own is known
//! by their leases.

use super::{Disk, DiskParts, Result};
use crate::model::{DiskKind, JobUuid, Timestamp};

/// Something of an attempt that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::worker) struct Orphan {
    pub(in crate::worker) kind: DiskKind,
    pub(in crate::worker) name: String,
    pub(in crate::worker) job: JobUuid,
    pub(in crate::worker) attempt: i64,
}

impl Disk {
    pub(in crate::worker) async fn orphans(&self) -> Result<Vec<Orphan>> {
        let DiskParts { store, engine, source, .. } = &*self.parts;
        // What exists is listed before the leases are asked for: whatever belongs
        // to an attempt that starts meanwhile is not on the list. The containers come
        // first, and take their volumes with them.
        let mut found = Vec::new();
        for (job, attempt) in engine.containers_by_job().await? {
            let name = format!("of job {job}");
            found.push(Orphan { kind: DiskKind::Container, name, job, attempt });
        }
        for volume in engine.volumes_of_jobs().await? {
            found.push(Orphan {
                kind: DiskKind::Volume,
                name: volume.name,
                job: volume.job,
                attempt: volume.attempt,
            });
        }
        for (name, job, attempt) in source.checkouts() {
            found.push(Orphan { kind: DiskKind::Checkout, name, job, attempt });
        }
        let mut orphans = Vec::new();
        for orphan in found {
            // A store that does not answer says nothing of what is orphaned.
            let is_needed = store.is_leased(orphan.job, orphan.attempt).await?
                || (matches!(orphan.kind, DiskKind::Container | DiskKind::Volume)
                    && store.is_kept(orphan.job, orphan.attempt, Timestamp::now()).await?);
            if !is_needed {
                orphans.push(orphan);
            }
        }
        Ok(orphans)
    }

    /// False when it is in use after all.
    pub(in crate::worker) async fn remove_orphan(&self, orphan: &Orphan) -> Result<bool> {
        let DiskParts { engine, source, .. } = &*self.parts;
        match orphan.kind {
            DiskKind::Container => {
                engine.remove_of_job(orphan.job, orphan.attempt..=orphan.attempt).await?;
            }
            DiskKind::Volume => return Ok(engine.remove_volume(&orphan.name).await?),
            _ => source.remove_checkout(&orphan.name),
        }
        Ok(true)
    }
}
