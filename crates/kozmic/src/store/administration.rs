//! What administrators see of the installation as a whole.

use sqlx::any::AnyRow;

use super::{Columns as _, Result, Store, failed};
use crate::model::{ProjectId, Timestamp};

/// Which database it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseVersion {
    /// "SQLite 3.46.1".
    pub database: String,
    /// The number of the last migration that was made.
    pub schema: i64,
}

/// A project as the list of all has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectFacts {
    pub id: ProjectId,
    pub full_name: String,
    /// The login.
    pub owner: String,
    pub builds: i64,
    pub built_at: Option<Timestamp>,
    /// Bytes of its archived logs and of its artifacts.
    pub bytes: u64,
    /// What is wrong with it at GitHub.
    pub trouble: Option<String>,
}

impl ProjectFacts {
    fn read(row: &AnyRow) -> Result<Self> {
        let bytes = row.int("log_bytes")?.saturating_add(row.int("artifact_bytes")?);
        Ok(Self {
            id: ProjectId(row.int("id")?),
            full_name: row.text("gh_full_name")?,
            owner: row.text("owner")?,
            builds: row.int("builds")?,
            built_at: row.int_or_null("last_built")?.map(Timestamp),
            bytes: u64::try_from(bytes).unwrap_or(0),
            trouble: row.text_or_null("gh_trouble")?,
        })
    }
}

impl Store {
    pub async fn database_version(&self) -> Result<DatabaseVersion> {
        let row = sqlx::query(self.dialect.version())
            .fetch_one(&self.pool)
            .await
            .map_err(failed("tell its version"))?;
        let schema = sqlx::query("SELECT MAX(version) AS schema FROM _sqlx_migrations")
            .fetch_one(&self.pool)
            .await
            .map_err(failed("tell its migrations"))?;
        let database = format!("{} {}", self.dialect.name(), row.text("version")?);
        Ok(DatabaseVersion { database, schema: schema.int("schema")? })
    }

    /// Projects by name, those after this one; each looked up by an index, so that the last
    /// part costs what the first does.
    pub async fn projects_after(&self, name: &str, limit: i64) -> Result<Vec<ProjectFacts>> {
        let rows = sqlx::query(
            "SELECT projects.id, gh_full_name, gh_trouble, users.gh_login AS owner, \
             COALESCE((SELECT number FROM builds WHERE builds.project_id = projects.id \
                       ORDER BY number DESC LIMIT 1), 0) AS builds, \
             NULLIF(built_at, 0) AS last_built, log_bytes, artifact_bytes \
             FROM projects JOIN users ON users.id = projects.owner_id \
             JOIN project_sizes ON project_sizes.project_id = projects.id \
             WHERE gh_full_name > $1 ORDER BY gh_full_name LIMIT $2",
        )
        .bind(name)
        .bind(limit)
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list all projects"))?;
        rows.iter().map(ProjectFacts::read).collect()
    }
}
