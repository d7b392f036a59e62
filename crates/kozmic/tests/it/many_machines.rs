//! One installation on several machines: web processes, and workers elsewhere.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;

use crate::harness::tailer::{Socket, lines, next, tailer, until_finished};
use crate::harness::{
    BASE, Daemon, Machines, Node, Postgres, Registry, World, eventually, eventually_within, hook,
    remove_cached_images, with_header,
};

/// Says something, waits for somebody to say `go` in the container, writes a lot.
const WAITS: &str = "#!/bin/bash
echo \"begin $KOZMIC_JOB_ATTEMPT\"
until [ -e /tmp/go ]; do sleep 0.1; done
seq 200000
echo the end
";

fn expected() -> String {
    let numbers = (1..=200_000).map(|n| format!("{n}\n")).collect::<Vec<_>>().concat();
    format!("begin 1\n{numbers}the end\n")
}

/// Lets the script that waits go on.
async fn go(world: &World) {
    let instance = world.instance().await;
    let of_world = format!("label=kozmic.instance={instance}");
    let running = crate::harness::docker(&["ps", "--quiet", "--filter", &of_world]).await;
    for container in running.lines() {
        crate::harness::touch(container, "/tmp/go").await;
    }
}

/// What comes until `finished`; none when the socket ends without.
async fn rest(viewer: &mut Socket) -> Option<String> {
    let mut html = String::new();
    while let Some(Ok(message)) = viewer.next().await {
        let Ok(text) = message.to_text() else { continue };
        let Ok(message) = serde_json::from_str::<serde_json::Value>(text) else { continue };
        if message["type"] == "status" {
            return Some(html);
        }
        html += message["content"].as_str().unwrap();
    }
    None
}

