//! Old and new versions on one database, and restarts that nobody notices.

use std::sync::atomic::{AtomicUsize, Ordering};

use kozmic::model::{JobEnd, Timestamp};
use kozmic::shutdown::Shutdown;
use kozmic::store::{Distance, Store, StoreError};
use sqlx::AnyPool;

use crate::harness::{BASE, Machines, Node, Postgres, Proxy, World, eventually, free_port, hook};
use crate::store::{LEASE, build, delivery, project, seal};

/// A migration far beyond all that are there, which a version to come has made: it adds
/// something. What runs is so the older one.
async fn later_version_migrates(url: &str) {
    run(
        url,
        &[
            "ALTER TABLE builds ADD COLUMN of_a_later_version TEXT",
            "ALTER TABLE jobs ADD COLUMN of_a_later_version TEXT",
            "ALTER TABLE hooks ADD COLUMN of_a_later_version TEXT",
            "ALTER TABLE projects ADD COLUMN of_a_later_version TEXT",
            "ALTER TABLE users ADD COLUMN of_a_later_version TEXT",
            "CREATE TABLE later_things (id BIGINT NOT NULL PRIMARY KEY)",
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (9001, 'later', TRUE, '', 0)",
        ],
    )
    .await;
}

/// As a migration does that takes something away.
async fn only_later_versions_may_work(url: &str) {
    run(url, &["UPDATE minimum_reader SET migration = 9001"]).await;
}

