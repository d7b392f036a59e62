//! What became of a job's install step, in words.

use super::page::Time;
use super::words::job as words;
use crate::model::{Timestamp, readable};
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
        let took = step.took.map(readable);
        let from = step.started_from.as_deref().map(short);
        let sentence = words::install(
            step.outcome,
            took.as_deref(),
            &step.because,
            is_job_finished,
            from.as_deref(),
        );
        let id = short(&step.cache_id);
        let dropped = kept.dropped.as_ref();
        Self {
            sentence,
            image: step.made_at.map(|at| (id, Time::new(at, now))),
            dropped: dropped.map(|dropped| (dropped.by.clone(), Time::new(dropped.at, now))),
        }
    }
}

fn short(id: &str) -> String {
    id.chars().take(SHOWN_ID).collect()
}
