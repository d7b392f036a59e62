//! What is beside the scripts of jobs: services and cache folders.

use super::{ConfigError, Values};
use crate::model::NetworkPool;

#[derive(Debug, Clone, Copy)]
pub struct BesideSettings {
    /// Where the networks of jobs with services are from.
    pub network_pool: NetworkPool,
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
            cache_folder_limit: values.bytes("KOZMIC_CACHE_FOLDER_LIMIT")?,
        })
    }
}
