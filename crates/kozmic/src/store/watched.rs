//! What an operator watches, counted in a few queries that indexes answer.

use std::time::Duration;

use sqlx::any::AnyRow;

use super::{Columns as _, Result, Store, failed};
use crate::model::Timestamp;
use crate::telemetry::count::{Now, Waiting};

impl Store {
    pub async fn watched(&self, now: Timestamp) -> Result<Now> {
        let queue = self
            .counted_now(
                "SELECT CASE WHEN builds.approval = 'awaited' THEN 'approval' \
                 WHEN jobs.is_held = 1 THEN 'jobs' ELSE 'worker' END AS name, COUNT(*) AS count, \
                 MIN(jobs.created_at) AS oldest FROM jobs JOIN builds ON builds.id = jobs.build_id \
                 WHERE jobs.status = 'enqueued' GROUP BY 1",
                &["approval", "jobs", "worker"],
                now,
            )
            .await?;
        let mut outbox = self
            .counted_now(
                "SELECT 'status' AS name, COUNT(*) AS count, MIN(updated_at) AS oldest FROM outbox \
                 WHERE version > sent_version",
                &["status"],
                now,
            )
            .await?;
        // One that waits for its time, as what is beyond somebody's limit does, is not late.
        let messages = format!(
            "SELECT kind AS name, COUNT(*) AS count, MIN(CASE WHEN attempts = 0 THEN next_attempt_at \
             ELSE created_at END) AS oldest FROM messages WHERE state = 'waiting' \
             AND (attempts > 0 OR next_attempt_at <= {}) GROUP BY kind",
            now.0
        );
        outbox.extend(self.counted_now(&messages, &["mail", "webhook"], now).await?);
        let running = self
            .counted_now(
                "SELECT 'running' AS name, COUNT(*) AS count, NULL AS oldest FROM jobs WHERE status = 'pending'",
                &["running"],
                now,
            )
            .await?;
        let workers = self
            .counted_now(
                "SELECT CASE WHEN trouble IS NULL THEN 'ready' ELSE 'troubled' END AS name, \
                 COUNT(*) AS count, NULL AS oldest FROM workers GROUP BY 1",
                &["ready", "troubled"],
                now,
            )
            .await?;
        let idle = self.pool.num_idle() as u64;
        let used = u64::from(self.pool.size()).saturating_sub(idle);
        Ok(Now {
            queue,
            running: running.iter().map(|(_, running)| running.count).sum(),
            outbox,
            workers: workers.into_iter().map(|(state, waiting)| (state, waiting.count)).collect(),
            connections: vec![("used", used), ("idle", idle)],
        })
    }

    /// A query's rows by their names; those without a row are zero.
    async fn counted_now(
        &self,
        query: &str,
        names: &[&'static str],
        now: Timestamp,
    ) -> Result<Vec<(&'static str, Waiting)>> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(query.to_owned()))
            .fetch_all(&self.pool)
            .await
            .map_err(failed("count what waits"))?;
        let waiting = |row: &AnyRow| {
            let oldest = row.int_or_null("oldest")?;
            let oldest = oldest.map_or(Duration::ZERO, |at| now.since(Timestamp(at)));
            Ok((row.text("name")?, Waiting { count: row.int("count")?.unsigned_abs(), oldest }))
        };
        let rows = rows.iter().map(waiting).collect::<Result<Vec<_>>>()?;
        let of = |name: &'static str| {
            let row = rows.iter().find(|(found, _)| found == name);
            (name, row.map_or_else(Waiting::default, |(_, waiting)| *waiting))
        };
        Ok(names.iter().map(|name| of(name)).collect())
    }
}
