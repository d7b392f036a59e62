//! Mirrors in the long run: what is needed no longer goes.

use std::collections::HashSet;
use std::path::PathBuf;

use tokio::sync::OwnedMutexGuard;

use super::git::{Failed, Git};
use super::{Result, Source, SourceError, mirror, on_disk};
use crate::model::{CommitSha, ProjectId};

/// Loose objects, about, and packs beyond which a mirror is packed anew. Each
/// build brings some of either.
const LOOSE_LIMIT: &str = "gc.auto=2000";
const PACK_LIMIT: &str = "gc.autoPackLimit=20";
/// What is added to the name of a mirror that is being removed.
const REMOVED: &str = "removed";

/// A mirror into which nobody fetches as long as this lives. Checkouts may be made
/// of it: whoever changes it must know of no job that is on the project.
pub struct HeldMirror {
    folder: PathBuf,
    _hold: OwnedMutexGuard<()>,
}

impl Source {
    /// The mirrors here, each with its folder.
    pub fn mirrors(&self) -> Vec<(ProjectId, PathBuf)> {
        let Ok(entries) = std::fs::read_dir(&self.mirrors) else { return Vec::new() };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let of_project = |path: PathBuf| {
            let project = path.file_name()?.to_str()?.strip_suffix(".git")?.parse().ok()?;
            Some((ProjectId(project), path))
        };
        paths.filter_map(of_project).collect()
    }

    /// None while somebody fetches. In this process only.
    pub fn hold_mirror(&self, project: ProjectId) -> Option<HeldMirror> {
        let hold = self.lock_of(project).try_lock_owned().ok()?;
        Some(HeldMirror { folder: mirror::folder(&self.mirrors, project), _hold: hold })
    }

    /// Removes what removals that were cut off have left.
    pub async fn remove_leftovers(&self) {
        let Ok(entries) = std::fs::read_dir(&self.mirrors) else { return };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        for path in paths.filter(|path| path.extension().is_some_and(|it| it == REMOVED)) {
            if tokio::fs::remove_dir_all(&path).await.is_ok() {
                tracing::info!(path = %path.display(), "the rest of a mirror was removed");
            }
        }
    }
}

impl HeldMirror {
    /// Keeps only these commits, with their history, and packs what is left anew
    /// when that is worth while.
    pub async fn tidy(&self, needed: &[CommitSha]) -> Result<()> {
        let failed = |failed: Failed| SourceError::Disk {
            path: self.folder.display().to_string(),
            source: std::io::Error::other(failed.problem()),
        };
        let git = async |arguments: &[&str]| {
            Git::in_folder(&self.folder).args(arguments).run().await?.map_err(failed)
        };
        let kept: HashSet<String> = needed.iter().map(mirror::kept_ref).collect();
        let refs = git(&["for-each-ref", "--format=%(refname)", mirror::KEPT_REFS]).await?;
        for name in refs.lines().filter(|name| !kept.contains(*name)) {
            git(&["update-ref", "-d", name]).await?;
        }
        let limits = ["-c", LOOSE_LIMIT, "-c", PACK_LIMIT, "-c", "gc.autoDetach=false"];
        git(&[&limits[..], &["gc", "--auto", "--quiet", "--prune=now"]].concat()).await?;
        Ok(())
    }

    /// Removes it; the next build fetches all of it again.
    pub async fn remove(self) -> Result<()> {
        // At once for everybody else, however long its files take.
        let removed = self.folder.with_added_extension(REMOVED);
        tokio::fs::rename(&self.folder, &removed).await.map_err(on_disk(&self.folder))?;
        tokio::fs::remove_dir_all(&removed).await.map_err(on_disk(&removed))
    }
}
