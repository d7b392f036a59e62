//! Labels by which Kozmic knows its own again: after a crash, and beside the
//! containers of another installation on the same engine.

use std::collections::HashMap;

use crate::model::JobUuid;

const JOB: &str = "kozmic.job";
const ATTEMPT: &str = "kozmic.attempt";
const STEP: &str = "kozmic.step";
const INSTANCE: &str = "kozmic.instance";

/// Whose container or volume it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    pub job: JobUuid,
    pub attempt: i64,
    /// `probe`, `install` or `build`.
    pub step: &'static str,
}

impl Labels {
    pub(super) fn to_map(&self, instance: &str) -> HashMap<String, String> {
        HashMap::from([
            (JOB.to_owned(), self.job.to_string()),
            (ATTEMPT.to_owned(), self.attempt.to_string()),
            (STEP.to_owned(), self.step.to_owned()),
            (INSTANCE.to_owned(), instance.to_owned()),
        ])
    }
}

/// The filter for everything of one job of this installation.
pub(super) fn of_job(job: JobUuid, instance: &str) -> HashMap<String, Vec<String>> {
    let labels = vec![format!("{JOB}={job}"), format!("{INSTANCE}={instance}")];
    HashMap::from([("label".to_owned(), labels)])
}

/// The filter for everything of this installation.
pub(super) fn of_instance(instance: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![format!("{INSTANCE}={instance}")])])
}

pub(super) fn job(labels: Option<&HashMap<String, String>>) -> Option<JobUuid> {
    labels?.get(JOB)?.parse().ok()
}

pub(super) fn attempt(labels: Option<&HashMap<String, String>>) -> Option<i64> {
    labels?.get(ATTEMPT)?.parse().ok()
}
