//! The tables of a database with all their rows, whichever database it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use futures_util::TryStreamExt as _;
use sqlx::any::AnyRow;
use sqlx::query::Query;
use sqlx::{AnyPool, AssertSqlSafe};

use super::dialect::Dialect;
use super::{Columns as _, Result, StoreError, Transaction, failed};
use crate::seal::sha256;

/// Values in one statement; SQLite takes 32,766 and PostgreSQL 65,535.
const VALUES: usize = 30_000;
const ROWS: usize = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Text,
    Bytes,
}

#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    kind: Kind,
}

/// A table as both databases have it; what one of them has besides, for its own searching,
/// is made anew by it.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    /// Tables whose rows must be there before.
    needs: BTreeSet<String>,
    /// Columns that name other rows of the same table.
    own: Vec<String>,
    /// Whether its keys are counted up, and never used again.
    pub(super) is_counted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

/// Of all rows of a table, in whichever order they come: databases sort texts differently.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Digest {
    pub(super) rows: u64,
    sum: [u64; 4],
}

/// A row's reference to another one of its own table.
#[derive(Debug)]
pub(super) struct Later {
    id: i64,
    column: String,
    named: i64,
}

/// The tables as the migrations up to one of them make them, asked of a database of no
/// content.
pub(super) async fn tables(schema: i64) -> Result<Vec<Table>> {
    let one = sqlx::any::AnyPoolOptions::new().max_connections(1);
    let pool = one.connect("sqlite::memory:").await.map_err(failed("make an empty database"))?;
    Dialect::Sqlite.migrator().run_to(schema, &pool).await?;
    let rows = sqlx::query(
        "SELECT name, (SELECT sql FROM sqlite_schema WHERE sqlite_schema.name = list.name) AS made \
         FROM pragma_table_list AS list WHERE schema = 'main' AND type = 'table' \
         AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_sqlx%' ESCAPE '\\' \
         AND name NOT IN ('minimum_reader', 'project_sizes') \
         ORDER BY name",
    )
    .fetch_all(&pool)
    .await
    .map_err(failed("list the tables"))?;
    let mut tables = Vec::new();
    for row in &rows {
        let name = row.text("name")?;
        let is_counted = row.text("made")?.to_uppercase().contains("AUTOINCREMENT");
        let (needs, own) = references(&pool, &name).await?;
        let columns = columns(&pool, &name).await?;
        tables.push(Table { name, columns, needs, own, is_counted });
    }
    pool.close().await;
    Ok(tables)
}

async fn columns(pool: &AnyPool, table: &str) -> Result<Vec<Column>> {
    let rows = sqlx::query("SELECT name, type AS kind FROM pragma_table_info($1) ORDER BY cid")
        .bind(table)
        .fetch_all(pool)
        .await
        .map_err(failed("list the columns of a table"))?;
    let read = |row: &AnyRow| {
        let kind = match row.text("kind")?.as_str() {
            "INTEGER" | "BIGINT" => Kind::Int,
            "BLOB" => Kind::Bytes,
            _ => Kind::Text,
        };
        Ok(Column { name: row.text("name")?, kind })
    };
    rows.iter().map(read).collect()
}

/// The other tables that a table's rows name, and its columns that name rows of its own.
async fn references(pool: &AnyPool, table: &str) -> Result<(BTreeSet<String>, Vec<String>)> {
    let rows = sqlx::query(
        "SELECT \"table\" AS other, \"from\" AS named FROM pragma_foreign_key_list($1)",
    )
    .bind(table)
    .fetch_all(pool)
    .await
    .map_err(failed("list the references of a table"))?;
    let (mut needs, mut own) = (BTreeSet::new(), Vec::new());
    for row in &rows {
        let other = row.text("other")?;
        if other == table {
            own.push(row.text("named")?);
        } else {
            needs.insert(other);
        }
    }
    Ok((needs, own))
}

