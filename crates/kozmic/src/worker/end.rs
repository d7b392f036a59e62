//! What a fault of Kozmic's surroundings means for the job: always an error,
//! never a failure of the script.

use super::execute::Interrupted;
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
            EngineError::PullFailed { .. } => ErrorKind::PullFailed,
            EngineError::DiskFull(_) => ErrorKind::DiskFull,
            EngineError::Host(_) | EngineError::Refused { .. } => ErrorKind::EngineRefused,
        };
        Self::Error(kind, error.to_string())
    }
}

impl From<SourceError> for JobEnd {
    fn from(error: SourceError) -> Self {
        let kind = match &error {
            SourceError::CommitVanished { .. } => ErrorKind::CommitVanished,
            SourceError::Fetch { .. } | SourceError::Submodules(_) => ErrorKind::FetchFailed,
            SourceError::Disk { source, .. }
                if source.kind() == std::io::ErrorKind::StorageFull =>
            {
                ErrorKind::DiskFull
            }
            SourceError::Checkout { .. }
            | SourceError::Tracked(_)
            | SourceError::Git(_)
            | SourceError::Disk { .. } => ErrorKind::Internal,
        };
        Self::Error(kind, error.to_string())
    }
}
