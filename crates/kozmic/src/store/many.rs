//! One statement over many values. `Any` binds no arrays, so each value has a place of
//! its own in the text.

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe};

use super::{Result, Store, failed, whole_rows};
use crate::model::{BuildId, JobId};

/// Values of one statement; SQLite takes 32,766 and PostgreSQL 65,535.
const VALUES: usize = 1_000;

/// The rows for one statement each, of so many values a row.
pub(super) fn at_once<T>(rows: &[T], values: usize) -> std::slice::Chunks<'_, T> {
    rows.chunks((VALUES / values).max(1))
}

/// `$3, $4, $5`: three places, after the two that come before.
pub(super) fn places(before: usize, count: usize) -> String {
    let places: Vec<String> =
        (before + 1..=before + count).map(|place| format!("${place}")).collect();
    places.join(", ")
}

/// `($1, $2), ($3, $4)`: two rows of two values.
pub(super) fn rows(count: usize, values: usize) -> String {
    let rows: Vec<String> =
        (0..count).map(|row| format!("({})", places(row * values, values))).collect();
    rows.join(", ")
}

/// `(CAST($1 AS BIGINT), CAST($2 AS TEXT))`: rows that are read from, whose types the
/// statement does not tell by itself.
pub(super) fn typed_rows(count: usize, types: &[&str]) -> String {
    let row = |row: usize| {
        let values: Vec<String> = (row * types.len() + 1..)
            .zip(types)
            .map(|(place, kind)| format!("CAST(${place} AS {kind})"))
            .collect();
        format!("({})", values.join(", "))
    };
    (0..count).map(row).collect::<Vec<_>>().join(", ")
}

/// A query whose first places are these jobs.
pub(super) fn with_ids(text: &str, ids: &[JobId]) -> Query<'static, Any, AnyArguments> {
    let query = sqlx::query(AssertSqlSafe(text.to_owned()));
    ids.iter().fold(query, |query, id| query.bind(id.0))
}

impl Store {
    /// The rows of a query about builds, whose ids are to stand where it has `{}`.
    pub(super) async fn of_builds(
        &self,
        text: &'static str,
        builds: &[BuildId],
        what: &'static str,
    ) -> Result<Vec<AnyRow>> {
        let mut rows = Vec::new();
        for builds in at_once(builds, 1) {
            let text = text.replace("{}", &places(0, builds.len()));
            let mut query = whole_rows(AssertSqlSafe(text));
            for build in builds {
                query = query.bind(build.0);
            }
            rows.extend(query.fetch_all(&self.pool).await.map_err(failed(what))?);
        }
        Ok(rows)
    }
}
