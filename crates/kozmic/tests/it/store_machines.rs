//! What several processes do with one database.

use std::time::Duration;

use kozmic::model::{AtOnce, BuildId, JobEnd, Timestamp};
use kozmic::seal::Seal;
use kozmic::store::{ProjectChange, Store};
use sqlx::{AnyConnection, Connection as _};

use crate::harness::{Cut, PATIENCE, Postgres, Way, eventually};
use crate::store::{LEASE, build, delivery, on_both, on_both_at, project};

const CLAIM: Duration = Duration::from_mins(2);

#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_one_tells_github() {
    on_both(async |store| {
        let (project, hooks) = project(&store, &["Tests"]).await;
        let call = delivery(&hooks[0], "g1");
        store.hook_called(&call, &build("main", '1'), Timestamp(10)).await.unwrap();
        let due = store.reports_due(project, Timestamp(10), 10).await.unwrap();
        assert_eq!(due.len(), 2);
        assert!(store.report_begun(&due[0], "one", Timestamp(10)).await.unwrap());
        assert!(!store.report_begun(&due[0], "two", Timestamp(11)).await.unwrap());
        let others = store.reports_due(project, Timestamp(11), 10).await.unwrap();
        assert_eq!(others.iter().map(|it| it.id).collect::<Vec<_>>(), [due[1].id]);
        assert!(store.report_begun(&due[1], "two", Timestamp(11)).await.unwrap());
        store.report_settled(&due[1], "two", None, Timestamp(12)).await.unwrap();

        // A newer state waits for the one that is on its way.
        let job = store.claim_job("w", CLAIM, Timestamp(20)).await.unwrap().unwrap();
        store.job_finished(job.id, 1, &JobEnd::Exited(0), Timestamp(30)).await.unwrap();
        let newer = store.reports_due(project, Timestamp(31), 10).await.unwrap();
        assert_eq!(newer.iter().map(|it| it.id).collect::<Vec<_>>(), [due[1].id]);
        store.report_settled(&due[0], "one", None, Timestamp(32)).await.unwrap();
        let newer = store.reports_due(project, Timestamp(32), 10).await.unwrap();
        assert_eq!(newer.len(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_slept_while_telling_does_not_have_the_last_word() {
    on_both(async |store| {
        let (project, hooks) = project(&store, &["Tests"]).await;
        let call = delivery(&hooks[0], "g1");
        store.hook_called(&call, &build("main", '1'), Timestamp(10)).await.unwrap();
        let due = store.reports_due(project, Timestamp(10), 10).await.unwrap();
        let old = &due[0];
        assert!(store.report_begun(old, "one", Timestamp(10)).await.unwrap());
        let job = store.claim_job("w", CLAIM, Timestamp(20)).await.unwrap().unwrap();
        store.job_finished(job.id, 1, &JobEnd::Exited(0), Timestamp(30)).await.unwrap();
        let later = Timestamp(10).plus(CLAIM);
        let due = store.reports_due(project, later, 10).await.unwrap();
        let new = due.iter().find(|report| report.id == old.id).unwrap();
        assert!(store.report_begun(new, "two", later).await.unwrap());
        store.report_settled(new, "two", None, later).await.unwrap();
        // The other one wakes, and its old state may have arrived after the new one.
        store.report_settled(old, "one", None, later).await.unwrap();
        let due = store.reports_due(project, later, 10).await.unwrap();
        let again = due.iter().find(|report| report.id == old.id).unwrap();
        assert_eq!(again.status, new.status);
        assert!(again.attempts > 0, "GitHub is asked first");
        assert!(store.report_begun(again, "one", later).await.unwrap());
        store.reports_abandoned("one").await.unwrap();
        assert!(store.report_begun(again, "two", later).await.unwrap());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_one_has_the_turn_until_it_does_not_ask_again() {
    on_both(async |store| {
        let turn = async |who: &str, now: i64| {
            store.has_turn("upkeep", who, Timestamp(now + 100), Timestamp(now)).await.unwrap()
        };
        assert!(turn("one", 0).await);
        assert!(!turn("two", 50).await);
        assert!(turn("one", 60).await, "it goes on");
        assert!(!turn("two", 150).await);
        assert!(turn("two", 161).await);
        assert!(!turn("one", 162).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_cut_off_amid_a_claim_keeps_nobody_from_claiming() {
    let postgres = Postgres::start().await;
    let port = postgres.url.split([':', '/']).nth(4).unwrap().parse().unwrap();
    let way = Way::to(port);
    let far = postgres.url.replace(&port.to_string(), &way.port.to_string());
    let seal = || Seal::from_text(&"k".repeat(32).into()).unwrap();
    let near = Store::open(&postgres.url, seal()).await.unwrap();
    near.migrate().await.unwrap();
    let (project, hooks) = project(&near, &["Tests"]).await;
    let call = delivery(&hooks[0], "g1");
    near.hook_called(&call, &build("main", '1'), Timestamp(10)).await.unwrap();
    assert_eq!(project.0, 1);
    // Only claims of a project with a limit wait for one another.
    let limit = ProjectChange { jobs_at_once: Some(AtOnce(Some(1))), ..Default::default() };
    near.project_options_changed(project, &limit, Timestamp(11)).await.unwrap();

    // Somebody is claiming, so that whoever comes next waits for them with a lock at hand.
    let pool = sqlx::AnyPool::connect(&postgres.url).await.unwrap();
    let mut first = pool.begin().await.unwrap();
    sqlx::query("SELECT CAST(pg_advisory_xact_lock(5059, 1) AS TEXT)")
        .execute(&mut *first)
        .await
        .unwrap();
    let cut_off = Store::open(&far, seal()).await.unwrap();
    let claiming =
        tokio::spawn(async move { cut_off.claim_job("far", CLAIM, Timestamp(20)).await });
    eventually("the other one to wait", async || {
        let waits =
            "SELECT COUNT(*) AS waits FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        let row = sqlx::query(waits).fetch_one(&pool).await.unwrap();
        (sqlx::Row::get::<i64, _>(&row, "waits") == 1).then_some(())
    })
    .await;
    way.cut(Cut::Silent);
    first.rollback().await.unwrap();
    let claimed =
        tokio::time::timeout(PATIENCE, near.claim_job("near", CLAIM, Timestamp(30))).await;
    assert!(claimed.expect("a claim that ends").unwrap().is_some());
    way.mend();
    assert!(claiming.await.unwrap().unwrap_err().is_away(), "it is told that it was too late");
    pool.close().await;
    near.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_cant_be_read_end_and_hold_up_no_other() {
    on_both_at(async |store, url| {
        let (_, hooks) = project(&store, &["Tests"]).await;
        for (guid, branch) in [("g1", "one"), ("g2", "two"), ("g3", "three"), ("g4", "four")] {
            let call = delivery(&hooks[0], guid);
            store.hook_called(&call, &build(branch, '1'), Timestamp(10)).await.unwrap();
        }
        let held = store.claim_jobs("gone", 2, LEASE, Timestamp(20)).await.unwrap();
        let mut connection = AnyConnection::connect(url).await.unwrap();
        let spoiled =
            "UPDATE jobs SET options = '{\"labels\": 7}' WHERE id <> (SELECT MAX(id) FROM jobs)";
        sqlx::raw_sql(spoiled).execute(&mut connection).await.unwrap();
        // One goes on with another worker, if that could read it.
        let late = Timestamp(20).plus(LEASE).plus(Duration::from_millis(1));
        assert!(store.job_adopted(held[0].id, "one", LEASE, late).await.unwrap().is_none());
        // One goes back to the queue, where the next who takes it finds out.
        assert!(store.job_lost(held[1].id, late).await.unwrap().unwrap().retried);
        let taken = store.claim_jobs("one", 4, LEASE, late).await.unwrap();
        assert_eq!(taken.len(), 1, "the one that can be read");
        let mut reasons = Vec::new();
        for id in 1..=4 {
            for job in store.jobs_of(BuildId(id)).await.unwrap() {
                reasons
                    .push((job.status.as_str(), job.reason.starts_with("the job can't be read")));
            }
        }
        let error = ("error", true);
        assert_eq!(reasons, [error, error, error, ("pending", false)]);
    })
    .await;
}
