//! How much a database without statistics reads for each build, with many before it: as
//! PostgreSQL is within its first minute, and whenever a table has grown much since it was last
//! looked at. It plans by guesses then, which no plan of a small database shows.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use kozmic::model::{JobEnd, Timestamp};
use kozmic::store::Store;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Row as _};

use crate::harness::{Postgres, eventually};
use crate::store::{LEASE, build, delivery, project, seal};

const BEFORE: usize = 1_000;
const BUILDS: usize = 40;
/// Rows and index entries of one table for each build, from its delivery to its end: those of
/// what it changed before, and far from all there are.
const FEW: i64 = 250;

async fn deliver(store: &Store, hook: &kozmic::store::Hook, numbers: std::ops::Range<usize>) {
    let deliveries = numbers.map(async |number| {
        let mut new = build("main", '0');
        new.commit.sha = format!("{number:040x}").parse().unwrap();
        let delivery = delivery(hook, &format!("guid-{number}"));
        store.hook_called(&delivery, &new, Timestamp(10)).await.unwrap();
    });
    join_all(deliveries).await;
}

/// Rows and entries that were read of each table so far.
async fn read_of_each(connection: &mut AnyConnection) -> BTreeMap<String, i64> {
    let text = "SELECT CAST(relname AS TEXT) AS name, CAST(COALESCE(seq_tup_read, 0) + \
                COALESCE((SELECT SUM(its.idx_tup_read) FROM pg_stat_user_indexes AS its \
                          WHERE its.relid = tables.relid), 0) AS BIGINT) AS read \
                FROM pg_stat_user_tables AS tables";
    let rows = sqlx::raw_sql(text).fetch_all(connection).await.unwrap();
    rows.iter().map(|row| (row.get("name"), row.get("read"))).collect()
}

/// Waits until the server has counted what connections that have ended did.
async fn counted(connection: &mut AnyConnection, table: &str, made: i64) {
    let text = format!(
        "SELECT CAST(COALESCE(SUM(n_tup_ins), 0) AS BIGINT) FROM pg_stat_user_tables \
         WHERE relname = '{table}'"
    );
    eventually("the server's counts", async || {
        let row = sqlx::raw_sql(AssertSqlSafe(text.clone())).fetch_one(&mut *connection).await;
        (row.unwrap().get::<i64, _>(0) == made).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_costs_as_little_as_the_first_while_postgresql_has_no_statistics() {
    let postgres = Postgres::start_with("-c fsync=off -c autovacuum=off").await;
    let mut connection = AnyConnection::connect(&postgres.url).await.unwrap();
    let store = Store::open(&postgres.url, seal()).await.unwrap();
    store.migrate().await.unwrap();
    let (project, hooks) = project(&store, &["Tests"]).await;
    deliver(&store, &hooks[0], 0..BEFORE).await;
    store.close().await;
    counted(&mut connection, "builds", i64::try_from(BEFORE).unwrap()).await;
    let before = read_of_each(&mut connection).await;

    let store = Store::open(&postgres.url, seal()).await.unwrap();
    deliver(&store, &hooks[0], BEFORE..BEFORE + BUILDS).await;
    for _ in 0..BUILDS {
        let job = store.claim_job("one", LEASE, Timestamp(20)).await.unwrap().unwrap();
        let end = JobEnd::Exited(0);
        store.job_finished(job.id, job.attempt, &end, Timestamp(30)).await.unwrap();
        assert_eq!(store.projects_to_report(Timestamp(30), 8).await.unwrap(), [project]);
        assert_eq!(store.next_report_after(Timestamp(30)).await.unwrap(), None);
    }
    store.close().await;
    let made = i64::try_from(BUILDS).unwrap();
    counted(&mut connection, "announcements", made).await;
    let mut much = Vec::new();
    for (table, read) in read_of_each(&mut connection).await {
        let each = (read - before.get(&table).copied().unwrap_or(0)) / made;
        if each > FEW {
            much.push(format!("{table}: {each} for each build"));
        }
    }
    assert!(much.is_empty(), "{much:#?}");
}
