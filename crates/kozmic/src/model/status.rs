//! Statuses, and how a build's follows from those of its jobs.

use std::fmt;
use std::str::FromStr;

use super::Invalid;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(Invalid::new(format!("`{text}` is not a status"))),
                }
            }
        }
    };
}

words!(
    /// Where a job stands.
    JobStatus {
        /// Waits for a worker.
        Enqueued = "enqueued",
        /// A worker carries it out.
        Pending = "pending",
        Success = "success",
        /// The user's script failed or was stopped by a limit.
        Failure = "failure",
        /// Kozmic or its surroundings failed; the script is not to blame.
        Error = "error",
        /// A person or a newer commit stopped it.
        Cancelled = "cancelled",
    }
);

words!(
    /// Where a build stands: the sum of its jobs.
    BuildStatus {
        Enqueued = "enqueued",
        Pending = "pending",
        Success = "success",
        Failure = "failure",
        Error = "error",
        Cancelled = "cancelled",
    }
);

words!(
    /// The states of a commit status (GitHub REST, "Create a commit status").
    GithubState {
        Pending = "pending",
        Success = "success",
        Failure = "failure",
        Error = "error",
    }
);

/// What jobs and builds have in common: an end, and a word for it at GitHub.
macro_rules! standing {
    ($name:ident) => {
        impl $name {
            pub fn is_finished(self) -> bool {
                !matches!(self, Self::Enqueued | Self::Pending)
            }

            pub fn github(self) -> GithubState {
                match self {
                    Self::Enqueued | Self::Pending => GithubState::Pending,
                    Self::Success => GithubState::Success,
                    Self::Failure => GithubState::Failure,
                    Self::Error | Self::Cancelled => GithubState::Error,
                }
            }
        }
    };
}

standing!(JobStatus);
standing!(BuildStatus);

/// The status of a build whose jobs have these statuses.
///
/// Error or failure as soon as one job is (error wins); success only when all
/// are; cancelled when all have ended, one was cancelled and none was worse;
/// enqueued while nothing has started; pending otherwise. A build without jobs
/// has nothing that could fail and counts as a success.
pub fn build_status(jobs: &[JobStatus]) -> BuildStatus {
    let any = |status| jobs.contains(&status);
    if any(JobStatus::Error) {
        BuildStatus::Error
    } else if any(JobStatus::Failure) {
        BuildStatus::Failure
    } else if jobs.iter().all(|job| job.is_finished()) {
        if any(JobStatus::Cancelled) { BuildStatus::Cancelled } else { BuildStatus::Success }
    } else if jobs.iter().all(|job| *job == JobStatus::Enqueued) {
        BuildStatus::Enqueued
    } else {
        BuildStatus::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::JobStatus::{Cancelled, Enqueued, Error, Failure, Pending, Success};
    use super::*;

    #[test]
    fn a_build_is_the_sum_of_its_jobs() {
        for (jobs, expected) in [
            (vec![Enqueued, Enqueued], BuildStatus::Enqueued),
            (vec![Enqueued, Pending], BuildStatus::Pending),
            (vec![Success, Enqueued], BuildStatus::Pending),
            (vec![Success, Success], BuildStatus::Success),
            (vec![Success, Failure], BuildStatus::Failure),
            (vec![Pending, Failure], BuildStatus::Failure),
            (vec![Failure, Error], BuildStatus::Error),
            (vec![Cancelled, Success], BuildStatus::Cancelled),
            (vec![Cancelled, Pending], BuildStatus::Pending),
            (vec![Cancelled, Failure], BuildStatus::Failure),
        ] {
            assert_eq!(build_status(&jobs), expected, "{jobs:?}");
        }
    }

    #[test]
    fn the_order_of_jobs_does_not_matter() {
        let all = [Enqueued, Pending, Success, Failure, Error, Cancelled];
        for a in all {
            for b in all {
                assert_eq!(build_status(&[a, b]), build_status(&[b, a]));
            }
        }
    }

    #[test]
    fn github_has_no_cancelled() {
        assert_eq!(BuildStatus::Cancelled.github(), GithubState::Error);
        assert_eq!(BuildStatus::Enqueued.github(), GithubState::Pending);
    }

    #[test]
    fn words_are_read_back() {
        for status in [Enqueued, Pending, Success, Failure, Error, Cancelled] {
            assert_eq!(status.as_str().parse::<JobStatus>().unwrap(), status);
        }
        assert!("green".parse::<JobStatus>().is_err());
    }
}
