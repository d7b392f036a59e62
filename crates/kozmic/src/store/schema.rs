//! How old and new programs share one database: who brings it up to date, and who may
//! work on one that a newer program has brought further.

use std::collections::BTreeSet;

use sqlx::any::AnyArguments;
use sqlx::error::DatabaseError;
use sqlx::query::Query;
use sqlx::{Any, SqlSafeStr};

use super::{Columns as _, Result, Store, StoreError, failed};
use crate::model::{Action, Event};

/// A query whose answer has all columns of a table (`*`), planned anew each time. PostgreSQL
/// refuses to go on with a plan that was kept when the table has got another column meanwhile
/// ("cached plan must not change result type"), as it does when a newer program is started.
pub(super) fn whole_rows<'q>(text: impl SqlSafeStr) -> Query<'q, Any, AnyArguments> {
    sqlx::query(text).persistent(false)
}

/// A table got a column between a query's plan and its answer; the next one is planned anew.
pub(super) fn has_changed_meanwhile(told: &dyn DatabaseError) -> bool {
    told.code().is_some_and(|code| code == "0A000") && told.message().contains("cached plan")
}

/// How far the database is from this program's migrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Distance {
    /// Migrations that are still to be made.
    pub due: usize,
    /// Those that a newer program has made.
    pub ahead: usize,
}

impl Store {
    /// Brings the tables up to date. Safe to call in several processes at once
    /// on PostgreSQL (an advisory lock), and in turn on SQLite.
    ///
    /// What a newer program has added is left alone, unless that says that this one is too
    /// old to work on it.
    pub async fn migrate(&self) -> Result<()> {
        // Before the first one there is no table that would tell.
        let before = self.distance().await.ok();
        if let Some(before) = before {
            self.check_reader(before).await?;
        }
        self.dialect.migrator().run(&self.pool).await?;
        // A newer program may have been faster.
        self.check_reader(self.distance().await?).await?;
        // One that is made anew has nothing that changed.
        if let Some(due) = before.map(|before| before.due).filter(|due| *due > 0) {
            let event = Event::of(Action::DatabaseMigrated, "database", None, self.dialect.name());
            self.noted(event.with("migrations", due)).await?;
        }
        Ok(())
    }

    /// What a start would find; nothing is changed, and a database that needs a newer
    /// program is an error.
    pub async fn schema(&self) -> Result<Distance> {
        let distance = self.distance().await?;
        self.check_reader(distance).await?;
        Ok(distance)
    }

    /// How many migrations are still to be made; none of them is made.
    pub async fn migrations_due(&self) -> Result<usize> {
        Ok(self.distance().await?.due)
    }

    /// For what must know every table and column, not only those that it needs.
    pub(super) async fn check_same_schema(&self) -> Result<()> {
        self.check_all_is_known().await?;
        match self.migrations_due().await? {
            0 => Ok(()),
            _ => Err(StoreError::Refused("the database is not up to date".into())),
        }
    }

    /// For what must know every table and column that there is.
    pub(super) async fn check_all_is_known(&self) -> Result<()> {
        match self.schema().await?.ahead {
            0 => Ok(()),
            _ => Err(StoreError::Refused(
                "a newer Kozmic has brought the database up to date, and this one does not know \
                 all that is in it; use the newer one"
                    .into(),
            )),
        }
    }

    async fn distance(&self) -> Result<Distance> {
        let rows = sqlx::query("SELECT version FROM _sqlx_migrations")
            .fetch_all(&self.pool)
            .await
            .map_err(failed("tell its migrations"))?;
        let made: BTreeSet<i64> =
            rows.iter().map(|row| row.int("version")).collect::<Result<_>>()?;
        let known: BTreeSet<i64> = self.dialect.migrator().iter().map(|it| it.version).collect();
        let newest = self.newest_migration();
        Ok(Distance {
            due: known.difference(&made).count(),
            ahead: made.iter().filter(|version| **version > newest).count(),
        })
    }

    async fn check_reader(&self, distance: Distance) -> Result<()> {
        if distance.ahead == 0 {
            return Ok(());
        }
        let needs = sqlx::query("SELECT MAX(migration) AS needs FROM minimum_reader")
            .fetch_one(&self.pool)
            .await
            .map_err(failed("tell who may work on it"))?
            .int("needs")?;
        let knows = self.newest_migration();
        if needs > knows { Err(StoreError::TooNew { needs, knows }) } else { Ok(()) }
    }

