//! Which jobs a worker may take, on both databases: order, limits and labels.

use std::collections::BTreeSet;

use kozmic::model::{
    AtOnce, BuildId, ErrorKind, HookOptions, HookSpec, JobEnd, JobStatus, Labels, ProjectId,
    Timestamp,
};
use kozmic::store::{Hook, Job, ProjectChange, Store, StoreError, WorkerState};

use crate::store::{LEASE, build, delivery, on_both, project, spec};

fn with(title: &str, options: &[(&str, &str)]) -> HookSpec {
    let mut given = HookOptions::default();
    for (name, value) in options {
        given.set(name, value).unwrap();
    }
    HookSpec { options: given, ..spec(title) }
}

async fn edit(store: &Store, hook: &Hook, options: &[(&str, &str)]) {
    let spec = with(&hook.spec.title, options);
    store.hook_edited(hook, &spec, "octo", Timestamp(3)).await.unwrap();
}

async fn called(store: &Store, hook: &Hook, digit: char, at: i64) -> BuildId {
    let delivery = delivery(hook, &format!("g{digit}"));
    let called = store.hook_called(&delivery, &build("main", digit), Timestamp(at)).await;
    called.unwrap().build().unwrap()
}

/// Claims a job and ends it.
async fn work(store: &Store, title: &str, end: &JobEnd, at: i64) {
    let job = store.claim_job("w", LEASE, Timestamp(at)).await.unwrap().unwrap();
    assert_eq!(job.title, title);
    store.job_finished(job.id, job.attempt, end, Timestamp(at + 1)).await.unwrap();
}

async fn nothing(store: &Store, worker: &str, at: i64) {
    let claimed = store.claim_job(worker, LEASE, Timestamp(at)).await.unwrap();
    assert!(claimed.is_none(), "{claimed:?}");
}

async fn jobs(store: &Store, build: BuildId) -> Vec<Job> {
    let mut jobs = store.jobs_of(build).await.unwrap();
    store.tell_why_they_wait(&mut jobs, Timestamp(1_000)).await.unwrap();
    jobs
}

async fn told(store: &Store, build: BuildId) -> Vec<(String, JobStatus, String)> {
    let jobs = jobs(store, build).await.into_iter();
    jobs.map(|job| (job.title, job.status, job.reason)).collect()
}

async fn status(store: &Store, build: BuildId) -> String {
    store.build(build).await.unwrap().unwrap().status.to_string()
}

async fn runs(store: &Store, name: &str, labels: &str, trouble: Option<&str>) {
    let worker = WorkerState {
        name: name.into(),
        labels: labels.parse().unwrap(),
        concurrency: 1,
        trouble: trouble.map(str::to_owned),
        about: kozmic::model::WorkerAbout::default(),
    };
    store.worker_runs(&worker, Timestamp(1_000)).await.unwrap();
}

