//! Everything that a database holds, as of one moment, in pieces that another database can
//! be filled with: what a backup is made of.

use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use sqlx::AssertSqlSafe;

use super::dialect::Dialect;
use super::tables::{Digest, Later, Table, Value, count, in_order, tables};
use super::{Columns as _, Result, Store, StoreError, Transaction, commit, failed, keys};
use crate::model::{Action, Event, JobUuid};
use crate::seal::{Seal, SealError};

/// Bytes after which a piece ends; it has one row at least.
const PIECE: usize = 4 << 20;

/// What a snapshot gives, all rows before what they name.
#[derive(Debug)]
pub enum Part {
    /// Some rows of a table, one a line: JSON's values in brackets, bytes as `{"hex": "…"}`.
    /// The first line has the names of the columns.
    Rows { table: String, lines: Vec<u8> },
    /// A job that may have a log.
    Log(JobUuid),
    /// The key of an object.
    Object(String),
}

/// What is known of a table's rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSum {
    pub name: String,
    pub rows: u64,
    /// Of all rows, in whichever order they come.
    digest: String,
    /// The last key that was given to a row, also to one that is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_key: Option<i64>,
}

/// The tables of a database as some migration made them.
#[derive(Debug)]
pub struct Tables {
    tables: Vec<Table>,
}

/// A database that is being filled; what was written is there after [`Restoring::finish`].
pub struct Restoring {
    store: Store,
    tx: Transaction,
    tables: Tables,
    later: Vec<(String, Vec<Later>)>,
}

impl Store {
    /// The number of the last migration that was made; 0: none.
    pub async fn schema_number(&self) -> Result<i64> {
        let mut tx = self.pool.begin().await.map_err(failed("begin a transaction"))?;
        schema(&mut tx).await
    }

    /// The number of the last migration that there is.
    pub fn newest_schema() -> i64 {
        Dialect::newest()
    }

    /// Makes the tables as they were after one of the migrations.
    pub async fn migrate_to(&self, schema: i64) -> Result<()> {
        Ok(self.dialect.migrator().run_to(schema, &self.pool).await?)
    }

    /// The name of a table that has rows; none where there is nothing yet.
    pub async fn content(&self) -> Result<Option<String>> {
        let tables = Tables::of(self.schema_number().await?).await?;
        let mut tx = self.begin().await?;
        for table in tables.tables {
            if count(&mut tx, &table).await? > 0 {
                return Ok(Some(table.name));
            }
        }
        Ok(None)
    }

    /// Gives out everything as of one moment, while others go on writing; what is known of
    /// the tables, and the schema that they have.
    pub async fn snapshot<E: From<StoreError>>(
        &self,
        mut take: impl AsyncFnMut(Part) -> std::result::Result<(), E>,
    ) -> std::result::Result<(i64, Vec<TableSum>), E> {
        self.check_all_is_known().await?;
        let begun = self.pool.begin_with(self.dialect.begin_reading()).await;
        let mut tx = begun.map_err(failed("begin to read"))?;
        let schema = schema(&mut tx).await?;
        let tables = Tables::of(schema).await?.tables;
        let mut sums = Vec::new();
        for table in &tables {
            let digest = table.give(&mut tx, &mut take).await?;
            let last_key = if table.is_counted {
                Some(self.dialect.last_key(&mut tx, &table.name).await?)
            } else {
                None
            };
            sums.push(TableSum {
                name: table.name.clone(),
                rows: digest.rows,
                digest: digest.to_hex(),
                last_key,
            });
        }
        let named = [
            ("jobs", "SELECT uuid AS name FROM jobs WHERE log_removed_at IS NULL ORDER BY id"),
            ("artifacts", "SELECT object AS name FROM artifacts ORDER BY object"),
            ("service_logs", "SELECT object AS name FROM service_logs ORDER BY object"),
            ("trees", "SELECT object AS name FROM trees ORDER BY object"),
        ];
        for (table, query) in named {
            if !tables.iter().any(|it| it.name == table) {
                continue;
            }
            let mut rows = sqlx::query(query).fetch(&mut *tx);
            while let Some(row) = rows.try_next().await.map_err(failed("list what rows name"))? {
                let name = row.text("name")?;
                let part = match table {
                    "jobs" => Part::Log(name.parse().map_err(StoreError::Corrupt)?),
                    _ => Part::Object(name),
                };
                take(part).await?;
            }
        }
        Ok((schema, sums))
    }

    /// Begins to fill this database, which is empty.
    pub async fn restoring(&self) -> Result<Restoring> {
        let tables = Tables::of(self.schema_number().await?).await?;
        let tx = self.begin().await?;
        Ok(Restoring { store: self.clone(), tx, tables, later: Vec::new() })
    }
}

async fn schema(tx: &mut Transaction) -> Result<i64> {
    let row = sqlx::query("SELECT MAX(version) AS version FROM _sqlx_migrations")
        .fetch_one(&mut **tx)
        .await
        .map_err(failed("tell its migrations"))?;
    Ok(row.int_or_null("version")?.unwrap_or(0))
}

