//! With which key everything secret is sealed, and all of it sealed anew with another.

use super::{Columns as _, Result, Store, StoreError, commit, failed};
use crate::model::{Action, Event, Timestamp};
use crate::seal::Seal;

/// A column of sealed values. The place that is authenticated with a value is
/// `table:name:column`, where the name is what `select` calls so.
struct Sealed {
    table: &'static str,
    column: &'static str,
    /// The column that has the place's name.
    named: &'static str,
    select: &'static str,
    update: &'static str,
}

/// All there are.
const SEALED: &[Sealed] = &[
    Sealed {
        table: "users",
        column: "gh_access_token",
        named: "gh_id",
        select: "SELECT id, gh_id AS name, gh_access_token AS sealed FROM users \
                 WHERE gh_access_token IS NOT NULL",
        update: "UPDATE users SET gh_access_token = $1 WHERE id = $2",
    },
    Sealed {
        table: "deploy_keys",
        column: "private_key",
        named: "project_id",
        select: "SELECT id, project_id AS name, private_key AS sealed FROM deploy_keys",
        update: "UPDATE deploy_keys SET private_key = $1 WHERE id = $2",
    },
    Sealed {
        table: "hooks",
        column: "secret",
        named: "id",
        select: "SELECT id, id AS name, secret AS sealed FROM hooks",
        update: "UPDATE hooks SET secret = $1 WHERE id = $2",
    },
    Sealed {
        table: "secrets",
        column: "value",
        named: "id",
        select: "SELECT id, id AS name, value AS sealed FROM secrets",
        update: "UPDATE secrets SET value = $1 WHERE id = $2",
    },
    Sealed {
        table: "job_secrets",
        column: "value",
        named: "job_id",
        select: "SELECT id, job_id AS name, value AS sealed FROM job_secrets",
        update: "UPDATE job_secrets SET value = $1 WHERE id = $2",
    },
    Sealed {
        table: "webhooks",
        column: "target",
        named: "id",
        select: "SELECT id, id AS name, target AS sealed FROM webhooks WHERE target IS NOT NULL",
        update: "UPDATE webhooks SET target = $1 WHERE id = $2",
    },
];

/// The column that has the name of the place at which the values of a column are sealed.
pub(super) fn named_by(table: &str, column: &str) -> Option<&'static str> {
    let sealed = SEALED.iter().find(|it| (it.table, it.column) == (table, column));
    sealed.map(|it| it.named)
}

impl Store {
    /// The id of the key that the database was sealed with; none when nothing was yet.
    pub async fn sealed_with(&self) -> Result<Option<String>> {
        let row = sqlx::query("SELECT key_id FROM installation WHERE key_id IS NOT NULL")
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("look up the key's id"))?;
        if let Some(row) = row {
            return row.text_or_null("key_id");
        }
        // A database of an earlier version tells it by its values only.
        for column in SEALED {
            let row = sqlx::query(column.select)
                .fetch_optional(&self.pool)
                .await
                .map_err(failed("look for a sealed value"))?;
            let sealed = row.map(|row| row.bytes_or_null("sealed")).transpose()?.flatten();
            if let Some(id) = sealed.as_deref().and_then(Seal::key_id_of) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// From now on the database belongs to the key at hand, unless it does to another;
    /// the id of the key that it belongs to.
    pub async fn key_adopted(&self, now: Timestamp) -> Result<Option<String>> {
        self.instance(now).await?;
        sqlx::query("UPDATE installation SET key_id = $1 WHERE key_id IS NULL")
            .bind(self.seal.key_id())
            .execute(&self.writer)
            .await
            .map_err(failed("note the key's id"))?;
        self.sealed_with().await
    }

    /// Seals everything with another key, all of it or nothing; how many values those
    /// are. This store can't open them any more. Refused when a worker is at work here.
    pub async fn resealed(&self, new: &Seal, now: Timestamp) -> Result<usize> {
        // What is sealed in columns that only a newer program knows would stay as it is.
        self.check_same_schema().await?;
        let mut tx = self.begin().await?;
        if self.dialect.is_shared() {
            let row = sqlx::query(
                "SELECT COUNT(*) AS held FROM jobs WHERE status = 'pending' AND lease_until > $1",
            )
            .bind(now.0)
            .fetch_one(&mut *tx)
            .await
            .map_err(failed("look for workers"))?;
            if row.int("held")? > 0 {
                return Err(StoreError::Refused(
                    "a server works on this database; stop all of them and wait a minute".into(),
                ));
            }
        }
        let mut count = 0;
        for Sealed { table, column, select, update, .. } in SEALED {
            let rows = sqlx::query(*select)
                .fetch_all(&mut *tx)
                .await
                .map_err(failed("read the sealed values"))?;
            for row in rows {
                let place = format!("{table}:{}:{column}", row.int("name")?);
                let sealed = row.bytes_or_null("sealed")?.unwrap_or_default();
                let opened = self.seal.open(&place, &sealed)?;
                sqlx::query(*update)
                    .bind(new.seal(&place, &opened)?)
                    .bind(row.int("id")?)
                    .execute(&mut *tx)
                    .await
                    .map_err(failed("seal a value anew"))?;
                count += 1;
            }
        }
        sqlx::query("UPDATE installation SET key_id = $1")
            .bind(new.key_id())
            .execute(&mut *tx)
            .await
            .map_err(failed("note the key's id"))?;
        let event = Event::of(Action::KeyRotated, "secret key", None, new.key_id());
        self.note(&mut tx, event.with("values", count)).await?;
        commit(tx).await?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Only sealed values are bytes, so that none can be forgotten here.
    #[tokio::test]
    async fn every_column_of_bytes_is_sealed_anew() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("kozmic.db").display());
        let seal = Seal::from_text(&"k".repeat(32).into()).unwrap();
        let store = Store::open(&url, seal).await.unwrap();
        store.migrate().await.unwrap();
        let rows = sqlx::query(
            "SELECT tables.name AS name, columns.name AS \"column\" \
             FROM pragma_table_list AS tables, pragma_table_info(tables.name) AS columns \
             WHERE tables.schema = 'main' AND tables.type = 'table' AND columns.type = 'BLOB' AND tables.name NOT LIKE '\\_sqlx%' ESCAPE '\\'",
        );
        let rows = rows.fetch_all(&store.pool).await.unwrap();
        let found: BTreeSet<_> = rows
            .iter()
            .map(|row| (row.text("name").unwrap(), row.text("column").unwrap()))
            .collect();
        let known = SEALED.iter().map(|one| (one.table.to_owned(), one.column.to_owned()));
        assert_eq!(found, known.collect());
        store.close().await;
    }
}
