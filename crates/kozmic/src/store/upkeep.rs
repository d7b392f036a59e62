//! What becomes of projects: compared with GitHub, handed over, deleted.

use std::collections::HashSet;

use sqlx::AssertSqlSafe;

use super::many::{at_once, places};
use super::projects::of_project;
use super::{Columns as _, Project, Result, Store, commit, failed, whole_rows};
use crate::model::{Action, ProjectId, Timestamp, UserId};

/// Something that a deleted project has left on disks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    pub id: i64,
    pub of: Left,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// Its mirror and its cached images.
    Project(ProjectId),
    /// The log of one of its jobs.
    Log(crate::model::JobUuid),
}

impl Store {
    /// A project was compared with GitHub; what is wrong, if anything is.
    pub async fn project_synchronized(
        &self,
        project: ProjectId,
        trouble: Option<&str>,
        now: Timestamp,
    ) -> Result<()> {
        sqlx::query("UPDATE projects SET gh_trouble = $1, synchronized_at = $2 WHERE id = $3")
            .bind(trouble)
            .bind(now.0)
            .bind(project.0)
            .execute(&self.writer)
            .await
            .map_err(failed("note how a project stands"))?;
        Ok(())
    }

    /// GitHub says whether a project's repository is archived.
    pub async fn project_archived(&self, project: ProjectId, is_archived: bool) -> Result<()> {
        let mut tx = self.begin().await?;
        let set = "UPDATE projects SET is_archived = $1 WHERE id = $2 AND is_archived <> $1";
        let changed = sqlx::query(set)
            .bind(i64::from(is_archived))
            .bind(project.0)
            .execute(&mut *tx)
            .await
            .map_err(failed("note that a repository is archived"))?;
        if changed.rows_affected() > 0 {
            let event = of_project(Action::ProjectChanged, project, "");
            self.note(&mut tx, event.with("is_archived", is_archived)).await?;
        }
        commit(tx).await
    }

    /// It could not be compared; it counts as if it had been at this time, so that it is
    /// not the first at the next look again.
    pub async fn project_looked_at(&self, project: ProjectId, at: Timestamp) -> Result<()> {
        sqlx::query("UPDATE projects SET synchronized_at = $1 WHERE id = $2")
            .bind(at.0)
            .bind(project.0)
            .execute(&self.writer)
            .await
            .map_err(failed("note that a project was looked at"))?;
        Ok(())
    }

    /// What is wrong with a project's repository at GitHub.
    pub async fn project_trouble(&self, project: ProjectId) -> Result<Option<String>> {
        let row = sqlx::query("SELECT gh_trouble FROM projects WHERE id = $1")
            .bind(project.0)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read how a project stands"))?;
        row.map_or(Ok(None), |row| row.text_or_null("gh_trouble"))
    }

    /// Those of them that are deleted by now.
    pub async fn projects_gone(&self, projects: &[ProjectId]) -> Result<Vec<ProjectId>> {
        let mut known = HashSet::new();
        for some in at_once(projects, 1) {
            let text = format!("SELECT id FROM projects WHERE id IN ({})", places(0, some.len()));
            let mut query = sqlx::query(AssertSqlSafe(text));
            for project in some {
                query = query.bind(project.0);
            }
            let rows = query.fetch_all(&self.pool).await.map_err(failed("look for projects"))?;
            for row in rows {
                known.insert(row.int("id")?);
            }
        }
        Ok(projects.iter().copied().filter(|project| !known.contains(&project.0)).collect())
    }

    /// How many projects there are.
    pub async fn projects_counted(&self) -> Result<i64> {
        let row = sqlx::query("SELECT COUNT(*) AS projects FROM projects")
            .fetch_one(&self.pool)
            .await
            .map_err(failed("count the projects"))?;
        row.int("projects")
    }

