//! What an end means: a failure is the script's, an error is not.

use github_sim::client::Push;

use crate::harness::{
    BASE, Build, CuttableEngine, Registry, TinyDisk, World, busybox, docker, eventually, hook,
    is_podman, push_payload,
};

/// A hook's file with more lines in its header.
fn with_options(hook: &str, options: &[&str]) -> String {
    let lines: String = options.iter().flat_map(|option| ["# kozmic: ", option, "\n"]).collect();
    hook.replacen("# kozmic: image", &format!("{lines}# kozmic: image"), 1)
}

async fn pushed(world: &World, url: &str) -> Build {
    let sha = world.push(&[("a", b"a")]).await;
    world.finished(url, &sha).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_does_not_exist_is_an_error_that_names_it() {
    let registry = Registry::start().await;
    let world = World::new().await;
    let server = world.serve().await;
    let missing = format!("{}/no/such-image:1", registry.host);
    world.project(&server.url, &[hook("Tests", &missing, "#!/bin/sh\n:\n")]).await;
    let build = pushed(&world, &server.url).await;
    let job = build.job("Tests");
    assert_eq!(
        (build.status.as_str(), job.status.as_str(), job.return_code),
        ("error", "error", None)
    );
    let expected = format!("the image {missing} was not found, neither here nor in its registry");
    assert_eq!(job.reason, expected);
    assert_eq!(world.log_text(job).await, format!("[kozmic] {expected}\n"));
    let description = world.told(&build.sha, "Kozmic-CI/Tests", "error").await;
    assert!(description.contains(&missing), "{description}");
    world.told(&build.sha, "Kozmic-CI", "error").await;
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_when_it_is_missing() {
    let registry = Registry::start().await;
    let image = registry.push(busybox().await, "tiny:1").await;
    let world = World::new().await;
    let server = world.serve().await;
    world.project(&server.url, &[hook("Tests", &image, "echo ran\n")]).await;
    let build = pushed(&world, &server.url).await;
    let log = world.log_text(build.job("Tests")).await;
    assert_eq!(log, format!("[kozmic] pulled the image {image}\nran\n"));
    // The second build finds it and has nothing to say about it.
    let sha = world.push(&[("b", b"b")]).await;
    let build = world.finished(&server.url, &sha).await;
    assert_eq!(world.log_text(build.job("Tests")).await, "ran\n");
    server.stop().await;
    docker(&["rmi", &image]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_denies_an_image_is_an_error() {
    let registry = Registry::with_password().await;
    let world = World::new().await;
    let server = world.serve().await;
    let image = format!("{}/private:1", registry.host);
    world.project(&server.url, &[hook("Tests", &image, ":\n")]).await;
    let build = pushed(&world, &server.url).await;
    let reason = &build.job("Tests").reason;
    assert_eq!(build.status, "error");
    assert!(reason.starts_with(&format!("the registry denied the image {image}: ")), "{reason}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_writes_too_much_is_stopped() {
    let world = World::with(&[("KOZMIC_LOG_LIMIT", "100K")]).await;
    let server = world.serve_with("#!/bin/bash\nyes on and on\n").await;
    let build = pushed(&world, &server.url).await;
    let job = build.job("Tests");
    assert_eq!((job.status.as_str(), job.return_code), ("failure", Some(125)));
    let log = world.log_text(job).await;
    assert!(
        log.ends_with("\n[kozmic] the log is full: more than 100 KiB were written\n"),
        "{}",
        &log[log.len() - 200..]
    );
    assert!((100 << 10..101 << 10).contains(&log.len()), "{}", log.len());
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_away_is_an_error() {
    let host = Registry::start().await.host;
    let world = World::new().await;
    let server = world.serve().await;
    let image = format!("{host}/tiny:1");
    world.project(&server.url, &[hook("Tests", &image, ":\n")]).await;
    let build = pushed(&world, &server.url).await;
    let reason = &build.job("Tests").reason;
    assert_eq!(build.status, "error");
    assert!(reason.starts_with(&format!("the image {image} could not be pulled: ")), "{reason}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_was_force_pushed_away_is_an_error() {
    let world = World::new().await;
    world.push(&[("a", b"a")]).await;
    let lost = world.push(&[("a", b"b")]).await;
    let push = Push::new("octo/orbit", "octo").message("Other").write("a", "c").force();
    world.sim.push(&push).await.unwrap();
    world.sim.vanish("octo/orbit", &lost).await.unwrap();
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    // GitHub delivered it before it was gone.
    let hook = world.hook(1).await;
    let project = world.store().await.project(hook.project).await.unwrap().unwrap();
    let payload = push_payload(project.repository.gh_id, "main", &lost, "Lost");
    let answer = world.deliver(&server.url, &hook, "push", "guid-1", &payload).await;
    assert_eq!(answer.text().await.unwrap(), "Build #1 with 1 job is enqueued.");
    let build = world.finished(&server.url, &lost).await;
    assert_eq!(build.status, "error");
    assert_eq!(
        build.job("Tests").reason,
        format!("the commit {lost} is no longer in the repository; was main force-pushed?")
    );
    // GitHub has no such commit either, and the page says that it was not told.
    eventually("the report to be given up", async || {
        world.page(&build.url).await.contains("No commit found for SHA").then_some(())
    })
    .await;
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_can_t_be_reached_is_an_error() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    let fault = github_sim::client::Fault {
        method: None,
        path_contains: "/octo/orbit.git/info/refs".into(),
        kind: github_sim::client::FaultKind::Status(503),
        times: 1000,
    };
    let sha = world.push(&[("a", b"a")]).await;
    world.finished(&server.url, &sha).await;
    world.sim.add_fault(fault).await.unwrap();
    let hook = world.hook(1).await;
    let project = world.store().await.project(hook.project).await.unwrap().unwrap();
    let other = "1".repeat(40);
    let payload = push_payload(project.repository.gh_id, "main", &other, "Other");
    world.deliver(&server.url, &hook, "push", "guid-1", &payload).await;
    let build = world.finished(&server.url, &other).await;
    let reason = &build.job("Tests").reason;
    assert_eq!(build.status, "error");
    assert!(reason.starts_with("can't fetch from http://") && reason.contains("503"), "{reason}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_goes_away_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = CuttableEngine::start(folder.path()).await;
    let settings = [("KOZMIC_DOCKER_HOST", engine.host.as_str()), ("KOZMIC_ENGINE_TIMEOUT", "2")];
    let world = World::with(&settings).await;
    let server = world.serve_with("#!/bin/bash\necho started\nsleep 600\n").await;
    let sha = world.push(&[("a", b"a")]).await;
    let running = eventually("the first line", async || {
        let build = world.build_of(&server.url, &sha).await;
        (world.log(build.job("Tests")).await == b"started\n").then_some(build)
    })
    .await;
    assert_eq!(running.status, "pending");
    engine.cut();
    let build = world.finished(&server.url, &sha).await;
    assert_eq!(build.status, "error");
    let reason = &build.job("Tests").reason;
    assert!(reason.contains(&engine.host) && reason.contains("does not answer"), "{reason}");
    let ready = world.http.get(format!("{}/readyz", server.url)).send().await.unwrap();
    assert_eq!(ready.status(), 503);
    assert_eq!(ready.text().await.unwrap(), "not ready: no answer from the engine\n");
    server.stop().await;
    // Nobody could remove the container while the engine was away; the next
    // server finds it.
    let left = world.leftovers().await;
    let containers = left.iter().filter(|left| left.starts_with("container "));
    assert_eq!(containers.count(), 1, "{left:?}");
    engine.mend().await;
    let server = world.serve().await;
    world.nothing_left().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_script_is_stopped_as_stalled() {
    let world = World::with(&[("KOZMIC_STALL_TIMEOUT", "8")]).await;
    let script = "#!/bin/bash\ntrap 'echo asked to end; exit 1' TERM\necho begin\n\
                  (while true; do :; done) &\nsleep 600 & wait\n";
    let server = world.serve_with(script).await;
    let build = pushed(&world, &server.url).await;
    let job = build.job("Tests");
    assert_eq!((job.status.as_str(), job.return_code), ("failure", Some(124)));
    let log = world.log_text(job).await;
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[..2], ["begin", "asked to end"], "{log}");
    assert_eq!(lines[lines.len() - 1], "[kozmic] stalled: no output for 8 s");
    // What hung, and what worked, before it was stopped.
    assert!(lines[2].contains("PID  STATE"), "{log}");
    assert!(
        lines.iter().any(|line| line.contains("sleeping") && line.ends_with("sleep 600")),
        "{log}"
    );
    assert!(lines.iter().any(|line| line.contains("running") && line.contains('%')), "{log}");
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_takes_too_much_memory_is_said_to_have_done_so() {
    let world = World::new().await;
    let server = world.serve().await;
    let greedy = hook("Greedy", BASE, "#!/bin/bash\necho begin\ntail /dev/zero\n");
    let greedy = with_options(&greedy, &["memory = 64M"]);
    world.project(&server.url, &[greedy]).await;
    let build = pushed(&world, &server.url).await;
    let job = build.job("Greedy");
    assert_eq!((job.status.as_str(), job.return_code), ("failure", Some(137)));
    // Podman 4.3 knows only that it was killed.
    let killed = "the script ended with 137";
    let reason = if is_podman() { killed } else { "out of memory: the kernel killed a process" };
    assert_eq!(job.reason, reason);
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_never_ends_is_stopped_in_time() {
    let world = World::with(&[("KOZMIC_JOB_TIMEOUT", "4")]).await;
    let server =
        world.serve_with("#!/bin/bash\nwhile true; do echo on and on; sleep 0.2; done\n").await;
    let build = pushed(&world, &server.url).await;
    let job = build.job("Tests");
    assert_eq!((job.status.as_str(), job.return_code), ("failure", Some(124)));
    assert!(world.log_text(job).await.ends_with("[kozmic] timed out: not finished after 4 s\n"));
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_without_a_shell_is_an_error_of_its_surroundings() {
    let world = World::new().await;
    let server = world.serve().await;
    // An image of nothing but one file.
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("empty.tar");
    let mut builder = tar::Builder::new(std::fs::File::create(&archive).unwrap());
    builder.append_dir("data", folder.path()).unwrap();
    builder.finish().unwrap();
    docker(&["import", archive.to_str().unwrap(), "kozmic-test/empty:latest"]).await;
    world
        .project(
            &server.url,
            &[hook("Tests", "kozmic-test/empty:latest", ":\n"), hook("Fine", BASE, ":\n")],
        )
        .await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = eventually("both ends", async || {
        let build = world.build_of(&server.url, &sha).await;
        (build.is_finished() && build.job("Fine").return_code == Some(0)).then_some(build)
    })
    .await;
    // An error wins over what is green beside it.
    assert_eq!(build.status, "error");
    assert_eq!(
        build.job("Tests").reason,
        "the image kozmic-test/empty:latest has no /bin/sh, which starts the script"
    );
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_has_limits_and_variables_of_its_own() {
    let world = World::with(&[("KOZMIC_PIDS_LIMIT", "64")]).await;
    let server = world.serve().await;
    let script = "#!/bin/bash\necho $GREETING $TERM\n\
                  cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null\nsleep 600\n";
    let options = [
        "pids = 32",
        "cpus = 0.5",
        "job-timeout = 5",
        "env = GREETING=hello world",
        "env = TERM=dumb",
    ];
    world.project(&server.url, &[with_options(&hook("Tests", BASE, script), &options)]).await;
    let build = pushed(&world, &server.url).await;
    let job = build.job("Tests");
    assert_eq!((job.status.as_str(), job.return_code), ("failure", Some(124)));
    let log = world.log_text(job).await;
    assert_eq!(log, "hello world dumb\n32\n[kozmic] timed out: not finished after 5 s\n");
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_bomb_ends_in_its_container() {
    let world = World::with(&[("KOZMIC_PIDS_LIMIT", "64"), ("KOZMIC_JOB_TIMEOUT", "20")]).await;
    let script =
        "#!/bin/bash\nbomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 3; echo over; exit 4\n";
    let server = world.serve_with(script).await;
    let build = pushed(&world, &server.url).await;
    assert_eq!(build.status, "failure", "{:?}", build.jobs);
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_is_an_error_and_not_the_script_s() {
    let elsewhere = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}", elsewhere.path().join("kozmic.db").display());
    let world =
        World::with(&[("KOZMIC_DATABASE_URL", &database), ("KOZMIC_DISK_RESERVE", "0")]).await;
    let disk = TinyDisk::mount(&world.data_dir(), "3M");
    let server = world.serve_with("#!/bin/bash\nyes on and on\n").await;
    let build = pushed(&world, &server.url).await;
    let job = build.job("Tests");
    assert_eq!(
        (build.status.as_str(), job.status.as_str(), job.return_code),
        ("error", "error", None)
    );
    assert!(
        job.reason.starts_with("the log can't be written: No space left on device"),
        "{}",
        job.reason
    );
    // The next commit can't even be fetched, and says why.
    let sha = world.push(&[("b", b"b")]).await;
    let build = world.finished(&server.url, &sha).await;
    assert_eq!(build.status, "error");
    assert!(build.jobs[0].reason.contains("No space left on device"), "{}", build.jobs[0].reason);
    world.end(server).await;
    drop(disk);
}
