//! What is built and what waits or is passed over, as the store keeps it: on SQLite and
//! on PostgreSQL.

use std::collections::BTreeMap;

use kozmic::model::{
    Approval, Fork, ForkPolicy, GitRef, Head, HookEvent, HookOptions, JobEnd, Labels, PullRequest,
    Timestamp, Trigger,
};
use kozmic::store::{Delivery, NewBuild, ProjectChange, Recorded, WorkerState};

use crate::store::{LEASE, build, delivery, on_both, project, spec};

fn of_fork(number: i64, digit: char, author: i64, owner: i64) -> NewBuild {
    NewBuild {
        git_ref: GitRef::pull_request(number),
        trigger: Trigger::PullRequest,
        pull_request: Some(PullRequest {
            number,
            title: "Better".into(),
            author: format!("user-{author}"),
            author_id: Some(author),
            fork: Some(Fork { owner: format!("user-{owner}"), owner_id: Some(owner) }),
        }),
        asks_first: true,
        ..build("x", digit)
    }
}

fn head(name: &str, digit: Option<char>) -> Head {
    Head {
        name: name.into(),
        sha: digit.map(|digit| digit.to_string().repeat(40).parse().unwrap()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_claims_what_waits_for_an_approval() {
    on_both(async |store| {
        let (project, hooks) = project(&store, &["Tests"]).await;
        assert_eq!(store.project_options(project).await.unwrap().forks, ForkPolicy::Ask);
        let call = async |guid: &str, build: &NewBuild, at| {
            store.hook_called(&delivery(&hooks[0], guid), build, Timestamp(at)).await.unwrap()
        };
        let Recorded::Waits { build: first, number: 1 } =
            call("g1", &of_fork(7, '1', 15, 15), 10).await
        else {
            panic!()
        };
        assert!(store.claim_job("w", LEASE, Timestamp(11)).await.unwrap().is_none());
        // What came later and needs no approval does not queue behind it.
        let ours = call("g2", &build("main", '2'), 12).await.build().unwrap();
        let worker = WorkerState {
            name: "w".into(),
            labels: Labels::default(),
            concurrency: 1,
            trouble: None,
            about: kozmic::model::WorkerAbout::default(),
        };
        store.worker_runs(&worker, Timestamp(12)).await.unwrap();
        let mut waiting = store.jobs_of(ours).await.unwrap();
        store.tell_why_they_wait(&mut waiting, Timestamp(12)).await.unwrap();
        assert_eq!(waiting[0].reason, "waiting for a worker, first in line");
        let job = store.claim_job("w", LEASE, Timestamp(13)).await.unwrap().unwrap();
        assert_eq!(job.build, ours);
        store.job_finished(job.id, 1, &JobEnd::Exited(0), Timestamp(14)).await.unwrap();

        let other = call("g3", &of_fork(8, '3', 15, 16), 15).await.build().unwrap();
        let sha = "9".repeat(40).parse().unwrap();
        let approve = async |build, sha, trusts| {
            store.build_approved(build, sha, trusts, "octo", Timestamp(20)).await
        };
        assert!(approve(first, Some(&sha), true).await.is_err(), "another commit");
        assert!(approve(ours, None, false).await.is_err(), "nothing waits");
        approve(first, None, true).await.unwrap();
        assert!(approve(first, None, true).await.is_err(), "it is approved");
        let approval = store.build(first).await.unwrap().unwrap().approval;
        assert_eq!(approval, Approval::Given { by: "octo".into(), at: Timestamp(20) });
        let approval = store.build(other).await.unwrap().unwrap().approval;
        assert_eq!(approval, Approval::Awaited, "a fork of somebody else");
        let job = store.claim_job("w", LEASE, Timestamp(21)).await.unwrap().unwrap();
        assert_eq!(job.build, first);
        assert!(store.claim_job("w", LEASE, Timestamp(21)).await.unwrap().is_none());
        let trusted = call("g4", &of_fork(9, '4', 15, 15), 22).await;
        assert!(matches!(trusted, Recorded::Built { .. }), "{trusted:?}");
        let unknown = NewBuild {
            pull_request: of_fork(10, '5', 15, 15)
                .pull_request
                .map(|pull| PullRequest { author_id: None, ..pull }),
            ..of_fork(10, '5', 15, 15)
        };
        let unknown = call("g5", &unknown, 23).await;
        assert!(matches!(unknown, Recorded::Waits { .. }), "{unknown:?}");
        let refused = approve(unknown.build().unwrap(), None, true).await.unwrap_err();
        assert!(refused.to_string().contains("approve this commit only"), "{refused}");

        assert_eq!(store.trusted_authors(project).await.unwrap()[0].login, "user-15");
        let change = ProjectChange { distrust: vec!["User-15".into()], ..Default::default() };
        store.project_options_changed(project, &change, Timestamp(30)).await.unwrap();
        assert!(store.trusted_authors(project).await.unwrap().is_empty());
        let again = call("g6", &of_fork(9, '6', 15, 15), 31).await;
        assert!(matches!(again, Recorded::Waits { .. }), "{again:?}");
        // The project's owner, from a fork of their own and from somebody else's.
        let own = call("g7", &of_fork(11, '7', 5, 5), 32).await;
        assert!(matches!(own, Recorded::Built { .. }), "{own:?}");
        let lent = call("g8", &of_fork(12, '8', 5, 16), 33).await;
        assert!(matches!(lent, Recorded::Waits { .. }), "{lent:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_did_not_want_the_push_joins_for_the_pull_request() {
    on_both(async |store| {
        let (project, hooks) = project(&store, &["Tests"]).await;
        let mut options = HookOptions::default();
        options.set("event", "pull_request").unwrap();
        options.set("path", "src/**").unwrap();
        let picky = kozmic::model::HookSpec { options, ..spec("Picky") };
        let picky = store.hook_added(project, &picky, &"x".into(), "octo", Timestamp(2)).await;
        let picky = store.hook(picky.unwrap()).await.unwrap().unwrap();
        store.hook_connected(picky.id, 99).await.unwrap();
        let called = store
            .hook_called(&delivery(&hooks[0], "g1"), &build("main", '1'), Timestamp(10))
            .await
            .unwrap();
        let Recorded::Built { build: id, jobs: 1, .. } = called else { panic!("{called:?}") };
        let why = "runs for pull_request and not for push".to_owned();
        assert_eq!(store.hooks_not_run(id).await.unwrap(), [("Picky".to_owned(), why)]);
        let mut pull = build("main", '1');
        pull.trigger = Trigger::PullRequest;
        pull.change.event = HookEvent::PullRequest;
        pull.change.paths = Some(vec!["README".into()]);
        let of_picky = |guid: &str| Delivery { hook: picky.id, ..delivery(&hooks[0], guid) };
        let called = store.hook_called(&of_picky("g2"), &pull, Timestamp(11)).await.unwrap();
        assert!(matches!(called, Recorded::NotRun { number: 1, .. }), "{called:?}");
        pull.change.paths = None;
        let called = store.hook_called(&of_picky("g3"), &pull, Timestamp(12)).await.unwrap();
        assert_eq!(called, Recorded::Joined { build: id, number: 1, jobs: 1 });
        let called = store.hook_called(&of_picky("g4"), &pull, Timestamp(13)).await.unwrap();
        assert_eq!(called, Recorded::Attached { build: id, number: 1 });
        assert!(store.hooks_not_run(id).await.unwrap().is_empty());
        assert_eq!(store.jobs_of(id).await.unwrap().len(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_heads_stand_is_known_by_deliveries_and_comparisons() {
    on_both(async |store| {
        let (project, hooks) = project(&store, &["Tests"]).await;
        let seen = async || store.seen_heads(project).await.unwrap();
        let heads = |heads: &[(&str, char)]| -> BTreeMap<String, String> {
            let head =
                |(name, digit): &(&str, char)| ((*name).into(), digit.to_string().repeat(40));
            heads.iter().map(head).collect()
        };
        assert_eq!(store.comparison(project).await.unwrap().heads_known_at, None);
        let called = delivery(&hooks[0], "g1");
        store.hook_called(&called, &build("main", '1'), Timestamp(10)).await.unwrap();
        let there = [head("refs/heads/main", Some('0')), head("refs/heads/old", Some('2'))];
        store.heads_known(project, &there, false, Timestamp(9)).await.unwrap();
        let known = [("refs/heads/main", '1'), ("refs/heads/old", '2')];
        assert_eq!(seen().await, heads(&known), "a delivery knows better");
        assert_eq!(store.comparison(project).await.unwrap().heads_known_at, Some(Timestamp(9)));

        let later = [head("refs/heads/old", Some('6'))];
        store.heads_known(project, &later, false, Timestamp(11)).await.unwrap();
        let known = [("refs/heads/main", '1'), ("refs/heads/old", '6')];
        let tags = [head("refs/tags/v1", Some('3'))];
        store.heads_known(project, &tags, true, Timestamp(12)).await.unwrap();
        store.tags_forgotten(project).await.unwrap();
        assert_eq!(seen().await, heads(&known));
        assert_eq!(store.comparison(project).await.unwrap().tags_known_at, None);

        let skipped = head("refs/heads/main", Some('4'));
        let called = delivery(&hooks[0], "g2");
        store.delivery_ignored(&called, "Skipped.", Some(&skipped), Timestamp(13)).await.unwrap();
        store.head_gone(project, "refs/heads/main", Timestamp(13)).await.unwrap();
        store.head_gone(project, "refs/heads/old", Timestamp(13)).await.unwrap();
        assert_eq!(seen().await, heads(&[("refs/heads/main", '4')]), "told of meanwhile");
        let gone = delivery(&hooks[0], "g3");
        let deleted = head("refs/heads/main", None);
        store.delivery_ignored(&gone, "Deleted.", Some(&deleted), Timestamp(14)).await.unwrap();
        assert!(seen().await.is_empty());

        let missed = NewBuild {
            trigger: Trigger::Reconciliation,
            missed_because: Some("GitHub's delivery failed.".into()),
            sender: None,
            ..build("main", '5')
        };
        let found = store.commit_missed(project, &missed, Timestamp(20)).await.unwrap();
        let Recorded::Built { build: id, jobs: 1, .. } = found else { panic!("{found:?}") };
        let kept = store.build(id).await.unwrap().unwrap();
        assert_eq!(
            (kept.trigger, kept.missed_because),
            (Trigger::Reconciliation, missed.missed_because)
        );
        let late = delivery(&hooks[0], "g5");
        let late = store.hook_called(&late, &build("main", '5'), Timestamp(21)).await.unwrap();
        assert!(matches!(late, Recorded::Attached { .. }), "{late:?}");
        store.compared(project, Some("GitHub is away"), Timestamp(22)).await.unwrap();
        let comparison = store.comparison(project).await.unwrap();
        assert_eq!(comparison.problem.as_deref(), Some("GitHub is away"));
        assert_eq!(store.projects_with_hooks().await.unwrap().len(), 1);
    })
    .await;
}
