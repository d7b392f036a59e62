//! What is to go, and in which order. Pure.

use crate::model::{DiskAccount, DiskKind, FileSystem, JobId, JobUuid, ProjectId, Timestamp};
use crate::store::KeptImage;

/// Something that may be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Removable {
    pub(super) what: What,
    /// For people.
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) used: Timestamp,
    /// On which of the account's file systems it lies, where that is known.
    pub(super) file_system: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    CachedImage {
        name: String,
        scope: String,
        /// By a person: no job uses it any more.
        is_dropped: bool,
    },
    /// A cached image whose name another one has taken: no job will ever find it.
    Nameless {
        id: String,
        scope: String,
    },
    PulledImage {
        id: String,
        records: Vec<(i64, String)>,
    },
    /// By its volume.
    CacheFolder(String),
    Mirror(ProjectId),
    /// The container of a failed job, with all that belongs to it.
    Failed {
        id: JobId,
        job: JobUuid,
        attempt: i64,
    },
    Log(JobId, JobUuid),
}

impl What {
    pub(super) fn kind(&self) -> DiskKind {
        match self {
            Self::CachedImage { .. } | Self::Nameless { .. } => DiskKind::CachedImage,
            Self::PulledImage { .. } => DiskKind::PulledImage,
            Self::CacheFolder(_) => DiskKind::CacheFolder,
            Self::Mirror(_) => DiskKind::Mirror,
            Self::Failed { .. } => DiskKind::Container,
            Self::Log(..) => DiskKind::Log,
        }
    }

    pub(super) fn pulled(id: &str, records: &[&KeptImage]) -> Self {
        let records = records.iter().map(|it| (it.record, it.name.clone())).collect();
        Self::PulledImage { id: id.to_owned(), records }
    }

    /// Nothing brings it back.
    fn is_lost(&self) -> bool {
        matches!(self, Self::Log(..))
    }

    /// No job will ever use it.
    fn is_nobodys(&self) -> bool {
        matches!(self, Self::Nameless { .. } | Self::CachedImage { is_dropped: true, .. })
    }

    fn order(&self) -> u8 {
        match self {
            _ if self.is_nobodys() => 0,
            Self::Failed { .. } => 1,
            Self::Log(..) => 3,
            _ => 2,
        }
    }
}

/// What has to go so that the account is within its budget, and enough is free: what
/// was kept of failed jobs first, then what can be made or fetched again, and of each
/// what was used longest ago. Logs
/// go last of all, and only for the budget. What no job can find goes in any case.
pub(super) fn plan(account: &DiskAccount, mut removable: Vec<Removable>) -> Vec<Removable> {
    let mut beyond_budget = account.beyond_budget();
    let mut short_of: Vec<u64> = account.file_systems.iter().map(FileSystem::short_of).collect();
    removable.sort_by_key(|it| (it.what.order(), it.used));
    removable.retain(|it| {
        let short = it.file_system.and_then(|at| short_of.get_mut(at));
        let is_short = short.as_ref().is_some_and(|short| **short > 0) && !it.what.is_lost();
        // One whose layers all belong to others frees nothing before those go.
        let is_nobodys = it.what.is_nobodys();
        let goes = is_nobodys || (it.bytes > 0 && (beyond_budget > 0 || is_short));
        if goes {
            beyond_budget = beyond_budget.saturating_sub(it.bytes);
            if let Some(short) = short {
                *short = short.saturating_sub(it.bytes);
            }
        }
        goes
    });
    removable
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(used: u64, budget: Option<u64>, free: &[u64]) -> DiskAccount {
        let file_system = |free: &u64| FileSystem {
            holds: Vec::new(),
            path: String::new(),
            total: 1_000,
            free: *free,
            reserve: 100,
        };
        let file_systems = free.iter().map(file_system).collect();
        DiskAccount { uses: Vec::new(), used, budget, file_systems }
    }

    fn cached(name: &str, bytes: u64, used: i64, file_system: usize) -> Removable {
        Removable {
            what: What::CachedImage {
                name: name.to_owned(),
                scope: String::new(),
                is_dropped: false,
            },
            name: name.to_owned(),
            bytes,
            used: Timestamp(used),
            file_system: Some(file_system),
        }
    }

    fn mirror(name: &str, bytes: u64, used: i64, file_system: usize) -> Removable {
        Removable { what: What::Mirror(ProjectId(used)), ..cached(name, bytes, used, file_system) }
    }

    fn log(name: &str, bytes: u64, used: i64) -> Removable {
        let what = What::Log(JobId(used), JobUuid::random());
        Removable { what, ..cached(name, bytes, used, 1) }
    }

    fn all() -> Vec<Removable> {
        vec![
            log("old log", 10, 1),
            cached("new image", 50, 9, 0),
            log("new log", 10, 8),
            mirror("mirror", 40, 5, 1),
            cached("shared image", 0, 2, 0),
            cached("old image", 30, 3, 0),
        ]
    }

    fn names(account: &DiskAccount) -> Vec<String> {
        plan(account, all()).into_iter().map(|it| it.name).collect()
    }

    #[test]
    fn what_nobody_can_find_goes_always() {
        let what = What::Nameless { id: String::new(), scope: String::new() };
        let nameless = Removable { what, ..cached("nameless", 0, 9, 0) };
        let what = What::CachedImage {
            name: "dropped".to_owned(),
            scope: String::new(),
            is_dropped: true,
        };
        let dropped = Removable { what, ..cached("dropped", 5, 9, 0) };
        let kept = cached("kept", 5, 1, 0);
        let all = vec![nameless.clone(), kept, dropped.clone()];
        assert_eq!(plan(&account(500, None, &[500]), all), [nameless, dropped]);
    }

    #[test]
    fn within_bounds_nothing_goes() {
        assert!(names(&account(500, None, &[500, 500])).is_empty());
        assert!(names(&account(500, Some(500), &[100, 100])).is_empty());
    }

    #[test]
    fn what_was_used_longest_ago_goes_first_and_logs_last() {
        let with = |used| names(&account(used, Some(100), &[500, 500]));
        assert_eq!(with(101), ["old image"]);
        assert_eq!(with(131), ["old image", "mirror"]);
        assert_eq!(with(221), ["old image", "mirror", "new image", "old log"]);
        assert_eq!(with(900), ["old image", "mirror", "new image", "old log", "new log"]);
    }

    #[test]
    fn what_failed_goes_before_what_jobs_use() {
        let what = What::Failed { id: JobId(1), job: JobUuid::random(), attempt: 1 };
        let failed = Removable { what, ..cached("failed", 20, 9, 0) };
        let names = |used| {
            let all = all().into_iter().chain([failed.clone()]).collect();
            plan(&account(used, Some(100), &[500, 500]), all)
                .into_iter()
                .map(|it| it.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(names(120), ["failed"]);
        assert_eq!(names(121), ["failed", "old image"]);
        assert!(names(100).is_empty());
    }

    #[test]
    fn for_room_only_what_lies_on_the_full_disk_goes_and_no_log() {
        assert_eq!(names(&account(500, None, &[99, 500])), ["old image"]);
        assert_eq!(names(&account(500, None, &[60, 500])), ["old image", "new image"]);
        assert_eq!(names(&account(500, None, &[500, 0])), ["mirror"]);
    }
}
