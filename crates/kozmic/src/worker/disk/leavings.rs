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

    /// Removes what projects have left that were deleted while another worker was told so, or
    /// this one was away: a mirror is where jobs of its project ran.
    pub(in crate::worker) async fn remove_left_here(&self) -> Result<()> {
        // Listed before the store is asked: a project that is made meanwhile has no mirror yet.
        let mirrors = self.parts.source.mirrors();
        let projects: Vec<ProjectId> = mirrors.into_iter().map(|(project, _)| project).collect();
        for project in self.parts.store.projects_gone(&projects).await? {
            if self.remove_all_of(project).await? {
                tracing::info!(%project, "what a deleted project had left here was removed");
            }
        }
        Ok(())
    }

    /// The cached images, the cache folders and, once these are gone, the mirror.
    async fn remove_all_of(&self, project: ProjectId) -> Result<bool> {
        let DiskParts { engine, source, .. } = &*self.parts;
        let mut mirror = None;
        if source.mirrors().iter().any(|(of, _)| *of == project) {
            let Some(held) = source.hold_mirror(project) else { return Ok(false) };
            mirror = Some(held);
        }
        // Its own, those of its forks, and of what was tried.
        let (own, apart) = (project.to_string(), format!("{project}-"));
        let mut is_gone = self.remove_folders_of(project).await?;
        for image in engine.cached_images().await? {
            if image.scope == own || image.scope.starts_with(&apart) {
                is_gone &= engine.remove_image(&image.name).await?;
            }
        }
        if let Some(mirror) = mirror.filter(|_| is_gone) {
            mirror.remove().await?;
        }
        Ok(is_gone)
    }
}
