//! Where branches, tags and pull requests were seen last, and how the comparison with
//! GitHub goes.

use std::collections::BTreeMap;

use sqlx::AssertSqlSafe;

use super::commits::Came;
use super::many::{at_once, rows};
use super::{
    Columns as _, NewBuild, Project, Recorded, Result, Store, Transaction, commit, failed,
    whole_rows,
};
use crate::model::{Head, ProjectId, Timestamp};

/// How the comparison of a project with GitHub stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comparison {
    /// Since when branches and pull requests are compared; what was there before is
    /// not built.
    pub heads_known_at: Option<Timestamp>,
    pub tags_known_at: Option<Timestamp>,
    pub compared_at: Option<Timestamp>,
    /// Why the last one failed.
    pub problem: Option<String>,
}

impl Store {
    /// Projects that a hook would build something of.
    pub async fn projects_with_hooks(&self) -> Result<Vec<Project>> {
        let rows = whole_rows(
            "SELECT * FROM projects WHERE id IN (SELECT project_id FROM hooks WHERE is_active = 1) ORDER BY id",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list the projects with hooks"))?;
        rows.iter().map(Project::read).collect()
    }

    pub async fn comparison(&self, project: ProjectId) -> Result<Comparison> {
        let row = sqlx::query(
            "SELECT heads_known_at, tags_known_at, compared_at, compare_problem FROM projects WHERE id = $1",
        )
        .bind(project.0)
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("read how a comparison stands"))?;
        let Some(row) = row else { return Ok(Comparison::default()) };
        Ok(Comparison {
            heads_known_at: row.int_or_null("heads_known_at")?.map(Timestamp),
            tags_known_at: row.int_or_null("tags_known_at")?.map(Timestamp),
            compared_at: row.int_or_null("compared_at")?.map(Timestamp),
            problem: row.text_or_null("compare_problem")?,
        })
    }

    /// A comparison has ended, well or with this problem.
    pub async fn compared(
        &self,
        project: ProjectId,
        problem: Option<&str>,
        now: Timestamp,
    ) -> Result<()> {
        sqlx::query("UPDATE projects SET compared_at = $1, compare_problem = $2 WHERE id = $3")
            .bind(now.0)
            .bind(problem)
            .bind(project.0)
            .execute(&self.pool)
            .await
            .map_err(failed("note a comparison"))?;
        Ok(())
    }

    /// The full name of each head with the commit at which it was seen last.
    pub async fn seen_heads(&self, project: ProjectId) -> Result<BTreeMap<String, String>> {
        let rows = sqlx::query("SELECT name, sha FROM seen_heads WHERE project_id = $1")
            .bind(project.0)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list the seen heads"))?;
        rows.iter().map(|row| Ok((row.text("name")?, row.text("sha")?))).collect()
    }

    /// The branches of a project that are known, without asking GitHub: those that moved
    /// last first.
    pub async fn branches_seen(&self, project: ProjectId, limit: i64) -> Result<Vec<String>> {
        let rows = sqlx::query(
            "SELECT name FROM seen_heads WHERE project_id = $1 AND name LIKE 'refs/heads/%' \
             ORDER BY seen_at DESC, name LIMIT $2",
        )
        .bind(project.0)
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list the branches that were seen"))?;
        let short = |name: String| name.trim_start_matches("refs/heads/").to_owned();
        rows.iter().map(|row| Ok(short(row.text("name")?))).collect()
    }

    /// What stood at GitHub as the comparison began: it is there, and not to be built.
    /// Deliveries that came since `looked_at` know better.
    pub async fn heads_known(
        &self,
        project: ProjectId,
        heads: &[Head],
        are_tags: bool,
        looked_at: Timestamp,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        for head in heads {
            let Some(sha) = &head.sha else { continue };
            sqlx::query(
                "INSERT INTO seen_heads (project_id, name, sha, seen_at) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (project_id, name) DO UPDATE SET sha = excluded.sha, \
                 seen_at = excluded.seen_at WHERE seen_heads.seen_at < excluded.seen_at",
            )
            .bind(project.0)
            .bind(&head.name)
            .bind(sha.as_str())
            .bind(looked_at.0)
            .execute(&mut *tx)
            .await
            .map_err(failed("note a head"))?;
        }
        let text = if are_tags {
            "UPDATE projects SET tags_known_at = $1 WHERE id = $2"
        } else {
            "UPDATE projects SET heads_known_at = $1 WHERE id = $2"
        };
        sqlx::query(text)
            .bind(looked_at.0)
            .bind(project.0)
            .execute(&mut *tx)
            .await
            .map_err(failed("note what is known"))?;
        commit(tx).await
    }

