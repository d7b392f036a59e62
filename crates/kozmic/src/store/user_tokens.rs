//! In whose name GitHub is asked for a project, and whose token it refuses.

use std::time::Duration;

use super::users::token_place;
use super::{Columns as _, Result, Store, failed};
use crate::model::{ProjectId, Timestamp, TokenHolder, UserId};

/// A refused token is tried again after this time: GitHub has refused good ones before.
const AGAIN_AFTER: Duration = Duration::from_hours(1);

impl Store {
    /// Who may change things at GitHub for a project and has a token: the owner first,
    /// then managers; those whose token was refused come last, and not at once.
    pub async fn token_holders(
        &self,
        project: ProjectId,
        now: Timestamp,
    ) -> Result<Vec<TokenHolder>> {
        let rows = sqlx::query(
            "SELECT users.id, gh_id, gh_login, gh_access_token, \
             CASE WHEN gh_token_refused_at IS NULL THEN 0 ELSE 1 END AS was_refused, \
             CASE WHEN id = (SELECT owner_id FROM projects WHERE id = $1) THEN 0 ELSE 1 END AS is_other \
             FROM users WHERE gh_access_token IS NOT NULL \
             AND (gh_token_refused_at IS NULL OR gh_token_refused_at < $2) \
             AND (id = (SELECT owner_id FROM projects WHERE id = $1) OR id IN \
                  (SELECT user_id FROM memberships WHERE project_id = $1 AND allows_management = 1)) \
             ORDER BY was_refused, is_other, id",
        )
        .bind(project.0)
        .bind(now.0 - i64::try_from(AGAIN_AFTER.as_millis()).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await
        .map_err(failed("find a token"))?;
        let mut holders = Vec::new();
        for row in &rows {
            let place = token_place(row.int("gh_id")?);
            if let Some(token) = self.open_sealed(&place, row.bytes_or_null("gh_access_token")?)? {
                let login = row.text("gh_login")?;
                holders.push(TokenHolder { user: UserId(row.int("id")?), login, token });
            }
        }
        Ok(holders)
    }

    /// Whether somebody who may change things at GitHub for a project has a token that
    /// GitHub refused: after a new sign-in, more may be possible than now.
    pub async fn awaits_sign_in(&self, project: ProjectId) -> Result<bool> {
        let row = sqlx::query(
            "SELECT id FROM users WHERE gh_token_refused_at IS NOT NULL \
             AND (id = (SELECT owner_id FROM projects WHERE id = $1) OR id IN \
                  (SELECT user_id FROM memberships WHERE project_id = $1 AND allows_management = 1)) \
             LIMIT 1",
        )
        .bind(project.0)
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("look for a refused token"))?;
        Ok(row.is_some())
    }

    /// What was learned of tokens by using them.
    pub async fn tokens_tried(
        &self,
        refused: &[UserId],
        accepted: Option<UserId>,
        now: Timestamp,
    ) -> Result<()> {
        let verdicts = refused.iter().map(|user| (*user, Some(now.0)));
        for (user, refused_at) in verdicts.chain(accepted.map(|user| (user, None))) {
            // What is known already is not written again.
            sqlx::query(
                "UPDATE users SET gh_token_refused_at = $1 WHERE id = $2 \
                 AND ($1 IS NOT NULL OR gh_token_refused_at IS NOT NULL)",
            )
            .bind(refused_at)
            .bind(user.0)
            .execute(&self.writer)
            .await
            .map_err(failed("note what became of a token"))?;
        }
        Ok(())
    }
}
