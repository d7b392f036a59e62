//! What of a project's secrets a job's scripts get, and what its log hides.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use super::Worker;
use super::job::{Claimed, STORE_ATTEMPTS, STORE_PAUSE};
use crate::log::Masks;
use crate::model::{ErrorKind, JobEnd};
use crate::store::{GivenSecrets, StoreError};

/// One job's.
pub(super) struct JobSecrets {
    /// By the name of their variable.
    pub(super) given: BTreeMap<String, SecretString>,
    /// Nothing is hidden that the job was not given: what is hidden of its output would
    /// tell a stranger which of their guesses was right.
    pub(super) masks: Masks,
    /// A line for the log, when some were left out.
    pub(super) note: Option<String>,
}

/// Asks a store that is away again. None when the job is another attempt's by now.
pub(super) async fn of(worker: &Worker, claimed: &Claimed) -> Result<Option<JobSecrets>, JobEnd> {
    let mut attempts = 1;
    let found = loop {
        let found = match claimed {
            Claimed::Waiting(job) => worker.store.secrets_given(job).await,
            Claimed::Running(job) => worker.store.secrets_of_running(job).await,
        };
        match found {
            Err(StoreError::Database { .. }) if attempts < STORE_ATTEMPTS => {
                attempts += 1;
                tokio::time::sleep(STORE_PAUSE).await;
            }
            found => break found,
        }
    };
    let failed = |why: String| {
        JobEnd::Error(ErrorKind::Internal, format!("the job's secrets can't be prepared: {why}"))
    };
    let GivenSecrets { given, newer, left_out } = match found {
        Ok(found) => found,
        Err(StoreError::Stale) => return Ok(None),
        Err(error) => return Err(failed(error.to_string())),
    };
    let values = given.values().chain(&newer).map(ExposeSecret::expose_secret);
    let masks = tokio::task::block_in_place(|| Masks::new(values));
    let note = match left_out {
        0 => None,
        1 => Some("the project's secret is left out: pull requests from forks get none".into()),
        more => Some(format!(
            "the project's {more} secrets are left out: pull requests from forks get none"
        )),
    };
    Ok(Some(JobSecrets { given, masks: masks.map_err(|error| failed(error.to_string()))?, note }))
}

/// As it may be kept and shown.
pub(super) fn hide(masks: &Masks, end: JobEnd) -> JobEnd {
    match end {
        JobEnd::Error(kind, why) => JobEnd::Error(kind, masks.hide_text(&why)),
        JobEnd::ServiceFailed(why) => JobEnd::ServiceFailed(masks.hide_text(&why)),
        other => other,
    }
}
