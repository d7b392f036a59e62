//! Two servers never work in one data folder.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::config::Settings;
use crate::store::sqlite_file;

/// A locked file. Unlocked when dropped, not only closed: a child between its
/// fork and its exec holds a copy of the file, and the lock with it (flock(2)).
pub(in crate::cli) struct Locked(File);

impl Locked {
    fn open(path: &Path) -> Result<Self, TryLockError> {
        let file = File::create(path).map_err(TryLockError::Error)?;
        file.try_lock()?;
        Ok(Self(file))
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // A lock that stays would end with the process.
        let _ = self.0.unlock();
    }
}

/// Held as long as the server runs, on the data folder and, where it is a file,
/// on the database: two servers would give each other's jobs up as lost.
pub(in crate::cli) fn lock(settings: &Settings) -> anyhow::Result<Vec<Locked>> {
    let mut paths = vec![settings.data_dir.join("lock")];
    if let Some(database) = sqlite_file(&settings.database_url) {
        paths.push(database.with_added_extension("lock"));
    }
    let lock = |path: &PathBuf| match Locked::open(path) {
        Ok(locked) => Ok(locked),
        Err(TryLockError::WouldBlock) => anyhow::bail!(
            "another server works in the data folder {} or on its database",
            settings.data_dir.display()
        ),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| path.display().to_string()),
    };
    paths.iter().map(lock).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_though_a_child_has_a_copy_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let locked = Locked::open(&path).unwrap();
        assert!(matches!(Locked::open(&path), Err(TryLockError::WouldBlock)));
        let _of_a_child = locked.0.try_clone().unwrap();
        drop(locked);
        assert!(Locked::open(&path).is_ok());
    }
}
