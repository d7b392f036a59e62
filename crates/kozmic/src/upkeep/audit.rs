//! Lets the audit log become no longer than it has to be.

use std::time::Duration;

use crate::model::Timestamp;
use crate::shutdown::Shutdown;
use crate::store::Store;

const EVERY: Duration = Duration::from_hours(1);

/// Runs until shutdown: what is older than `keep` goes; nothing does when that is zero.
pub async fn keep_audit(store: Store, keep: Duration, shutdown: Shutdown) {
    let mut timer = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            _ = timer.tick() => {}
        }
        if keep.is_zero() {
            continue;
        }
        match store.audit_forgotten(Timestamp::now().minus(keep)).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "old rows of the audit log went"),
            Err(error) => tracing::warn!(%error, "the audit log could not be shortened"),
        }
    }
}