    /// No hook wants tags any more: those that come meanwhile are not missed later.
    pub async fn tags_forgotten(&self, project: ProjectId) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM seen_heads WHERE project_id = $1 AND name LIKE 'refs/tags/%'")
            .bind(project.0)
            .execute(&mut *tx)
            .await
            .map_err(failed("forget tags"))?;
        sqlx::query("UPDATE projects SET tags_known_at = NULL WHERE id = $1")
            .bind(project.0)
            .execute(&mut *tx)
            .await
            .map_err(failed("forget tags"))?;
        commit(tx).await
    }

    /// A head is gone at GitHub; unless a delivery told of it since `looked_at`.
    pub async fn head_gone(
        &self,
        project: ProjectId,
        name: &str,
        looked_at: Timestamp,
    ) -> Result<()> {
        sqlx::query("DELETE FROM seen_heads WHERE project_id = $1 AND name = $2 AND seen_at < $3")
            .bind(project.0)
            .bind(name)
            .bind(looked_at.0)
            .execute(&self.pool)
            .await
            .map_err(failed("forget a head"))?;
        Ok(())
    }

    /// A head was found that no delivery told of, and nothing is to be built of it.
    pub async fn head_passed_over(
        &self,
        project: ProjectId,
        head: &Head,
        now: Timestamp,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        saw(&mut tx, project, head, now).await?;
        commit(tx).await
    }

    /// A commit was found that no delivery told of: it becomes a build.
    pub async fn commit_missed(
        &self,
        project: ProjectId,
        build: &NewBuild,
        now: Timestamp,
    ) -> Result<Recorded> {
        let mut tx = self.begin().await?;
        self.lock_project(&mut tx, project).await?;
        saw(&mut tx, project, &build.head(), now).await?;
        let came = Came { project, build, delivery: None, dialect: self.dialect, now };
        let recorded = came.take(&mut tx).await?;
        commit(tx).await?;
        self.wake_for(&recorded);
        Ok(recorded)
    }
}

/// GitHub told where heads stand, all of which are there; of one the last word holds.
pub(super) async fn saw_all(
    tx: &mut Transaction,
    heads: &[(ProjectId, Head, Timestamp)],
) -> Result<()> {
    let mut last = BTreeMap::new();
    for (project, head, now) in heads {
        if let Some(sha) = &head.sha {
            last.insert((project.0, head.name.as_str()), (sha.as_str(), now.0));
        }
    }
    let last: Vec<_> = last.into_iter().collect();
    for some in at_once(&last, 4) {
        let text = format!(
            "INSERT INTO seen_heads (project_id, name, sha, seen_at) VALUES {} \
             ON CONFLICT (project_id, name) DO UPDATE SET sha = excluded.sha, seen_at = excluded.seen_at",
            rows(some.len(), 4)
        );
        let mut query = sqlx::query(AssertSqlSafe(text));
        for ((project, name), (sha, at)) in some {
            query = query.bind(project).bind(name).bind(sha).bind(at);
        }
        query.execute(&mut **tx).await.map_err(failed("note heads"))?;
    }
    Ok(())
}

/// GitHub told where a head stands.
pub(super) async fn saw(
    tx: &mut Transaction,
    project: ProjectId,
    head: &Head,
    now: Timestamp,
) -> Result<()> {
    let query = match &head.sha {
        Some(sha) => sqlx::query(
            "INSERT INTO seen_heads (project_id, name, sha, seen_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (project_id, name) DO UPDATE SET sha = excluded.sha, seen_at = excluded.seen_at",
        )
        .bind(project.0)
        .bind(&head.name)
        .bind(sha.as_str())
        .bind(now.0),
        None => sqlx::query("DELETE FROM seen_heads WHERE project_id = $1 AND name = $2")
            .bind(project.0)
            .bind(&head.name),
    };
    query.execute(&mut **tx).await.map_err(failed("note a head"))?;
    Ok(())
}