    fn newest_migration(&self) -> i64 {
        self.dialect.migrator().iter().map(|it| it.version).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    fn without_comments(sql: &str) -> String {
        let lines = sql.lines().map(|line| line.split("--").next().unwrap_or_default());
        lines.collect::<Vec<_>>().join(" ")
    }

    /// What takes something away from a program that is older, or asks it for something.
    /// Names of tables that a file makes itself are new: nobody older knows them.
    fn contracts(sql: &str) -> bool {
        let text = without_comments(sql).to_uppercase();
        let statements: Vec<Vec<&str>> =
            text.split(';').map(|statement| statement.split_whitespace().collect()).collect();
        let name = |word: &&str| word.trim_matches(['"', '(']).to_owned();
        let made: Vec<String> = statements
            .iter()
            .filter(|words| words.starts_with(&["CREATE", "TABLE"]))
            .filter_map(|words| words.get(2).map(name))
            .collect();
        statements.iter().any(|words| {
            let has = |sought: &[&str]| words.windows(sought.len()).any(|part| part == sought);
            let is_new = |place: usize| words.get(place).is_some_and(|it| made.contains(&name(it)));
            match words.as_slice() {
                ["DROP", what, ..] => ["TABLE", "VIEW", "SCHEMA"].contains(what),
                ["ALTER", "TABLE", ..] if is_new(2) => false,
                ["ALTER", "TABLE", ..] => {
                    let asks = has(&["NOT", "NULL"]) && !has(&["DROP", "NOT", "NULL"]);
                    has(&["DROP", "COLUMN"])
                        || has(&["RENAME"])
                        || has(&["TYPE"])
                        || has(&["SET", "NOT", "NULL"])
                        || has(&["DROP", "DEFAULT"])
                        || has(&["ADD", "CONSTRAINT"])
                        || has(&["ADD", "CHECK"])
                        || has(&["UNIQUE"])
                        || asks && !has(&["DEFAULT"])
                }
                ["CREATE", "UNIQUE", "INDEX", _, "ON", table, ..] => {
                    !made.contains(&table.split('(').next().unwrap_or_default().to_owned())
                }
                _ => false,
            }
        })
    }

    /// The number that a file raises the minimum to.
    fn raises_to(sql: &str) -> Option<i64> {
        let sql = without_comments(sql);
        let statement = sql.split("UPDATE minimum_reader SET migration = ").nth(1)?;
        statement.split(';').next()?.trim().parse().ok()
    }

    /// Nobody that old looks at the minimum.
    const FIRST: i64 = 28;

    #[test]
    fn a_migration_that_takes_something_away_says_who_may_still_work() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        for database in ["sqlite", "postgres"] {
            let (mut looked_at, mut older) = (0, 0);
            for entry in std::fs::read_dir(root.join(database)).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap();
                let number: i64 = name.split('_').next().unwrap().parse().unwrap();
                let sql = std::fs::read_to_string(&path).unwrap();
                if number < FIRST {
                    older += usize::from(contracts(&sql));
                    continue;
                }
                looked_at += 1;
                // A later migration would raise it too late: others may stop between the two.
                let raised = raises_to(&sql);
                assert!(
                    raised.is_none_or(|to| to == number),
                    "{database}/{name} raises to another"
                );
                assert!(
                    !contracts(&sql) || raised.is_some(),
                    "{database}/{name} takes something away from older programs: add \
                     `UPDATE minimum_reader SET migration = {number};`, or leave it to a later \
                     release (CONTRIBUTING.md)"
                );
            }
            assert!(looked_at > 0 && older > 0, "{database}: {looked_at} and {older}");
        }
    }

    #[test]
    fn what_contracts_is_told_from_what_expands() {
        for (sql, expected) in [
            ("ALTER TABLE jobs DROP COLUMN worker;", true),
            ("drop table turns;", true),
            ("ALTER TABLE jobs RENAME COLUMN worker TO node;", true),
            ("ALTER TABLE jobs RENAME TO work;", true),
            ("ALTER TABLE jobs ADD COLUMN a TEXT NOT NULL;", true),
            ("ALTER TABLE jobs ALTER COLUMN worker SET NOT NULL;", true),
            ("ALTER TABLE jobs ALTER COLUMN worker TYPE BIGINT;", true),
            ("ALTER TABLE jobs\n    ADD CONSTRAINT one UNIQUE (build_id);", true),
            ("CREATE UNIQUE INDEX a ON jobs (worker);", true),
            ("ALTER TABLE jobs ADD COLUMN a TEXT; -- DROP TABLE jobs", false),
            ("ALTER TABLE jobs ADD COLUMN a BIGINT NOT NULL DEFAULT 0;", false),
            ("ALTER TABLE jobs ALTER COLUMN worker DROP NOT NULL;", false),
            ("DROP INDEX jobs_due; CREATE INDEX jobs_due ON jobs (worker);", false),
            ("CREATE TABLE a (b TEXT NOT NULL); CREATE UNIQUE INDEX c ON a (b);", false),
        ] {
            assert_eq!(contracts(sql), expected, "{sql}");
        }
    }

    #[test]
    fn whole_rows_are_never_of_a_plan_that_was_kept() {
        let room = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
        let mut whole = 0;
        for entry in std::fs::read_dir(room).unwrap() {
            let path = entry.unwrap().path();
            let source = std::fs::read_to_string(&path).unwrap();
            let source = source.split("#[cfg(test)]").next().unwrap();
            whole += source.matches("whole_rows(").count();
            for query in source.split("sqlx::query(").skip(1) {
                let text = query.split("\n        .").next().unwrap();
                let text = text.split(".bind(").next().unwrap().split(".fetch").next().unwrap();
                let has_all =
                    ["SELECT *", ".* ", ".*,", "RETURNING *"].iter().any(|it| text.contains(it));
                assert!(!has_all, "{}: take `whole_rows` for {text}", path.display());
            }
        }
        assert!(whole > 40, "{whole}");
    }
}