/// Each after those that its rows name.
pub(super) fn in_order(tables: Vec<Table>) -> Result<Vec<Table>> {
    let mut left: BTreeMap<String, Table> =
        tables.into_iter().map(|table| (table.name.clone(), table)).collect();
    let mut ordered: Vec<Table> = Vec::new();
    while !left.is_empty() {
        let is_next = |table: &&Table| table.needs.iter().all(|name| !left.contains_key(name));
        let next = left.values().find(is_next).map(|table| table.name.clone());
        match next.and_then(|name| left.remove(&name)) {
            Some(table) => ordered.push(table),
            None => {
                let names: Vec<String> = left.into_keys().collect();
                let problem = format!("{} need one another", names.join(", "));
                return Err(StoreError::Refused(problem));
            }
        }
    }
    Ok(ordered)
}

pub(super) async fn count(tx: &mut Transaction, table: &Table) -> Result<i64> {
    let text = format!("SELECT COUNT(*) AS rows FROM {}", table.name);
    let counted = sqlx::query(AssertSqlSafe(text)).fetch_one(&mut **tx).await;
    counted.map_err(failed("count the rows of a table"))?.int("rows")
}

impl Table {
    fn names(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        names.join(", ")
    }

    pub(super) fn select(&self) -> String {
        format!("SELECT {} FROM {}", self.names(), self.name)
    }

    /// What names rows of the same table waits until all of them are there.
    pub(super) fn take_own(&self, values: &mut [Value], later: &mut Vec<Later>) {
        let position = |name: &str| self.columns.iter().position(|column| column.name == name);
        let Some(Value::Int(Some(id))) = position("id").and_then(|at| values.get(at)).cloned()
        else {
            return;
        };
        for name in &self.own {
            if let Some(Value::Int(named)) = position(name).and_then(|at| values.get_mut(at))
                && let Some(named) = named.take()
            {
                later.push(Later { id, column: name.clone(), named });
            }
        }
    }

    /// How many rows may be written by one statement.
    pub(super) fn at_once(&self) -> usize {
        (VALUES / self.columns.len()).min(ROWS)
    }

    /// Writes what [`Table::take_own`] took.
    pub(super) async fn insert_own(&self, to: &mut Transaction, later: Vec<Later>) -> Result<()> {
        for Later { id, column, named } in later {
            let text = format!("UPDATE {} SET {column} = $1 WHERE id = $2", self.name);
            sqlx::query(AssertSqlSafe(text))
                .bind(named)
                .bind(id)
                .execute(&mut **to)
                .await
                .map_err(failed("write a reference"))?;
        }
        Ok(())
    }

    pub(super) async fn insert(&self, to: &mut Transaction, rows: Vec<Vec<Value>>) -> Result<()> {
        let mut text = format!("INSERT INTO {} ({}) VALUES ", self.name, self.names());
        let width = self.columns.len();
        for row in 0..rows.len() {
            let places: Vec<String> =
                (1..=width).map(|column| format!("${}", row * width + column)).collect();
            let comma = if row == 0 { "" } else { ", " };
            let _ = write!(text, "{comma}({})", places.join(", "));
        }
        let mut query = sqlx::query(AssertSqlSafe(text));
        for value in rows.into_iter().flatten() {
            query = value.bound_to(query);
        }
        query.execute(&mut **to).await.map_err(failed("write a table"))?;
        Ok(())
    }

    pub(super) async fn digest(&self, tx: &mut Transaction) -> Result<Digest> {
        let mut digest = Digest::default();
        let mut rows = sqlx::query(AssertSqlSafe(self.select())).fetch(&mut **tx);
        while let Some(row) = rows.try_next().await.map_err(failed("read a table again"))? {
            digest.add(&self.read(&row)?);
        }
        Ok(digest)
    }

    pub(super) fn read(&self, row: &AnyRow) -> Result<Vec<Value>> {
        let read = |(at, column): (usize, &Column)| {
            let value = match column.kind {
                Kind::Int => sqlx::Row::try_get(row, at).map(Value::Int),
                Kind::Text => sqlx::Row::try_get(row, at).map(Value::Text),
                Kind::Bytes => sqlx::Row::try_get(row, at).map(Value::Bytes),
            };
            value.map_err(failed("read a value"))
        };
        self.columns.iter().enumerate().map(read).collect()
    }
}

