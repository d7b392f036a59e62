//! Whose turn it is, on both databases: projects beside one another, priorities, places that
//! are told, and many who claim at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use kozmic::model::{
    AtOnce, HookOptions, HookSpec, JobEnd, JobId, ProjectId, Timestamp, Waiting, WorkerAbout,
};
use kozmic::store::{ClaimedJob, Hook, Job, Listed, ProjectChange, Store, WorkerState};

use crate::store::{LEASE, build, delivery, on_both, on_both_at, project, project_of, seal, spec};

async fn runs(store: &Store, name: &str) {
    let worker = WorkerState {
        name: name.into(),
        labels: kozmic::model::Labels::default(),
        concurrency: 1,
        trouble: None,
        about: WorkerAbout::default(),
    };
    store.worker_runs(&worker, Timestamp(1_000)).await.unwrap();
}

/// A build of a branch of its own, with a job of each hook of the project.
async fn pushed(store: &Store, hook: &Hook, number: usize, at: i64) -> Vec<Job> {
    let delivery = delivery(hook, &format!("g{number}-{at}"));
    let build = build(&format!("branch-{number}-{at}"), '1');
    let called = store.hook_called(&delivery, &build, Timestamp(at)).await.unwrap();
    store.jobs_of(called.build().unwrap()).await.unwrap()
}

/// So many builds of the project's only hook.
async fn flood(store: &Store, hook: &Hook, count: usize, at: i64) -> Vec<JobId> {
    let mut jobs = Vec::new();
    for number in 0..count {
        jobs.extend(pushed(store, hook, number, at).await.iter().map(|job| job.id));
    }
    jobs
}

async fn claim(store: &Store, at: i64) -> ClaimedJob {
    store.claim_job("w", LEASE, Timestamp(at)).await.unwrap().unwrap()
}

async fn finish(store: &Store, job: &ClaimedJob, at: i64) {
    store.job_finished(job.id, job.attempt, &JobEnd::Exited(0), Timestamp(at)).await.unwrap();
}

