//! Containers that are kept, as the store tells it: on SQLite and on PostgreSQL.

use std::time::Duration;

use kozmic::model::{JobEnd, Timestamp};

use crate::store::{LEASE, build, delivery, on_both, project};

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_kept_until_its_time_is_over_and_nobody_is_at_it() {
    on_both(async |store| {
        let (project, hooks) = project(&store, &["Tests"]).await;
        let at = |minutes: u64| Timestamp(0).plus(Duration::from_mins(minutes));
        store.hook_called(&delivery(&hooks[0], "g"), &build("main", '1'), at(0)).await.unwrap();
        let job = store.claim_job("w", LEASE, at(0)).await.unwrap().unwrap();
        let place = ("engine", "c0ffee");
        // A stale attempt keeps nothing.
        assert!(!store.container_kept((job.id, 7), place, at(0), HOUR).await.unwrap());
        assert!(store.container_kept((job.id, 1), place, at(0), HOUR).await.unwrap());
        store.job_finished(job.id, 1, &JobEnd::Exited(3), at(1)).await.unwrap();
        let kept = store.kept_container(job.id).await.unwrap().unwrap();
        assert_eq!((kept.until, kept.container.as_str()), (at(60), "c0ffee"));
        assert_eq!(
            store.kept_containers("engine").await.unwrap().as_slice(),
            std::slice::from_ref(&kept)
        );
        assert_eq!(store.kept_containers("another").await.unwrap(), []);
        assert_eq!(store.kept_containers_of_all(&[job.build]).await.unwrap()[&job.id], kept);
        let is_kept = async |minutes| store.is_kept(job.uuid, 1, at(minutes)).await.unwrap();
        assert!(is_kept(59).await && !is_kept(60).await);
        assert!(!store.is_kept(job.uuid, 2, at(1)).await.unwrap());

        // Who is at it keeps it, and may go on beyond its time.
        assert!(store.kept_container_held(job.id, at(62), at(58)).await.unwrap());
        assert!(is_kept(61).await && !is_kept(62).await);
        let goes = async |early, minutes| {
            store.kept_container_goes(job.id, "why", early, at(minutes)).await.unwrap()
        };
        assert!(!goes(true, 61).await && !goes(false, 61).await);
        assert!(store.kept_container_held(job.id, at(64), at(61)).await.unwrap());
        assert!(store.kept_container_held(job.id, at(63), at(63)).await.unwrap());
        // Nobody is at it any more, and nobody comes.
        assert!(!store.kept_container_held(job.id, at(70), at(63)).await.unwrap());
        store.job_opened(job.id, "shell", "ada", at(58)).await.unwrap();
        store.job_opened(job.id, "pull", "bob", at(59)).await.unwrap();
        assert!(goes(false, 63).await && !goes(false, 63).await, "only one removes it");
        assert!(!is_kept(59).await);
        let gone = store.kept_container(job.id).await.unwrap().unwrap();
        assert_eq!(gone.gone_because.as_deref(), Some("why"));
        assert!(!gone.is_there(at(1)));
        let openings = store.openings_of(job.id).await.unwrap();
        let openings: Vec<_> =
            openings.iter().map(|it| (it.what.as_str(), it.by.as_str())).collect();
        assert_eq!(openings, [("pull", "bob"), ("shell", "ada")]);
        let again = store.finished_job(job.id).await.unwrap();
        assert_eq!((again.uuid, again.attempt, again.title), (job.uuid, 1, job.title.clone()));
        // With its project it is forgotten.
        store.project_deleted(project).await.unwrap();
        assert!(store.kept_container(job.id).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_attempt_before_kept_is_nobody_s() {
    on_both(async |store| {
        let (_, hooks) = project(&store, &["Tests"]).await;
        let now = Timestamp(1_000);
        store.hook_called(&delivery(&hooks[0], "g"), &build("main", '1'), now).await.unwrap();
        let job = store.claim_job("w", LEASE, now).await.unwrap().unwrap();
        assert!(store.container_kept((job.id, 1), ("e", "one"), now, HOUR).await.unwrap());
        store.job_released(job.id, 1, "the worker stopped", now).await.unwrap();
        store.claim_job("w", LEASE, now).await.unwrap().unwrap();
        assert!(!store.is_kept(job.uuid, 1, now).await.unwrap());
        assert!(store.kept_container(job.id).await.unwrap().is_none());
        assert!(store.container_kept((job.id, 2), ("e", "two"), now, HOUR).await.unwrap());
        let kept = store.kept_container(job.id).await.unwrap().unwrap();
        assert_eq!((kept.attempt, kept.container.as_str()), (2, "two"));
        // Unless somebody is at it, it may go before its time: the disk is full.
        assert!(!store.kept_container_goes(job.id, "why", false, now).await.unwrap());
        assert!(store.kept_container_goes(job.id, "why", true, now).await.unwrap());
    })
    .await;
}