impl Column {
    /// What JSON says of a value of this column.
    pub(super) fn value(&self, json: serde_json::Value) -> Option<Value> {
        use serde_json::Value as Json;
        Some(match (self.kind, json) {
            (Kind::Int, Json::Null) => Value::Int(None),
            (Kind::Text, Json::Null) => Value::Text(None),
            (Kind::Bytes, Json::Null) => Value::Bytes(None),
            (Kind::Int, Json::Number(number)) => Value::Int(Some(number.as_i64()?)),
            (Kind::Text, Json::String(text)) => Value::Text(Some(text)),
            (Kind::Bytes, Json::Object(bytes)) => {
                Value::Bytes(Some(hex::decode(bytes.get("hex")?.as_str()?).ok()?))
            }
            _ => return None,
        })
    }
}

type AnyQuery<'q> = Query<'q, sqlx::Any, sqlx::any::AnyArguments>;

impl Value {
    pub(super) fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Int(value) => (*value).into(),
            Self::Text(value) => value.as_deref().into(),
            Self::Bytes(None) => serde_json::Value::Null,
            Self::Bytes(Some(bytes)) => serde_json::json!({ "hex": hex::encode(bytes) }),
        }
    }

    /// Nothing has a kind as well: PostgreSQL asks for it.
    fn bound_to(self, query: AnyQuery<'_>) -> AnyQuery<'_> {
        match self {
            Self::Int(value) => query.bind(value),
            Self::Text(value) => query.bind(value),
            Self::Bytes(value) => query.bind(value),
        }
    }
}

impl Digest {
    pub(super) fn to_hex(&self) -> String {
        self.sum.map(|part| format!("{part:016x}")).concat()
    }

    pub(super) fn add(&mut self, values: &[Value]) {
        let mut bytes = Vec::new();
        for value in values {
            let (kind, content): (u8, Option<Vec<u8>>) = match value {
                Value::Int(value) => (b'i', value.map(|value| value.to_be_bytes().to_vec())),
                Value::Text(value) => (b't', value.as_ref().map(|text| text.clone().into_bytes())),
                Value::Bytes(value) => (b'b', value.clone()),
            };
            bytes.push(kind);
            match content {
                None => bytes.push(b'-'),
                Some(content) => {
                    // Each by its length first, so that no two rows read the same.
                    bytes.extend(content.len().to_be_bytes());
                    bytes.extend(content);
                }
            }
        }
        self.rows += 1;
        let digest = sha256(&bytes);
        for (sum, part) in self.sum.iter_mut().zip(digest.chunks_exact(8)) {
            let part = part.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
            *sum = sum.wrapping_add(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_table_comes_after_those_that_it_names() {
        sqlx::any::install_default_drivers();
        let tables = in_order(tables(Dialect::newest()).await.unwrap()).unwrap();
        let mut seen = BTreeSet::new();
        for table in &tables {
            assert!(table.needs.is_subset(&seen), "{table:?}");
            seen.insert(table.name.clone());
        }
        for name in ["users", "projects", "builds", "jobs", "outbox", "sessions"] {
            assert!(seen.contains(name), "{name} of {seen:?}");
        }
    }

    #[test]
    fn a_digest_tells_rows_apart_and_not_their_order() {
        let text = |text: &str| Value::Text(Some(text.into()));
        let of = |rows: &[&[Value]]| {
            let mut digest = Digest::default();
            for row in rows {
                digest.add(row);
            }
            digest
        };
        let (one, other) = ([text("a"), text("bc")], [text("ab"), text("c")]);
        assert_ne!(of(&[&one]), of(&[&other]));
        assert_ne!(of(&[&[Value::Text(None)]]), of(&[&[text("")]]));
        assert_ne!(of(&[&[Value::Int(None)]]), of(&[&[Value::Text(None)]]));
        assert_ne!(of(&[&one, &one]), of(&[&other, &other]));
        assert_eq!(of(&[&one, &other]), of(&[&other, &one]));
    }
}
