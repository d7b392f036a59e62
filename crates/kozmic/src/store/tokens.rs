//! API tokens: shown once, kept as a digest.

use std::time::Duration;

use sqlx::any::AnyRow;

use super::{Columns as _, KnownUser, Result, Store, StoreError, commit, failed, whole_rows};
use crate::model::{Action, Event, Timestamp, TokenId, TokenScope, TokenSpec, UserId};
use crate::seal::{random_hex, sha256_hex};

/// What every token begins with, so that scanners of leaked secrets know it.
const PREFIX: &str = "kozmic_";
/// Of one user.
const TOKENS: i64 = 100;

/// A token, without what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub id: TokenId,
    pub name: String,
    pub scope: TokenScope,
    pub created_at: Timestamp,
    /// To the minute.
    pub last_used_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
}

/// A request came with a token.
#[derive(Debug, Clone)]
pub struct TokenUse {
    pub id: TokenId,
    pub user: KnownUser,
    pub scope: TokenScope,
}

impl Store {
    /// A new token of a user; it can't be shown again. Refused to who has too many.
    pub async fn token_created(
        &self,
        user: UserId,
        spec: &TokenSpec,
        now: Timestamp,
    ) -> Result<String> {
        let token = format!("{PREFIX}{}", random_hex()?);
        let expires =
            spec.days.map(|days| now.plus(Duration::from_hours(24 * days.unsigned_abs())));
        let mut tx = self.begin().await?;
        // Those that have expired are of no use to anybody.
        sqlx::query("DELETE FROM api_tokens WHERE user_id = $1 AND expires_at <= $2")
            .bind(user.0)
            .bind(now.0)
            .execute(&mut *tx)
            .await
            .map_err(failed("remove expired tokens"))?;
        let created = sqlx::query(
            "INSERT INTO api_tokens (user_id, name, token_hash, created_at, expires_at, scope) \
             SELECT id, $1, $2, $3, $4, $5 FROM users WHERE id = $6 \
             AND (SELECT COUNT(*) FROM api_tokens WHERE user_id = users.id) < $7 RETURNING id",
        )
        .bind(&spec.name)
        .bind(sha256_hex(token.as_bytes()))
        .bind(now.0)
        .bind(expires.map(|at| at.0))
        .bind(spec.scope.as_str())
        .bind(user.0)
        .bind(TOKENS)
        .fetch_optional(&mut *tx)
        .await
        .map_err(failed("create a token"))?;
        let Some(created) = created else {
            return Err(StoreError::Refused(format!(
                "There are {TOKENS} tokens already; revoke one that is not needed."
            )));
        };
        let event = Event::of(Action::TokenMade, "token", Some(created.int("id")?), &spec.name);
        let event = event.with("user", user.0).with("scope", spec.scope.as_str());
        self.note(&mut tx, event.with("days", spec.days)).await?;
        commit(tx).await?;
        Ok(token)
    }

    /// A user's tokens that have not expired, the newest first.
    pub async fn tokens(&self, user: UserId, now: Timestamp) -> Result<Vec<Token>> {
        let rows = whole_rows(
            "SELECT * FROM api_tokens WHERE user_id = $1 AND (expires_at IS NULL OR expires_at > $2) \
             ORDER BY id DESC",
        )
        .bind(user.0)
        .bind(now.0)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list a user's tokens"))?;
        rows.iter().map(read).collect()
    }

    /// It opens nothing any more. False when the user has no such token.
    pub async fn token_revoked(&self, user: UserId, token: TokenId) -> Result<bool> {
        let mut tx = self.begin().await?;
        let revoke = "DELETE FROM api_tokens WHERE id = $1 AND user_id = $2 RETURNING name";
        let revoked = sqlx::query(revoke)
            .bind(token.0)
            .bind(user.0)
            .fetch_optional(&mut *tx)
            .await
            .map_err(failed("revoke a token"))?;
        let Some(revoked) = revoked else { return Ok(false) };
        let name = revoked.text("name")?;
        let event = Event::of(Action::TokenRevoked, "token", Some(token.0), name);
        self.note(&mut tx, event.with("user", user.0)).await?;
        commit(tx).await?;
        Ok(true)
    }

    /// Whose token this is; none when it is unknown or has expired.
    pub async fn token_used(&self, token: &str, now: Timestamp) -> Result<Option<TokenUse>> {
        // The digest is looked up, so that no comparison's time tells of a token.
        let row = whole_rows(
            "SELECT api_tokens.id AS token_id, last_used_at, scope, users.*, \
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
                .execute(&self.writer)
                .await
                .map_err(failed("note a token's use"))?;
        }
        let (user, scope) = (KnownUser::read(&row)?, row.text("scope")?.parse()?);
        Ok(Some(TokenUse { id: TokenId(row.int("token_id")?), user, scope }))
    }
}

fn read(row: &AnyRow) -> Result<Token> {
    Ok(Token {
        id: TokenId(row.int("id")?),
        name: row.text("name")?,
        scope: row.text("scope")?.parse()?,
        created_at: Timestamp(row.int("created_at")?),
        last_used_at: row.int_or_null("last_used_at")?.map(Timestamp),
        expires_at: row.int_or_null("expires_at")?.map(Timestamp),
    })
}
