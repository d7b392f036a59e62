//! What a job's page tells of its parts: phases, the install step, what is kept and what is gone.

use std::fmt::Display;

use crate::model::{InstallOutcome, Phase};

/// What a job does in this phase.
pub(in crate::web) fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Queue => "waiting",
        Phase::Fetch => "fetch",
        Phase::Image => "image",
        Phase::Install => "install",
        Phase::Services => "services",
        Phase::Build => "build",
        Phase::Collect => "collect",
    }
}

/// What became of the install step, after "Install step". `started_from`: the short id of the
/// cached image that it began with.
pub(in crate::web) fn install(
    outcome: InstallOutcome,
    took: Option<&str>,
    because: &str,
    is_job_finished: bool,
    started_from: Option<&str>,
) -> String {
    let told = match (outcome, took) {
        (InstallOutcome::Found, Some(took)) => format!("skipped, which saved {took}: {because}"),
        (InstallOutcome::Found, None) => format!("skipped: {because}"),
        (InstallOutcome::Made, Some(took)) => format!("ran for {took}: {because}"),
        (InstallOutcome::Made, None) => format!("ran: {because}"),
        (InstallOutcome::Unfinished, _) if is_job_finished => {
            format!("did not come to its end; it ran, because {because}")
        }
        (InstallOutcome::Unfinished, _) => format!("runs: {because}"),
    };
    match started_from {
        Some(image) => format!("{told}; it started from the cached image {image}"),
        None => told,
    }
}

pub(in crate::web) fn artifacts(count: i64, size: &str) -> String {
    match count {
        1 => format!("1 artifact, {size}"),
        count => format!("{count} artifacts, {size}"),
    }
}

pub(in crate::web) fn artifacts_removed(at: impl Display, because: &str) -> String {
    format!("The artifacts were removed on {at}: {because}.")
}

/// None: nothing was written down of why.
pub(in crate::web) fn log_removed(at: impl Display, because: Option<&str>) -> String {
    let because = because.unwrap_or("to free disk space");
    format!("The log was removed on {at} {because}.")
}

/// What a screen reader says of the link that a line's number is.
pub(in crate::web) fn line(number: u64) -> String {
    format!("Line {number}")
}

/// Why a failed job's container is gone where nobody removed it.
pub(in crate::web) const TIME_OVER: &str = "its time was over";

/// What somebody has done with a failed job's container, before "by".
pub(in crate::web) fn opening(was_pulled: bool) -> &'static str {
    if was_pulled { "pulled" } else { "opened" }
}