async fn stop(mut node: Node) {
    node.signal("-TERM").await;
    let ended = tokio::time::timeout(Duration::from_mins(1), node.child.wait()).await;
    assert!(ended.expect("it ends").unwrap().success(), "{}", node.name);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_on_one_machine_and_is_watched_on_others() {
    let machines = Machines::new().await;
    let world = &machines.world;
    let (one, other) = (machines.web("web-1").await, machines.web("web-2").await);
    let worker = machines.worker("worker-1", &[]).await;
    world.project(&one.url, &[hook("Tests", BASE, WAITS)]).await;
    let sha = world.push(&[("a", b"a")]).await;
    let job = world.build_of(&one.url, &sha).await.job("Tests").clone();
    let mut viewers = Vec::new();
    for url in [&one.url, &other.url] {
        let mut viewer = tailer(world, url, &job.uuid, "").await;
        let first = next(&mut viewer).await.unwrap();
        let shown = lines(first["content"].as_str().unwrap());
        assert_eq!(shown, [(1, "begin 1".to_owned())]);
        viewers.push(viewer);
    }
    // The page of a job that runs has the log, too, and nobody keeps it but the worker.
    assert_eq!(world.log_text(&job).await, "begin 1\n");
    assert_eq!((machines.live_logs("worker-1"), machines.live_logs("web-1")), (1, 0));
    go(world).await;
    for mut viewer in viewers {
        let (html, _) = until_finished(&mut viewer).await;
        let shown = lines(&html);
        assert_eq!(shown.len(), 200_001);
        assert_eq!(shown.last().unwrap(), &(200_002, "the end".to_owned()));
    }
    let build = world.finished(&other.url, &sha).await;
    assert_eq!(build.status, "success");
    assert!(world.log_text(&job).await == expected());
    world.told(&sha, "Kozmic-CI", "success").await;
    assert_eq!(world.states(&sha, "Kozmic-CI").await, ["pending", "success"]);
    eventually("the log to be archived", async || {
        (machines.live_logs("worker-1") == 0).then_some(())
    })
    .await;
    assert!(world.log_text(&job).await == expected());
    // It is read where nothing ever was of it.
    let first = one.url.clone();
    for node in [worker, one, other] {
        stop(node).await;
    }
    let later = machines.web("web-3").await;
    let url = job.log_url.replace(&first, &later.url);
    assert!(world.get_log(&url).await.text().await.unwrap() == expected());
    world.nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_misses_nothing_while_redis_is_away() {
    let mut machines = Machines::new().await;
    let web = machines.web("web-1").await;
    let _worker = machines.worker("worker-1", &[]).await;
    machines.world.project(&web.url, &[hook("Tests", BASE, WAITS)]).await;
    let sha = machines.world.push(&[("a", b"a")]).await;
    let job = machines.world.build_of(&web.url, &sha).await.job("Tests").clone();
    let mut viewer = tailer(&machines.world, &web.url, &job.uuid, "").await;
    next(&mut viewer).await.unwrap();
    machines.redis.kill().await;
    go(&machines.world).await;
    // The viewer is told by the end of its socket.
    assert_eq!(rest(&mut viewer).await, None);
    let build = machines.world.finished(&web.url, &sha).await;
    assert_eq!(build.status, "success", "the job goes on without");
    machines.redis.restart().await;
    let world = &machines.world;
    let html = eventually("the rest of the log", async || {
        rest(&mut tailer(world, &web.url, &job.uuid, "?from=2").await).await
    })
    .await;
    assert_eq!(lines(&html).len(), 200_001);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_jobs_of_a_lost_worker_run_elsewhere_and_count_once() {
    let machines = Machines::new().await;
    let world = &machines.world;
    let web = machines.web("web-1").await;
    let lost = machines.worker("worker-1", &[]).await;
    world.project(&web.url, &[hook("Tests", BASE, WAITS)]).await;
    let sha = world.push(&[("a", b"a")]).await;
    let job = world.build_of(&web.url, &sha).await.job("Tests").clone();
    let begun = |attempt: &'static str| {
        let job = &job;
        async move {
            eventually_within(Duration::from_mins(5), "the script", async || {
                world.log_text(job).await.contains(attempt).then_some(())
            })
            .await;
        }
    };
    begun("begin 1").await;
    let mut viewer = tailer(world, &web.url, &job.uuid, "?log=").await;
    let first = next(&mut viewer).await.unwrap();
    assert_eq!(first["type"], "log");
    let resume = format!("?from=2&log={}", first["content"].as_str().unwrap());
    // It sleeps, and its script goes on, until after its lease.
    lost.signal("-STOP").await;
    let other = machines.worker("worker-2", &[]).await;
    begun("begin 2").await;
    lost.signal("-CONT").await;
    eventually("the stale attempt to be given up", async || {
        machines.said("worker-1").contains("this attempt was given up").then_some(())
    })
    .await;
    go(world).await;
    let build = world.finished(&web.url, &sha).await;
    assert_eq!(build.status, "success", "{}", machines.said("worker-2"));
    let log = world.log_text(&job).await;
    assert!(log.contains("attempt 2") && log.ends_with("the end\n"), "{}", &log[..200]);
    assert!(!log.contains("begin 1"), "each log has one writer");
    // Who watched the lost attempt is told that its lines are of another log.
    let told = next(&mut tailer(world, &web.url, &job.uuid, &resume).await).await.unwrap();
    assert_eq!(told["type"], "restart");
    world.told(&sha, "Kozmic-CI", "success").await;
    assert_eq!(world.states(&sha, "Kozmic-CI").await, ["pending", "success"]);
    eventually("both to have archived or removed their logs", async || {
        let live = machines.live_logs("worker-1") + machines.live_logs("worker-2");
        (live == 0).then_some(())
    })
    .await;
    assert!(world.log_text(&job).await == log, "a stale log replaces no other");
    world.nothing_left().await;
    for node in [lost, other, web] {
        stop(node).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_asked_to_stop_finishes_what_it_has() {
    let machines = Machines::new().await;
    let world = &machines.world;
    let web = machines.web("web-1").await;
    let mut worker = machines.worker("worker-1", &[]).await;
    world.project(&web.url, &[hook("Tests", BASE, WAITS)]).await;
    let sha = world.push(&[("a", b"a")]).await;
    let job = world.build_of(&web.url, &sha).await.job("Tests").clone();
    eventually("the script", async || world.log_text(&job).await.contains("begin 1").then_some(()))
        .await;
    worker.signal("-TERM").await;
    eventually("the worker to say that it stops", async || {
        machines.said("worker-1").contains("no more jobs are taken").then_some(())
    })
    .await;
    let waits = world.push(&[("b", b"b")]).await;
    go(world).await;
    assert!(worker.child.wait().await.unwrap().success(), "{}", machines.said("worker-1"));
    assert_eq!(world.finished(&web.url, &sha).await.status, "success");
    let log = world.log_text(&job).await;
    let end = &log[log.len().saturating_sub(200)..];
    assert!(log == expected(), "it was archived before the end: {} bytes, …{end}", log.len());
    assert_eq!(world.build_of(&web.url, &waits).await.status, "enqueued");
    // One that does not wait leaves its script to its next start.
    let mut worker = machines.worker("worker-1", &[("KOZMIC_DRAIN_TIMEOUT", "0")]).await;
    let job = world.build_of(&web.url, &waits).await.job("Tests").clone();
    eventually("the script", async || world.log_text(&job).await.contains("begin 1").then_some(()))
        .await;
    worker.signal("-TERM").await;
    assert!(worker.child.wait().await.unwrap().success());
    let _worker = machines.worker("worker-1", &[]).await;
    go(world).await;
    assert_eq!(world.finished(&web.url, &waits).await.status, "success");
    assert!(world.log_text(&job).await == expected(), "adopted by the same worker");
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_processes_bring_a_new_database_up_to_date_at_once() {
    let postgres = Postgres::start().await;
    let world = World::with(&[
        ("KOZMIC_DATABASE_URL", postgres.url.as_str()),
        ("KOZMIC_SECRET_KEY", "0123456789abcdef0123456789abcdef"),
    ])
    .await;
    let children: Vec<_> = (0..8)
        .map(|n| {
            let mut command = world.command("http://127.0.0.1:0", &["migrate"]);
            command.env("KOZMIC_DATA_DIR", world.folder().join(n.to_string()));
            command.stderr(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in children {
        let ended = child.wait_with_output().await.unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    assert_eq!(world.store().await.migrations_due().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_of_several_says_what_it_lacks() {
    let world = World::new().await;
    let ended = world.run("http://127.0.0.1:0", &["serve", "--role", "worker"]).await;
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    for name in ["KOZMIC_DATABASE_URL", "KOZMIC_REDIS_URL", "KOZMIC_LOG_URL", "KOZMIC_SECRET_KEY"] {
        assert!(said.contains(name), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_is_opened_from_another_machine() {
    let machines = Machines::new().await;
    let world = &machines.world;
    let web = machines.web("web-1").await;
    let _worker = machines.worker("worker-1", &[("KOZMIC_KEEP_FAILED", "600")]).await;
    world.project(&web.url, &[hook("Tests", BASE, "#!/bin/bash\necho 42 > left\nexit 3\n")]).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&web.url, &sha).await;
    let job = build.job("Tests").id.to_string();
    let mut shell = world.command("http://127.0.0.1:0", &["shell", &job]);
    shell.env("KOZMIC_SERVER", &web.url).env("KOZMIC_TOKEN", world.api_token().await);
    shell.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut shell = shell.stderr(std::process::Stdio::piped()).spawn().unwrap();
    // More than what may wait anywhere on the way.
    let script = b"cat left; seq 500000 | tail -n 400000; exit 7\n";
    shell.stdin.take().unwrap().write_all(script).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_mins(2), shell.wait_with_output());
    let ended = ended.await.expect("the shell ends").unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(7), "{said}");
    let numbers = (100_001..=500_000).map(|n| format!("{n}\n")).collect::<Vec<_>>().concat();
    assert!(ended.stdout == format!("42\n{numbers}").into_bytes(), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_log_is_read_from_its_worker_while_the_storage_is_away() {
    let mut machines = Machines::new().await;
    let web = machines.web("web-1").await;
    let _worker = machines.worker("worker-1", &[]).await;
    machines.world.project(&web.url, &[hook("Tests", BASE, WAITS)]).await;
    let sha = machines.world.push(&[("a", b"a")]).await;
    let job = machines.world.build_of(&web.url, &sha).await.job("Tests").clone();
    eventually("the script", async || {
        machines.world.log_text(&job).await.contains("begin 1").then_some(())
    })
    .await;
    machines.end_s3();
    go(&machines.world).await;
    assert_eq!(machines.world.finished(&web.url, &sha).await.status, "success");
    assert!(machines.world.log_text(&job).await == expected());
    eventually("the worker to see that the storage is away", async || {
        machines.said("worker-1").contains("finished logs stay in the data folder").then_some(())
    })
    .await;
    assert!(machines.world.log_text(&job).await == expected());
    assert_eq!(machines.live_logs("worker-1"), 1);
    // Redis forgets who has the log, and the storage says that it has none.
    machines.redis.kill().await;
    machines.restart_s3().await;
    machines.redis.restart().await;
    let read = eventually("the log", async || {
        let answer = machines.world.get_log(&job.log_url).await;
        if answer.status().is_success() { answer.text().await.ok() } else { None }
    })
    .await;
    assert!(read == expected(), "{} bytes", read.len());
    eventually("the log to be archived", async || {
        (machines.live_logs("worker-1") == 0).then_some(())
    })
    .await;
    assert!(machines.world.log_text(&job).await == expected());
}

/// Two engines: the machine's, and one of the test's own.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_one_worker_made_is_another_one_s() {
    let (registry, engine) = (Registry::start().await, Daemon::start().await);
    engine.load(BASE).await;
    let mut machines = Machines::new().await;
    machines.set("KOZMIC_CACHE_REGISTRY", &format!("{}/ci", registry.host));
    let web = machines.web("web-1").await;
    let first = machines.worker("worker-1", &[]).await;
    let world = &machines.world;
    let script = with_header(&["title = Tests", &format!("image = {BASE}")], "cat /made-by\n");
    let install = "#!/bin/bash\nsudo sh -c 'echo the test of shared images > /made-by'\n";
    world.add_project(&web.url).await;
    world.apply_files(&web.url, &[("t.sh", &script), ("t.install.sh", install)]).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&web.url, &sha).await;
    let log = world.log_text(build.job("Tests")).await;
    assert_eq!(build.status, "success", "{log}");
    assert!(log.contains("install step done"), "{log}");
    eventually("the image to be shared", async || {
        machines.said("worker-1").contains("a cached image was shared").then_some(())
    })
    .await;
    stop(first).await;
    let _second = machines.worker("worker-2", &[("KOZMIC_DOCKER_HOST", &engine.host)]).await;
    let sha = world.push(&[("b", b"b")]).await;
    let build = world.finished(&web.url, &sha).await;
    let log = world.log_text(build.job("Tests")).await;
    assert_eq!(build.status, "success", "{log}");
    assert!(log.contains("comes from") && log.contains("install step skipped"), "{log}");
    assert!(log.ends_with("the test of shared images\n"), "{log}");
    // Without the registry it is made again, and that is no error.
    drop(registry);
    world
        .apply_files(&web.url, &[("t.sh", &script), ("t.install.sh", &format!("{install}:\n"))])
        .await;
    let sha = world.push(&[("c", b"c")]).await;
    let build = world.finished(&web.url, &sha).await;
    let log = world.log_text(build.job("Tests")).await;
    assert_eq!(build.status, "success", "{log}");
    assert!(log.contains("no cached image can be had from"), "{log}");
    remove_cached_images(&world.instance().await).await;
}
