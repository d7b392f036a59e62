//! What a worker tells administrators of itself.

use serde::{Deserialize, Serialize};

use super::DiskAccount;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerAbout {
    /// Of Kozmic.
    pub version: String,
    /// Its engine's name and version; empty: it has not said so.
    pub engine: String,
    /// What Kozmic has on its disks; none: it has not counted yet.
    pub disk: Option<DiskAccount>,
    /// When it counted, in milliseconds.
    pub counted_at: Option<i64>,
}
