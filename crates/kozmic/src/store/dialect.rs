//! What differs between SQLite and PostgreSQL: how to connect, how a writing
//! transaction begins, how rows are locked, how words are looked for, and where the
//! migrations lie.

use std::sync::LazyLock;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::{AnyConnection, AssertSqlSafe, Executor as _};

use super::{Columns as _, Result, Transaction, failed};

use crate::model::ProjectId;

static SQLITE: LazyLock<Migrator> =
    LazyLock::new(|| beside_newer(sqlx::migrate!("migrations/sqlite")));
static POSTGRES: LazyLock<Migrator> =
    LazyLock::new(|| beside_newer(sqlx::migrate!("migrations/postgres")));

/// Migrations that are unknown here are those of a newer program, whose database says by
/// itself who may work on it (`schema`).
fn beside_newer(mut migrator: Migrator) -> Migrator {
    migrator.set_ignore_missing(true);
    migrator
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    pub(super) fn of(url: &str) -> Option<Self> {
        match url.split_once(':')?.0 {
            "sqlite" => Some(Self::Sqlite),
            "postgres" | "postgresql" => Some(Self::Postgres),
            _ => None,
        }
    }

    /// SQLite creates its file by itself.
    pub(super) fn connect_url(self, url: &str) -> String {
        match self {
            Self::Sqlite if !url.contains('?') => format!("{url}?mode=rwc"),
            _ => url.to_owned(),
        }
    }

    /// Whether servers on several machines may work on it.
    pub(super) fn is_shared(self) -> bool {
        self == Self::Postgres
    }

    /// For people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }

    pub(super) fn version(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT sqlite_version() AS version",
            Self::Postgres => "SELECT current_setting('server_version') AS version",
        }
    }

    pub(super) fn connections(self) -> u32 {
        match self {
            // That read, beside the one that writes.
            Self::Sqlite => 4,
            Self::Postgres => 10,
        }
    }

    /// For how long a connection is kept, used or not. It remembers a hundred statements, and with
    /// SQLite what they compile to, the schema and what was read are this process's: some MiB that
    /// come bit by bit and lie between all else, while opening a file costs next to nothing.
    pub(super) fn lifetime(self) -> Duration {
        match self {
            Self::Sqlite => Duration::from_mins(1),
            Self::Postgres => Duration::from_mins(30),
        }
    }

    /// `writes` is whether it is the one that does so on SQLite.
    pub(super) async fn prepare(
        self,
        connection: &mut AnyConnection,
        writes: bool,
    ) -> sqlx::Result<()> {
        let text = match self {
            // Patience first: the others may have to wait for a database that is mended
            // after a crash. FULL: a commit that was answered survives a power cut (NORMAL in
            // WAL mode does not promise that; sqlite.org/pragma.html#pragma_synchronous).
            Self::Sqlite => {
                // KiB of what it has read that stay in memory; the system's cache has the rest.
                // What those have that only read is of no use any more when somebody has written.
                let cache = if writes { 1_024 } else { 512 };
                format!(
                    "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; \
                     PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
                     PRAGMA cache_size = -{cache}"
                )
            }
            // A process that sleeps, or lost its network, amid a transaction has locks that
            // all others may wait for: nobody would start a job any more.
            Self::Postgres => "SET idle_in_transaction_session_timeout = 15000".to_owned(),
        };
        connection.execute(AssertSqlSafe(text)).await?;
        Ok(())
    }

    /// A transaction that reads first and writes later fails on SQLite with
    /// "database is locked" unless it takes the write lock at its beginning.
    pub(super) fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN",
        }
    }

    /// One whose statements come again and again, each with values that are like those before:
    /// PostgreSQL plans them once, while by itself it would plan many of them anew each time.
    pub(super) fn begin_as_ever(self) -> &'static str {
        match self {
            Self::Sqlite => self.begin(),
            Self::Postgres => "BEGIN; SET LOCAL plan_cache_mode = force_generic_plan",
        }
    }

    /// A transaction that only reads, and everything as of one moment; others write
    /// meanwhile.
    pub(super) fn begin_reading(self) -> &'static str {
        match self {
            // As of its first read (sqlite.org/isolation.html).
            Self::Sqlite => "BEGIN",
            Self::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }

    /// Within which what is delivered to projects may be kept together. One writes at a time
    /// to SQLite, whatever it writes; PostgreSQL commits those of several projects at once, and
    /// together only keeps those waiting that wait for each other anyway.
    pub(super) fn group_of(self, project: ProjectId) -> i64 {
        match self {
            Self::Sqlite => 0,
            Self::Postgres => project.0,
        }
    }

    /// Keeps others from numbering a build of the same project meanwhile.
    pub(super) fn lock_project(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT id FROM projects WHERE id = $1",
            Self::Postgres => "SELECT id FROM projects WHERE id = $1 FOR UPDATE",
        }
    }

    /// Keeps the build's status from being computed by two at once.
    pub(super) fn lock_build(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT id FROM builds WHERE id = $1",
            Self::Postgres => "SELECT id FROM builds WHERE id = $1 FOR UPDATE",
        }
    }

    /// The same, of a job's build.
    pub(super) fn lock_build_of_job(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT build_id FROM jobs WHERE id = $1",
            Self::Postgres => {
                "SELECT id FROM builds WHERE id = (SELECT build_id FROM jobs WHERE jobs.id = $1) FOR UPDATE"
            }
        }
    }

    /// The same, of the builds of several jobs, which stand for `{}`, in the order in which
    /// everybody locks them.
    pub(super) fn lock_builds_of_jobs(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some(
                "SELECT id FROM builds WHERE id IN (SELECT build_id FROM jobs WHERE jobs.id IN ({})) \
                 ORDER BY id FOR UPDATE",
            ),
        }
    }

    /// The first statement of a transaction that reads everything as of one moment.
    pub(super) fn one_moment(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT 1",
            Self::Postgres => "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        }
    }

    /// The last key that a table gave a row, also one that is gone; 0: none.
    pub(super) async fn last_key(self, tx: &mut Transaction, table: &str) -> Result<i64> {
        let text = match self {
            Self::Sqlite => {
                format!("SELECT MAX(seq) AS last FROM sqlite_sequence WHERE name = '{table}'")
            }
            Self::Postgres => {
                format!(
                    "SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS last FROM {table}_id_seq"
                )
            }
        };
        let row = sqlx::query(AssertSqlSafe(text)).fetch_one(&mut **tx).await;
        Ok(row.map_err(failed("tell a table's last key"))?.int_or_null("last")?.unwrap_or(0))
    }

    /// The next row gets a later key.
    pub(super) async fn go_on_after(
        self,
        tx: &mut Transaction,
        table: &str,
        last: i64,
    ) -> Result<()> {
        let statements = match self {
            Self::Sqlite => vec![
                format!("DELETE FROM sqlite_sequence WHERE name = '{table}'"),
                format!("INSERT INTO sqlite_sequence (name, seq) VALUES ('{table}', {last})"),
            ],
            Self::Postgres if last > 0 => vec![format!("SELECT setval('{table}_id_seq', {last})")],
            Self::Postgres => Vec::new(),
        };
        for text in statements {
            let done = sqlx::query(AssertSqlSafe(text)).execute(&mut **tx).await;
            done.map_err(failed("set a table's last key"))?;
        }
        Ok(())
    }

    /// Until the transaction ends nobody else claims a job of the project, where that matters.
    /// The number is Kozmic's own among the advisory locks of its database (PostgreSQL,
    /// "Advisory Locks").
    pub(super) fn lock_claims(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT $1",
            Self::Postgres => {
                "SELECT CAST(pg_advisory_xact_lock(5059, CAST($1 AS INTEGER)) AS TEXT)"
            }
        }
    }

    /// The end of a query of `jobs` and their `builds`: locks them, and leaves out those that
    /// others have locked. Rows that name them may be made meanwhile.
    pub(super) fn lock_free_jobs(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR NO KEY UPDATE OF builds, jobs SKIP LOCKED",
        }
    }

    /// A query of the builds that have all these words, or words that begin like them, and
    /// are of one of the projects. Words have letters, digits and what is not ASCII.
    pub(super) fn words_query(self, projects: &[ProjectId], words: &[String]) -> String {
        let each = |parts: Vec<String>, between: &str| parts.join(between);
        match self {
            // sqlite.org/fts5.html#full_text_query_syntax
            Self::Sqlite => format!(
                "project : ({}) AND words : ({})",
                each(projects.iter().map(|id| format!("\"{id}\"")).collect(), " OR "),
                each(words.iter().map(|word| format!("\"{word}\" *")).collect(), " AND "),
            ),
            Self::Postgres => format!(
                "({}) & {}",
                each(projects.iter().map(|id| format!("':{id}'")).collect(), " | "),
                each(words.iter().map(|word| format!("'{word}':*")).collect(), " & "),
            ),
        }
    }

    /// Builds together with their words, and the column that has builds' ids in the order in
    /// which the words are read: on SQLite, who wants the first of many reads no more of them.
    pub(super) fn builds_with_words(self) -> (&'static str, &'static str) {
        match self {
            // CROSS: in this order (sqlite.org/optoverview.html#crossjoin).
            Self::Sqlite => (
                "build_words CROSS JOIN builds ON builds.id = build_words.rowid",
                "build_words.rowid",
            ),
            Self::Postgres => (
                "build_words JOIN builds ON builds.id = build_words.build_id",
                "build_words.build_id",
            ),
        }
    }

    /// That a query of words finds it, which is the parameter of this number.
    pub(super) fn has_words(self, query: usize) -> String {
        match self {
            Self::Sqlite => format!("build_words MATCH ${query}"),
            Self::Postgres => {
                format!("build_words.words @@ CAST(LOWER(${query}) AS TSQUERY)")
            }
        }
    }

    /// The number of the last migration; both have the same.
    pub(super) fn newest() -> i64 {
        SQLITE.iter().map(|migration| migration.version).max().unwrap_or(0)
    }

    pub(super) fn migrator(self) -> &'static Migrator {
        match self {
            Self::Sqlite => &SQLITE,
            Self::Postgres => &POSTGRES,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::seal::Seal;
    use crate::store::{Columns as _, Store};

    #[tokio::test]
    async fn every_connection_to_sqlite_syncs_what_it_commits() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("kozmic.db").display());
        let seal = Seal::from_text(&"k".repeat(32).into()).unwrap();
        let store = Store::open(&url, seal).await.unwrap();
        // All of the pool's at once, and one that follows a closed one.
        let mut connections = Vec::new();
        for _ in 0..store.dialect.connections() {
            connections.push(store.pool.acquire().await.unwrap());
        }
        connections.pop().unwrap().close().await.unwrap();
        connections.push(store.pool.acquire().await.unwrap());
        for connection in &mut connections {
            let row = sqlx::query("PRAGMA synchronous").fetch_one(&mut **connection).await.unwrap();
            assert_eq!(row.int("synchronous").unwrap(), 2, "FULL");
            let row =
                sqlx::query("PRAGMA journal_mode").fetch_one(&mut **connection).await.unwrap();
            assert_eq!(row.text("journal_mode").unwrap(), "wal");
        }
        drop(connections);
        store.close().await;
    }
}
