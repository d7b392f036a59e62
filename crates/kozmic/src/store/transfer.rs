//! All rows of one database into another, empty one, of either kind.

use futures_util::TryStreamExt as _;
use sqlx::AssertSqlSafe;

use super::dialect::Dialect;
use super::tables::{Digest, Table, Value, count, in_order, tables};
use super::{Result, Store, StoreError, Transaction, commit, failed};
use crate::model::{Action, Event};

/// A table that was copied, and compared afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    pub table: String,
    pub rows: u64,
}

impl Store {
    /// Copies everything into `target`, which must be as new as this one and empty, and
    /// compares what arrived: the number of rows of each table, and a digest over them. All of
    /// it is there afterwards, or nothing. What others
    /// write meanwhile is not copied.
    pub async fn copy_to(&self, target: &Self) -> Result<Vec<Copied>> {
        for store in [self, target] {
            store.check_same_schema().await?;
        }
        let tables = in_order(tables(Dialect::newest()).await?)?;
        let mut to = target.begin().await?;
        for table in &tables {
            if count(&mut to, table).await? > 0 {
                let name = &table.name;
                return Err(StoreError::Refused(format!(
                    "the database to copy to is not empty: it has {name}; take a new one"
                )));
            }
        }
        let mut from = self.begin().await?;
        let one_moment = sqlx::query(self.dialect.one_moment()).execute(&mut *from).await;
        one_moment.map_err(failed("read everything as of one moment"))?;
        let mut copied = Vec::new();
        for table in &tables {
            let sent = table.copy(&mut from, &mut to).await?;
            let arrived = table.digest(&mut to).await?;
            if sent != arrived {
                return Err(StoreError::Refused(format!(
                    "{} of {} rows of {} arrived as they were; nothing was copied",
                    arrived.rows, sent.rows, table.name
                )));
            }
            if table.is_counted {
                let last = self.dialect.last_key(&mut from, &table.name).await?;
                target.dialect.go_on_after(&mut to, &table.name, last).await?;
            }
            copied.push(Copied { table: table.name.clone(), rows: sent.rows });
        }
        let rows: u64 = copied.iter().map(|it| it.rows).sum();
        let event = Event::of(Action::DatabaseMoved, "database", None, self.dialect.name());
        target.note(&mut to, event.with("rows", rows)).await?;
        commit(to).await?;
        Ok(copied)
    }
}

impl Table {
    async fn copy(&self, from: &mut Transaction, to: &mut Transaction) -> Result<Digest> {
        let mut digest = Digest::default();
        let mut later = Vec::new();
        let mut batch: Vec<Vec<Value>> = Vec::new();
        let at_once = self.at_once();
        let mut rows = sqlx::query(AssertSqlSafe(self.select())).fetch(&mut **from);
        while let Some(row) = rows.try_next().await.map_err(failed("read a table"))? {
            let mut values = self.read(&row)?;
            digest.add(&values);
            self.take_own(&mut values, &mut later);
            batch.push(values);
            if batch.len() == at_once {
                self.insert(to, std::mem::take(&mut batch)).await?;
            }
        }
        if !batch.is_empty() {
            self.insert(to, batch).await?;
        }
        self.insert_own(to, later).await?;
        Ok(digest)
    }
}
