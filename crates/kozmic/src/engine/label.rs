//! Labels by which Kozmic knows its own again: after a crash, and beside the
//! containers of another installation on the same engine.

use std::collections::HashMap;

use crate::model::JobUuid;

const JOB: &str = "kozmic.job";
const ATTEMPT: &str = "kozmic.attempt";
const STEP: &str = "kozmic.step";
const LOG_OFFSET: &str = "kozmic.log-offset";
/// The host name of a service.
const SERVICE: &str = "kozmic.service";
pub(super) const INSTANCE: &str = "kozmic.instance";

/// Whose container or volume it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    pub job: JobUuid,
    pub attempt: i64,
    pub step: Step,
    /// How long the job's log was before this container wrote anything: what it
    /// wrote is what follows.
    pub log_offset: u64,
}

/// What a container is for; those of a job's own scripts last, in the order in which it
/// needs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// To be looked into.
    Probe,
    /// Holds the network of a service or of the build script beside it.
    Sandbox,
    /// Beside the build script.
    Service,
    Install,
    Build,
    /// People look into what is left of it.
    Shell,
}

impl Step {
    /// Whether one of the job's own scripts runs in it.
    pub(super) fn is_script(self) -> bool {
        matches!(self, Self::Install | Self::Build)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Sandbox => "sandbox",
            Self::Service => "service",
            Self::Install => "install",
            Self::Build => "build",
            Self::Shell => "shell",
        }
    }
}

impl Labels {
    pub(super) fn to_map(&self, instance: &str) -> HashMap<String, String> {
        HashMap::from([
            (JOB.to_owned(), self.job.to_string()),
            (ATTEMPT.to_owned(), self.attempt.to_string()),
            (STEP.to_owned(), self.step.as_str().to_owned()),
            (LOG_OFFSET.to_owned(), self.log_offset.to_string()),
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

pub(super) fn step(labels: Option<&HashMap<String, String>>) -> Option<Step> {
    let named = labels?.get(STEP)?;
    [Step::Probe, Step::Sandbox, Step::Service, Step::Install, Step::Build, Step::Shell]
        .into_iter()
        .find(|step| step.as_str() == named)
}

pub(super) fn log_offset(labels: Option<&HashMap<String, String>>) -> Option<u64> {
    labels?.get(LOG_OFFSET)?.parse().ok()
}

/// The label that names a service.
pub(super) fn of_service(name: &str) -> (String, String) {
    (SERVICE.to_owned(), name.to_owned())
}

pub(super) fn service(labels: Option<&HashMap<String, String>>) -> Option<&str> {
    labels?.get(SERVICE).map(String::as_str)
}
