//! Who may do what in a project.

use super::{Columns as _, Project, Result, Store, failed};
use crate::model::{ProjectId, Role, UserId};

impl Store {
    /// What a user is in a project; none for a stranger.
    pub async fn role(&self, project: ProjectId, user: UserId) -> Result<Option<Role>> {
        let row = sqlx::query(
            "SELECT owner_id, (SELECT allows_management FROM memberships \
             WHERE project_id = projects.id AND user_id = $1) AS allows_management \
             FROM projects WHERE id = $2",
        )
        .bind(user.0)
        .bind(project.0)
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("look up a role"))?;
        let Some(row) = row else { return Ok(None) };
        if row.int("owner_id")? == user.0 {
            return Ok(Some(Role::Owner));
        }
        let membership = row.int_or_null("allows_management")?;
        Ok(membership.map(|manages| if manages == 0 { Role::Member } else { Role::Manager }))
    }

    /// The projects that a user owns or is a member of, by name.
    pub async fn projects_of(&self, user: UserId) -> Result<Vec<Project>> {
        let rows = sqlx::query(
            "SELECT * FROM projects WHERE owner_id = $1 \
             OR id IN (SELECT project_id FROM memberships WHERE user_id = $1) ORDER BY gh_full_name",
        )
        .bind(user.0)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list a user's projects"))?;
        rows.iter().map(Project::read).collect()
    }
}
