//! A worker learns at once of what another process has enqueued on PostgreSQL.

use std::time::Duration;

use kozmic::store::Store;

use crate::harness::{PATIENCE, Postgres};
use crate::store::{build, delivery, project, seal};

#[tokio::test(flavor = "multi_thread")]
async fn another_process_is_told_of_a_job() {
    let postgres = Postgres::start().await;
    let web = Store::open(&postgres.url, seal()).await.unwrap();
    web.migrate().await.unwrap();
    let (_, hooks) = project(&web, &["Tests"]).await;
    let worker = Store::open(&postgres.url, seal()).await.unwrap();
    // It listens once it was woken for what may have been before.
    tokio::time::timeout(PATIENCE, worker.jobs_changed()).await.unwrap();
    let changed = worker.jobs_changed();
    web.hook_called(&delivery(&hooks[0], "g1"), &build("main", '1'), kozmic::model::Timestamp(10))
        .await
        .unwrap();
    tokio::time::timeout(PATIENCE, changed).await.expect("it was told");
    let lease = Duration::from_secs(30);
    let job = worker.claim_job("w", lease, kozmic::model::Timestamp(11)).await.unwrap();
    assert!(job.is_some(), "what it was told of is there");
    worker.close().await;
    web.close().await;
}
