//! What deleted projects have left on the disks of this machine.

use super::{Disk, DiskParts, Result};
use crate::log::LogError;
use crate::model::ProjectId;
use crate::store::Left;

/// Looked at in one sweep.
const AT_ONCE: i64 = 1_000;

impl Disk {
    /// Removes it; what is still in use waits for the next sweep.
    pub(in crate::worker) async fn remove_leavings(&self) -> Result<()> {
        let store = &self.parts.store;
        let mut is_storage_away = false;
        for leaving in store.leavings(AT_ONCE).await? {
            let is_gone = match leaving.of {
                // Each would wait as long, and projects would wait for all of them.
                Left::Log(_) if is_storage_away => false,
                Left::Log(job) => match self.parts.logs.remove(job).await {
                    Ok(()) => true,
                    Err(error) => {
                        tracing::warn!(%job, %error, "the log of a deleted project stays for now");
                        is_storage_away = matches!(error, LogError::Objects(_));
                        false
                    }
                },
                Left::Project(project) => self.remove_all_of(project).await?,
            };
            if is_gone {
                store.leaving_removed(leaving.id).await?;
            }
        }
        Ok(())
    }

    /// The mirror, the cached images and the cache folders.
    async fn remove_all_of(&self, project: ProjectId) -> Result<bool> {
        let DiskParts { engine, source, .. } = &*self.parts;
        if source.mirrors().iter().any(|(of, _)| *of == project) {
            let Some(mirror) = source.hold_mirror(project) else { return Ok(false) };
            mirror.remove().await?;
        }
        // Its own, those of its forks, and of what was tried.
        let (own, apart) = (project.to_string(), format!("{project}-"));
        let mut is_gone = self.remove_folders_of(project).await?;
        for image in engine.cached_images().await? {
            if image.scope == own || image.scope.starts_with(&apart) {
                is_gone &= engine.remove_image(&image.name).await?;
            }
        }
        Ok(is_gone)
    }
}
