//! API tokens: shown once, kept as a digest.

use super::{Columns as _, KnownUser, Result, Store, StoreError, failed};
use crate::model::Timestamp;
use crate::seal::{random_hex, sha256_hex};

/// What every token begins with, so that scanners of leaked secrets know it.
const PREFIX: &str = "kozmic_";

impl Store {
    /// A new token of a user, by login; it can't be shown again.
    pub async fn token_created(&self, login: &str, name: &str, now: Timestamp) -> Result<String> {
        let token = format!("{PREFIX}{}", random_hex()?);
        let created = sqlx::query(
            "INSERT INTO api_tokens (user_id, name, token_hash, created_at) \
             SELECT id, $1, $2, $3 FROM users WHERE LOWER(gh_login) = $4 RETURNING id",
        )
        .bind(name)
        .bind(sha256_hex(token.as_bytes()))
        .bind(now.0)
        .bind(login.to_lowercase())
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("create a token"))?;
        match created {
            Some(_) => Ok(token),
            None => Err(StoreError::Refused(format!("there is no user {login}"))),
        }
    }

    /// Whose token this is; none when it is unknown or has expired.
    pub async fn token_used(&self, token: &str, now: Timestamp) -> Result<Option<KnownUser>> {
        // The digest is looked up, so that no comparison's time tells of a token.
        let row = sqlx::query(
            "SELECT api_tokens.id AS token_id, last_used_at, users.*, \
             (SELECT gh_id FROM named_logins WHERE login = LOWER(users.gh_login)) AS login_means \
             FROM api_tokens JOIN users ON users.id = api_tokens.user_id \
             WHERE token_hash = $1 AND (expires_at IS NULL OR expires_at > $2)",
        )
        .bind(sha256_hex(token.as_bytes()))
        .bind(now.0)
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("look up a token"))?;
        let Some(row) = row else { return Ok(None) };
        // To the minute is enough, and spares a write with each request.
        if row.int_or_null("last_used_at")?.is_none_or(|used| now.0 - used > 60_000) {
            sqlx::query("UPDATE api_tokens SET last_used_at = $1 WHERE id = $2")
                .bind(now.0)
                .bind(row.int("token_id")?)
                .execute(&self.pool)
                .await
                .map_err(failed("note a token's use"))?;
        }
        Ok(Some(KnownUser::read(&row)?))
    }
}
