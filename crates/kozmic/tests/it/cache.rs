//! The install step and its cache.

use github_sim::client::Push;

use crate::harness::{BASE, World, cached_images, docker, eventually, hook, remove_cached_images};

/// Leaves a trace outside of /kozmic, which is kept, and one inside, which is not.
const INSTALL: &str = "#!/bin/bash\nset -e\necho installing\ncat Depends | sudo tee /installed\ntouch /kozmic/inside\n";
const BUILD: &str = "#!/bin/bash\ncat /installed\nls /kozmic\n";

fn tracked(title: &str, script: &str) -> String {
    hook(title, BASE, script).replacen(
        "# kozmic: image",
        "# kozmic: track = Depends\n# kozmic: image",
        1,
    )
}

async fn world() -> (World, crate::harness::Server) {
    let world = World::new().await;
    let server = world.serve().await;
    world.add_project(&server.url).await;
    (world, server)
}

/// The log of the only job of a pushed commit, Kozmic's own lines apart.
async fn logs(world: &World, url: &str, sha: &str) -> (Vec<String>, Vec<String>) {
    let build = world.finished(url, sha).await;
    let log = world.log_text(&build.jobs[0]).await;
    log.lines().map(str::to_owned).partition(|line| line.starts_with("[kozmic]"))
}

/// The cached images of this world's installation.
async fn cached(world: &World) -> Vec<String> {
    cached_images(&world.instance().await).await
}

