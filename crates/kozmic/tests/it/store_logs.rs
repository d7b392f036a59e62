//! Which logs a project keeps, as the store tells it: on SQLite and on PostgreSQL.

use kozmic::model::{Bound, JobEnd, LogRetention, Timestamp};
use kozmic::store::ProjectChange;

use crate::store::{LEASE, build, delivery, on_both, project};

const DAY: i64 = 24 * 60 * 60 * 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn logs_expire_by_age_and_by_size_but_for_the_newest() {
    on_both(async |store| {
        let (project, hooks) = project(&store, &["Tests"]).await;
        let mut jobs = Vec::new();
        for (day, digit) in (0_i64..).zip(['1', '2', '3', '4']) {
            let at = Timestamp(day * DAY);
            let guid = format!("g{digit}");
            store
                .hook_called(&delivery(&hooks[0], &guid), &build("main", digit), at)
                .await
                .unwrap();
            let job = store.claim_job("w", LEASE, at).await.unwrap().unwrap();
            store.job_finished(job.id, 1, &JobEnd::Exited(0), at).await.unwrap();
            assert!(store.log_archived(job.id, 100).await.unwrap());
            jobs.push(job);
        }
        assert_eq!(store.log_bytes(project).await.unwrap(), 400);
        let now = Timestamp(10 * DAY);
        let expired = async || {
            let expired = store.logs_expired(now, 9).await.unwrap();
            expired.into_iter().map(|log| (log.job, log.because)).collect::<Vec<_>>()
        };
        let keep = async |days, bytes| {
            let change = ProjectChange {
                keep_logs_days: Some(Bound(days)),
                keep_logs_bytes: Some(Bound(bytes)),
                ..ProjectChange::default()
            };
            store.project_options_changed(project, &change, now).await.unwrap();
        };
        assert_eq!(expired().await, [], "nothing is bounded yet");
        keep(Some(9), None).await;
        let by_age = "because its project keeps logs for 9 days".to_owned();
        assert_eq!(expired().await, [(jobs[0].id, by_age)]);
        keep(None, Some(200)).await;
        let options = store.project_options(project).await.unwrap();
        assert_eq!(options.keep_logs, LogRetention { days: None, bytes: Some(200) });
        let ids = async || expired().await.into_iter().map(|(job, _)| job).collect::<Vec<_>>();
        assert_eq!(ids().await, [jobs[0].id, jobs[1].id]);
        // However little is kept, the newest build's log stays.
        keep(Some(1), Some(1)).await;
        assert_eq!(ids().await, [jobs[0].id, jobs[1].id, jobs[2].id]);

        assert!(store.log_removed(jobs[0].id, "because", now).await.unwrap());
        assert_eq!(ids().await, [jobs[1].id, jobs[2].id]);
        assert_eq!(store.log_bytes(project).await.unwrap(), 300);
        assert!(!store.log_archived(jobs[0].id, 100).await.unwrap(), "it was removed meanwhile");
        let job = store.job(jobs[0].id).await.unwrap().unwrap();
        assert_eq!(job.log_removed_because.as_deref(), Some("because"));
    })
    .await;
}
