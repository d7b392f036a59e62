//! Volumes of cache folders that were dropped, and networks of attempts that are over.

use std::collections::HashSet;

use super::{Disk, DiskParts, Result};
use crate::model::ProjectId;

impl Disk {
    /// Removes the volumes that the store does not know. What a container still has waits
    /// for the next sweep.
    pub(in crate::worker) async fn remove_dropped_folders(&self) -> Result<()> {
        let DiskParts { store, engine, .. } = &*self.parts;
        // Listed before the store is asked, which knows each before it is made.
        let volumes = engine.folders().await?;
        if volumes.is_empty() {
            return Ok(());
        }
        let known = store.cache_folders_at(engine.identity()).await?;
        let known: HashSet<&str> = known.iter().map(|folder| folder.volume.as_str()).collect();
        for volume in volumes.iter().filter(|volume| !known.contains(volume.name.as_str())) {
            if engine.remove_volume(&volume.name).await? {
                tracing::info!(volume = volume.name, "a cache folder was removed");
            }
        }
        Ok(())
    }

    /// Those of a project that was deleted. False when one is still in use.
    pub(super) async fn remove_folders_of(&self, project: ProjectId) -> Result<bool> {
        let engine = &self.parts.engine;
        let project = project.to_string();
        let mut is_gone = true;
        for volume in engine.folders().await?.iter().filter(|volume| volume.project == project) {
            is_gone &= engine.remove_volume(&volume.name).await?;
        }
        Ok(is_gone)
    }

    /// Networks of attempts that hold no lease.
    pub(in crate::worker) async fn remove_orphaned_networks(&self) -> Result<()> {
        let DiskParts { store, engine, .. } = &*self.parts;
        // As with containers: what exists is listed before the leases are asked for.
        for (job, attempt) in engine.networks_by_job().await? {
            if !store.is_leased(job, attempt).await? {
                engine.remove_networks_of_job(job, attempt..=attempt).await?;
                tracing::info!(%job, attempt, "a network that nobody owned was removed");
            }
        }
        Ok(())
    }
}