pub async fn remove_cached(world: &World) {
    remove_cached_images(&world.instance().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_install_step_runs_until_one_of_its_inputs_changes() {
    let (world, server) = world().await;
    let url = &server.url;
    world.apply_files(url, &[("t.sh", &tracked("Tests", BUILD)), ("t.install.sh", INSTALL)]).await;
    let sha = world.push(&[("Depends", b"one\n"), ("other", b"1")]).await;
    let (notes, lines) = logs(&world, url, &sha).await;
    assert_eq!(notes[0], "[kozmic] install step: no image is cached yet");
    assert!(notes[1].starts_with("[kozmic] install step done in "), "{notes:?}");
    // What it left in /kozmic is no part of the image.
    assert_eq!(
        lines,
        ["installing", "one", "one", "artifacts", "reports", "script", "src", "start"]
    );

    let sha = world.push(&[("other", b"2")]).await;
    let (notes, lines) = logs(&world, url, &sha).await;
    assert_eq!(notes.len(), 1);
    assert!(
        notes[0].starts_with("[kozmic] install step skipped: the base image, the install script"),
        "{notes:?}"
    );
    assert!(notes[0].contains(" old; that saves "), "{notes:?}");
    assert_eq!(lines, ["one", "artifacts", "reports", "script", "src", "start"]);

    let sha = world.push(&[("Depends", b"two\n")]).await;
    let (notes, lines) = logs(&world, url, &sha).await;
    assert!(
        notes[0]
            .starts_with("[kozmic] install step: Depends is another than in the cached image of "),
        "{notes:?}"
    );
    assert_eq!(lines[..3], ["installing", "two", "two"]);

    world
        .apply_files(
            url,
            &[("t.sh", &tracked("Tests", BUILD)), ("t.install.sh", &format!("{INSTALL}:\n"))],
        )
        .await;
    let sha = world.push(&[("other", b"3")]).await;
    let (notes, _) = logs(&world, url, &sha).await;
    assert!(
        notes[0].starts_with("[kozmic] install step: the install script is another than in"),
        "{notes:?}"
    );

    // Back to what was: the first image is still there.
    world.apply_files(url, &[("t.sh", &tracked("Tests", BUILD)), ("t.install.sh", INSTALL)]).await;
    let sha = world.push(&[("Depends", b"one\n")]).await;
    let (notes, _) = logs(&world, url, &sha).await;
    assert!(notes[0].starts_with("[kozmic] install step skipped"), "{notes:?}");

    // Nothing of the job is in the image's configuration or history.
    let images = cached(&world).await;
    assert_eq!(images.len(), 3);
    for image in &images {
        let inspected =
            docker(&["inspect", image]).await + &docker(&["history", "--no-trunc", image]).await;
        assert!(!inspected.contains("KOZMIC_BUILD"), "{inspected}");
    }
    world.end(server).await;
    remove_cached(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tracked_file_may_lie_in_a_submodule() {
    let (world, server) = world().await;
    let url = &server.url;
    let script = tracked("Tests", "#!/bin/sh\ntrue\n").replacen("Depends", "lib/Depends", 1);
    let install = INSTALL.replacen("Depends", "lib/Depends", 1);
    world.apply_files(url, &[("t.sh", &script), ("t.install.sh", &install)]).await;
    world.sim.add_repository("octo", "library").await.unwrap();
    let library = format!("{}/octo/library.git", world.sim.url());
    let push = async |branch: &str, name: &str, content: &str| {
        let change = Push::new("octo/library", "octo").message("Change").write(name, content);
        world.sim.push(&change).await.unwrap();
        // A branch of its own, which has no submodule yet.
        let adds = Push::new("octo/orbit", "octo").branch(branch).submodule("lib", &*library);
        world.sim.push(&adds).await.unwrap()
    };
    let sha = push("one", "Depends", "one\n").await;
    let (notes, lines) = logs(&world, url, &sha).await;
    assert_eq!(notes[0], "[kozmic] install step: no image is cached yet");
    assert_eq!(lines, ["installing", "one"]);
    let sha = push("other", "other", "x\n").await;
    let (notes, lines) = logs(&world, url, &sha).await;
    assert!(notes[0].starts_with("[kozmic] install step skipped"), "{notes:?}");
    assert_eq!(lines, [""; 0]);
    let sha = push("two", "Depends", "two\n").await;
    let (notes, lines) = logs(&world, url, &sha).await;
    assert!(notes[0].starts_with("[kozmic] install step: lib/Depends is another"), "{notes:?}");
    assert_eq!(lines, ["installing", "two"]);
    world.end(server).await;
    remove_cached(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_install_step_ends_the_job_with_its_code() {
    let (world, server) = world().await;
    let url = &server.url;
    world
        .apply_files(
            url,
            &[
                ("t.sh", &hook("Tests", BASE, "echo never\n")),
                ("t.install.sh", "echo no; exit 7\n"),
            ],
        )
        .await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(url, &sha).await;
    let job = build.job("Tests");
    assert_eq!((job.status.as_str(), job.return_code), ("failure", Some(7)));
    assert_eq!(job.reason, "the install script ended with 7");
    let log = world.log_text(job).await;
    assert_eq!(
        log,
        "[kozmic] install step: no image is cached yet\nno\n[kozmic] the install script ended with 7\n"
    );
    assert!(cached(&world).await.is_empty(), "what failed is not kept");
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_jobs_that_need_the_same_image_make_it_once() {
    let world = World::with(&[("KOZMIC_CONCURRENCY", "2")]).await;
    let server = world.serve().await;
    world.add_project(&server.url).await;
    let install = "#!/bin/bash\nsleep 2\ndate +%s%N | sudo tee /made\n";
    let (one, two) = (hook("One", BASE, "cat /made\n"), hook("Two", BASE, "cat /made\n"));
    let files = [
        ("1.sh", one.as_str()),
        ("1.install.sh", install),
        ("2.sh", &two),
        ("2.install.sh", install),
    ];
    world.apply_files(&server.url, &files).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&server.url, &sha).await;
    assert_eq!(build.status, "success");
    let logs = [world.log_text(build.job("One")).await, world.log_text(build.job("Two")).await];
    let skipped = logs.iter().filter(|log| log.contains("install step skipped")).count();
    assert_eq!(skipped, 1, "{logs:?}");
    let made = |log: &String| log.lines().last().unwrap().to_owned();
    assert_eq!(made(&logs[0]), made(&logs[1]), "both ran on the same image");
    assert_eq!(cached(&world).await.len(), 1);
    server.stop().await;
    remove_cached(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_can_t_poison_the_project_s_image() {
    let (world, server) = world().await;
    let url = &server.url;
    // The install script runs a file that is not tracked: a fork may change it
    // without changing the cache id.
    let install = "#!/bin/bash\nsh ./setup\n";
    world
        .apply_files(
            url,
            &[("t.sh", &tracked("Tests", "cat /setup-was\n")), ("t.install.sh", install)],
        )
        .await;
    let first = Push::new("octo/orbit", "octo")
        .message("First [ci skip]")
        .write("Depends", "one\n")
        .write("setup", "echo good | sudo tee /setup-was\n");
    world.sim.push(&first).await.unwrap();
    world.sim.add_user("mallory").await.unwrap();
    world.build_forks(&server.url).await;
    let fork = world.sim.fork("octo/orbit", "mallory").await.unwrap();
    let poison = Push::new(fork, "mallory")
        .message("Evil")
        .write("setup", "echo evil | sudo tee /setup-was\n");
    let evil = world.sim.push(&poison).await.unwrap();
    world
        .sim
        .open_pull_request("octo/orbit", "mallory", "mallory:main", "main", "Evil", "")
        .await
        .unwrap();
    let (_, lines) = logs(&world, url, &evil).await;
    assert_eq!(lines.last().unwrap(), "evil", "the fork's own job gets its own image");
    let sha = world.push(&[("other", b"1")]).await;
    let (notes, lines) = logs(&world, url, &sha).await;
    assert_eq!(notes[0], "[kozmic] install step: no image is cached yet");
    assert_eq!(lines.last().unwrap(), "good");
    server.stop().await;
    remove_cached(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_images_are_kept_and_the_least_used_go() {
    let world = World::with(&[("KOZMIC_CACHED_IMAGES_LIMIT", "2")]).await;
    let server = world.serve().await;
    let url = &server.url;
    world.add_project(url).await;
    world.apply_files(url, &[("t.sh", &tracked("Tests", ":\n")), ("t.install.sh", ":\n")]).await;
    let mut skipped = Vec::new();
    // One is used again before the third comes, so the second has to go.
    for (number, content) in ["one", "two", "one", "three", "one", "two"].into_iter().enumerate() {
        let (content, number) = (format!("{content}\n"), number.to_string());
        let sha =
            world.push(&[("Depends", content.as_bytes()), ("other", number.as_bytes())]).await;
        let (notes, _) = logs(&world, url, &sha).await;
        skipped.push(notes[0].contains("install step skipped"));
    }
    assert_eq!(skipped, [false, false, true, false, true, false]);
    eventually("the third image to be removed", async || {
        (cached(&world).await.len() == 2).then_some(())
    })
    .await;
    server.stop().await;
    remove_cached(&world).await;
}

/// What install scripts leave in their image: how often one ran in it.
const COUNT: &str = "#!/bin/sh\nsudo sh -c 'echo once more >> /count'\n";

#[tokio::test(flavor = "multi_thread")]
async fn an_install_script_may_start_from_the_nearest_image() {
    let (world, server) = world().await;
    let url = &server.url;
    let from = |option: &str| {
        let hook = tracked("Tests", "grep -c once /count\n");
        hook.replacen(
            "# kozmic: image",
            &format!("# kozmic: install-from = {option}\n# kozmic: image"),
            1,
        )
    };
    let near = [("t.sh", &*from("nearest")), ("t.install.sh", COUNT)];
    world.apply_files(url, &near).await;
    let ran = async |depends: &str, other: &str| {
        let files = [("Depends", depends.as_bytes()), ("other", other.as_bytes())];
        let sha = world.push(&files).await;
        let (notes, lines) = logs(&world, url, &sha).await;
        (notes[0].clone(), lines.last().unwrap().clone())
    };
    let (note, count) = ran("one", "1").await;
    assert_eq!(
        (note.as_str(), count.as_str()),
        ("[kozmic] install step: no image is cached yet", "1")
    );
    let (note, count) = ran("two", "2").await;
    assert!(note.contains("; it starts from the cached image "), "{note}");
    assert_eq!(count, "2", "the script found what it had left before");
    let (note, count) = ran("two", "3").await;
    assert!(note.contains("install step skipped"), "{note}");
    assert_eq!(count, "2");
    // From the base again: what grew is not taken for what is clean.
    world.apply_files(url, &[("t.sh", &from("base")), ("t.install.sh", COUNT)]).await;
    let (note, count) = ran("two", "4").await;
    assert!(note.contains("install step: ") && !note.contains("starts from"), "{note}");
    assert_eq!(count, "1");
    world.end(server).await;
    remove_cached(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_installation_s_images_are_not_ours() {
    let files = |install: &'static str| {
        [("t.sh", hook("Tests", BASE, "cat /made-by\n")), ("t.install.sh", install.to_owned())]
    };
    // The same project number, hook and tracked files; what the script reads differs.
    let install = "#!/bin/bash\nsudo cp maker /made-by\n";
    let mut worlds = Vec::new();
    for maker in ["one\n", "another\n"] {
        let (world, server) = world().await;
        let files = files(install);
        let files: Vec<(&str, &str)> =
            files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        world.apply_files(&server.url, &files).await;
        let sha = world.push(&[("maker", maker.as_bytes())]).await;
        let (notes, lines) = logs(&world, &server.url, &sha).await;
        assert_eq!(notes[0], "[kozmic] install step: no image is cached yet");
        assert_eq!(lines, [maker.trim_end()]);
        world.end(server).await;
        worlds.push(world);
    }
    // The second one has taken the name over.
    assert!(cached(&worlds[0]).await.is_empty());
    remove_cached(&worlds[1]).await;
}
