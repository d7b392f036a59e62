//! What a script sees, and which scripts run.

use github_sim::client::Push;

use crate::harness::{BASE, World, busybox, hook, is_podman};

#[tokio::test(flavor = "multi_thread")]
async fn a_script_runs_as_kozmic_in_the_checkout() {
    let world = World::new().await;
    let script = "#!/bin/bash\nset -e\nwhoami; pwd; stat -c '%U %a' run.sh; ./run.sh; readlink link\n\
                  sudo whoami; git status --porcelain; git log -1 --format=%s; git branch --show-current\n\
                  git describe --tags; git remote get-url origin; touch /kozmic/new here\n\
                  echo $CI $KOZMIC $TERM $HOME $KOZMIC_BUILD_NUMBER $KOZMIC_BUILD_REF $KOZMIC_BUILD_PROJECT $KOZMIC_JOB_TITLE\n\
                  echo $KOZMIC_BUILD_SHA $KOZMIC_BUILD_URL\n";
    let server = world.serve_with(script).await;
    // A link in the tree must arrive as a link, not as what it leads to.
    let tree = tempfile::tempdir().unwrap();
    std::fs::write(tree.path().join("run.sh"), "#!/bin/sh\necho ran\n").unwrap();
    std::fs::set_permissions(
        tree.path().join("run.sh"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    std::os::unix::fs::symlink("/etc/hostname", tree.path().join("link")).unwrap();
    let first = Push::new("octo/orbit", "octo").message("First").from_dir(tree.path());
    world.sim.push(&first).await.unwrap();
    world.sim.tag("octo/orbit", "octo", "v1.0").await.unwrap();
    let sha = world.push(&[("more", b"x")]).await;
    let build = world.finished(&server.url, &sha).await;
    let log = world.log_text(build.job("Tests")).await;
    let described = format!("v1.0-1-g{}", &sha[..7]);
    let expected = [
        "kozmic",
        "/kozmic/src",
        "kozmic 755",
        "ran",
        "/etc/hostname",
        "root",
        "Change something",
        "main",
        described.as_str(),
        &format!("{}/octo/orbit.git", world.sim.url()),
        "true true xterm /home/kozmic 2 main octo/orbit Tests",
        &format!("{sha} {}", build.url),
    ];
    assert_eq!(log.lines().collect::<Vec<_>>(), expected);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn submodules_are_checked_out() {
    let world = World::new().await;
    world.sim.add_repository("octo", "library").await.unwrap();
    world
        .sim
        .push(&Push::new("octo/library", "octo").message("x").write("lib", "from the library\n"))
        .await
        .unwrap();
    let server = world.serve_with("#!/bin/sh\ncat vendor/library/lib\n").await;
    let url = format!("{}/octo/library.git", world.sim.url());
    let push = Push::new("octo/orbit", "octo").message("Use it").submodule("vendor/library", url);
    let sha = world.sim.push(&push).await.unwrap();
    let build = world.finished(&server.url, &sha).await;
    assert_eq!(world.log_text(build.job("Tests")).await, "from the library\n");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_image_with_a_shell_will_do() {
    let world = World::new().await;
    let server = world.serve().await;
    let script = "#!/bin/sh\nid -u; id -g; pwd; stat -c %u a; cat a\n";
    world.project(&server.url, &[hook("Tiny", busybox().await, script)]).await;
    let sha = world.push(&[("a", b"content\n")]).await;
    let build = world.finished(&server.url, &sha).await;
    // The image's own USER, which owns the checkout, too.
    assert_eq!(world.log_text(build.job("Tiny")).await, "70\n71\n/kozmic/src\n70\ncontent\n");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shebang_decides_and_the_shell_is_there_without_one() {
    let world = World::new().await;
    let server = world.serve().await;
    let hooks = [
        hook("Perl", BASE, "#!/usr/bin/perl -w\nprint \"perl \", 6*7, \"\\n\";\n"),
        hook("None", BASE, "echo \"shell $((6*7))\"\n"),
        hook("Lost", BASE, "#!/no/such/interpreter\necho never\n"),
        hook("Noise", BASE, "\x7fELF\x02\x01\x01\x03 this is no program\n"),
    ];
    world.project(&server.url, &hooks).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = crate::harness::eventually("all jobs' ends", async || {
        let build = world.build_of(&server.url, &sha).await;
        build
            .jobs
            .iter()
            .all(|job| !matches!(job.status.as_str(), "enqueued" | "pending"))
            .then_some(build)
    })
    .await;
    assert_eq!(world.log_text(build.job("Perl")).await, "perl 42\n");
    assert_eq!(world.log_text(build.job("None")).await, "shell 42\n");
    // Both are the script's fault, not Kozmic's.
    let lost = build.job("Lost");
    assert_eq!((lost.status.as_str(), lost.return_code), ("failure", Some(127)));
    let log = world.log_text(lost).await;
    assert!(
        log.contains("see whether /no/such/interpreter is in the image kozmic/debian:bookworm"),
        "{log}"
    );
    let noise = build.job("Noise");
    assert_eq!(noise.status, "failure");
    assert!(noise.return_code.is_some_and(|code| code != 0), "{noise:?}");
    assert_eq!(build.status, "failure");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_may_be_as_deep_as_git_allows() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/bash\nfind . -name leaf | wc -c\n").await;
    let path = format!("{}leaf", "a/".repeat(1_900));
    let sha = world.push(&[(&path, b"x")]).await;
    let build = world.finished(&server.url, &sha).await;
    if is_podman() {
        // It would unpack for many minutes.
        let reason = &build.jobs[0].reason;
        assert!(reason.contains("deeper than the 256 levels"), "{reason}");
        return world.end(server).await;
    }
    assert_eq!(build.status, "success", "{:?}", build.jobs);
    assert_eq!(world.log_text(build.job("Tests")).await, format!("{}\n", path.len() + 3));
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_s_submodules_are_of_the_project_s_host() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    world.push(&[("a", b"a")]).await;
    world.sim.add_user("mallory").await.unwrap();
    world.build_forks(&server.url).await;
    let fork = world.sim.fork("octo/orbit", "mallory").await.unwrap();
    // A second name of the same machine: another host for all that Kozmic knows.
    let url = format!("{}/octo/orbit.git", world.sim.url().replace("127.0.0.1", "localhost"));
    let push = Push::new(fork, "mallory").message("Reach out").submodule("inside", &url);
    let sha = world.sim.push(&push).await.unwrap();
    world
        .sim
        .open_pull_request("octo/orbit", "mallory", "mallory:main", "main", "x", "")
        .await
        .unwrap();
    let build = world.finished(&server.url, &sha).await;
    assert_eq!(build.status, "error");
    let reason = &build.job("Tests").reason;
    assert!(reason.contains("may use submodules of the project's own host only"), "{reason}");
    server.stop().await;
}