    /// Those that were compared before this time or never, longest ago first.
    pub async fn projects_to_synchronize(
        &self,
        before: Timestamp,
        limit: i64,
    ) -> Result<Vec<Project>> {
        let rows = whole_rows(
            "SELECT * FROM projects WHERE synchronized_at IS NULL OR synchronized_at < $1 \
             ORDER BY COALESCE(synchronized_at, 0), id LIMIT $2",
        )
        .bind(before.0)
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("look for projects to compare"))?;
        rows.iter().map(Project::read).collect()
    }

    /// A manager becomes the owner; the owner before stays as a manager, until GitHub
    /// says something else.
    pub async fn project_handed_over(
        &self,
        project: ProjectId,
        to: UserId,
        now: Timestamp,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO memberships (project_id, user_id, allows_management, created_at) \
             SELECT id, owner_id, 1, $2 FROM projects WHERE id = $1 ON CONFLICT DO NOTHING",
        )
        .bind(project.0)
        .bind(now.0)
        .execute(&mut *tx)
        .await
        .map_err(failed("keep the owner before as a manager"))?;
        sqlx::query("DELETE FROM memberships WHERE project_id = $1 AND user_id = $2")
            .bind(project.0)
            .bind(to.0)
            .execute(&mut *tx)
            .await
            .map_err(failed("end the new owner's membership"))?;
        // Compared again soon: what was wrong may be right with another owner.
        sqlx::query(
            "UPDATE projects SET owner_id = $1, gh_trouble = NULL, synchronized_at = NULL WHERE id = $2",
        )
        .bind(to.0)
        .bind(project.0)
        .execute(&mut *tx)
        .await
        .map_err(failed("hand a project over"))?;
        let event = of_project(Action::ProjectTakenOver, project, "");
        self.note(&mut tx, event.with("owner", to.0)).await?;
        commit(tx).await
    }

    /// All of a project goes; what is on disks is noted, for whoever has the disks.
    pub async fn project_deleted(&self, project: ProjectId) -> Result<()> {
        let mut tx = self.begin().await?;
        self.note(&mut tx, of_project(Action::ProjectDeleted, project, "")).await?;
        for leave in [
            "INSERT INTO leavings (kind, name) SELECT 'log', uuid FROM jobs \
             JOIN builds ON builds.id = jobs.build_id WHERE project_id = $1",
            "INSERT INTO leavings (kind, name) SELECT 'project', CAST(id AS TEXT) FROM projects WHERE id = $1",
            "DELETE FROM projects WHERE id = $1",
        ] {
            sqlx::query(leave)
                .bind(project.0)
                .execute(&mut *tx)
                .await
                .map_err(failed("delete a project"))?;
        }
        super::artifacts::leave(&mut tx, &super::artifacts::prefix_of_project(project)).await?;
        super::artifacts::leave(&mut tx, &super::service_logs::prefix_of_project(project)).await?;
        commit(tx).await?;
        // Jobs under way are to stop.
        self.wakes.leases.send_replace(());
        self.wakes.leavings.notify_one();
        Ok(())
    }

    /// What deleted projects have left, oldest first.
    pub async fn leavings(&self, limit: i64) -> Result<Vec<Leaving>> {
        let rows = sqlx::query("SELECT id, kind, name FROM leavings ORDER BY id LIMIT $1")
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list what projects have left"))?;
        let mut leavings = Vec::with_capacity(rows.len());
        for row in &rows {
            let name = row.text("name")?;
            let of = match row.text("kind")?.as_str() {
                "project" => Left::Project(ProjectId(name.parse().map_err(|_| {
                    crate::model::Invalid::new(format!("`{name}` is no project's number"))
                })?)),
                _ => Left::Log(name.parse()?),
            };
            leavings.push(Leaving { id: row.int("id")?, of });
        }
        Ok(leavings)
    }

    pub async fn leaving_removed(&self, leaving: i64) -> Result<()> {
        sqlx::query("DELETE FROM leavings WHERE id = $1")
            .bind(leaving)
            .execute(&self.writer)
            .await
            .map_err(failed("note that something is gone"))?;
        Ok(())
    }
}
