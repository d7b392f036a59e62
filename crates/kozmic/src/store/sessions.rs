//! Sessions: who signed in with a browser. Kept as a digest, so that a copy of
//! the database signs nobody in.

use std::time::Duration;

use sqlx::any::AnyRow;

use super::KnownUser;
use super::{Columns as _, Result, Store, commit, failed, whole_rows};
use crate::model::{Action, Event};
use crate::model::{SessionId, Timestamp, UserId};
use crate::seal::{random_hex, sha256_hex};

/// A session that is not used for so long ends.
pub const SESSION_LIFETIME: Duration = Duration::from_hours(30 * 24);
/// Of one user; with one more, the one that was not used for longest ends.
const SESSIONS: i64 = 50;
/// Its use is noted at most so often, and spares a write with each request.
const NOTED_EVERY: Duration = Duration::from_hours(1);

/// Where somebody is signed in.
#[derive(Debug, Clone)]
pub struct Session {
    pub id: SessionId,
    pub created_at: Timestamp,
    /// To the hour.
    pub seen_at: Timestamp,
}

/// A request came with a session's secret.
#[derive(Debug, Clone)]
pub struct SessionUse {
    pub id: SessionId,
    pub user: KnownUser,
    /// It lasts longer from now on.
    pub is_renewed: bool,
}

impl Session {
    fn read(row: &AnyRow) -> Result<Self> {
        Ok(Self {
            id: SessionId(row.int("id")?),
            created_at: Timestamp(row.int("created_at")?),
            seen_at: Timestamp(row.int("seen_at")?),
        })
    }
}

impl Store {
    /// A user signed in: the secret of a new session, which can't be shown again.
    /// Sessions of all users that have expired are removed, and the user's that are too
    /// many, those first that were not used for longest.
    pub async fn session_begun(&self, user: UserId, now: Timestamp) -> Result<String> {
        let secret = random_hex()?;
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM sessions WHERE expires_at <= $1")
            .bind(now.0)
            .execute(&mut *tx)
            .await
            .map_err(failed("remove expired sessions"))?;
        let begun = sqlx::query(
            "INSERT INTO sessions (user_id, token_hash, created_at, seen_at, expires_at) \
             VALUES ($1, $2, $3, $3, $4) RETURNING id",
        )
        .bind(user.0)
        .bind(sha256_hex(secret.as_bytes()))
        .bind(now.0)
        .bind(now.plus(SESSION_LIFETIME).0)
        .fetch_one(&mut *tx)
        .await
        .map_err(failed("begin a session"))?;
        self.note(&mut tx, of_session(Action::SignedIn, Some(begun.int("id")?))).await?;
        sqlx::query(
            "DELETE FROM sessions WHERE user_id = $1 AND id NOT IN \
             (SELECT id FROM sessions WHERE user_id = $1 ORDER BY seen_at DESC, id DESC LIMIT $2)",
        )
        .bind(user.0)
        .bind(SESSIONS)
        .execute(&mut *tx)
        .await
        .map_err(failed("end a user's oldest sessions"))?;
        commit(tx).await?;
        Ok(secret)
    }

    /// Whose session this is; none when it is unknown, has ended or has expired.
    pub async fn session_used(&self, secret: &str, now: Timestamp) -> Result<Option<SessionUse>> {
        // The digest is looked up, so that no comparison's time tells of a secret.
        let row = whole_rows(
            "SELECT sessions.id AS session_id, seen_at, users.*, \
             (SELECT gh_id FROM named_logins WHERE login = LOWER(users.gh_login)) AS login_means FROM sessions \
             JOIN users ON users.id = sessions.user_id WHERE token_hash = $1 AND expires_at > $2",
        )
        .bind(sha256_hex(secret.as_bytes()))
        .bind(now.0)
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("look up a session"))?;
        let Some(row) = row else { return Ok(None) };
        let id = SessionId(row.int("session_id")?);
        let is_renewed = now.since(Timestamp(row.int("seen_at")?)) > NOTED_EVERY;
        if is_renewed {
            sqlx::query("UPDATE sessions SET seen_at = $1, expires_at = $2 WHERE id = $3")
                .bind(now.0)
                .bind(now.plus(SESSION_LIFETIME).0)
                .bind(id.0)
                .execute(&self.writer)
                .await
                .map_err(failed("note a session's use"))?;
        }
        Ok(Some(SessionUse { id, user: KnownUser::read(&row)?, is_renewed }))
    }

    /// A user's sessions that have not expired, the last used first.
    pub async fn sessions(&self, user: UserId, now: Timestamp) -> Result<Vec<Session>> {
        let rows = whole_rows(
            "SELECT * FROM sessions WHERE user_id = $1 AND expires_at > $2 \
             ORDER BY seen_at DESC, id DESC",
        )
        .bind(user.0)
        .bind(now.0)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list a user's sessions"))?;
        rows.iter().map(Session::read).collect()
    }

    /// One of a user's own sessions ends. False when they have no such session.
    pub async fn own_session_ended(&self, user: UserId, id: SessionId) -> Result<bool> {
        let mut tx = self.begin().await?;
        let ended = sqlx::query("DELETE FROM sessions WHERE id = $1 AND user_id = $2")
            .bind(id.0)
            .bind(user.0)
            .execute(&mut *tx)
            .await
            .map_err(failed("end a session"))?;
        if ended.rows_affected() == 0 {
            return Ok(false);
        }
        self.note(&mut tx, of_session(Action::SessionEnded, Some(id.0))).await?;
        commit(tx).await?;
        Ok(true)
    }

    /// Somebody signed out here.
    pub async fn session_ended(&self, id: SessionId) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM sessions WHERE id = $1")
            .bind(id.0)
            .execute(&mut *tx)
            .await
            .map_err(failed("end a session"))?;
        self.note(&mut tx, of_session(Action::SignedOut, Some(id.0))).await?;
        commit(tx).await
    }

    /// Somebody signed out everywhere.
    pub async fn sessions_ended(&self, user: UserId) -> Result<()> {
        let mut tx = self.begin().await?;
        let ended = sqlx::query("DELETE FROM sessions WHERE user_id = $1")
            .bind(user.0)
            .execute(&mut *tx)
            .await
            .map_err(failed("end a user's sessions"))?;
        let event = of_session(Action::SignedOut, None).with("sessions", ended.rows_affected());
        self.note(&mut tx, event).await?;
        commit(tx).await
    }
}

fn of_session(action: Action, id: Option<i64>) -> Event {
    Event::of(action, "session", id, "")
}
