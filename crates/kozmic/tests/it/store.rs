//! One story of the store, told on SQLite and on PostgreSQL.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kozmic::model::{
    BuildId, Change, Commit, ErrorKind, GitRef, GithubUser, HookEvent, HookSpec, JobEnd, JobStatus,
    ProjectId, PulledImage, RemoteRepository, Script, Timestamp, Trigger,
};
use kozmic::seal::Seal;
use kozmic::store::{
    Delivery, Hook, LeaseState, Left, Listed, NewBuild, OfferedRepository, Organization,
    ProjectChange, ProjectSummary, ProjectsPart, Recorded, Store, StoreError, UserRepositories,
};
use secrecy::ExposeSecret as _;
use sqlx::{AnyPool, Row as _};

use crate::harness::Postgres;

pub const LEASE: Duration = Duration::from_secs(30);

pub fn seal() -> Seal {
    Seal::from_text(&"k".repeat(32).into()).unwrap()
}

/// Runs a story on both databases; each starts empty.
pub async fn on_both(told: impl AsyncFn(Store)) {
    on_both_at(async |store, _| told(store).await).await;
}

/// The same, for a story that opens them again.
pub async fn on_both_at(told: impl AsyncFn(Store, &str)) {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite://{}", folder.path().join("kozmic.db").display());
    let postgres = Postgres::start().await;
    for url in [&sqlite, &postgres.url] {
        let store = Store::open(url, seal()).await.unwrap();
        store.migrate().await.unwrap();
        told(store.clone(), url).await;
        store.close().await;
    }
}

pub async fn project(store: &Store, titles: &[&str]) -> (ProjectId, Vec<Hook>) {
    project_of(store, 7, "octo/orbit", titles).await
}

pub async fn project_of(
    store: &Store,
    gh_id: i64,
    name: &str,
    titles: &[&str],
) -> (ProjectId, Vec<Hook>) {
    let user = GithubUser {
        gh_id: 5,
        login: "octo".into(),
        name: "Octo".into(),
        avatar_url: None,
        email: None,
    };
    let owner = store.user_signed_in(&user, &"token-1".into(), Timestamp(1)).await.unwrap();
    let repository = RemoteRepository {
        gh_id,
        full_name: name.parse().unwrap(),
        ssh_clone_url: format!("git@github.com:{name}.git"),
        https_clone_url: format!("https://github.com/{name}.git"),
        default_branch: "main".into(),
        is_public: true,
    };
    let project = store.project_added(&repository, owner, Timestamp(1)).await.unwrap();
    for (index, title) in titles.iter().enumerate() {
        let hook = store
            .hook_added(project, &spec(title), &"hush".into(), "octo", Timestamp(2))
            .await
            .unwrap();
        store.hook_connected(hook, i64::try_from(index).unwrap()).await.unwrap();
    }
    (project, store.hooks(project).await.unwrap())
}

pub fn spec(title: &str) -> HookSpec {
    HookSpec {
        title: title.into(),
        image: "debian:12".parse().unwrap(),
        install_script: Some(Script::parse("install\n").unwrap()),
        tracked: vec!["a b".parse().unwrap(), "c".parse().unwrap()],
        build_script: Script::parse("#!/bin/sh\nbuild\n").unwrap(),
        options: kozmic::model::HookOptions::default(),
    }
}

pub fn build(branch: &str, digit: char) -> NewBuild {
    NewBuild {
        git_ref: GitRef::branch(branch).unwrap(),
        commit: Commit {
            sha: digit.to_string().repeat(40).parse().unwrap(),
            author: "Ada".into(),
            message: "Fix 🚀".into(),
        },
        trigger: Trigger::Push,
        pull_request: None,
        asks_first: false,
        missed_because: None,
        sender: None,
        change: Change { event: HookEvent::Push, name: branch.into(), paths: None },
    }
}

pub async fn listed(store: &Store, of: Listed) -> Vec<ProjectSummary> {
    let part = ProjectsPart { of, named: "", skip: 0, limit: 100 };
    store.projects_listed(&part).await.unwrap()
}

