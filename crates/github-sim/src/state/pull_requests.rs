//! Pull requests: which branch asks to be merged into which.

use jiff::Timestamp;

/// How much a pull request would change, counted by git when its head last moved.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Size {
    pub(crate) commits: u64,
    pub(crate) additions: u64,
    pub(crate) deletions: u64,
    pub(crate) changed_files: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct PullRequest {
    pub(crate) id: u64,
    /// Numbered 1, 2, 3… within the base repository.
    pub(crate) number: u64,
    pub(crate) base_repository: u64,
    /// Branch name, without `refs/heads/`.
    pub(crate) base: String,
    pub(crate) base_sha: String,
    pub(crate) head_repository: u64,
    /// Branch name, without `refs/heads/`.
    pub(crate) head: String,
    pub(crate) head_sha: String,
    pub(crate) title: String,
    pub(crate) body: Option<String>,
    pub(crate) draft: bool,
    pub(crate) author: u64,
    pub(crate) open: bool,
    pub(crate) size: Size,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) closed_at: Option<Timestamp>,
    /// Set when the head became part of the base branch; such a request cannot be reopened.
    pub(crate) merged: Option<Merged>,
}

/// Who merged a pull request and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Merged {
    pub(crate) at: Timestamp,
    pub(crate) by: u64,
}

impl PullRequest {
    pub(crate) fn close(&mut self, merged_by: Option<u64>, now: Timestamp) {
        self.open = false;
        self.closed_at = Some(now);
        self.updated_at = now;
        self.merged = merged_by.map(|by| Merged { at: now, by });
    }

    pub(crate) fn reopen(&mut self, now: Timestamp) {
        self.open = true;
        self.closed_at = None;
        self.updated_at = now;
    }

    /// The head branch moved, or was found moved when the request was reopened.
    pub(crate) fn moved(&mut self, head: String, base: String, size: Size, now: Timestamp) {
        self.head_sha = head;
        self.base_sha = base;
        self.size = size;
        self.updated_at = now;
    }
}

#[derive(Default)]
pub(crate) struct PullRequests {
    list: Vec<PullRequest>,
}

impl PullRequests {
    pub(crate) fn next_number(&self, repository: u64) -> u64 {
        self.of(repository).map(|pull| pull.number).max().unwrap_or(0) + 1
    }

    pub(crate) fn add(&mut self, pull: PullRequest) {
        self.list.push(pull);
    }

    /// Those whose base is this repository, oldest first.
    pub(crate) fn of(&self, repository: u64) -> impl DoubleEndedIterator<Item = &PullRequest> {
        self.list.iter().filter(move |pull| pull.base_repository == repository)
    }

    pub(crate) fn get(&self, repository: u64, number: u64) -> Option<&PullRequest> {
        self.of(repository).find(|pull| pull.number == number)
    }

    pub(crate) fn get_mut(&mut self, repository: u64, number: u64) -> Option<&mut PullRequest> {
        self.list
            .iter_mut()
            .find(|pull| pull.base_repository == repository && pull.number == number)
    }

    /// GitHub allows one open pull request for a pair of branches.
    pub(crate) fn open_between(
        &self,
        base_repository: u64,
        base: &str,
        head_repository: u64,
        head: &str,
    ) -> Option<&PullRequest> {
        self.of(base_repository).find(|pull| {
            pull.open
                && pull.base == base
                && pull.head_repository == head_repository
                && pull.head == head
        })
    }

    /// The open ones whose head is this branch, wherever their base is.
    pub(crate) fn open_from(&self, repository: u64, branch: &str) -> Vec<PullRequest> {
        self.open()
            .filter(|pull| pull.head_repository == repository && pull.head == branch)
            .cloned()
            .collect()
    }

    /// The open ones that ask to be merged into this branch.
    pub(crate) fn open_into(&self, repository: u64, branch: &str) -> Vec<PullRequest> {
        self.open()
            .filter(|pull| pull.base_repository == repository && pull.base == branch)
            .cloned()
            .collect()
    }

    /// The repository is gone, and with it the requests into it.
    pub(crate) fn forget(&mut self, repository: u64) {
        self.list.retain(|pull| pull.base_repository != repository);
    }

    /// The base branch has another name now.
    pub(crate) fn rename_base(&mut self, repository: u64, from: &str, to: &str) {
        for pull in &mut self.list {
            if pull.base_repository == repository && pull.base == from {
                to.clone_into(&mut pull.base);
            }
        }
    }

    fn open(&self) -> impl Iterator<Item = &PullRequest> {
        self.list.iter().filter(|pull| pull.open)
    }
}
