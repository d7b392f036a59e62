//! How a job ends: the table "What an end means" of DESIGN as a type.

use std::fmt;
use std::time::Duration;

use super::JobStatus;

/// Why a job is over. `Failure`-like ends blame the script, `Error` never does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEnd {
    /// The script ended with this code.
    Exited(i64),
    /// The install script ended with this code, which is not 0.
    InstallFailed(i64),
    /// No output for this long.
    Stalled(Duration),
    /// The job as a whole took longer than this.
    TimedOut(Duration),
    /// It wrote more than this many bytes.
    LogLimit(u64),
    /// The kernel killed a process of the container for want of memory.
    OutOfMemory,
    /// A service of the hook's was not ready in time, or ended before: which, and how.
    ServiceFailed(String),
    /// Kozmic or its surroundings failed.
    Error(ErrorKind, String),
    /// A person stopped it, or a newer commit superseded it.
    Cancelled(String),
    /// It did not start: a job that it waited for did not become green.
    Skipped(String),
}

/// What failed when it was not the script; stored as a word, so that errors
/// can be counted by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    ImageNotFound,
    ImageDenied,
    ImageUnusable,
    PullFailed,
    CommitVanished,
    FetchFailed,
    KeyRefused,
    HostKeyRefused,
    EngineAway,
    EngineRefused,
    DiskFull,
    LostWorker,
    LostEngine,
    Internal,
}

impl ErrorKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ImageNotFound => "image_not_found",
            Self::ImageDenied => "image_denied",
            Self::ImageUnusable => "image_unusable",
            Self::PullFailed => "pull_failed",
            Self::CommitVanished => "commit_vanished",
            Self::FetchFailed => "fetch_failed",
            Self::KeyRefused => "key_refused",
            Self::HostKeyRefused => "host_key_refused",
            Self::EngineAway => "engine_away",
            Self::EngineRefused => "engine_refused",
            Self::DiskFull => "disk_full",
            Self::LostWorker => "lost_worker",
            Self::LostEngine => "lost_engine",
            Self::Internal => "internal",
        }
    }
}

impl JobEnd {
    /// The cause of a job that was skipped, and may yet run.
    pub const SKIPPED: &str = "skipped";

    pub fn status(&self) -> JobStatus {
        match self {
            Self::Exited(0) => JobStatus::Success,
            Self::Exited(_)
            | Self::InstallFailed(_)
            | Self::LogLimit(_)
            | Self::Stalled(_)
            | Self::TimedOut(_)
            | Self::OutOfMemory
            | Self::ServiceFailed(_) => JobStatus::Failure,
            Self::Error(..) => JobStatus::Error,
            Self::Cancelled(_) | Self::Skipped(_) => JobStatus::Cancelled,
        }
    }

    /// The code kept with the job; none when no script came to its end and no
    /// convention names one.
    pub fn return_code(&self) -> Option<i64> {
        match self {
            Self::Exited(code) | Self::InstallFailed(code) => Some(*code),
            // No script of the hook's has begun that could have a code.
            Self::LogLimit(_) | Self::ServiceFailed(_) => Some(125),
            // As timeout(1) of the GNU coreutils.
            Self::Stalled(_) | Self::TimedOut(_) => Some(124),
            // 128 + SIGKILL, what a shell would report.
            Self::OutOfMemory => Some(137),
            Self::Error(..) | Self::Cancelled(_) | Self::Skipped(_) => None,
        }
    }

    /// What `kozmic run` exits with: the script's code; 125 when Kozmic or its
    /// surroundings failed, as docker(1) does; 130 when it was cancelled.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Error(..) => 125,
            Self::Cancelled(_) | Self::Skipped(_) => 130,
            // A code does not fit only where the engine made it up.
            end => end.return_code().and_then(|code| u8::try_from(code).ok()).unwrap_or(125),
        }
    }

    /// A machine-readable word for the cause, kept with the job.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Exited(0) => "success",
            Self::Exited(_) => "script_failed",
            Self::InstallFailed(_) => "install_failed",
            Self::LogLimit(_) => "log_limit",
            Self::Stalled(_) => "stalled",
            Self::TimedOut(_) => "job_timeout",
            Self::OutOfMemory => "out_of_memory",
            Self::ServiceFailed(_) => "service_failed",
            Self::Error(kind, _) => kind.as_str(),
            Self::Cancelled(_) => "cancelled",
            Self::Skipped(_) => Self::SKIPPED,
        }
    }
}

/// One sentence for people: on the page, in the log and in GitHub's status.
impl fmt::Display for JobEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "the script ended with {code}"),
            Self::InstallFailed(code) => write!(f, "the install script ended with {code}"),
            Self::LogLimit(bytes) => {
                write!(f, "the log is full: more than {} KiB were written", bytes >> 10)
            }
            Self::Stalled(limit) => {
                write!(f, "stalled: no output for {} s", limit.as_secs())
            }
            Self::TimedOut(limit) => {
                write!(f, "timed out: not finished after {} s", limit.as_secs())
            }
            Self::OutOfMemory => f.write_str("out of memory: the kernel killed a process"),
            Self::ServiceFailed(message) | Self::Error(_, message) => f.write_str(message),
            Self::Cancelled(why) => write!(f, "cancelled: {why}"),
            Self::Skipped(why) => write!(f, "not run: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_means_what_the_design_says() {
        let second = Duration::from_secs(1);
        for (end, status, code, exit) in [
            (JobEnd::Exited(0), JobStatus::Success, Some(0), 0),
            (JobEnd::Exited(3), JobStatus::Failure, Some(3), 3),
            (JobEnd::InstallFailed(3), JobStatus::Failure, Some(3), 3),
            (JobEnd::LogLimit(1), JobStatus::Failure, Some(125), 125),
            (JobEnd::Stalled(second), JobStatus::Failure, Some(124), 124),
            (JobEnd::TimedOut(second), JobStatus::Failure, Some(124), 124),
            (JobEnd::OutOfMemory, JobStatus::Failure, Some(137), 137),
            (JobEnd::ServiceFailed(String::new()), JobStatus::Failure, Some(125), 125),
            (JobEnd::Error(ErrorKind::EngineAway, String::new()), JobStatus::Error, None, 125),
            (JobEnd::Cancelled(String::new()), JobStatus::Cancelled, None, 130),
            (JobEnd::Skipped(String::new()), JobStatus::Cancelled, None, 130),
        ] {
            let is = (end.status(), end.return_code(), end.exit_code());
            assert_eq!(is, (status, code, exit), "{end:?}");
        }
    }
}
