//! The same journeys in both shapes of an installation: one process with SQLite and folders,
//! and web processes and workers on PostgreSQL, Redis, S3 and a registry. All of them are told
//! at once, each in a project of its own, and whatever is asked is asked of another process.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, join_all};
use github_sim::client::Push;
use kozmic::model::JobUuid;

use crate::harness::tailer::{lines, next, tailer, until_finished};
use crate::harness::{Installation, Project, Shape, hook};
use crate::look_inside::client;

#[tokio::test(flavor = "multi_thread")]
async fn all_journeys_in_one_process() {
    tell(Shape::Embedded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_journeys_on_many_machines() {
    tell(Shape::Distributed).await;
}

type Journey = for<'a> fn(Project<'a>) -> LocalBoxFuture<'a, Project<'a>>;

/// Each gets a project and gives it back to be deleted.
const JOURNEYS: [(&str, Journey); 8] = [
    ("watched", |project| watched(project).boxed_local()),
    ("fails", |project| fails(project).boxed_local()),
    ("cancelled", |project| cancelled(project).boxed_local()),
    ("again", |project| again(project).boxed_local()),
    ("cached", |project| cached(project).boxed_local()),
    ("left", |project| left(project).boxed_local()),
    ("searched", |project| searched(project).boxed_local()),
    ("forked", |project| forked(project).boxed_local()),
];

async fn tell(shape: Shape) {
    let at = Installation::new(shape).await;
    let told = join_all(JOURNEYS.map(|(name, journey)| {
        let at = &at;
        let all = async move {
            journey(Project::new(at, name).await).await.delete().await;
        };
        AssertUnwindSafe(all).catch_unwind().map(move |ended| ended.is_err().then_some(name))
    }))
    .await;
    let failed: Vec<_> = told.into_iter().flatten().collect();
    assert!(failed.is_empty(), "{shape:?}: failed: {failed:?}\n{}", at.said());
    at.nothing_left().await;
    at.end().await;
}

fn numbers(last: u64) -> String {
    (1..=last).map(|n| format!("{n}\n")).collect::<Vec<_>>().concat()
}

/// From a push to a green status, with viewers at every web process from the first line on.
async fn watched(project: Project<'_>) -> Project<'_> {
    let (at, world) = (project.at, project.at.world());
    let script = "#!/bin/sh\necho begin\nuntil [ -e /tmp/go ]; do sleep 0.1; done\n\
                  n=0; while [ $n -lt 5000 ]; do n=$((n+1)); echo $n; done\n";
    project.apply(&[("t.sh", &hook("Tests", &at.image, script))]).await;
    let sha = project.push(&[("a", "a")]).await;
    let job = project.build_of(&sha).await.jobs[0].clone();
    let mut viewers = Vec::new();
    for url in at.urls() {
        let mut viewer = tailer(world, url, &job.uuid, "").await;
        let first = next(&mut viewer).await.unwrap();
        let shown = lines(first["content"].as_str().unwrap());
        assert_eq!(shown, [(1, "begin".to_owned())], "{url}");
        viewers.push(viewer);
    }
    project.told(&sha, "pending").await;
    at.in_container(&job.uuid, ": > /tmp/go").await;
    for mut viewer in viewers {
        let shown = lines(&until_finished(&mut viewer).await.0);
        let expected = (1..=5000).map(|n| (n + 1, n.to_string()));
        assert!(shown.into_iter().eq(expected), "a viewer's lines");
    }
    let build = project.finished(&sha).await;
    assert_eq!((build.status.as_str(), build.jobs[0].return_code), ("success", Some(0)));
    let numbers = numbers(5000);
    for _ in at.urls() {
        assert!(at.log(&build.jobs[0]).await == format!("begin\n{numbers}"));
    }
    project.told(&sha, "success").await;
    assert_eq!(project.states(&sha).await, ["pending", "success"]);
    project
}

/// A script that fails, and a shell into what is kept of it.
async fn fails(project: Project<'_>) -> Project<'_> {
    let (at, world) = (project.at, project.at.world());
    let script = "#!/bin/sh\necho 42 > left\necho it is broken\nexit 3\n";
    project.apply(&[("t.sh", &hook("Tests", &at.image, script))]).await;
    let sha = project.push(&[("a", "a")]).await;
    let build = project.finished(&sha).await;
    let job = &build.jobs[0];
    assert_eq!((build.status.as_str(), job.return_code), ("failure", Some(3)), "{}", job.reason);
    assert!(at.log(job).await.starts_with("it is broken\n"));
    project.told(&sha, "failure").await;
    assert_eq!(project.states(&sha).await, ["pending", "failure"]);
    for url in at.urls() {
        let arguments = ["shell", &job.id.to_string()];
        let shell = client(world, url, &arguments, "cat left\nexit 7\n").await;
        let said = String::from_utf8_lossy(&shell.stderr);
        assert_eq!((shell.status.code(), &shell.stdout[..]), (Some(7), &b"42\n"[..]), "{said}");
    }
    project
}

async fn cancelled(project: Project<'_>) -> Project<'_> {
    let at = project.at;
    let script = "#!/bin/sh\ntrap 'echo asked to end; exit 3' TERM\necho begun\n\
                  while :; do sleep 0.1; done\n";
    project.apply(&[("t.sh", &hook("Tests", &at.image, script))]).await;
    let sha = project.push(&[("a", "a")]).await;
    let build = project.says(&sha, "begun\n").await;
    assert_eq!(project.post(&format!("/jobs/{}/cancel", build.jobs[0].id)).await, 200);
    let build = project.finished(&sha).await;
    let job = &build.jobs[0];
    assert_eq!((build.status.as_str(), job.return_code), ("cancelled", None));
    assert_eq!(job.reason, "cancelled: by octo");
    assert_eq!(at.log(job).await, "begun\nasked to end\n[kozmic] cancelled: by octo\n");
    project.told(&sha, "error").await;
    assert_eq!(project.states(&sha).await, ["pending", "error"]);
    project
}

/// A red job runs again, with the hook as it is by then.
async fn again(project: Project<'_>) -> Project<'_> {
    let at = project.at;
    project.apply(&[("t.sh", &hook("Tests", &at.image, "#!/bin/sh\necho one; exit 1\n"))]).await;
    let sha = project.push(&[("a", "a")]).await;
    let red = project.finished(&sha).await;
    project.told(&sha, "failure").await;
    project.apply(&[("t.sh", &hook("Tests", &at.image, "#!/bin/sh\necho two\n"))]).await;
    assert_eq!(project.post(&format!("/jobs/{}/restart", red.jobs[0].id)).await, 200);
    project.told(&sha, "success").await;
    let green = project.finished(&sha).await;
    assert_eq!((green.id, green.status.as_str()), (red.id, "success"));
    assert_ne!(green.jobs[0].id, red.jobs[0].id);
    assert_eq!(at.log(&green.jobs[0]).await, "two\n");
    assert!(at.log(&red.jobs[0]).await.starts_with("one\n"), "the old log is where it was");
    assert_eq!(project.states(&sha).await, ["pending", "failure", "pending", "success"]);
    project
}

/// An install step's image is used again, also by a worker that did not make it.
async fn cached(project: Project<'_>) -> Project<'_> {
    let at = project.at;
    let install = format!("#!/bin/sh\necho {} > /tmp/made\necho installing\n", JobUuid::random());
    let needs = |label: &str| {
        let tests = hook("Tests", &at.image, "#!/bin/sh\ncat /tmp/made\n");
        tests.replacen("# kozmic: image", &format!("# kozmic: label = {label}\n# kozmic: image"), 1)
    };
    project.apply(&[("t.sh", &needs("one")), ("t.install.sh", &install)]).await;
    let sha = project.push(&[("a", "a")]).await;
    let build = project.finished(&sha).await;
    let log = at.log(&build.jobs[0]).await;
    assert_eq!(build.status, "success", "{log}");
    assert!(log.contains("installing\n") && log.contains("install step done"), "{log}");
    let made = log.lines().last().unwrap();
    at.shared().await;
    for (label, content) in [("one", "b"), ("two", "c")] {
        project.apply(&[("t.sh", &needs(label)), ("t.install.sh", &install)]).await;
        let sha = project.push(&[("a", content)]).await;
        let build = project.finished(&sha).await;
        let log = at.log(&build.jobs[0]).await;
        assert_eq!(build.status, "success", "{log}");
        assert!(log.contains("install step skipped") && !log.contains("installing\n"), "{log}");
        assert_eq!(log.lines().last(), Some(made));
        let is_brought = label == "two" && at.shape() == Shape::Distributed;
        assert_eq!(log.contains("comes from"), is_brought, "{log}");
    }
    project
}

/// Artifacts and test reports are taken, and read from every web process.
async fn left(project: Project<'_>) -> Project<'_> {
    let (at, world) = (project.at, project.at.world());
    let script = "#!/bin/sh\ncd $KOZMIC_ARTIFACTS\n\
        n=0; while [ $n -lt 20000 ]; do n=$((n+1)); echo $n; done > numbers\necho small > small\n\
        echo '<testsuite name=\"orbit\"><testcase classname=\"Orbit\" name=\"goes round\"/>\
        <testcase classname=\"Orbit\" name=\"falls\"><failure message=\"down\"/></testcase>\
        </testsuite>' > $KOZMIC_REPORTS/junit.xml\n";
    project.apply(&[("t.sh", &hook("Tests", &at.image, script))]).await;
    let sha = project.push(&[("a", "a")]).await;
    let build = project.finished(&sha).await;
    assert_eq!(build.status, "success", "{:?}", build.jobs);
    let numbers = numbers(20_000);
    for url in at.urls() {
        let job = format!("{url}/api/v1/jobs/{}", build.jobs[0].id);
        let listed = world.answer(&format!("{job}/artifacts")).await;
        let listed = listed["artifacts"].as_array().unwrap();
        let paths: Vec<_> = listed.iter().map(|it| it["path"].as_str().unwrap()).collect();
        assert_eq!(paths, ["numbers", "small"]);
        let whole = world.get_log(&format!("{job}/artifacts/numbers")).await;
        assert!(whole.text().await.unwrap() == numbers);
        let small = world.get_log(&format!("{job}/artifacts/small")).await;
        assert_eq!(small.text().await.unwrap(), "small\n");
        let tests = world.answer(&format!("{job}/tests")).await;
        assert_eq!((&tests["total"], &tests["failed"]), (&2.into(), &1.into()), "{tests}");
        assert_eq!(tests["tests"][0]["name"], "falls");
    }
    project
}

/// A finished log is searched, and read in parts, wherever it is by then.
async fn searched(project: Project<'_>) -> Project<'_> {
    let (at, world) = (project.at, project.at.world());
    let script = "#!/bin/sh\nn=0; while [ $n -lt 30000 ]; do n=$((n+1)); echo line $n; done\n\
                  echo 'error: a needle'\n";
    project.apply(&[("t.sh", &hook("Tests", &at.image, script))]).await;
    let sha = project.push(&[("a", "a")]).await;
    let build = project.finished(&sha).await;
    assert_eq!(build.status, "success", "{:?}", build.jobs);
    for url in at.urls() {
        let log = format!("{url}/api/v1/jobs/{}/log", build.jobs[0].id);
        for (query, line) in
            [("q=NEEDLE", 30_001), ("q=line%2029999", 29_999), ("errors=1", 30_001)]
        {
            let found = world.answer(&format!("{log}/search?{query}")).await;
            let found: Vec<_> =
                found["matches"].as_array().unwrap().iter().map(|it| it["n"].clone()).collect();
            assert_eq!(found, [line], "{url} {query}");
        }
        let part = world.answer(&format!("{log}/lines?from=15000&count=1")).await;
        assert_eq!(
            (&part["total"], &part["lines"][0]["html"]),
            (&30_001.into(), &"line 15000".into())
        );
    }
    project
}

/// A fork's pull request waits for a manager's approval.
async fn forked(project: Project<'_>) -> Project<'_> {
    let (at, world) = (project.at, project.at.world());
    project.apply(&[("t.sh", &hook("Tests", &at.image, "#!/bin/sh\ncat b\n"))]).await;
    let ours = project.push(&[("b", "ours\n")]).await;
    assert_eq!(project.finished(&ours).await.status, "success");
    world.sim.add_user("mallory").await.unwrap();
    let fork = world.sim.fork(&project.repository, "mallory").await.unwrap();
    let theirs = Push::new(fork, "mallory").message("Change b").write("b", "theirs\n");
    let sha = world.sim.push(&theirs).await.unwrap();
    let (repository, head) = (&project.repository, "mallory:main");
    let opened = world.sim.open_pull_request(repository, "mallory", head, "main", "Better", "");
    opened.await.unwrap();
    let build = project.build_of(&sha).await;
    assert_eq!((build.approval.as_str(), build.status.as_str()), ("awaited", "enqueued"));
    project.told(&sha, "pending").await;
    // What is pushed meanwhile is built; nothing of the fork runs.
    let next = project.push(&[("b", "ours again\n")]).await;
    assert_eq!(project.finished(&next).await.status, "success");
    assert_eq!(project.build_of(&sha).await.status, "enqueued");
    assert_eq!(project.post(&format!("/builds/{}/approve", build.id)).await, 200);
    let build = project.finished(&sha).await;
    assert_eq!((build.status.as_str(), build.approval.as_str()), ("success", "given"));
    assert_eq!(at.log(&build.jobs[0]).await, "theirs\n");
    project.told(&sha, "success").await;
    project
}
