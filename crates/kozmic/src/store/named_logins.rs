//! Whom the settings mean by a login. GitHub gives a login that was freed to whoever asks
//! for it, so the settings' names are for the account that had them first.

use super::many::places;
use super::{Columns as _, Result, Store, Transaction, commit, failed};
use crate::model::Timestamp;

impl Store {
    /// The account that the settings mean by this login, by its id at GitHub: this one,
    /// when none was known.
    pub async fn login_named(&self, login: &str, gh_id: i64, now: Timestamp) -> Result<i64> {
        sqlx::query(
            "INSERT INTO named_logins (login, gh_id, named_at) VALUES ($1, $2, $3) \
             ON CONFLICT DO NOTHING",
        )
        .bind(login.to_lowercase())
        .bind(gh_id)
        .bind(now.0)
        .execute(&self.writer)
        .await
        .map_err(failed("keep whom a login means"))?;
        let row = sqlx::query("SELECT gh_id FROM named_logins WHERE login = $1")
            .bind(login.to_lowercase())
            .fetch_one(&self.pool)
            .await
            .map_err(failed("find whom a login means"))?;
        row.int("gh_id")
    }

    /// The logins that the settings name now: the users who have them are meant, and what
    /// is named no more means nobody.
    pub async fn logins_named(&self, logins: &[&str], now: Timestamp) -> Result<()> {
        let logins: Vec<String> = logins.iter().map(|login| login.to_lowercase()).collect();
        let mut tx = self.begin().await?;
        let (kept, named) = match logins.len() {
            0 => ("DELETE FROM named_logins".to_owned(), None),
            count => (
                format!("DELETE FROM named_logins WHERE login NOT IN ({})", places(0, count)),
                Some(format!(
                    "INSERT INTO named_logins (login, gh_id, named_at) \
                     SELECT LOWER(gh_login), gh_id, $1 FROM users \
                     WHERE LOWER(gh_login) IN ({}) ORDER BY id ON CONFLICT DO NOTHING",
                    places(1, count)
                )),
            ),
        };
        let mut forget = sqlx::query(sqlx::AssertSqlSafe(kept));
        for login in &logins {
            forget = forget.bind(login);
        }
        forget.execute(&mut *tx).await.map_err(failed("forget whom logins meant"))?;
        if let Some(named) = named {
            let mut keep = sqlx::query(sqlx::AssertSqlSafe(named)).bind(now.0);
            for login in &logins {
                keep = keep.bind(login);
            }
            keep.execute(&mut *tx).await.map_err(failed("keep whom logins mean"))?;
        }
        commit(tx).await
    }

    /// GitHub says whose a login is now. Whoever had it before gets their new one with
    /// the next sign-in.
    pub async fn login_taken(&self, login: &str, gh_id: i64) -> Result<()> {
        let mut tx = self.begin().await?;
        taken(&mut tx, login, gh_id).await?;
        commit(tx).await
    }
}

pub(super) async fn taken(tx: &mut Transaction, login: &str, gh_id: i64) -> Result<()> {
    sqlx::query(
        "UPDATE users SET gh_login = gh_login || '~' || gh_id \
         WHERE LOWER(gh_login) = $1 AND gh_id <> $2",
    )
    .bind(login.to_lowercase())
    .bind(gh_id)
    .execute(&mut **tx)
    .await
    .map_err(failed("free a login"))?;
    Ok(())
}
