//! Who may do what in a project.

use super::{Columns as _, Listed, Project, Result, Store, Transaction, commit, failed};
use crate::model::{ProjectId, Role, Timestamp, UserId};

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

    /// The projects that a list shows, by name.
    pub async fn projects(&self, of: Listed) -> Result<Vec<Project>> {
        // No user has the number 0.
        let user = if let Listed::Of(user) = of { user.0 } else { 0 };
        let rows = sqlx::query(
            "SELECT * FROM projects WHERE $1 = 1 OR ($2 = 1 AND is_visible_to_all = 1) \
             OR owner_id = $3 \
             OR id IN (SELECT project_id FROM memberships WHERE user_id = $3) ORDER BY gh_full_name",
        )
        .bind(i64::from(of == Listed::All))
        .bind(i64::from(of == Listed::VisibleToAll))
        .bind(user)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list projects"))?;
        rows.iter().map(Project::read).collect()
    }
}

/// Somebody who may see a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub user: UserId,
    pub login: String,
    pub name: String,
    pub avatar_url: Option<String>,
    pub role: Role,
}

impl Store {
    /// The owner, then managers, then members, each by login.
    pub async fn members(&self, project: ProjectId) -> Result<Vec<Member>> {
        let rows = sqlx::query(
            "SELECT users.id, users.gh_login, users.gh_name, gh_avatar_url, \
             CASE WHEN users.id = projects.owner_id THEN 2 ELSE memberships.allows_management END AS rank \
             FROM projects JOIN users ON users.id = projects.owner_id OR users.id IN \
              (SELECT user_id FROM memberships WHERE project_id = projects.id) \
             LEFT JOIN memberships ON memberships.project_id = projects.id AND memberships.user_id = users.id \
             WHERE projects.id = $1 ORDER BY 5 DESC, LOWER(users.gh_login)",
        )
        .bind(project.0)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list a project's members"))?;
        let member = |row: &sqlx::any::AnyRow| {
            Ok(Member {
                user: UserId(row.int("id")?),
                login: row.text("gh_login")?,
                name: row.text("gh_name")?,
                avatar_url: row.text_or_null("gh_avatar_url")?,
                role: match row.int("rank")? {
                    2 => Role::Owner,
                    1 => Role::Manager,
                    _ => Role::Member,
                },
            })
        };
        rows.iter().map(member).collect()
    }

    /// GitHub has told who may do what in a project: people by their GitHub ids, each
    /// with whether they may push. Those who never signed in here become members when
    /// they do. Who is missing is removed only when GitHub has told of everybody.
    pub async fn members_synchronized(
        &self,
        project: ProjectId,
        people: &[(i64, bool)],
        is_complete: bool,
        now: Timestamp,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query(
            "SELECT users.id, gh_id FROM users WHERE id <> (SELECT owner_id FROM projects WHERE id = $1)",
        )
        .bind(project.0)
        .fetch_all(&mut *tx)
        .await
        .map_err(failed("list the users"))?;
        for row in &rows {
            let (user, gh_id) = (UserId(row.int("id")?), row.int("gh_id")?);
            match people.iter().find(|(person, _)| *person == gh_id) {
                Some((_, manages)) => put(&mut tx, project, user, *manages, now).await?,
                None if is_complete => remove(&mut tx, project, user).await?,
                None => {}
            }
        }
        commit(tx).await
    }
}

/// GitHub has told all repositories that a user may see, each with whether the user
/// may push: the user's memberships follow.
pub(super) async fn of_user(
    tx: &mut Transaction,
    user: UserId,
    accessible: &[(i64, bool)],
    now: Timestamp,
) -> Result<()> {
    let rows = sqlx::query("SELECT id, gh_id FROM projects WHERE owner_id <> $1")
        .bind(user.0)
        .fetch_all(&mut **tx)
        .await
        .map_err(failed("list the projects"))?;
    for row in &rows {
        let (project, gh_id) = (ProjectId(row.int("id")?), row.int("gh_id")?);
        match accessible.iter().find(|(repository, _)| *repository == gh_id) {
            Some((_, manages)) => put(tx, project, user, *manages, now).await?,
            None => remove(tx, project, user).await?,
        }
    }
    Ok(())
}

async fn put(
    tx: &mut Transaction,
    project: ProjectId,
    user: UserId,
    manages: bool,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO memberships (project_id, user_id, allows_management, created_at) \
         VALUES ($1, $2, $3, $4) ON CONFLICT (project_id, user_id) \
         DO UPDATE SET allows_management = excluded.allows_management \
         WHERE memberships.allows_management <> excluded.allows_management",
    )
    .bind(project.0)
    .bind(user.0)
    .bind(i64::from(manages))
    .bind(now.0)
    .execute(&mut **tx)
    .await
    .map_err(failed("keep a membership"))?;
    Ok(())
}

async fn remove(tx: &mut Transaction, project: ProjectId, user: UserId) -> Result<()> {
    sqlx::query("DELETE FROM memberships WHERE project_id = $1 AND user_id = $2")
        .bind(project.0)
        .bind(user.0)
        .execute(&mut **tx)
        .await
        .map_err(failed("end a membership"))?;
    Ok(())
}
