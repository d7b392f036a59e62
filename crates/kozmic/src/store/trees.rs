//! Trees that people sent to be tried: where each lies, and until when.

use std::time::Duration;

use super::{Asked, AskedBuild, Columns as _, Result, Store, StoreError, commit, failed};
use crate::model::{ProjectId, Timestamp};

/// One that became no build by then was given up.
const SENDING: Duration = Duration::from_hours(2);
/// One is kept for so long, and until its jobs are finished.
pub const TREE_LIFETIME: Duration = Duration::from_hours(7 * 24);

impl Store {
    /// Somebody is about to send a tree, into this object.
    pub async fn tree_begun(&self, object: &str, project: ProjectId, now: Timestamp) -> Result<()> {
        sqlx::query(
            "INSERT INTO trees (object, project_id, bytes, created_at) VALUES ($1, $2, 0, $3)",
        )
        .bind(object)
        .bind(project.0)
        .bind(now.0)
        .execute(&self.writer)
        .await
        .map_err(failed("note a tree"))?;
        Ok(())
    }

    /// A tree of so many bytes has come: its build is made.
    pub async fn tree_tried(
        &self,
        (object, bytes): (&str, u64),
        project: ProjectId,
        asked: &Asked,
        now: Timestamp,
    ) -> Result<AskedBuild> {
        let mut tx = self.begin().await?;
        let made = self.make_asked(&mut tx, project, asked, now).await?;
        let kept = sqlx::query(
            "UPDATE trees SET build_id = $1, bytes = $2 WHERE object = $3 AND build_id IS NULL",
        )
        .bind(made.build.0)
        .bind(i64::try_from(bytes).unwrap_or(i64::MAX))
        .bind(object)
        .execute(&mut *tx)
        .await
        .map_err(failed("keep a tree"))?;
        if kept.rows_affected() == 0 {
            return Err(StoreError::Refused("The tree took too long to come.".into()));
        }
        commit(tx).await?;
        self.woken_by_build();
        Ok(made)
    }

    /// Objects of trees that nobody needs any more, at most `limit`: of a deleted project,
    /// never sent as a whole, or old.
    pub async fn trees_to_remove(&self, now: Timestamp, limit: i64) -> Result<Vec<String>> {
        let rows = sqlx::query(
            "SELECT object FROM trees WHERE \
             NOT EXISTS (SELECT 1 FROM projects WHERE projects.id = trees.project_id) \
             OR (build_id IS NULL AND created_at < $1) \
             OR (created_at < $2 AND NOT EXISTS (SELECT 1 FROM jobs \
             WHERE jobs.build_id = trees.build_id AND jobs.status IN ('enqueued', 'pending'))) \
             ORDER BY created_at LIMIT $3",
        )
        .bind(now.minus(SENDING).0)
        .bind(now.minus(TREE_LIFETIME).0)
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("look for old trees"))?;
        rows.iter().map(|row| row.text("object")).collect()
    }

    /// A tree's object is gone.
    pub async fn tree_removed(&self, object: &str) -> Result<()> {
        sqlx::query("DELETE FROM trees WHERE object = $1")
            .bind(object)
            .execute(&self.writer)
            .await
            .map_err(failed("forget a tree"))?;
        Ok(())
    }
}
