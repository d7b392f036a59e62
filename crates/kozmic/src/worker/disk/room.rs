//! Whether there is room for a job to start.

use std::path::Path;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Disk, DiskError, Result, measure};
use crate::model::{DiskAccount, FileSystem, Timestamp, readable_bytes};

/// An answer is good for so long.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// What is kept free when nothing else is said: so many bytes, or this part of a
/// disk where that is less.
const RESERVE: u64 = 1 << 30;
const RESERVE_PART: u64 = 20;

pub(super) const DATA: &str = "the data folder";
pub(super) const DATABASE: &str = "the database";
pub(super) const ENGINE: &str = "the engine";

/// What is known of it.
#[derive(Default)]
pub(super) struct Room {
    /// Why the budget allows nothing more.
    beyond_budget: Option<String>,
    account: Option<(DiskAccount, Timestamp)>,
    looked: Option<(Instant, Option<String>)>,
}

impl Disk {
    /// Why no job may start; none while there is room.
    pub fn refusal(&self) -> Option<String> {
        let mut room = self.room();
        if room.beyond_budget.is_some() {
            return room.beyond_budget.clone();
        }
        if let Some((at, found)) = &room.looked
            && at.elapsed() < LOOK_EVERY
        {
            return found.clone();
        }
        let found = match self.file_systems() {
            Ok(found) => found.iter().find(|it| it.short_of() > 0).map(why_full),
            // No reason to hold jobs back: they find out themselves what is wrong.
            Err(error) => {
                tracing::warn!(%error, "what is free on the disks can't be told");
                None
            }
        };
        room.looked = Some((Instant::now(), found.clone()));
        found
    }

    /// What was counted last, and when.
    pub(in crate::worker) fn account(&self) -> Option<(DiskAccount, Timestamp)> {
        self.room().account.clone()
    }

    pub(super) fn set_account(&self, account: DiskAccount) {
        self.room().account = Some((account, Timestamp::now()));
    }

    pub(super) fn set_beyond_budget(&self, is_beyond: bool) {
        self.room().beyond_budget = self.parts.budget.filter(|_| is_beyond).map(|budget| {
            format!(
                "the disk budget of {} (KOZMIC_DISK_BUDGET) is used up, and nothing more can be removed",
                readable_bytes(budget)
            )
        });
    }

    /// The file systems that Kozmic and its engine write to, as far as they are on
    /// this machine.
    pub(super) fn file_systems(&self) -> Result<Vec<FileSystem>> {
        let parts = &*self.parts;
        let database = parts.database.as_deref().and_then(Path::parent);
        let places = [
            (DATA, Some(parts.data_dir.as_path())),
            (
                DATABASE,
                database.map(|it| if it.as_os_str().is_empty() { Path::new(".") } else { it }),
            ),
            (ENGINE, parts.engine.local_root()),
        ];
        let mut found: Vec<(u64, FileSystem)> = Vec::new();
        for (what, path) in places.into_iter().filter_map(|(what, path)| Some((what, path?))) {
            let shown = || path.display().to_string();
            let space =
                measure::space(path).map_err(|source| DiskError::Disk { path: shown(), source })?;
            match found.iter_mut().find(|(device, _)| *device == space.device) {
                Some((_, file_system)) => file_system.holds.push(what.into()),
                None => found.push((
                    space.device,
                    FileSystem {
                        holds: vec![what.into()],
                        path: shown(),
                        total: space.total,
                        free: space.free,
                        reserve: parts
                            .reserve
                            .unwrap_or_else(|| RESERVE.min(space.total / RESERVE_PART)),
                    },
                )),
            }
        }
        Ok(found.into_iter().map(|(_, file_system)| file_system).collect())
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same words as long as it lasts, and so without what is free at the moment.
fn why_full(file_system: &FileSystem) -> String {
    format!(
        "less than {} (KOZMIC_DISK_RESERVE) is free on the disk of {} ({})",
        readable_bytes(file_system.reserve),
        file_system.holds.join(", "),
        file_system.path
    )
}