/// What GitHub would be told last of each context, for the build's commit.
async fn reports(store: &Store, project: ProjectId) -> BTreeSet<String> {
    let reports = store.reports_due(project, Timestamp(i64::MAX), 100).await.unwrap();
    let told = |report: kozmic::store::Report| {
        let status = report.status;
        format!("{} {}: {}", status.context, status.state, status.description)
    };
    reports.into_iter().map(told).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_held_until_those_before_it_are_green() {
    on_both(async |store| {
        let (_, hooks) = project(&store, &["Deploy", "Tests", "Lint"]).await;
        edit(&store, &hooks[0], &[("after", "Tests"), ("after", "Lint")]).await;
        edit(&store, &hooks[1], &[("variant", "a: X=1"), ("variant", "b: X=2")]).await;
        runs(&store, "w", "", None).await;
        let build = called(&store, &hooks[0], '1', 10).await;
        let waiting = told(&store, build).await;
        let titles: Vec<&str> = waiting.iter().map(|(title, ..)| title.as_str()).collect();
        assert_eq!(titles, ["Deploy", "Tests (a)", "Tests (b)", "Lint"]);
        assert_eq!(waiting[0].2, "waiting for `Tests (a)`, `Tests (b)`, `Lint` to be green");
        assert_eq!(waiting[2].2, "waiting for a worker, 1 ahead of it");
        work(&store, "Tests (a)", &JobEnd::Exited(0), 20).await;
        work(&store, "Tests (b)", &JobEnd::Exited(0), 30).await;
        let lint = store.claim_job("w", LEASE, Timestamp(40)).await.unwrap().unwrap();
        nothing(&store, "w", 41).await;
        assert_eq!(told(&store, build).await[0].2, "waiting for `Lint` to be green");
        // Its worker is lost: nothing has become green by that.
        let late = Timestamp(40).plus(LEASE).plus(LEASE);
        store.job_lost(lint.id, late).await.unwrap().unwrap();
        work(&store, "Lint", &JobEnd::Exited(0), late.0).await;
        assert_eq!(told(&store, build).await[0].2, "waiting for a worker, first in line");
        let phases = store.phases_of(build).await.unwrap();
        let deploy = jobs(&store, build).await[0].id;
        assert_eq!(phases[&deploy][0].started_at.0, late.0 + 1, "the queue's time only");
        work(&store, "Deploy", &JobEnd::Exited(0), late.0 + 9).await;
        assert_eq!(status(&store, build).await, "success");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_red_job_is_skipped_and_runs_when_that_is_green_again() {
    on_both(async |store| {
        let (project, hooks) = project(&store, &["Tests", "Package", "Deploy"]).await;
        edit(&store, &hooks[1], &[("after", "Tests")]).await;
        edit(&store, &hooks[2], &[("after", "Package")]).await;
        runs(&store, "w", "", None).await;
        let build = called(&store, &hooks[0], '1', 10).await;
        work(&store, "Tests", &JobEnd::Exited(3), 20).await;
        let skipped = told(&store, build).await;
        assert_eq!(skipped[1].1, JobStatus::Cancelled);
        assert_eq!(skipped[1].2, "not run: `Tests` failed");
        assert_eq!(skipped[2].2, "not run: `Package` was not run");
        assert_eq!(status(&store, build).await, "failure");
        let reported = reports(&store, project).await;
        for line in [
            "Kozmic-CI failure: Build #1 failed: Tests",
            "Kozmic-CI/Package error: not run: `Tests` failed",
            "Kozmic-CI/Deploy error: not run: `Package` was not run",
        ] {
            assert!(reported.contains(line), "{line}: {reported:?}");
        }
        nothing(&store, "w", 30).await;
        let all = jobs(&store, build).await;
        let refused = store.job_restarted(all[2].id, "octo", Timestamp(31)).await.unwrap_err();
        let StoreError::Refused(why) = refused else { panic!("{refused:?}") };
        assert_eq!(
            why,
            "The job was not run: `Package` was not run. It runs by itself once that is green: \
             run that again."
        );

        store.job_restarted(all[0].id, "octo", Timestamp(40)).await.unwrap();
        let again = jobs(&store, build).await;
        assert_eq!((again[1].id, again[1].status), (all[1].id, JobStatus::Enqueued));
        assert_eq!(again[1].reason, "waiting for `Tests` to be green");
        assert_eq!(again[2].reason, "waiting for `Package` to be green");
        assert_eq!(status(&store, build).await, "enqueued");
        let pending = "Kozmic-CI/Deploy pending: Build #1 is under way";
        assert!(reports(&store, project).await.contains(pending));
        work(&store, "Tests", &JobEnd::Exited(0), 50).await;
        work(&store, "Package", &JobEnd::Error(ErrorKind::DiskFull, "full".into()), 60).await;
        assert_eq!(told(&store, build).await[2].2, "not run: `Package` ended with an error");
        // All that is not green, in one click.
        let restarted = store.build_restarted(build, true, "octo", Timestamp(70)).await.unwrap();
        assert_eq!(restarted, 1);
        work(&store, "Package", &JobEnd::Exited(0), 80).await;
        work(&store, "Deploy", &JobEnd::Exited(0), 90).await;
        assert_eq!(status(&store, build).await, "success");
        // Green once, it does not run again because what it waited for does.
        let tests = jobs(&store, build).await[0].id;
        store.job_restarted(tests, "octo", Timestamp(100)).await.unwrap();
        work(&store, "Tests", &JobEnd::Exited(1), 110).await;
        nothing(&store, "w", 120).await;
        assert_eq!(told(&store, build).await[2].1, JobStatus::Success);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cancels_or_renames_what_is_waited_for_does_not_let_the_rest_run() {
    on_both(async |store| {
        let (project, hooks) = project(&store, &["Tests", "Deploy"]).await;
        edit(&store, &hooks[1], &[("after", "Tests")]).await;
        let build = called(&store, &hooks[0], '1', 10).await;
        let all = jobs(&store, build).await;
        store.job_cancelled(all[0].id, "octo", Timestamp(20)).await.unwrap();
        let skipped = told(&store, build).await;
        assert_eq!(skipped[1].2, "not run: `Tests` was cancelled");
        assert_eq!(status(&store, build).await, "cancelled");
        let told_of = "Kozmic-CI error: Build #1 was cancelled: Tests";
        assert!(reports(&store, project).await.contains(told_of));
        // Under its new title it is waited for all the same.
        let renamed = with("Unit tests", &[]);
        store.hook_edited(&hooks[0], &renamed, "octo", Timestamp(30)).await.unwrap();
        let hooks = store.hooks(project).await.unwrap();
        assert_eq!(hooks[1].spec, with("Deploy", &[("after", "Unit tests")]));
        store.job_restarted(all[0].id, "octo", Timestamp(40)).await.unwrap();
        work(&store, "Unit tests", &JobEnd::Exited(1), 50).await;
        nothing(&store, "w", 60).await;
        assert_eq!(told(&store, build).await[1].2, "not run: `Unit tests` failed");
        let next = called(&store, &hooks[0], '2', 70).await;
        work(&store, "Unit tests", &JobEnd::Exited(1), 80).await;
        assert_eq!(told(&store, next).await[1].2, "not run: `Unit tests` failed");
        // A job that is held can be cancelled, and stays so.
        let third = called(&store, &hooks[0], '3', 90).await;
        let deploy = jobs(&store, third).await[1].id;
        store.job_cancelled(deploy, "octo", Timestamp(91)).await.unwrap();
        work(&store, "Unit tests", &JobEnd::Exited(0), 92).await;
        nothing(&store, "w", 94).await;
        assert_eq!(told(&store, third).await[1].2, "cancelled: by octo");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_that_do_not_fit_together_are_not_saved() {
    on_both(async |store| {
        let (project, hooks) = project(&store, &["A", "B"]).await;
        edit(&store, &hooks[1], &[("after", "A")]).await;
        let before = store.hooks(project).await.unwrap();
        let changes = store.hook_changes(project, 100).await.unwrap().len();
        let refusal = |result: Result<(), StoreError>| match result {
            Err(StoreError::Refused(why)) => why,
            other => panic!("{other:?}"),
        };
        let circle = with("A", &[("after", "B")]);
        let why = refusal(store.hook_edited(&hooks[0], &circle, "octo", Timestamp(9)).await);
        assert!(why.ends_with("could never run: `A` waits for `B`, `B` waits for `A`"), "{why}");
        let missing = with("C", &[("after", "D")]);
        let added = store.hook_added(project, &missing, &"x".into(), "octo", Timestamp(9)).await;
        let why = refusal(added.map(|_| ()));
        assert_eq!(why, "`C` waits for `D`, and the project has no hook of that title");
        let namesake = with("A", &[("variant", "x")]);
        store.hook_edited(&hooks[0], &namesake, "octo", Timestamp(9)).await.unwrap();
        let added = with("A (x)", &[]);
        let added = store.hook_added(project, &added, &"x".into(), "octo", Timestamp(9)).await;
        let why = refusal(added.map(|_| ()));
        assert!(why.contains("would both have a job with the title `A (x)`"), "{why}");
        let why = refusal(store.hook_deleted(&hooks[0], "octo", Timestamp(9)).await);
        assert_eq!(why, "`B` waits for `A`; take `after = A` out of its options first");
        let after = store.hooks(project).await.unwrap();
        assert_eq!(after.len(), before.len());
        assert_eq!(after[0].spec, namesake);
        assert_eq!(after[1].spec, before[1].spec);
        assert_eq!(store.hook_changes(project, 100).await.unwrap().len(), changes + 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_s_limit_holds_however_many_claim() {
    on_both(async |store| {
        let (project, hooks) = project(&store, &["A", "B", "C", "D", "E"]).await;
        let limit =
            |limit| ProjectChange { jobs_at_once: Some(AtOnce(limit)), ..Default::default() };
        store.project_options_changed(project, &limit(Some(2)), Timestamp(5)).await.unwrap();
        assert_eq!(store.project_options(project).await.unwrap().jobs_at_once, AtOnce(Some(2)));
        let build = called(&store, &hooks[0], '1', 10).await;
        let mut claims = Vec::new();
        for worker in 0..8 {
            let store = store.clone();
            claims.push(tokio::spawn(async move {
                store.claim_job(&format!("w{worker}"), LEASE, Timestamp(20)).await.unwrap()
            }));
        }
        let mut claimed = Vec::new();
        for claim in claims {
            claimed.extend(claim.await.unwrap());
        }
        assert_eq!(claimed.len(), 2);
        runs(&store, "w", "", None).await;
        let waits = "waiting for other jobs of the project: it runs 2 at once";
        assert_eq!(told(&store, build).await[2].2, waits);
        let one = &claimed[0];
        store.job_finished(one.id, 1, &JobEnd::Exited(0), Timestamp(30)).await.unwrap();
        let third = store.claim_job("w", LEASE, Timestamp(31)).await.unwrap().unwrap();
        assert_eq!(third.title, "C");
        nothing(&store, "w", 32).await;
        store.project_options_changed(project, &limit(None), Timestamp(33)).await.unwrap();
        assert_eq!(store.claim_job("w", LEASE, Timestamp(34)).await.unwrap().unwrap().title, "D");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_takes_only_what_it_has_the_labels_for() {
    on_both(async |store| {
        let (_, hooks) = project(&store, &["Big", "Tests", "Both"]).await;
        edit(&store, &hooks[0], &[("label", "gpu")]).await;
        edit(&store, &hooks[2], &[("label", "gpu"), ("label", "arm64")]).await;
        let build = called(&store, &hooks[0], '1', 10).await;
        assert_eq!(told(&store, build).await[1].2, "waiting for a worker: none is running");
        runs(&store, "plain", "", None).await;
        let waiting = told(&store, build).await;
        assert_eq!(waiting[0].2, "waiting for a worker: none has the label gpu");
        assert_eq!(waiting[1].2, "waiting for a worker, first in line");
        assert_eq!(waiting[2].2, "waiting for a worker: none has the labels arm64, gpu");
        runs(&store, "strong", "gpu,ssd", None).await;
        let waiting = told(&store, build).await;
        assert_eq!(waiting[0].2, "waiting for a worker with the label gpu, first in line");
        assert_eq!(waiting[1].2, "waiting for a worker, 1 ahead of it");
        let claim =
            async |worker: &str| store.claim_job(worker, LEASE, Timestamp(20)).await.unwrap();
        assert_eq!(claim("plain").await.unwrap().title, "Tests");
        nothing(&store, "plain", 21).await;
        nothing(&store, "unheard of", 21).await;
        assert_eq!(claim("strong").await.unwrap().title, "Big");
        nothing(&store, "strong", 22).await;
        runs(&store, "strong", "gpu,arm64", Some("it is full")).await;
        let waiting = jobs(&store, build).await;
        assert_eq!(waiting[2].reason, "waiting for disk space: it is full");
        assert_eq!(waiting[2].waiting.as_ref().unwrap().word(), "disk");
        assert_eq!(claim("strong").await.unwrap().title, "Both");
        // One that says nothing any more is gone.
        assert_eq!(store.workers(Timestamp(151_000)).await.unwrap().len(), 2);
        assert!(store.workers(Timestamp(151_001)).await.unwrap().is_empty());
        store.worker_ended("plain").await.unwrap();
        let left = store.workers(Timestamp(1_000)).await.unwrap();
        assert_eq!(left.iter().map(|worker| worker.name.as_str()).collect::<Vec<_>>(), ["strong"]);
        assert!(left[0].labels.include(&"arm64".parse::<Labels>().unwrap()));
    })
    .await;
}