pub fn delivery(hook: &Hook, guid: &str) -> Delivery {
    Delivery {
        hook: hook.id,
        project: hook.project,
        guid: guid.into(),
        event: "push".into(),
        payload: "{\"a\": \"ü\"}".into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_call_to_a_report() {
    on_both(async |store| {
        let (project, hooks) = project(&store, &["Tests", "Style"]).await;
        assert_eq!(hooks[0].spec, spec("Tests"), "what was kept is read back");
        let called = store
            .hook_called(&delivery(&hooks[0], "g1"), &build("main", '1'), Timestamp(10))
            .await
            .unwrap();
        let Recorded::Built { build: id, number: 1, jobs: 2 } = called else {
            panic!("{called:?}")
        };
        let second = store
            .hook_called(&delivery(&hooks[1], "g1"), &build("main", '1'), Timestamp(11))
            .await
            .unwrap();
        assert_eq!(second, Recorded::Attached { build: id, number: 1 });
        let again = store
            .hook_called(&delivery(&hooks[1], "g1"), &build("main", '1'), Timestamp(12))
            .await
            .unwrap();
        assert_eq!(again, Recorded::Seen(second.sentence()));
        let reports = store.reports_due(project, Timestamp(12), 10).await.unwrap();
        let told: BTreeMap<String, String> = reports
            .iter()
            .map(|r| (r.status.context.clone(), r.status.state.to_string()))
            .collect();
        assert_eq!(told.len(), 3);
        assert!(told.values().all(|state| state == "pending"));
        for report in &reports {
            store.report_settled(report, "me", None, Timestamp(13)).await.unwrap();
        }
        assert!(store.reports_due(project, Timestamp(13), 10).await.unwrap().is_empty());

        let first = store.claim_job("w", LEASE, Timestamp(20)).await.unwrap().unwrap();
        assert_eq!((first.title.as_str(), first.attempt, first.build_number), ("Tests", 1, 1));
        assert_eq!(first.tracked, spec("Tests").tracked);
        assert_eq!(
            store.lease_renewed(first.id, 1, LEASE, Timestamp(21)).await.unwrap(),
            LeaseState::Held
        );
        let other = store.claim_job("w", LEASE, Timestamp(22)).await.unwrap().unwrap();
        assert!(store.claim_job("w", LEASE, Timestamp(22)).await.unwrap().is_none());
        store.job_finished(first.id, 1, &JobEnd::Exited(0), Timestamp(1_030)).await.unwrap();
        assert_eq!(store.build(id).await.unwrap().unwrap().status.as_str(), "pending");
        let twice = store.job_finished(first.id, 1, &JobEnd::Exited(1), Timestamp(1_031)).await;
        assert!(matches!(twice, Err(StoreError::Stale)), "an end is written once");
        let error = JobEnd::Error(ErrorKind::EngineAway, "the engine is away".into());
        store.job_finished(other.id, 1, &error, Timestamp(2_022)).await.unwrap();
        let built = store.latest_build(project, None).await.unwrap().unwrap();
        assert_eq!(built.status.as_str(), "error");
        assert_eq!(
            (built.started_at, built.finished_at),
            (Some(Timestamp(20)), Some(Timestamp(2_022)))
        );
        let mut reports = store.reports_due(project, Timestamp(2_022), 10).await.unwrap();
        reports.sort_by(|a, b| a.status.context.cmp(&b.status.context));
        let told: Vec<_> = reports
            .iter()
            .map(|r| (r.status.state.as_str(), r.status.description.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("error", "Build #1 could not be carried out: Style"),
                ("error", "the engine is away"),
                ("success", "Passed in 1.0 s"),
            ]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_fails_holds_back_those_of_its_project_alone() {
    on_both(async |store| {
        let (project, hooks) = project(&store, &["Tests"]).await;
        let call = delivery(&hooks[0], "g1");
        store.hook_called(&call, &build("main", '1'), Timestamp(10)).await.unwrap();
        assert_eq!(store.projects_to_report(Timestamp(9), 8).await.unwrap(), []);
        assert_eq!(store.projects_to_report(Timestamp(10), 8).await.unwrap(), [project]);
        assert_eq!(store.next_report_after(Timestamp(9)).await.unwrap(), Some(Timestamp(10)));
        assert_eq!(store.next_report_after(Timestamp(10)).await.unwrap(), None);
        let due = store.reports_due(project, Timestamp(10), 10).await.unwrap();
        assert_eq!(due.iter().map(|report| report.attempts).collect::<Vec<_>>(), [0, 0]);
        assert!(store.report_begun(&due[0], "me", Timestamp(10)).await.unwrap());
        let minute = Duration::from_mins(1);
        store.reports_postponed(project, "me", "away", minute, Timestamp(20)).await.unwrap();
        assert_eq!(store.projects_to_report(Timestamp(21), 8).await.unwrap(), []);
        let later = Timestamp(20).plus(minute);
        assert_eq!(store.next_report_after(Timestamp(21)).await.unwrap(), Some(later));
        let again = store.reports_due(project, later, 10).await.unwrap();
        let order: Vec<_> = again.iter().map(|report| (report.id, report.attempts)).collect();
        assert_eq!(order, [(due[1].id, 0), (due[0].id, 1)], "first what failed least");
        for report in &again {
            store.report_settled(report, "me", Some("another one"), later).await.unwrap();
            assert!(!store.report_begun(report, "me", later).await.unwrap(), "it is settled");
        }
        assert_eq!(store.projects_to_report(later, 8).await.unwrap(), []);
        // Given up under its old name, tried again under the new one; not for other changes.
        let mut repository = store.project(project).await.unwrap().unwrap().repository;
        repository.default_branch = "trunk".into();
        store.repository_changed(project, &repository, later).await.unwrap();
        assert_eq!(store.projects_to_report(later, 8).await.unwrap(), []);
        repository.full_name = "octo/starship".parse().unwrap();
        store.repository_changed(project, &repository, later).await.unwrap();
        assert_eq!(store.reports_due(project, later, 10).await.unwrap().len(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_whose_commit_is_unknown_holds_back_no_other() {
    on_both(async |store| {
        let (project, hooks) = project(&store, &["Tests"]).await;
        let call = delivery(&hooks[0], "g1");
        store.hook_called(&call, &build("main", '1'), Timestamp(10)).await.unwrap();
        let due = store.reports_due(project, Timestamp(10), 10).await.unwrap();
        assert!(store.report_begun(&due[0], "me", Timestamp(10)).await.unwrap());
        let other = (&due[0], "another", "not mine", Duration::from_hours(1));
        store.report_postponed(other.0, other.1, other.2, other.3, Timestamp(11)).await.unwrap();
        let minute = Duration::from_mins(1);
        store.report_postponed(&due[0], "me", "unknown", minute, Timestamp(20)).await.unwrap();
        assert_eq!(store.projects_to_report(Timestamp(21), 8).await.unwrap(), [project]);
        let now = store.reports_due(project, Timestamp(21), 10).await.unwrap();
        assert_eq!(now.iter().map(|report| report.id).collect::<Vec<_>>(), [due[1].id]);
        let later = Timestamp(20).plus(minute);
        assert_eq!(store.next_report_after(Timestamp(21)).await.unwrap(), Some(later));
        assert_eq!(store.reports_due(project, later, 10).await.unwrap().len(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_attempt_writes_nothing() {
    on_both(async |store| {
        let (_, hooks) = project(&store, &["Tests"]).await;
        store
            .hook_called(&delivery(&hooks[0], "g1"), &build("main", '1'), Timestamp(10))
            .await
            .unwrap();
        let job = store.claim_job("w1", LEASE, Timestamp(20)).await.unwrap().unwrap();
        let in_time = Timestamp(20).plus(LEASE);
        assert!(store.leases_lapsed(in_time).await.unwrap().is_empty());
        assert_eq!(store.job_lost(job.id, in_time).await.unwrap(), None);
        store.script_started(job.id, 1, "running").await.unwrap();
        let late = in_time.plus(Duration::from_millis(1));
        let lapsed = store.leases_lapsed(late).await.unwrap();
        let lapsed: Vec<_> =
            lapsed.iter().map(|it| (it.job, it.uuid, it.attempt, it.owner.as_str())).collect();
        assert_eq!(lapsed, [(job.id, job.uuid, 1, "w1")]);
        assert!(store.job_lost(job.id, late).await.unwrap().unwrap().retried);
        let retried = store.claim_job("w2", LEASE, late).await.unwrap().unwrap();
        assert_eq!((retried.id, retried.attempt), (job.id, 2));
        assert!(!store.is_leased(job.uuid, 1).await.unwrap());
        assert!(store.is_leased(job.uuid, 2).await.unwrap());
        assert_eq!(store.lease_renewed(job.id, 1, LEASE, late).await.unwrap(), LeaseState::Lost);
        let stale = store.job_finished(job.id, 1, &JobEnd::Exited(0), late).await;
        assert!(matches!(stale, Err(StoreError::Stale)));
        assert!(matches!(store.job_released(job.id, 1, "x", late).await, Err(StoreError::Stale)));
        // A worker that gives a job back is not lost, however often.
        store.job_released(job.id, 2, "the worker stopped", late).await.unwrap();
        let third = store.claim_job("w3", LEASE, late).await.unwrap().unwrap();
        assert_eq!(third.attempt, 3);
        store.script_started(job.id, 3, "running").await.unwrap();
        store.leases_abandoned("w3", late.plus(LEASE)).await.unwrap();
        let lost = store.job_lost(job.id, late.plus(LEASE)).await.unwrap().unwrap();
        assert!(!lost.retried);
        assert_eq!(store.job(job.id).await.unwrap().unwrap().status, JobStatus::Error);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_never_started_its_script_may_be_lost_more_often_but_not_for_ever() {
    on_both(async |store| {
        let (_, hooks) = project(&store, &["Tests"]).await;
        store
            .hook_called(&delivery(&hooks[0], "g1"), &build("main", '1'), Timestamp(10))
            .await
            .unwrap();
        let mut now = Timestamp(20);
        for attempt in 1..=10 {
            let job = store.claim_job("w", LEASE, now).await.unwrap().unwrap();
            assert_eq!(job.attempt, attempt);
            // It was about to be, as the engine's container tells.
            store.script_started(job.id, attempt, "starting").await.unwrap();
            store.script_never_started(job.id, attempt).await.unwrap();
            now = now.plus(LEASE).plus(Duration::from_millis(1));
            let lost = store.job_lost(job.id, now).await.unwrap().unwrap();
            assert_eq!(lost.retried, attempt < 10);
        }
        assert!(store.claim_job("w", LEASE, now).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_the_disks_is_known_by_its_use() {
    on_both(async |store| {
        let (project, hooks) = project(&store, &["Tests"]).await;
        let image = |name: &str, id: &str, replaced: Option<&str>| PulledImage {
            name: name.into(),
            id: id.into(),
            replaced: replaced.map(str::to_owned),
        };
        for pulled in [
            image("debian:12", "one", None),
            // Its tag moved on; ours stays ours.
            image("debian:12", "two", Some("one")),
            image("debian:12", "two", Some("one")),
            // A person's, and so is what follows it.
            image("alpine:3", "four", Some("three")),
            image("alpine:3", "five", Some("four")),
        ] {
            store.image_pulled("here", &pulled, Timestamp(5)).await.unwrap();
        }
        store.image_pulled("there", &image("x", "six", None), Timestamp(5)).await.unwrap();
        let pulled = store.pulled_images("here").await.unwrap();
        let ids: Vec<&str> = pulled.iter().map(|it| it.image_id.as_str()).collect();
        assert_eq!(ids, ["one", "two"]);
        assert_eq!(pulled[0].used, Timestamp(5));
        store.pulled_image_gone(pulled[0].record).await.unwrap();
        assert_eq!(store.pulled_images("here").await.unwrap().len(), 1);
        assert_eq!(store.images_wanted().await.unwrap(), ["debian:12"]);

        let called = async |guid: &str, digit, at| {
            let delivery = delivery(&hooks[0], guid);
            store.hook_called(&delivery, &build("main", digit), Timestamp(at)).await.unwrap();
        };
        let work = async |at| {
            let job = store.claim_job("w", LEASE, Timestamp(at)).await.unwrap().unwrap();
            let end = JobEnd::Exited(0);
            store.job_finished(job.id, 1, &end, Timestamp(at + 1)).await.unwrap();
            job
        };
        called("g1", '1', 10).await;
        assert!(store.projects_at_work().await.unwrap().contains(&project));
        let job = store.jobs_of(BuildId(1)).await.unwrap().remove(0);
        assert!(!store.log_removed(job.id, "", Timestamp(11)).await.unwrap(), "it waits");
        let first = work(20).await;
        assert!(store.projects_at_work().await.unwrap().is_empty());
        assert_eq!(store.pulled_images("here").await.unwrap()[0].used, Timestamp(20));
        assert!(store.oldest_logs(None, 9).await.unwrap().is_empty(), "the newest build's stay");
        called("g2", '2', 30).await;
        let second = work(40).await;
        called("g3", '3', 50).await;
        assert_eq!(store.projects_built().await.unwrap()[&project], Timestamp(50));

        let logs = store.oldest_logs(None, 1).await.unwrap();
        assert_eq!((logs[0].job, logs[0].finished_at), (first.id, Timestamp(21)));
        let next = store.oldest_logs(logs.last(), 9).await.unwrap();
        assert_eq!(next.iter().map(|it| it.job).collect::<Vec<_>>(), [second.id]);
        assert!(store.log_removed(first.id, "by hand", Timestamp(60)).await.unwrap());
        let removed = store.job(first.id).await.unwrap().unwrap().log_removed_at;
        assert_eq!(removed, Some(Timestamp(60)));
        assert_eq!(store.oldest_logs(None, 9).await.unwrap(), next);
        assert_eq!(store.logs_removed_since(Timestamp(60)).await.unwrap(), [first.uuid]);
        assert!(store.logs_removed_since(Timestamp(61)).await.unwrap().is_empty());

        let needed = async |newest| {
            let mut needed = store.commits_needed(project, newest).await.unwrap();
            needed.sort_by(|a, b| a.as_str().cmp(b.as_str()));
            needed.iter().map(|sha| sha.as_str()[..1].to_owned()).collect::<String>()
        };
        assert_eq!((needed(0).await, needed(2).await), ("3".to_owned(), "23".to_owned()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_claim_and_none_twice() {
    on_both(async |store| {
        let (_, hooks) = project(&store, &["Tests"]).await;
        for number in 0..40 {
            let build = build(&format!("branch-{number}"), '1');
            store
                .hook_called(&delivery(&hooks[0], &format!("g{number}")), &build, Timestamp(10))
                .await
                .unwrap();
        }
        let workers = (0..8).map(|worker| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut claimed = Vec::new();
                while let Some(job) =
                    store.claim_job(&format!("w{worker}"), LEASE, Timestamp(20)).await.unwrap()
                {
                    store
                        .job_finished(job.id, job.attempt, &JobEnd::Exited(0), Timestamp(30))
                        .await
                        .unwrap();
                    claimed.push(job.id);
                }
                claimed
            })
        });
        let mut claimed = Vec::new();
        for worker in workers.collect::<Vec<_>>() {
            claimed.extend(worker.await.unwrap());
        }
        assert_eq!(claimed.len(), 40);
        assert_eq!(claimed.iter().collect::<BTreeSet<_>>().len(), 40);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_are_numbered_one_by_one_however_many_come_at_once() {
    on_both(async |store| {
        let (project, hooks) = project(&store, &["Tests"]).await;
        let calls = (0..20).map(|number| {
            let (store, hook) = (store.clone(), hooks[0].clone());
            tokio::spawn(async move {
                let build = build(&format!("branch-{number}"), '2');
                store
                    .hook_called(&delivery(&hook, &format!("g{number}")), &build, Timestamp(10))
                    .await
                    .unwrap();
            })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap();
        }
        let builds = store.builds_before(project, None, 100).await.unwrap();
        let numbers: Vec<i64> = builds.iter().map(|build| build.number).collect();
        assert_eq!(numbers, (1..=20).rev().collect::<Vec<_>>());
        let older = store.builds_before(project, Some(11), 3).await.unwrap();
        assert_eq!(older.iter().map(|build| build.number).collect::<Vec<_>>(), [10, 9, 8]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_change_their_names_and_hooks_their_scripts() {
    on_both(async |store| {
        let (project, hooks) = project(&store, &["Tests"]).await;
        let owner = store.project(project).await.unwrap().unwrap().owner;
        let mut other = GithubUser {
            gh_id: 6,
            login: "octo".into(),
            name: "New".into(),
            avatar_url: None,
            email: None,
        };
        let new = store.user_signed_in(&other, &"token-2".into(), Timestamp(3)).await.unwrap();
        assert_ne!(new, owner, "a login that was freed belongs to somebody else");
        other.login = "other".into();
        assert_eq!(
            store.user_signed_in(&other, &"token-3".into(), Timestamp(4)).await.unwrap(),
            new
        );
        let user = store.user(new).await.unwrap().unwrap();
        assert_eq!(user.login, "other");
        assert_eq!(secrecy::ExposeSecret::expose_secret(&user.token.unwrap()), "token-3");
        let mut edited = spec("Checks");
        edited.tracked.pop();
        edited.install_script = None;
        store.hook_edited(&hooks[0], &edited, "octo", Timestamp(5)).await.unwrap();
        assert_eq!(store.hook(hooks[0].id).await.unwrap().unwrap().spec, edited);
        let taken = store.hook_added(project, &edited, &"x".into(), "octo", Timestamp(6)).await;
        assert!(matches!(taken, Err(StoreError::Refused(why)) if why.contains("`Checks`")));
        let summary = &listed(&store, Listed::All).await[0];
        assert_eq!((summary.full_name.as_str(), summary.latest.is_none()), ("octo/orbit", true));
        let instance = store.instance(Timestamp(1)).await.unwrap();
        assert_eq!(store.instance(Timestamp(2)).await.unwrap(), instance);
    })
    .await;
}

fn person(gh_id: i64, login: &str) -> GithubUser {
    let (login, name) = (login.to_owned(), login.to_uppercase());
    GithubUser { gh_id, login, name, avatar_url: None, email: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn github_says_who_may_do_what_and_whose_token_is_used() {
    on_both(async |store| {
        let (project, _) = project(&store, &[]).await;
        let ada =
            store.user_signed_in(&person(11, "ada"), &"ada's".into(), Timestamp(2)).await.unwrap();
        store.user_signed_in(&person(12, "bob"), &"bob's".into(), Timestamp(2)).await.unwrap();
        let roles = async || {
            let members = store.members(project).await.unwrap();
            members.into_iter().map(|it| (it.login, it.role.as_str())).collect::<Vec<_>>()
        };
        let all = [(11, true), (12, false), (5, true), (99, true)];
        store.members_synchronized(project, &all, true, Timestamp(3)).await.unwrap();
        let named = |of: &[(&str, &'static str)]| -> Vec<(String, &'static str)> {
            of.iter().map(|(login, role)| ((*login).to_owned(), *role)).collect()
        };
        let everybody = named(&[("octo", "owner"), ("ada", "manager"), ("bob", "member")]);
        assert_eq!(roles().await, everybody);
        // What GitHub could not tell removes nobody.
        store.members_synchronized(project, &[], false, Timestamp(4)).await.unwrap();
        assert_eq!(roles().await, everybody);
        store.members_synchronized(project, &[(12, true)], true, Timestamp(5)).await.unwrap();
        assert_eq!(roles().await, named(&[("octo", "owner"), ("bob", "manager")]));
        let nothing = UserRepositories::default();
        store.user_synchronized(ada, &nothing, &[(7, true)], Timestamp(6)).await.unwrap();
        assert_eq!(roles().await.len(), 3);
        let holders = async |now| {
            let holders = store.token_holders(project, Timestamp(now)).await.unwrap();
            holders.into_iter().map(|it| it.login).collect::<Vec<_>>()
        };
        assert_eq!(holders(7).await, ["octo", "ada", "bob"]);
        let owner = store.project(project).await.unwrap().unwrap().owner;
        store.tokens_tried(&[owner], Some(ada), Timestamp(8)).await.unwrap();
        assert_eq!(holders(9).await, ["ada", "bob"]);
        assert_eq!(holders(3_600_009).await, ["ada", "bob", "octo"], "it may be good again");
        store.project_handed_over(project, ada, Timestamp(10)).await.unwrap();
        assert_eq!(
            roles().await,
            named(&[("ada", "owner"), ("bob", "manager"), ("octo", "manager")])
        );
        store.user_synchronized(ada, &nothing, &[], Timestamp(11)).await.unwrap();
        assert_eq!(roles().await[0].0, "ada", "the owner is never a member");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repositories_are_offered_until_they_are_projects() {
    on_both(async |store| {
        let octo =
            store.user_signed_in(&person(5, "octo"), &"x".into(), Timestamp(1)).await.unwrap();
        assert_eq!(store.offers(octo).await.unwrap().synchronized_at, None);
        let repository = |gh_id: i64, name: &str, is_archived| OfferedRepository {
            repository: RemoteRepository {
                gh_id,
                full_name: name.parse().unwrap(),
                ssh_clone_url: format!("git@github.com:{name}.git"),
                https_clone_url: format!("https://github.com/{name}.git"),
                default_branch: "main".into(),
                is_public: gh_id % 2 == 0,
            },
            is_archived,
        };
        let told = UserRepositories {
            own: vec![repository(9, "octo/old", true), repository(7, "octo/orbit", false)],
            organizations: vec![Organization {
                gh_id: 70,
                login: "acme".into(),
                repositories: vec![repository(8, "acme/rocket", false)],
            }],
        };
        store.user_synchronized(octo, &told, &[], Timestamp(2)).await.unwrap();
        // Told again, they are not there twice.
        store.user_synchronized(octo, &told, &[], Timestamp(3)).await.unwrap();
        let names = async || {
            let offers = store.offers(octo).await.unwrap();
            assert_eq!(offers.synchronized_at, Some(Timestamp(3)));
            let names = offers.by_owner.iter().map(|(owner, offers)| {
                let names = offers.iter().filter(|it| !it.is_project);
                let names: Vec<_> = names.map(|it| it.full_name.to_string()).collect();
                format!("{owner}: {}", names.join(" "))
            });
            names.collect::<Vec<_>>()
        };
        assert_eq!(names().await, ["octo: octo/orbit octo/old", "acme: acme/rocket"]);
        let offer = store.offer(octo, 8).await.unwrap().unwrap();
        assert!(offer.is_public && !offer.is_archived);
        let is_on = async |user| {
            let offer = store.offer(user, 7).await.unwrap().unwrap();
            (offer.is_project, offer.project)
        };
        assert_eq!(is_on(octo).await, (false, None));
        let orbit = &told.own[1].repository;
        let project = store.project_added(orbit, octo, Timestamp(4)).await.unwrap();
        assert_eq!(names().await, ["octo: octo/old", "acme: acme/rocket"]);
        assert_eq!(is_on(octo).await, (true, Some(project)));
        // Who administers it, and is no member yet, learns no more than that.
        let ada = store.user_signed_in(&person(6, "ada"), &"y".into(), Timestamp(5)).await.unwrap();
        store.user_synchronized(ada, &told, &[], Timestamp(6)).await.unwrap();
        assert_eq!(is_on(ada).await, (true, None));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_project_is_remembered_by_what_it_left_on_disks() {
    on_both(async |store| {
        let (project, hooks) = project(&store, &["Tests"]).await;
        let call = delivery(&hooks[0], "1");
        store.hook_called(&call, &build("main", '1'), Timestamp(3)).await.unwrap();
        let job = store.claim_job("w", LEASE, Timestamp(4)).await.unwrap().unwrap();
        store.project_deleted(project).await.unwrap();
        assert!(store.project(project).await.unwrap().is_none());
        let renewed = store.lease_renewed(job.id, job.attempt, LEASE, Timestamp(5)).await.unwrap();
        assert_eq!(renewed, LeaseState::Lost);
        let left = store.leavings(10).await.unwrap();
        let what: Vec<_> = left.iter().map(|it| it.of.clone()).collect();
        assert_eq!(what, [Left::Log(job.uuid), Left::Project(project)]);
        for it in &left {
            store.leaving_removed(it.id).await.unwrap();
        }
        assert!(store.leavings(10).await.unwrap().is_empty());
    })
    .await;
}

fn variables<const N: usize>(of: [(&str, &str); N]) -> BTreeMap<String, String> {
    of.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_keeps_the_variables_that_held_when_it_was_made() {
    on_both(async |store| {
        let (project, _) = project(&store, &[]).await;
        let mut spec = spec("Tests");
        spec.options.env = variables([("B", "hook"), ("C", "hook")]);
        let hook =
            store.hook_added(project, &spec, &"x".into(), "octo", Timestamp(2)).await.unwrap();
        let hook = store.hook(hook).await.unwrap().unwrap();
        let change = async |set, unset: &[&str]| {
            let unset_env = unset.iter().map(|&name| name.to_owned()).collect();
            let change = ProjectChange { env: set, unset_env, ..ProjectChange::default() };
            store.project_options_changed(project, &change, Timestamp(9)).await
        };
        let env = async || store.project_options(project).await.unwrap().env;
        assert_eq!(env().await, variables([]));
        change(variables([("A", "ü'\"$"), ("B", "project")]), &[]).await.unwrap();
        change(variables([("D", "")]), &[]).await.unwrap();
        let all = [("A", "ü'\"$"), ("B", "project"), ("D", "")];
        assert_eq!(env().await, variables(all), "what is not named stays");

        let call = async |guid: &str, digit| {
            let called = delivery(&hook, guid);
            store.hook_called(&called, &build("main", digit), Timestamp(10)).await.unwrap();
        };
        let run = async || {
            let job = store.claim_job("w", LEASE, Timestamp(20)).await.unwrap().unwrap();
            let end = JobEnd::Exited(0);
            store.job_finished(job.id, job.attempt, &end, Timestamp(30)).await.unwrap();
            (job.id, job.options.env)
        };
        call("g1", '1').await;
        let refused = change(variables([("E", "no")]), &["A", "Z"]).await.unwrap_err();
        assert_eq!(refused.to_string(), "the project has no variable Z");
        assert_eq!(env().await, variables(all), "all of a change or nothing");
        change(variables([("D", "new")]), &["A"]).await.unwrap();
        let (first, held) = run().await;
        let merged = variables([("A", "ü'\"$"), ("B", "hook"), ("C", "hook"), ("D", "")]);
        assert_eq!(held, merged, "a job that waits keeps what it was made with");
        assert_eq!(
            store.hook(hook.id).await.unwrap().unwrap().spec,
            spec,
            "they are not the hook's"
        );

        let second = store.job_restarted(first, "octo", Timestamp(40)).await.unwrap();
        let now = variables([("B", "hook"), ("C", "hook"), ("D", "new")]);
        assert_eq!(run().await, (second, now.clone()), "what runs again has those of now");
        // Its hook is gone: all of it is as it was.
        store.hook_abandoned(hook.id).await.unwrap();
        change(variables([("E", "later")]), &[]).await.unwrap();
        let third = store.job_restarted(second, "octo", Timestamp(50)).await.unwrap();
        assert_eq!(run().await, (third, now));
    })
    .await;
}

/// Every column as table.column → whether it may be null.
async fn shape(url: &str, columns: &str, migrated: &Store) -> BTreeMap<String, bool> {
    migrated.migrate().await.unwrap();
    let pool = AnyPool::connect(url).await.unwrap();
    let rows = sqlx::query(sqlx::AssertSqlSafe(columns.to_owned())).fetch_all(&pool).await.unwrap();
    pool.close().await;
    rows.iter()
        .map(|row| (row.get::<String, _>("name"), row.get::<i64, _>("nullable") != 0))
        .filter(|(name, _)| !name.starts_with("_sqlx"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_key_opens_in_its_place_and_goes_with_its_project() {
    on_both(async |store| {
        let (project, _) = project(&store, &[]).await;
        assert!(store.deploy_key(project).await.unwrap().is_none());
        for private in ["one", "two"] {
            store.deploy_key_made(project, &private.into(), "public", Timestamp(3)).await.unwrap();
            let kept = store.deploy_key(project).await.unwrap().unwrap();
            assert_eq!(kept.private_key.expose_secret(), private);
            assert_eq!((kept.public_key.as_str(), kept.gh_id), ("public", None), "a new one");
            store.deploy_key_registered(project, 7).await.unwrap();
            assert_eq!(store.deploy_key(project).await.unwrap().unwrap().gh_id, Some(7));
        }
        store.project_abandoned(project).await.unwrap();
        assert!(store.project(project).await.unwrap().is_none());
        assert!(store.deploy_key(project).await.unwrap().is_none());
    })
    .await;
}

/// But for how words are looked for, which each has a way of its own for.
#[tokio::test(flavor = "multi_thread")]
async fn both_databases_have_the_same_tables() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite://{}", folder.path().join("kozmic.db").display());
    let postgres = Postgres::start().await;
    let in_sqlite = shape(
        &sqlite,
        "SELECT m.name || '.' || c.name AS name, CASE WHEN c.\"notnull\" = 1 OR c.pk > 0 THEN 0 ELSE 1 END AS nullable \
         FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' \
         AND m.name NOT LIKE 'build_words%'",
        &Store::open(&sqlite, seal()).await.unwrap(),
    )
    .await;
    let in_postgres = shape(
        &postgres.url,
        "SELECT table_name || '.' || column_name AS name, \
         CAST(CASE is_nullable WHEN 'YES' THEN 1 ELSE 0 END AS BIGINT) AS nullable \
         FROM information_schema.columns WHERE table_schema = 'public' \
         AND table_name NOT IN ('build_words', 'build_texts')",
        &Store::open(&postgres.url, seal()).await.unwrap(),
    )
    .await;
    assert_eq!(in_sqlite, in_postgres);
    assert!(in_sqlite.len() > 120, "{} columns", in_sqlite.len());
    let migrations = |database: &str| {
        let folder =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(database);
        let mut names: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(migrations("sqlite"), migrations("postgres"));
}
