//! Users and their sealed access tokens.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::any::AnyRow;

use super::many::{at_once, places};
use super::{Columns as _, Result, Store, commit, failed, named_logins};
use crate::model::{GithubUser, Timestamp, UserId};

#[derive(Debug, Clone)]
pub struct User {
    pub id: UserId,
    pub login: String,
    pub token: Option<SecretString>,
    /// Since when GitHub does not take the token.
    pub token_refused_at: Option<Timestamp>,
}

/// A user who asks for something, by a session or a token.
#[derive(Debug, Clone)]
pub struct KnownUser {
    pub id: UserId,
    pub gh_id: i64,
    pub login: String,
    /// The account that the settings mean by the login, by its id at GitHub; none: they
    /// did not name it so far.
    pub login_means: Option<i64>,
    pub name: String,
    pub email: Option<String>,
    /// The organization whose membership let them in, and when GitHub was asked about it.
    pub admitted_by: Option<(String, Timestamp)>,
}

impl KnownUser {
    pub(super) fn read(row: &AnyRow) -> Result<Self> {
        let admitted_at = row.int_or_null("admitted_at")?.map(Timestamp);
        Ok(Self {
            id: UserId(row.int("id")?),
            gh_id: row.int("gh_id")?,
            login: row.text("gh_login")?,
            login_means: row.int_or_null("login_means")?,
            name: row.text("gh_name")?,
            email: row.text_or_null("email")?,
            admitted_by: row.text_or_null("admitted_by")?.zip(admitted_at),
        })
    }
}

/// A user's picture, as GitHub said when they signed in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Portrait {
    pub login: String,
    pub url: Option<String>,
    /// They are something in a project that anyone may see.
    pub is_seen_by_all: bool,
}

impl Store {
    /// A person proved to GitHub who they are: kept, with the token sealed.
    pub async fn user_signed_in(
        &self,
        user: &GithubUser,
        token: &SecretString,
        now: Timestamp,
    ) -> Result<UserId> {
        let sealed = self.seal.seal(&token_place(user.gh_id), token.expose_secret().as_bytes())?;
        let mut tx = self.begin().await?;
        named_logins::taken(&mut tx, &user.login, user.gh_id).await?;
        let row = sqlx::query(
            "INSERT INTO users (gh_id, gh_login, gh_name, gh_avatar_url, email, gh_access_token, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) \
             ON CONFLICT (gh_id) DO UPDATE SET gh_login = excluded.gh_login, gh_name = excluded.gh_name, \
             gh_avatar_url = excluded.gh_avatar_url, email = COALESCE(excluded.email, users.email), \
             gh_access_token = excluded.gh_access_token, gh_token_refused_at = NULL RETURNING id",
        )
        .bind(user.gh_id)
        .bind(&user.login)
        .bind(&user.name)
        .bind(&user.avatar_url)
        .bind(&user.email)
        .bind(sealed)
        .bind(now.0)
        .fetch_one(&mut *tx)
        .await
        .map_err(failed("keep a user"))?;
        let user = UserId(row.int("id")?);
        // What nobody's token could tell GitHub, this one may.
        sqlx::query(
            "UPDATE outbox SET next_attempt_at = $1 WHERE version > sent_version AND project_id IN \
             (SELECT id FROM projects WHERE owner_id = $2 OR id IN \
              (SELECT project_id FROM memberships WHERE user_id = $2))",
        )
        .bind(now.0)
        .bind(user.0)
        .execute(&mut *tx)
        .await
        .map_err(failed("wake the outbox"))?;
        commit(tx).await?;
        self.wakes.outbox.notify_one();
        Ok(user)
    }

    /// GitHub said, or was asked in vain, whether a user is a member of an organization
    /// that lets people in; none: of no such one.
    pub async fn user_admitted(
        &self,
        user: UserId,
        organization: Option<&str>,
        at: Timestamp,
    ) -> Result<()> {
        sqlx::query("UPDATE users SET admitted_by = $1, admitted_at = $2 WHERE id = $3")
            .bind(organization)
            .bind(at.0)
            .bind(user.0)
            .execute(&self.writer)
            .await
            .map_err(failed("note what lets a user in"))?;
        Ok(())
    }

    /// A user's picture, and who may see it.
    pub async fn portrait(&self, user: UserId) -> Result<Option<Portrait>> {
        let row = sqlx::query(
            "SELECT gh_login, gh_avatar_url, CASE WHEN EXISTS (SELECT 1 FROM projects \
             WHERE is_visible_to_all = 1 AND (owner_id = users.id OR id IN \
             (SELECT project_id FROM memberships WHERE user_id = users.id))) THEN 1 ELSE 0 END AS is_seen \
             FROM users WHERE id = $1",
        )
        .bind(user.0)
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("look up a picture"))?;
        let portrait = |row: AnyRow| {
            Ok(Portrait {
                login: row.text("gh_login")?,
                url: row.text_or_null("gh_avatar_url")?,
                is_seen_by_all: row.flag("is_seen")?,
            })
        };
        row.map(portrait).transpose()
    }

    /// The users known here of these logins, by login in small letters.
    pub async fn users_called(&self, logins: &[&str]) -> Result<BTreeMap<String, UserId>> {
        let wanted: BTreeSet<String> = logins.iter().map(|login| login.to_lowercase()).collect();
        let wanted: Vec<String> = wanted.into_iter().collect();
        let mut found = BTreeMap::new();
        for logins in at_once(&wanted, 1) {
            let query = format!(
                "SELECT id, gh_login FROM users WHERE LOWER(gh_login) IN ({})",
                places(0, logins.len())
            );
            let mut query = sqlx::query(sqlx::AssertSqlSafe(query));
            for login in logins {
                query = query.bind(login);
            }
            let rows =
                query.fetch_all(&self.pool).await.map_err(failed("find users by their logins"))?;
            for row in &rows {
                found.insert(row.text("gh_login")?.to_lowercase(), UserId(row.int("id")?));
            }
        }
        Ok(found)
    }

    /// Who has this login, in any case of its letters.
    pub async fn user_named(&self, login: &str) -> Result<Option<UserId>> {
        let row = sqlx::query("SELECT id FROM users WHERE LOWER(gh_login) = $1")
            .bind(login.to_lowercase())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("find a user"))?;
        row.map(|row| Ok(UserId(row.int("id")?))).transpose()
    }

    pub async fn user(&self, id: UserId) -> Result<Option<User>> {
        let row =
            sqlx::query("SELECT id, gh_id, gh_login, gh_access_token, gh_token_refused_at FROM users WHERE id = $1")
                .bind(id.0)
                .fetch_optional(&self.pool)
                .await
                .map_err(failed("find a user"))?;
        row.map(|row| {
            Ok(User {
                id: UserId(row.int("id")?),
                login: row.text("gh_login")?,
                token: self.open_sealed(
                    &token_place(row.int("gh_id")?),
                    row.bytes_or_null("gh_access_token")?,
                )?,
                token_refused_at: row.int_or_null("gh_token_refused_at")?.map(Timestamp),
            })
        })
        .transpose()
    }
}

pub(super) fn token_place(gh_id: i64) -> String {
    format!("users:{gh_id}:gh_access_token")
}
