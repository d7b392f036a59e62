//! What became of a job's install step, in words.

use super::page::Time;
use crate::model::{InstallOutcome, Timestamp, readable};
use crate::store::KeptStep;

/// Shown of a cache id, as in the log.
const SHOWN_ID: usize = 12;

pub(super) struct ShownInstall {
    pub(super) sentence: String,
    /// The image's short cache id, and when it was made.
    pub(super) image: Option<(String, Time)>,
    pub(super) dropped: Option<(String, Time)>,
}

impl ShownInstall {
    pub(super) fn of(kept: &KeptStep, is_job_finished: bool, now: Timestamp) -> Self {
        let step = &kept.step;
        let because = &step.because;
        let took = step.took.map(readable);
        let mut sentence = match (step.outcome, took) {
            (InstallOutcome::Found, Some(took)) => {
                format!("skipped, which saved {took}: {because}")
            }
            (InstallOutcome::Found, None) => format!("skipped: {because}"),
            (InstallOutcome::Made, Some(took)) => format!("ran for {took}: {because}"),
            (InstallOutcome::Made, None) => format!("ran: {because}"),
            (InstallOutcome::Unfinished, _) if is_job_finished => {
                format!("did not come to its end; it ran, because {because}")
            }
            (InstallOutcome::Unfinished, _) => format!("runs: {because}"),
        };
        if let Some(from) = &step.started_from {
            sentence.push_str("; it started from the cached image ");
            sentence.extend(from.chars().take(SHOWN_ID));
        }
        let id: String = step.cache_id.chars().take(SHOWN_ID).collect();
        let dropped = kept.dropped.as_ref();
        Self {
            sentence,
            image: step.made_at.map(|at| (id, Time::new(at, now))),
            dropped: dropped.map(|dropped| (dropped.by.clone(), Time::new(dropped.at, now))),
        }
    }
}
