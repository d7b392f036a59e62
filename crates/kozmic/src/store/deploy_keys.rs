//! The deploy keys of private projects; their private halves are sealed.

use secrecy::{ExposeSecret as _, SecretString};

use super::{Columns as _, Result, Store, commit, failed, whole_rows};
use crate::model::{Action, Event, ProjectId, Timestamp};

#[derive(Debug, Clone)]
pub struct DeployKey {
    /// GitHub's id of it, once it is registered there.
    pub gh_id: Option<i64>,
    /// In OpenSSH's format.
    pub private_key: SecretString,
    pub public_key: String,
}

impl Store {
    /// A project's new key pair, not registered at GitHub yet; it takes the place
    /// of one that was there.
    pub async fn deploy_key_made(
        &self,
        project: ProjectId,
        private_key: &SecretString,
        public_key: &str,
        now: Timestamp,
    ) -> Result<()> {
        let sealed = self.seal.seal(&place(project), private_key.expose_secret().as_bytes())?;
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO deploy_keys (project_id, private_key, public_key, created_at) \
             VALUES ($1, $2, $3, $4) \
             ON CONFLICT (project_id) DO UPDATE SET gh_id = NULL, private_key = excluded.private_key, \
             public_key = excluded.public_key, created_at = excluded.created_at",
        )
        .bind(project.0)
        .bind(sealed)
        .bind(public_key)
        .bind(now.0)
        .execute(&mut *tx)
        .await
        .map_err(failed("keep a deploy key"))?;
        self.note(&mut tx, of_key(Action::DeployKeyMade, project)).await?;
        commit(tx).await
    }

    /// GitHub lets the project's key in.
    pub async fn deploy_key_registered(&self, project: ProjectId, gh_id: i64) -> Result<()> {
        sqlx::query("UPDATE deploy_keys SET gh_id = $1 WHERE project_id = $2")
            .bind(gh_id)
            .bind(project.0)
            .execute(&self.writer)
            .await
            .map_err(failed("note that a deploy key is registered"))?;
        Ok(())
    }

    /// The project needs no key any more.
    pub async fn deploy_key_removed(&self, project: ProjectId) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM deploy_keys WHERE project_id = $1")
            .bind(project.0)
            .execute(&mut *tx)
            .await
            .map_err(failed("forget a deploy key"))?;
        self.note(&mut tx, of_key(Action::DeployKeyRemoved, project)).await?;
        commit(tx).await
    }

    pub async fn deploy_key(&self, project: ProjectId) -> Result<Option<DeployKey>> {
        let row = whole_rows("SELECT * FROM deploy_keys WHERE project_id = $1")
            .bind(project.0)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("find a deploy key"))?;
        let Some(row) = row else { return Ok(None) };
        let sealed = row.bytes_or_null("private_key")?;
        Ok(Some(DeployKey {
            gh_id: row.int_or_null("gh_id")?,
            private_key: self.open_sealed(&place(project), sealed)?.unwrap_or_default(),
            public_key: row.text("public_key")?,
        }))
    }
}

fn of_key(action: Action, project: ProjectId) -> Event {
    Event::of(action, "deploy key", None, "").in_project(project)
}

/// A project has one key, so its number names the row.
fn place(project: ProjectId) -> String {
    format!("deploy_keys:{project}:private_key")
}