/// The jobs that wait, in the order in which they are told to be started.
async fn in_line(store: &Store) -> Vec<JobId> {
    let all = Listed::All;
    let queued = store.queued(all, JobId(0), 1_000, Timestamp(1_000)).await.unwrap();
    let mut places = BTreeMap::new();
    for (_, _, job) in queued {
        if let Some(Waiting::Queue { ahead, .. }) = &job.waiting {
            let other = places.insert(*ahead, job.id);
            assert_eq!(other, None, "two jobs have {ahead} ahead of them");
        }
    }
    assert!(places.keys().copied().eq(0..i64::try_from(places.len()).unwrap()), "{places:?}");
    places.into_values().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_with_many_jobs_holds_up_no_other() {
    on_both(async |store| {
        runs(&store, "w").await;
        let (flooding, many) = project_of(&store, 1, "octo/many", &["Tests"]).await;
        let (few, hooks) = project_of(&store, 2, "octo/few", &["Tests"]).await;
        flood(&store, &many[0], 100, 10).await;
        for at in [20, 30] {
            assert_eq!(claim(&store, at).await.project.id, flooding);
        }
        flood(&store, &hooks[0], 3, 40).await;
        // It runs fewer until both run two, and then it was not served last.
        let mut turns = Vec::new();
        for at in 50..55 {
            turns.push(claim(&store, at).await.project.id);
        }
        assert_eq!(turns, [few, few, flooding, few, flooding]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_a_job_waits_is_told_though_it_is_taken_meanwhile() {
    on_both(async |store| {
        runs(&store, "w").await;
        let (_, hooks) = project_of(&store, 1, "octo/orbit", &["Tests"]).await;
        let mut jobs = pushed(&store, &hooks[0], 0, 10).await;
        claim(&store, 20).await;
        store.tell_why_they_wait(&mut jobs, Timestamp(1_000)).await.unwrap();
        assert!(matches!(jobs[0].waiting, Some(Waiting::Queue { ahead: 0, .. })));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_long_jobs_running_leaves_the_next_place_to_others() {
    on_both(async |store| {
        let (long, slow) = project_of(&store, 1, "octo/long", &["Tests"]).await;
        let (short, quick) = project_of(&store, 2, "octo/short", &["Tests"]).await;
        flood(&store, &slow[0], 5, 10).await;
        flood(&store, &quick[0], 5, 11).await;
        assert_eq!(claim(&store, 20).await.project.id, long);
        // One place is left, and its turn comes again each time.
        for at in [30, 40, 50, 60, 70] {
            let job = claim(&store, at).await;
            assert_eq!(job.project.id, short);
            finish(&store, &job, at + 1).await;
        }
        assert_eq!(claim(&store, 80).await.project.id, long);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_start_in_the_order_that_is_told_whatever_ends_meanwhile() {
    on_both_at(async |store, url| {
        runs(&store, "w").await;
        let mut hooks = Vec::new();
        for (index, count) in [30, 7, 1, 12].into_iter().enumerate() {
            let name = format!("octo/p{index}");
            let gh_id = i64::try_from(index).unwrap() + 1;
            let (_, its) = project_of(&store, gh_id, &name, &["Tests"]).await;
            flood(&store, &its[0], count, 10).await;
            hooks.extend(its);
        }
        let mut limit = ProjectChange { jobs_at_once: Some(AtOnce(Some(4))), ..Default::default() };
        store.project_options_changed(hooks[3].project, &limit, Timestamp(11)).await.unwrap();
        let mut running = Vec::new();
        for at in 0..10 {
            assert!(claim_told(&store, 100 + at, &mut running).await);
        }
        // As others end, those that come first change, and who is told changes with them.
        for at in 0..20 {
            let ended = running.remove(usize::try_from(at).unwrap() * 7 % running.len());
            finish(&store, &ended, 200 + 2 * at).await;
            claim_told(&store, 201 + 2 * at, &mut running).await;
        }
        // Nothing of it is in memory.
        let again = Store::open(url, seal()).await.unwrap();
        limit.jobs_at_once = Some(AtOnce(None));
        again.project_options_changed(hooks[3].project, &limit, Timestamp(300)).await.unwrap();
        let told = in_line(&again).await;
        assert!(told.len() > 15, "{told:?}");
        let mut started = Vec::new();
        for at in 301.. {
            let Some(job) = again.claim_job("w", LEASE, Timestamp(at)).await.unwrap() else {
                break;
            };
            started.push(job.id);
        }
        assert_eq!(started, told, "all of them, one after the other");
        again.close().await;
    })
    .await;
}

/// Claims the job that is told to be first; whether one was.
async fn claim_told(store: &Store, at: i64, running: &mut Vec<ClaimedJob>) -> bool {
    let queued = store.queued(Listed::All, JobId(0), 1_000, Timestamp(1_000)).await.unwrap();
    let first = queued
        .iter()
        .find(|(_, _, job)| matches!(&job.waiting, Some(Waiting::Queue { ahead: 0, .. })));
    let claimed = store.claim_job("w", LEASE, Timestamp(at)).await.unwrap();
    assert_eq!(claimed.as_ref().map(|job| job.id), first.map(|(_, _, job)| job.id));
    running.extend(claimed);
    first.is_some()
}

fn urgent(title: &str, priority: &str) -> HookSpec {
    let mut options = HookOptions::default();
    options.set("priority", priority).unwrap();
    HookSpec { options, ..spec(title) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_priority_counts_among_a_project_s_jobs() {
    on_both(async |store| {
        runs(&store, "w").await;
        let (of, hooks) = project(&store, &["Nightly", "Tests", "Hotfix"]).await;
        for (hook, priority) in hooks.iter().zip(["low", "normal", "high"]) {
            let spec = urgent(&hook.spec.title, priority);
            store.hook_edited(hook, &spec, "octo", Timestamp(3)).await.unwrap();
        }
        let changes = store.hook_changes(of, 100).await.unwrap();
        assert!(changes[0].written().iter().any(|(_, text)| text.contains("priority = high")));
        let first = pushed(&store, &hooks[0], 1, 10).await;
        let second = pushed(&store, &hooks[0], 2, 20).await;
        let priorities: Vec<&str> = first.iter().map(|job| job.priority.as_str()).collect();
        assert_eq!(priorities, ["low", "normal", "high"]);
        let order =
            [first[2].id, second[2].id, first[1].id, second[1].id, first[0].id, second[0].id];
        assert_eq!(in_line(&store).await, order);
        // Another project's turn does not depend on it.
        let (other, theirs) = project_of(&store, 9, "octo/other", &["Tests"]).await;
        flood(&store, &theirs[0], 1, 30).await;
        assert_eq!(claim(&store, 40).await.id, order[0]);
        assert_eq!(claim(&store, 41).await.project.id, other);
        for (at, id) in (50..).zip(&order[1..]) {
            assert_eq!(claim(&store, at).await.id, *id);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_low_priority_waits_for_what_comes_within_two_hours_and_no_longer() {
    on_both(async |store| {
        let (_, hooks) = project(&store, &["Low"]).await;
        let minute = 60_000;
        let edit = async |priority: &str| {
            let spec = urgent("Low", priority);
            let hook = store.hook(hooks[0].id).await.unwrap().unwrap();
            store.hook_edited(&hook, &spec, "octo", Timestamp(3)).await.unwrap();
        };
        edit("low").await;
        let low = pushed(&store, &hooks[0], 0, 0).await[0].id;
        edit("high").await;
        // More urgent ones come than are ever done.
        let mut passed = 0;
        for number in 1.. {
            let now = i64::try_from(number).unwrap() * 10 * minute;
            pushed(&store, &hooks[0], number, now).await;
            pushed(&store, &hooks[0], 1_000 + number, now).await;
            let job = claim(&store, now + 1).await;
            finish(&store, &job, now + 2).await;
            if job.id == low {
                break;
            }
            passed += 1;
            assert!(passed <= 22, "what was made two hours later went before it");
        }
        // Two each ten minutes, for less than two hours.
        assert_eq!(passed, 22);
    })
    .await;
}

/// Eight who claim, each with connections of its own, as in processes of their own.
async fn eight(url: &str) -> Vec<Store> {
    let mut stores = Vec::new();
    for _ in 0..8 {
        stores.push(Store::open(url, seal()).await.unwrap());
    }
    stores
}

#[tokio::test(flavor = "multi_thread")]
async fn many_take_several_at_once_and_none_twice() {
    on_both_at(async |store, url| {
        // Jobs of one build are locked together.
        let titles = ["A", "B", "C", "D", "E"];
        let mut expected = BTreeSet::new();
        for (gh_id, name) in [(1, "octo/one"), (2, "octo/two")] {
            let (_, hooks) = project_of(&store, gh_id, name, &titles).await;
            expected.extend(flood(&store, &hooks[0], 20, 10).await);
        }
        assert_eq!(expected.len(), 200);
        let mut workers = Vec::new();
        for (worker, store) in eight(url).await.into_iter().enumerate() {
            workers.push(tokio::spawn(async move {
                let (name, mut done) = (format!("w{worker}"), Vec::new());
                loop {
                    let jobs = store.claim_jobs(&name, 4, LEASE, Timestamp(20)).await.unwrap();
                    if jobs.is_empty() {
                        break;
                    }
                    assert!(jobs.len() <= 4);
                    for job in &jobs {
                        assert_eq!(job.attempt, 1);
                        finish(&store, job, 30).await;
                        done.push(job.id);
                    }
                }
                store.close().await;
                done
            }));
        }
        let mut done = Vec::new();
        for worker in workers {
            done.extend(worker.await.unwrap());
        }
        // Who finds only what others have locked leaves it to them; what they leave is done now.
        loop {
            let jobs = store.claim_jobs("last", 9, LEASE, Timestamp(40)).await.unwrap();
            if jobs.is_empty() {
                break;
            }
            for job in &jobs {
                finish(&store, job, 41).await;
                done.push(job.id);
            }
        }
        assert_eq!(done.len(), 200, "one was done twice, or not");
        assert_eq!(done.into_iter().collect::<BTreeSet<_>>(), expected);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_holds_at_every_moment_while_many_claim_and_finish() {
    on_both_at(async |store, url| {
        let (limited, hooks) = project_of(&store, 1, "octo/limited", &["A", "B"]).await;
        let (_, free) = project_of(&store, 2, "octo/free", &["A"]).await;
        let limit = ProjectChange { jobs_at_once: Some(AtOnce(Some(3))), ..Default::default() };
        store.project_options_changed(limited, &limit, Timestamp(5)).await.unwrap();
        flood(&store, &hooks[0], 30, 10).await;
        flood(&store, &free[0], 20, 10).await;
        // Those that a worker has and has not begun to finish: of those that run, some or all.
        let running = Arc::new(AtomicI64::new(0));
        let mut workers = Vec::new();
        for (worker, store) in eight(url).await.into_iter().enumerate() {
            let running = running.clone();
            workers.push(tokio::spawn(async move {
                let done = until_none(&store, &format!("w{worker}"), limited, &running).await;
                store.close().await;
                done
            }));
        }
        let mut done = 0;
        for worker in workers {
            done += worker.await.unwrap();
        }
        done += until_none(&store, "last", limited, &running).await;
        assert_eq!(done, 80);
    })
    .await;
}

async fn until_none(store: &Store, name: &str, limited: ProjectId, running: &AtomicI64) -> usize {
    let mut done = 0;
    loop {
        let jobs = store.claim_jobs(name, 2, LEASE, Timestamp(20)).await.unwrap();
        if jobs.is_empty() {
            return done;
        }
        let its = jobs.iter().filter(|job| job.project.id == limited).count();
        let its = i64::try_from(its).unwrap();
        let now = running.fetch_add(its, Ordering::SeqCst) + its;
        assert!(now <= 3, "{now} jobs run of a project that may run 3");
        tokio::task::yield_now().await;
        running.fetch_sub(its, Ordering::SeqCst);
        for job in &jobs {
            finish(store, job, 30).await;
            done += 1;
        }
    }
}
