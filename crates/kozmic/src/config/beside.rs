//! What is around the scripts of jobs: networks, services and cache folders.

use super::{ConfigError, Values};
use crate::model::{Blocked, Invalid, NetworkPool};

const BLOCKED: &str = "KOZMIC_BLOCKED_NETWORKS";

#[derive(Debug, Clone)]
pub struct BesideSettings {
    /// Where the networks of jobs are from.
    pub network_pool: NetworkPool,
    /// What jobs do not reach, and whether somebody has said so.
    pub blocked: Blocked,
    pub is_blocked_given: bool,
    /// Bytes of a cache folder whose hook says nothing else.
    pub cache_folder_limit: u64,
}

impl BesideSettings {
    pub(super) fn read(values: &Values) -> Result<Self, ConfigError> {
        Ok(Self {
            network_pool: values.parsed(
                "KOZMIC_NETWORK_POOL",
                "must be a block of IPv4 addresses like 10.213.0.0/16, from /8 to /28",
            )?,
            blocked: values.text(BLOCKED).unwrap_or_default().parse().map_err(
                |problem: Invalid| ConfigError::Malformed {
                    name: BLOCKED,
                    value: values.text(BLOCKED).unwrap_or_default(),
                    problem: problem.to_string(),
                },
            )?,
            is_blocked_given: values.is_given(BLOCKED),
            cache_folder_limit: values.bytes("KOZMIC_CACHE_FOLDER_LIMIT")?,
        })
    }
}