impl Table {
    /// Gives out all rows.
    async fn give<E: From<StoreError>>(
        &self,
        from: &mut Transaction,
        take: &mut impl AsyncFnMut(Part) -> std::result::Result<(), E>,
    ) -> std::result::Result<Digest, E> {
        let mut digest = Digest::default();
        let mut lines = Vec::new();
        let mut rows = sqlx::query(AssertSqlSafe(self.select())).fetch(&mut **from);
        while let Some(row) = rows.try_next().await.map_err(failed("read a table"))? {
            let values = self.read(&row)?;
            digest.add(&values);
            if lines.is_empty() {
                lines.extend(self.first_line().into_bytes());
            }
            let values: Vec<_> = values.iter().map(Value::to_json).collect();
            lines.extend(serde_json::Value::from(values).to_string().into_bytes());
            lines.push(b'\n');
            if lines.len() >= PIECE {
                let lines = std::mem::take(&mut lines);
                take(Part::Rows { table: self.name.clone(), lines }).await?;
            }
        }
        if !lines.is_empty() {
            take(Part::Rows { table: self.name.clone(), lines }).await?;
        }
        Ok(digest)
    }

    fn first_line(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        format!("{}\n", serde_json::Value::from(names))
    }

    fn parse(&self, lines: &[u8]) -> Result<Vec<Vec<Value>>> {
        let wrong = |what: &str| {
            let name = &self.name;
            StoreError::Refused(format!("the backup's rows of {name} make no sense: {what}"))
        };
        let Some(lines) = lines.strip_prefix(self.first_line().as_bytes()) else {
            return Err(wrong("its columns are others"));
        };
        let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let parse = |line: &[u8]| {
            let values: Vec<serde_json::Value> = serde_json::from_slice(line).ok()?;
            if values.len() != self.columns.len() {
                return None;
            }
            self.columns.iter().zip(values).map(|(column, value)| column.value(value)).collect()
        };
        lines
            .map(|line| parse(line).ok_or_else(|| wrong("a row has not the values it needs")))
            .collect()
    }
}

impl Tables {
    pub async fn of(schema: i64) -> Result<Self> {
        if schema > Dialect::newest() {
            return Err(StoreError::Refused(format!(
                "the database was made by a newer Kozmic (its schema is {schema}, this one knows \
                 those up to {}); take that one",
                Dialect::newest()
            )));
        }
        // Drivers may not be there yet.
        sqlx::any::install_default_drivers();
        Ok(Self { tables: in_order(tables(schema).await?)? })
    }

    fn table(&self, name: &str) -> Result<&Table> {
        let found = self.tables.iter().find(|table| table.name == name);
        found.ok_or_else(|| StoreError::Refused(format!("the backup has an unknown table {name}")))
    }

    /// Reads rows, and opens what is sealed in them where there is a key; how many they are.
    pub fn checked(&self, table: &str, lines: &[u8], seal: Option<&Seal>) -> Result<u64> {
        let table = self.table(table)?;
        let rows = table.parse(lines)?;
        for row in &rows {
            let value = |name: &str| {
                let at = table.columns.iter().position(|column| column.name == name)?;
                row.get(at)
            };
            for column in &table.columns {
                let Some(Value::Bytes(Some(sealed))) = value(&column.name) else { continue };
                let (table, column) = (table.name.as_str(), column.name.as_str());
                let name = keys::named_by(table, column).and_then(value);
                match (seal, name) {
                    (Some(seal), Some(Value::Int(Some(name)))) => {
                        seal.open(&format!("{table}:{name}:{column}"), sealed)?;
                    }
                    (Some(_), _) => {
                        return Err(SealError::Damaged(format!("{table}:?:{column}")).into());
                    }
                    (None, _) => {}
                }
            }
        }
        Ok(rows.len() as u64)
    }
}

impl Restoring {
    /// Writes some rows, of the tables in the order in which they were given out.
    pub async fn rows(&mut self, table: &str, lines: &[u8]) -> Result<()> {
        let table = self.tables.table(table)?;
        if self.later.last().is_none_or(|(name, _)| *name != table.name) {
            self.later.push((table.name.clone(), Vec::new()));
        }
        let mut rows = table.parse(lines)?;
        if let Some((_, later)) = self.later.last_mut() {
            for row in &mut rows {
                table.take_own(row, later);
            }
        }
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let batch = rows.by_ref().take(table.at_once()).collect();
            table.insert(&mut self.tx, batch).await?;
        }
        Ok(())
    }

    /// Compares what is there now with what was given out; only then it is kept.
    pub async fn finish(mut self, sums: &[TableSum]) -> Result<()> {
        for (name, later) in std::mem::take(&mut self.later) {
            self.tables.table(&name)?.insert_own(&mut self.tx, later).await?;
        }
        for table in &self.tables.tables {
            let sum = sums.iter().find(|sum| sum.name == table.name);
            let arrived = table.digest(&mut self.tx).await?;
            let as_told = |sum: &&TableSum| {
                (sum.rows, sum.digest.as_str()) == (arrived.rows, &arrived.to_hex())
            };
            let Some(sum) = sum.filter(as_told) else {
                return Err(StoreError::Refused(format!(
                    "the rows of {} did not arrive as they were; nothing was restored",
                    table.name
                )));
            };
            if let Some(last) = sum.last_key {
                self.store.dialect.go_on_after(&mut self.tx, &table.name, last).await?;
            }
        }
        let rows: u64 = sums.iter().map(|sum| sum.rows).sum();
        let event = Event::of(Action::BackupRestored, "backup", None, self.store.dialect.name());
        self.store.note(&mut self.tx, event.with("rows", rows)).await?;
        commit(self.tx).await
    }
}
