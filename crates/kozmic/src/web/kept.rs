//! What a failed job's page says of its container.

use super::App;
use super::page::Time;
use crate::model::{JobId, Timestamp};
use crate::store::StoreError;

/// Shown to those who may open it.
pub(super) struct ShownKept {
    pub(super) job: i64,
    /// While it is there: until when it is kept.
    pub(super) until: Option<String>,
    /// Otherwise why it is gone.
    pub(super) gone_because: String,
    /// What was done by whom and when.
    pub(super) openings: Vec<(&'static str, String, Time)>,
}

pub(super) async fn of_job(
    app: &App,
    job: JobId,
    now: Timestamp,
) -> Result<Option<ShownKept>, StoreError> {
    let Some(kept) = app.store.kept_container(job).await? else { return Ok(None) };
    let openings = app.store.openings_of(job).await?.into_iter().map(|opening| {
        let what = if opening.what == "pull" { "pulled" } else { "opened" };
        (what, opening.by, Time::new(opening.at, now))
    });
    Ok(Some(ShownKept {
        job: job.0,
        until: kept.is_there(now).then(|| kept.until.to_string()),
        gone_because: kept.gone_because.unwrap_or_else(|| "its time was over".into()),
        openings: openings.collect(),
    }))
}
