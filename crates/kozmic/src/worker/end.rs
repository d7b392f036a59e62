//! What a fault of Kozmic's surroundings means for the job: always an error,
//! never a failure of the script.

use super::run::Interrupted;
use crate::engine::EngineError;
use crate::model::{ErrorKind, JobEnd};
use crate::source::SourceError;

impl From<JobEnd> for Interrupted {
    fn from(end: JobEnd) -> Self {
        Self::Ended(end)
    }
}

impl From<EngineError> for JobEnd {
    fn from(error: EngineError) -> Self {
        let kind = match &error {
            EngineError::Away { .. } => ErrorKind::EngineAway,
            EngineError::ImageNotFound(_) | EngineError::LocalImageMissing(_) => {
                ErrorKind::ImageNotFound
            }
            EngineError::ImageDenied { .. } => ErrorKind::ImageDenied,
            EngineError::NoShell(_) => ErrorKind::ImageUnusable,
            EngineError::PullFailed { .. } | EngineError::RateLimited { .. } => {
                ErrorKind::PullFailed
            }
            EngineError::DiskFull(_) => ErrorKind::DiskFull,
            EngineError::Packing(error) => kind_of(error),
            EngineError::Host(_)
            | EngineError::NoNetwork(_)
            | EngineError::NoSandbox(_)
            | EngineError::Refused { .. } => ErrorKind::EngineRefused,
        };
        Self::Error(kind, error.to_string())
    }
}

impl From<SourceError> for JobEnd {
    fn from(error: SourceError) -> Self {
        let kind = match &error {
            SourceError::CommitVanished { .. } => ErrorKind::CommitVanished,
            SourceError::Tried(why) if why.contains("No space left on device") => {
                ErrorKind::DiskFull
            }
            SourceError::Fetch { problem, .. }
            | SourceError::Submodules(problem)
            | SourceError::LfsFetch { problem, .. }
            | SourceError::Checkout { problem, .. }
                if problem.contains("No space left on device") =>
            {
                ErrorKind::DiskFull
            }
            SourceError::Fetch { .. }
            | SourceError::Tried(_)
            | SourceError::Submodules(_)
            | SourceError::LfsFetch { .. }
            | SourceError::LargeFiles { .. }
            | SourceError::NoLfs { .. }
            | SourceError::NotPulled { .. }
            | SourceError::NotUpdated { .. }
            | SourceError::Unreachable { .. } => ErrorKind::FetchFailed,
            SourceError::KeyRefused { .. } | SourceError::SubmoduleRefused { .. } => {
                ErrorKind::KeyRefused
            }
            SourceError::UnknownHostKey { .. } | SourceError::OtherHostKey { .. } => {
                ErrorKind::HostKeyRefused
            }
            SourceError::Disk { source, .. } => kind_of(source),
            SourceError::Checkout { .. }
            | SourceError::LargeFile { .. }
            | SourceError::NotATree { .. }
            | SourceError::Tracked(_)
            | SourceError::Git(_) => ErrorKind::Internal,
        };
        Self::Error(kind, error.to_string())
    }
}

/// The log of a job, or something else on this machine's disk.
pub(super) fn log_error(error: &std::io::Error) -> JobEnd {
    JobEnd::Error(kind_of(error), format!("the log can't be written: {error}"))
}

fn kind_of(error: &std::io::Error) -> ErrorKind {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::DiskFull,
        _ => ErrorKind::Internal,
    }
}
