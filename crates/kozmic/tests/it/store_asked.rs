//! Builds that somebody asks for, schedules and sent trees, as the store keeps them: on
//! SQLite and on PostgreSQL.

use std::collections::BTreeMap;

use kozmic::model::{
    Change, ErrorKind, GitRef, HookEvent, JobEnd, ProjectId, PulledImage, Script, Timestamp,
    Trigger,
};
use kozmic::store::{Asked, AskedHooks, Store, StoreError};

use crate::store::{LEASE, build, on_both, project, spec};

fn asked(trigger: Trigger, hooks: AskedHooks) -> Asked {
    let new = build("main", '1');
    let by = Some("octo".to_owned());
    let variables = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
    Asked { git_ref: new.git_ref, commit: new.commit, trigger, by, hooks, variables }
}

/// Carries out the next job; what it was given.
async fn carry_out(store: &Store, end: JobEnd) -> BTreeMap<String, String> {
    let job = store.claim_job("w", LEASE, Timestamp(50)).await.unwrap().unwrap();
    store.job_finished(job.id, job.attempt, &end, Timestamp(60)).await.unwrap();
    job.variables
}

/// The states that wait to be reported, by context.
async fn states(store: &Store, project: ProjectId) -> BTreeMap<String, String> {
    let due = store.reports_due(project, Timestamp(1_000), 100).await.unwrap();
    let state =
        |report: kozmic::store::Report| (report.status.context, report.status.state.to_string());
    due.into_iter().map(state).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn chosen_hooks_speak_for_themselves_and_tries_for_nothing() {
    on_both(async |store| {
        let (project, hooks) = project(&store, &["Tests", "Style"]).await;
        let change = Change { event: HookEvent::Push, name: "main".into(), paths: None };
        let whole = asked(Trigger::Manual, AskedHooks::Wanting(change));
        let made = store.build_asked(project, &whole, Timestamp(10)).await.unwrap();
        assert_eq!(made.number, 1);
        assert_eq!(carry_out(&store, JobEnd::Exited(1)).await["A"], "1");
        carry_out(&store, JobEnd::Exited(1)).await;

        let one = asked(Trigger::Manual, AskedHooks::Named(vec![hooks[0].id]));
        store.build_asked(project, &one, Timestamp(20)).await.unwrap();
        carry_out(&store, JobEnd::Exited(0)).await;
        let expected = BTreeMap::from(
            [
                ("Kozmic-CI", "failure"),
                ("Kozmic-CI/Style", "failure"),
                ("Kozmic-CI/Tests", "success"),
            ]
            .map(|(context, state)| (context.to_owned(), state.to_owned())),
        );
        assert_eq!(states(&store, project).await, expected);

        // A hook that is not kept, on files that were sent.
        let typed = asked(Trigger::Try, AskedHooks::Typed(Box::new(spec("Typed")), None));
        store.tree_begun("trees/a", project, Timestamp(30)).await.unwrap();
        let tried = store.tree_tried(("trees/a", 5), project, &typed, Timestamp(31)).await.unwrap();
        let job = store.claim_job("w", LEASE, Timestamp(32)).await.unwrap().unwrap();
        assert_eq!((job.title.as_str(), job.tree.as_deref()), ("Typed", Some("trees/a")));
        store.job_finished(job.id, job.attempt, &JobEnd::Exited(0), Timestamp(33)).await.unwrap();
        let again = store.job_restarted(job.id, "octo", Timestamp(34)).await.unwrap();
        let again_as = store.job(again).await.unwrap().unwrap();
        assert_eq!((again_as.title.as_str(), again_as.build), ("Typed", tried.build));
        assert_eq!(states(&store, project).await, expected, "nobody is told of a try");
        let latest = store.latest_build(project, Some(&GitRef::branch("main").unwrap())).await;
        assert_eq!(latest.unwrap().unwrap().number, 1);
        let twice = store.tree_tried(("trees/a", 5), project, &typed, Timestamp(35)).await;
        assert!(twice.is_err(), "a tree is tried once");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_typed_runs_as_it_was_typed_whatever_becomes_of_its_hook() {
    on_both(async |store| {
        let (project, hooks) = project(&store, &["Tests"]).await;
        let mut written = spec("Typed");
        written.build_script = Script::parse("typed\n").unwrap();
        let of = Some(hooks[0].id);
        let typed = asked(Trigger::Try, AskedHooks::Typed(Box::new(written), of));
        let made = store.build_asked(project, &typed, Timestamp(10)).await.unwrap();
        assert!(store.build(made.build).await.unwrap().unwrap().asked.is_of_commit);
        let next = async |now| {
            let job = store.claim_job("w", LEASE, Timestamp(now)).await.unwrap().unwrap();
            store
                .job_finished(job.id, job.attempt, &JobEnd::Exited(1), Timestamp(now))
                .await
                .unwrap();
            job
        };
        let job = next(20).await;
        assert!(job.is_of_commit && job.tree.is_none());
        assert_eq!((job.title.as_str(), job.build_script.as_str()), ("Typed", "typed\n"));
        // The hook says something else by now.
        store.hook_edited(&hooks[0], &spec("Tests"), "octo", Timestamp(30)).await.unwrap();
        store.job_restarted(job.id, "octo", Timestamp(31)).await.unwrap();
        let again = next(40).await;
        assert_eq!((again.title.as_str(), again.build_script.as_str()), ("Typed", "typed\n"));
        assert!(again.is_of_commit);
        store.hook_deleted(&hooks[0], "octo", Timestamp(50)).await.unwrap();
        store.job_restarted(again.id, "octo", Timestamp(51)).await.unwrap();
        assert_eq!(next(60).await.build_script.as_str(), "typed\n");
        assert!(states(&store, project).await.is_empty(), "nobody is told of a try");
        // Another project's hook is none that it could be.
        let other = asked(Trigger::Try, AskedHooks::Typed(Box::new(spec("Typed")), of));
        store.build_asked(project, &other, Timestamp(70)).await.unwrap();
        assert!(next(80).await.is_of_commit);

        // A try whose files were sent is of those, and of nothing else once they are gone.
        let sent = asked(Trigger::Try, AskedHooks::Typed(Box::new(spec("Typed")), None));
        store.tree_begun("trees/b", project, Timestamp(90)).await.unwrap();
        store.tree_tried(("trees/b", 5), project, &sent, Timestamp(91)).await.unwrap();
        store.tree_removed("trees/b").await.unwrap();
        let job = next(92).await;
        assert!(!job.is_of_commit && job.tree.is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_of_an_image_is_told_without_asking_for_it() {
    on_both(async |store| {
        let (project, _) = project(&store, &["Tests"]).await;
        let news = async |image| store.image_news(project, image).await.unwrap();
        assert_eq!(news("debian:12").await, kozmic::store::ImageNews::default());
        let mut now = 10;
        let mut run = async |end: JobEnd, has_run| {
            let typed = asked(Trigger::Try, AskedHooks::Typed(Box::new(spec("Typed")), None));
            now += 10;
            store.build_asked(project, &typed, Timestamp(now)).await.unwrap();
            let job = store.claim_job("w", LEASE, Timestamp(now)).await.unwrap().unwrap();
            if has_run {
                store.script_started(job.id, job.attempt, "running").await.unwrap();
            }
            store.job_finished(job.id, job.attempt, &end, Timestamp(now + 1)).await.unwrap();
        };
        let missing = |image: &str| {
            JobEnd::Error(ErrorKind::ImageNotFound, format!("there is no image `{image}`"))
        };
        run(missing("debian:12"), false).await;
        let (at, why) = news("debian:12").await.last_job.unwrap();
        assert_eq!(at, Timestamp(21));
        assert!(why.unwrap().contains("no image `debian:12`"));
        run(JobEnd::Exited(3), true).await;
        assert_eq!(news("debian:12").await.last_job, Some((Timestamp(31), None)));
        // It was the image of a service that was missing, or no image at all.
        run(missing("postgres:99"), false).await;
        assert_eq!(news("debian:12").await.last_job, None);
        let image = PulledImage { id: "sha256:1".into(), name: "debian:12".into(), replaced: None };
        store.image_pulled("engine", &image, Timestamp(77)).await.unwrap();
        assert_eq!(news("debian:12").await.pulled_at, Some(Timestamp(77)));
        assert_eq!(news("debian:13").await, kozmic::store::ImageNews::default());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_is_run_by_whoever_is_first_and_a_tree_goes_when_nobody_needs_it() {
    on_both(async |store| {
        let (project, hooks) = project(&store, &["Nightly"]).await;
        let mut nightly = spec("Nightly");
        nightly.options.set("cron", "0 3 * * *").unwrap();
        store.hook_edited(&hooks[0], &nightly, "octo", Timestamp(0)).await.unwrap();
        let hour = 3_600_000;
        assert_eq!(store.next_schedule().await.unwrap(), Some(Timestamp(3 * hour)));
        assert!(store.schedules_due(Timestamp(3 * hour - 1), 9).await.unwrap().is_empty());
        let due = store.schedules_due(Timestamp(100 * hour), 9).await.unwrap();
        let cron = asked(Trigger::Cron, AskedHooks::Named(vec![hooks[0].id]));
        let (one, other) = tokio::join!(
            store.schedule_ran(&due[0], &cron, Timestamp(100 * hour)),
            store.schedule_ran(&due[0], &cron, Timestamp(100 * hour)),
        );
        assert_eq!(
            [one, other].into_iter().filter(|run| run.as_ref().unwrap().is_some()).count(),
            1
        );
        let next = store.schedules(project).await.unwrap().remove(0);
        assert_eq!(
            (next.next_at, next.last_due_at),
            (Timestamp(123 * hour), Some(Timestamp(3 * hour)))
        );
        // Saved again as it is, it goes on; without its line it ends.
        let now = store.hook(hooks[0].id).await.unwrap().unwrap();
        store.hook_edited(&now, &nightly, "octo", Timestamp(200 * hour)).await.unwrap();
        assert_eq!(store.next_schedule().await.unwrap(), Some(Timestamp(123 * hour)));
        store.hook_edited(&now, &spec("Nightly"), "octo", Timestamp(0)).await.unwrap();
        assert_eq!(store.next_schedule().await.unwrap(), None);
        // Nobody changes what they have not seen.
        let stale = store.hook_edited(&now, &nightly, "octo", Timestamp(0)).await;
        assert!(matches!(stale, Err(StoreError::Changed("hook"))), "{stale:?}");
        carry_out(&store, JobEnd::Exited(0)).await;

        let day = 24 * hour;
        store.tree_begun("trees/cut", project, Timestamp(0)).await.unwrap();
        store.tree_begun("trees/tried", project, Timestamp(0)).await.unwrap();
        let named = asked(Trigger::Try, AskedHooks::Named(vec![hooks[0].id]));
        store.tree_tried(("trees/tried", 5), project, &named, Timestamp(1)).await.unwrap();
        let old = async |days: i64| store.trees_to_remove(Timestamp(days * day), 9).await.unwrap();
        assert_eq!(old(1).await, ["trees/cut"]);
        assert_eq!(old(8).await, ["trees/cut"], "its job waits still");
        carry_out(&store, JobEnd::Exited(0)).await;
        assert!(old(6).await.len() == 1 && old(8).await.len() == 2);
    })
    .await;
}