async fn run(url: &str, statements: &[&'static str]) {
    let pool = AnyPool::connect(url).await.unwrap();
    for statement in statements {
        sqlx::query(*statement).execute(&pool).await.unwrap();
    }
    pool.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_program_works_on_a_newer_database_until_that_says_no() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite://{}", folder.path().join("kozmic.db").display());
    let postgres = Postgres::start().await;
    for url in [&sqlite, &postgres.url] {
        let store = Store::open(url, seal()).await.unwrap();
        store.migrate().await.unwrap();
        assert_eq!(store.schema().await.unwrap(), Distance { due: 0, ahead: 0 });
        // One that runs meanwhile, and has asked everything before.
        let (id, hooks) = project(&store, &["Tests"]).await;
        store
            .hook_called(&delivery(&hooks[0], "g"), &build("main", '1'), Timestamp(10))
            .await
            .unwrap();
        let look = async || {
            assert!(store.project(id).await.unwrap().is_some());
            assert_eq!(store.hooks(id).await.unwrap().len(), 1);
            let build = store.latest_build(id, None).await.unwrap().unwrap();
            assert_eq!(store.jobs_of(build.id).await.unwrap().len(), 1);
            assert!(store.build(build.id).await.unwrap().is_some());
        };
        look().await;
        look().await;
        later_version_migrates(url).await;
        // On SQLite there is one process, which is not running meanwhile.
        if *url == postgres.url {
            look().await;
        }

        let older = Store::open(url, seal()).await.unwrap();
        older.migrate().await.unwrap();
        assert_eq!(older.schema().await.unwrap(), Distance { due: 0, ahead: 1 });
        let job = older.claim_job("w", LEASE, Timestamp(20)).await.unwrap().unwrap();
        older.job_finished(job.id, 1, &JobEnd::Exited(0), Timestamp(30)).await.unwrap();

        // What needs all that is in it is left to the newer one.
        let other =
            format!("sqlite://{}", folder.path().join(format!("other-{}.db", url.len())).display());
        let other = older.open_other(&other).await.unwrap();
        other.migrate().await.unwrap();
        for refused in [
            older.copy_to(&other).await.map(|_| ()),
            older.resealed(&seal(), Timestamp(40)).await.map(|_| ()),
        ] {
            let said = refused.unwrap_err().to_string();
            assert!(said.contains("a newer Kozmic") && said.contains("use the newer"), "{said}");
        }
        other.close().await;

        only_later_versions_may_work(url).await;
        let refused = older.migrate().await.unwrap_err();
        assert!(matches!(refused, StoreError::TooNew { needs: 9001, .. }), "{refused}");
        assert!(older.schema().await.is_err());
        older.close().await;
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_too_old_says_what_to_do_and_changes_nothing() {
    let world = World::new().await;
    world.serve().await.stop().await;
    let url = format!("sqlite://{}", world.data_dir().join("kozmic.db").display());
    later_version_migrates(&url).await;
    let run = async |arguments: &[&str]| {
        let ended = world.run("http://127.0.0.1:0", arguments).await;
        let said = [ended.stdout, ended.stderr].concat();
        (ended.status.code(), String::from_utf8(said).unwrap())
    };
    let (code, said) = run(&["migrate"]).await;
    assert!(code == Some(0) && said.contains("a newer Kozmic"), "{said}");
    let (code, said) = run(&["doctor"]).await;
    assert!(code == Some(0) && said.contains("this one may work on it"), "{said}");
    world.serve().await.stop().await;

    only_later_versions_may_work(&url).await;
    for command in ["serve", "migrate"] {
        let (code, said) = run(&[command]).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("this Kozmic is too old for the database"), "{said}");
        assert!(said.contains("Start the version that the other processes run"), "{said}");
        assert!(said.contains("9001"), "{said}");
    }
    let (code, said) = run(&["doctor"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("too old") && said.contains("docs/many-machines.md"), "{said}");
}

/// Says which attempt it is, and takes long enough to be under way while workers are restarted.
const SCRIPT: &str = "#!/bin/bash\necho \"attempt $KOZMIC_JOB_ATTEMPT\"\nsleep 1\n";

/// Ends one process as systemd does, and waits until it has.
async fn end(mut node: Node) -> String {
    node.signal("-TERM").await;
    assert!(node.child.wait().await.unwrap().success(), "{}", node.name);
    node.name
}

/// What somebody does who looks at pages all the time, each over a connection of its own.
async fn visit(machines: &Machines, url: &str, until: &Shutdown) -> usize {
    let world = &machines.world;
    let http = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
    let token = world.api_token().await;
    let answers = AtomicUsize::new(0);
    while !until.is_requested() {
        for path in ["/", "/login/", "/api/v1/projects/1/builds", "/readyz"] {
            let asked = http.get(format!("{url}{path}")).bearer_auth(token).send().await;
            let status = asked.unwrap().status();
            let said = || machines.said("web-1") + &machines.said("web-2");
            assert!(!status.is_server_error(), "{path}: {status}\n{}", said());
            answers.fetch_add(1, Ordering::Relaxed);
        }
    }
    answers.into_inner()
}

/// Somebody pushes as fast as builds end; the commits.
async fn keep_pushing(world: &World, url: &str, until: &Shutdown) -> Vec<String> {
    let mut pushed = Vec::new();
    while !until.is_requested() {
        let content = pushed.len().to_string();
        pushed.push(world.push(&[("a", content.as_bytes())]).await);
        eventually("a build to end", async || {
            let builds = world.builds(url).await;
            (builds.iter().filter(|build| !build.is_finished()).count() < 4).then_some(())
        })
        .await;
    }
    pushed
}

/// Two web processes and two workers, one after the other, while a newer version has brought the
/// database further, and while people push and look.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_all_processes_in_turn_is_noticed_by_nobody() {
    let mut machines = Machines::new().await;
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    machines.set("KOZMIC_PUBLIC_URL", &url);
    // What a delivery did not make is not found by itself in the time of this test.
    machines.set("KOZMIC_RECONCILE_INTERVAL", "3600");
    let web = [machines.web("web-1").await, machines.web("web-2").await];
    let workers = [machines.worker("worker-1", &[]).await, machines.worker("worker-2", &[]).await];
    let addresses = web.each_ref().map(|node| node.url.replace("http://", ""));
    let proxy = Proxy::start(port, addresses.each_ref().map(String::as_str)).await;
    let world = &machines.world;
    world.project(&url, &[hook("Tests", BASE, SCRIPT)]).await;

    let done = Shutdown::new();
    let newest_that_ended = async || {
        let builds = world.builds(&url).await;
        builds.iter().filter(|build| build.is_finished()).map(|build| build.number).max()
    };
    let goes_on = async || {
        let before = newest_that_ended().await;
        eventually("builds to end", async || (newest_that_ended().await > before).then_some(()))
            .await;
    };
    let restart_all = async {
        goes_on().await;
        later_version_migrates(&world.settings().database_url).await;
        goes_on().await;
        let mut running = Vec::new();
        for node in web {
            let (address, seen) = (node.url.clone(), proxy.returns());
            let name = end(node).await;
            goes_on().await;
            running.push(machines.web_at(&name, &address).await);
            eventually("the proxy to see it", async || (proxy.returns() > seen).then_some(()))
                .await;
        }
        for node in workers {
            let name = end(node).await;
            running.push(machines.worker(&name, &[]).await);
            goes_on().await;
        }
        done.request();
        running
    };
    let (pushed, answers, running) =
        tokio::join!(keep_pushing(world, &url, &done), visit(&machines, &url, &done), restart_all);
    assert!(pushed.len() > 6 && answers > 100, "{} pushes, {answers} answers", pushed.len());
    for sha in &pushed {
        world.told(sha, "Kozmic-CI", "success").await;
        assert_eq!(world.states(sha, "Kozmic-CI").await, ["pending", "success"]);
    }
    // One build for each, and each job ran once; the list has the newest ones.
    let builds = world.builds(&url).await;
    let newest = usize::try_from(builds[0].number).unwrap();
    assert_eq!(newest, pushed.len());
    for build in builds {
        assert_eq!(build.status, "success");
        assert_eq!(world.log_text(build.job("Tests")).await, "attempt 1\n");
    }
    for node in running {
        end(node).await;
    }
    world.nothing_left().await;
}
