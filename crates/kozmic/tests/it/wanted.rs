//! What hooks want: events, branches, tags and changed paths.

use github_sim::client::{Delivery, Push};

use crate::harness::{BASE, Build, PATIENCE, Server, World, hook};

const QUICK: &str = "#!/bin/sh\n:\n";

/// A hook's file with wishes in its header.
fn wishing(title: &str, wishes: &[&str]) -> String {
    let lines: Vec<String> = wishes.iter().map(|wish| format!("# kozmic: {wish}\n")).collect();
    hook(title, BASE, QUICK).replacen(
        "# kozmic: image",
        &format!("{}# kozmic: image", lines.concat()),
        1,
    )
}

async fn world(hooks: &[String]) -> (World, Server) {
    let world = World::new().await;
    let server = world.serve().await;
    world.project(&server.url, hooks).await;
    (world, server)
}

fn titles(build: &Build) -> Vec<&str> {
    build.jobs.iter().map(|job| job.title.as_str()).collect()
}

fn not_run(build: &Build) -> Vec<(&str, &str)> {
    build.not_run.iter().map(|hook| (hook.hook.as_str(), hook.reason.as_str())).collect()
}

/// What the first delivery of a commit or tag was answered, once there are `count` in all.
async fn answers(world: &World, count: usize, is_meant: impl Fn(&Delivery) -> bool) -> Vec<String> {
    let deliveries = world.sim.wait_for_deliveries("octo/orbit", count, PATIENCE).await.unwrap();
    let meant = deliveries.into_iter().filter(is_meant);
    meant.map(|delivery| delivery.response_body).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_runs_when_a_path_that_it_wants_has_changed() {
    let hooks =
        [hook("Tests", BASE, QUICK), wishing("Docs", &["path = docs/**", "path = !**/*.txt"])];
    let (world, server) = world(&hooks).await;
    world.push(&[("a", b"a")]).await;
    let code = world.push(&[("src/a", b"a"), ("docs/notes.txt", b"x")]).await;
    let build = world.finished(&server.url, &code).await;
    assert_eq!(titles(&build), ["Tests"]);
    assert_eq!(not_run(&build), [("Docs", "changed none of docs/**, !**/*.txt")]);
    let page = world.page(&build.url).await;
    assert!(page.contains("was not run. Not wanted: <bdi>changed none of docs/**"), "{page}");
    assert_eq!(build.trigger, "push");
    let statuses = world.sim.statuses("octo/orbit", &code).await.unwrap();
    assert!(statuses.iter().all(|status| status.context != "Kozmic-CI/Docs"));

    let docs = world.push(&[("docs/a/b.md", b"b")]).await;
    let build = world.finished(&server.url, &docs).await;
    assert_eq!((titles(&build), not_run(&build)), (vec!["Tests", "Docs"], vec![]));
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_hook_wants_makes_no_build_and_the_delivery_says_why() {
    let (world, server) = world(&[wishing("Main", &["branch = main", "branch = release/*"])]).await;
    let main = world.push(&[("a", b"a")]).await;
    world.finished(&server.url, &main).await;
    let push = Push::new("octo/orbit", "octo").branch("topic").write("b", "b");
    let topic = world.sim.push(&push).await.unwrap();
    let said = answers(&world, 3, |delivery| delivery.payload["after"] == topic.as_str()).await;
    let why = "Not wanted by any hook. Main: the branch topic is none of main, release/*.";
    assert_eq!(said, [why]);
    assert_eq!(world.builds(&server.url).await.len(), 1);
    assert!(world.sim.statuses("octo/orbit", &topic).await.unwrap().is_empty());
    // Its pull request into main is wanted.
    let opened = world.sim.open_pull_request("octo/orbit", "octo", "topic", "main", "Add b", "");
    opened.await.unwrap();
    let build = world.finished(&server.url, &topic).await;
    assert_eq!((build.git_ref.as_str(), build.trigger.as_str()), ("topic", "pull_request"));
    assert_eq!(build.missed_because, None);
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_built_for_the_hooks_that_want_them() {
    let release = wishing("Publish", &["event = tag", "tag = v*"]);
    let (world, server) = world(&[hook("Tests", BASE, QUICK), release]).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&server.url, &sha).await;
    assert_eq!(not_run(&build), [("Publish", "runs for tag and not for push")]);
    world.sim.tag("octo/orbit", "octo", "nightly").await.unwrap();
    world.sim.tag("octo/orbit", "octo", "v1.0").await.unwrap();
    let of_tag = |name: &'static str| {
        move |delivery: &Delivery| delivery.payload["ref"] == format!("refs/tags/{name}")
    };
    // Two pings and two hooks for each of the three pushes.
    let said = answers(&world, 8, of_tag("nightly")).await;
    let why = "Not wanted by any hook. Tests: runs for push, pull_request and not for tag; \
               Publish: the tag nightly is none of v*.";
    assert_eq!(said, [why, why]);
    // Whichever hook was called first.
    let said = answers(&world, 8, of_tag("v1.0")).await;
    assert!(said.contains(&"Build #2 with 1 job is enqueued.".to_owned()), "{said:?}");
    let builds = world.builds(&server.url).await;
    assert_eq!((builds.len(), builds[0].git_ref.as_str()), (2, "refs/tags/v1.0"));
    assert_eq!((titles(&builds[0]), &builds[0].sha), (vec!["Publish"], &sha));
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn github_is_asked_to_tell_of_what_hooks_want() {
    let plain = hook("Tests", BASE, QUICK);
    let (world, server) = world(std::slice::from_ref(&plain)).await;
    let events = async || world.sim.webhooks("octo/orbit").await.unwrap()[0].events.clone();
    assert_eq!(events().await, ["push", "pull_request"]);
    let wishes = ["event = release", "event = tag", "tag = v*", "tag = !v0.*"];
    world.apply(&server.url, &[wishing("Tests", &wishes)]).await;
    assert_eq!(events().await, ["push", "release"]);
    let folder = world.folder().join("exported");
    let folder = folder.to_str().unwrap();
    world.run(&server.url, &["hooks", "export", "octo/orbit", folder]).await;
    let exported = std::fs::read_to_string(format!("{folder}/tests.sh")).unwrap();
    let header = "# kozmic: event = tag\n# kozmic: event = release\n\
                  # kozmic: tag = v*\n# kozmic: tag = !v0.*\n";
    assert!(exported.contains(header), "{exported}");
    let again = world.run(&server.url, &["hooks", "apply", "octo/orbit", folder]).await;
    assert_eq!(String::from_utf8(again.stdout).unwrap(), "unchanged  Tests\n");
    for (wishes, problem) in [
        (["event = tags"].as_slice(), "write push, pull_request, tag, release or manual"),
        (&["tag = v*"], "`tag` needs `event = tag`"),
        (&["path = /docs"], "matches nothing"),
    ] {
        std::fs::write(format!("{folder}/tests.sh"), wishing("Tests", wishes)).unwrap();
        let refused = world.run(&server.url, &["hooks", "apply", "octo/orbit", folder]).await;
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(said.contains(problem) && said.contains("tests.sh"), "{said}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_release_is_built_at_its_tag_s_commit() {
    let release = wishing("Publish", &["event = release", "tag = v*"]);
    let (world, server) = world(&[release]).await;
    let sha = world.push(&[("a", b"a")]).await;
    world.sim.publish_release("octo/orbit", "octo", "draft-1").await.unwrap();
    world.sim.publish_release("octo/orbit", "octo", "v1.0").await.unwrap();
    let build = world.finished(&server.url, &sha).await;
    assert_eq!((build.git_ref.as_str(), build.trigger.as_str()), ("refs/tags/v1.0", "release"));
    assert_eq!((build.status.as_str(), titles(&build)), ("success", vec!["Publish"]));
    // A ping and three events for each of the two releases; none for pushes.
    let of_release = |delivery: &Delivery| delivery.event == "release";
    let mut said = answers(&world, 7, of_release).await;
    said.sort();
    let ignored = |action: &str| format!("A release that was {action} is not built.");
    assert_eq!(
        said,
        [
            ignored("created"),
            ignored("created"),
            ignored("released"),
            ignored("released"),
            "Build #1 with 1 job is enqueued.".into(),
            "Not wanted by any hook. Publish: the tag draft-1 is none of v*.".into(),
        ]
    );
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn github_is_asked_for_the_paths_that_a_payload_does_not_tell() {
    let hooks = [hook("Tests", BASE, QUICK), wishing("Source", &["path = src/**"])];
    let (world, server) = world(&hooks).await;
    let main = world.push(&[("src/a", b"a")]).await;
    world.finished(&server.url, &main).await;
    let source = async |sha: &str| {
        let build = world.finished(&server.url, sha).await;
        titles(&build).contains(&"Source")
    };
    let push = |branch: &str| Push::new("octo/orbit", "octo").branch(branch);
    // A new branch: what it has and the default branch has not.
    let words = world.sim.push(&push("topic").write("README", "a")).await.unwrap();
    assert!(!source(&words).await);
    let code = world.sim.push(&push("topic").write("src/b", "b")).await.unwrap();
    assert!(source(&code).await);
    // A forced push that drops a change makes a change.
    let forced = push("topic").delete("src/b").write("README", "b").force();
    let forced = world.sim.push(&forced).await.unwrap();
    assert!(source(&forced).await);
    let forced = world.sim.push(&push("topic").write("README", "c").force()).await.unwrap();
    assert!(!source(&forced).await);
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_counts_with_all_its_files_and_wants_all_when_they_are_too_many() {
    let wishes = ["event = pull_request", "path = src/**"];
    let (world, server) = world(&[wishing("Source", &wishes)]).await;
    world.push(&[("src/a", b"a")]).await;
    let push = |branch: &str| Push::new("octo/orbit", "octo").branch(branch);
    let open = async |branch: &str| {
        world.sim.open_pull_request("octo/orbit", "octo", branch, "main", branch, "").await.unwrap()
    };
    world.sim.push(&push("words").write("README", "a")).await.unwrap();
    open("words").await;
    let of_pull = |delivery: &Delivery| delivery.event == "pull_request";
    // The ping, and the pull request: pushes are not told to this hook.
    let said = answers(&world, 2, of_pull).await;
    assert_eq!(said, ["Not wanted by any hook. Source: changed none of src/**."]);
    // Changed by the first commit, not by the last.
    world.sim.push(&push("code").write("src/b", "b")).await.unwrap();
    let code = world.sim.push(&push("code").write("README", "b")).await.unwrap();
    open("code").await;
    world.finished(&server.url, &code).await;

    let many = tempfile::tempdir_in(world.folder()).unwrap();
    std::fs::create_dir_all(many.path().join("src")).unwrap();
    std::fs::write(many.path().join("src/a"), "a").unwrap();
    for index in 0..301 {
        std::fs::write(many.path().join(format!("{index}.txt")), "x").unwrap();
    }
    let many = world.sim.push(&push("many").from_dir(many.path())).await.unwrap();
    open("many").await;
    assert_eq!(world.finished(&server.url, &many).await.status, "success");
    world.end(server).await;
}
