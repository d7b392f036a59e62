//! A push becomes a build; GitHub learns how it went.

use github_sim::client::Push;

use crate::harness::{BASE, World, eventually, hook};

#[tokio::test(flavor = "multi_thread")]
async fn a_push_becomes_a_green_build() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/bash\necho \"hello $(cat greeting)\"\n").await;
    let sha = world.push(&[("greeting", b"world")]).await;
    let build = world.finished(&server.url, &sha).await;
    assert_eq!(
        (build.number, build.status.as_str(), build.git_ref.as_str()),
        (1, "success", "main")
    );
    assert_eq!(build.job("Tests").return_code, Some(0));
    assert_eq!(world.log(build.job("Tests")).await, b"hello world\n");
    let description = world.told(&sha, "Kozmic-CI", "success").await;
    assert!(description.starts_with("Build #1 passed in "), "{description}");
    world.told(&sha, "Kozmic-CI/Tests", "success").await;
    assert_eq!(world.states(&sha, "Kozmic-CI").await, ["pending", "success"]);
    let statuses = world.sim.statuses("octo/orbit", &sha).await.unwrap();
    let target = statuses.iter().find(|status| status.context == "Kozmic-CI").unwrap();
    assert_eq!(target.target_url.as_deref(), Some(build.url.as_str()));
    server.stop().await;
    assert_eq!(world.leftovers().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_red_job_makes_the_build_red_and_is_named() {
    let world = World::new().await;
    let server = world.serve().await;
    let hooks = [
        hook("Tests", BASE, "#!/bin/sh\necho fine\n"),
        hook("Style", BASE, "#!/bin/sh\necho trailing spaces >&2\nexit 3\n"),
    ];
    world.project(&server.url, &hooks).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = eventually("both jobs' ends", async || {
        let build = world.build_of(&server.url, &sha).await;
        build.jobs.iter().all(|job| job.return_code.is_some()).then_some(build)
    })
    .await;
    assert_eq!(build.status, "failure");
    assert_eq!(
        (build.job("Tests").status.as_str(), build.job("Style").status.as_str()),
        ("success", "failure")
    );
    assert_eq!(build.job("Style").return_code, Some(3));
    assert_eq!(world.log(build.job("Style")).await, b"trailing spaces\n");
    assert_eq!(world.told(&sha, "Kozmic-CI", "failure").await, "Build #1 failed: Style");
    world.told(&sha, "Kozmic-CI/Tests", "success").await;
    let description = world.told(&sha, "Kozmic-CI/Style", "failure").await;
    assert!(description.ends_with("the script ended with 3"), "{description}");
    server.stop().await;
    assert_eq!(world.leftovers().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hooks_are_two_deliveries_but_one_build() {
    let world = World::new().await;
    let server = world.serve().await;
    let hooks = [hook("One", BASE, "#!/bin/sh\n:\n"), hook("Two", BASE, "#!/bin/sh\n:\n")];
    world.project(&server.url, &hooks).await;
    let sha = world.push(&[("a", b"a")]).await;
    world.finished(&server.url, &sha).await;
    // Two pings and two pushes.
    let deliveries =
        world.sim.wait_for_deliveries("octo/orbit", 4, crate::harness::PATIENCE).await.unwrap();
    let mut answers: Vec<&str> = deliveries
        .iter()
        .filter(|delivery| delivery.event == "push")
        .map(|delivery| delivery.response_body.as_str())
        .collect();
    answers.sort_unstable();
    assert_eq!(
        answers,
        ["Build #1 of this commit exists already.", "Build #1 with 2 jobs is enqueued."]
    );
    assert_eq!(world.builds(&server.url).await.len(), 1);
    world.told(&sha, "Kozmic-CI", "success").await;
    assert_eq!(world.states(&sha, "Kozmic-CI").await, ["pending", "success"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_jobs_run_at_once() {
    let world = World::with(&[("KOZMIC_CONCURRENCY", "2")]).await;
    let server = world.serve().await;
    let script = "#!/bin/bash\ndate +%s%N\nsleep 2\ndate +%s%N\n";
    world.project(&server.url, &[hook("One", BASE, script), hook("Two", BASE, script)]).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&server.url, &sha).await;
    let mut spans = Vec::new();
    for title in ["One", "Two"] {
        let log = world.log_text(build.job(title)).await;
        let times: Vec<u128> = log.lines().map(|line| line.parse().unwrap()).collect();
        spans.push((times[0], times[1]));
    }
    assert!(spans[0].0 < spans[1].1 && spans[1].0 < spans[0].1, "one after the other: {spans:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_of_a_pushed_branch_makes_nothing_new() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    world.push(&[("a", b"a")]).await;
    let push = Push::new("octo/orbit", "octo").branch("feature").message("Add b").write("b", "b");
    let sha = world.sim.push(&push).await.unwrap();
    world.finished(&server.url, &sha).await;
    world
        .sim
        .open_pull_request("octo/orbit", "octo", "feature", "main", "Add b, please", "")
        .await
        .unwrap();
    // Ping, two pushes, the pull request.
    let deliveries =
        world.sim.wait_for_deliveries("octo/orbit", 4, crate::harness::PATIENCE).await.unwrap();
    let opened = deliveries.iter().find(|delivery| delivery.event == "pull_request").unwrap();
    assert_eq!(opened.response_body, "Build #2 of this commit exists already.");
    assert_eq!(world.builds(&server.url).await.len(), 2);
    let page = world.page(&world.build_of(&server.url, &sha).await.url).await;
    assert!(page.contains("Add b, please"), "the build's page names its pull request");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_s_pull_request_is_built_under_its_own_ref() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\ncat b\ngit rev-parse --abbrev-ref HEAD\n").await;
    world.push(&[("a", b"a")]).await;
    world.sim.add_user("mallory").await.unwrap();
    let fork = world.sim.fork("octo/orbit", "mallory").await.unwrap();
    // On the fork's main, which must not be taken for ours.
    let push = Push::new(fork, "mallory").message("Add b").write("b", "from the fork\n");
    let sha = world.sim.push(&push).await.unwrap();
    world
        .sim
        .open_pull_request("octo/orbit", "mallory", "mallory:main", "main", "Add b", "")
        .await
        .unwrap();
    let build = world.finished(&server.url, &sha).await;
    assert_eq!((build.git_ref.as_str(), build.status.as_str()), ("refs/pull/1/head", "success"));
    assert_eq!(world.log_text(build.job("Tests")).await, "from the fork\npull/1/head\n");
    let badge = world.page(&format!("{}/badges/octo/orbit/refs/pull/1/head", server.url)).await;
    assert!(badge.contains("success"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn skip_words_make_no_build() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    let push = Push::new("octo/orbit", "octo").message("Fix a typo [ci skip]").write("a", "a");
    world.sim.push(&push).await.unwrap();
    world.sim.tag("octo/orbit", "octo", "v1").await.unwrap();
    let deliveries =
        world.sim.wait_for_deliveries("octo/orbit", 3, crate::harness::PATIENCE).await.unwrap();
    let answers: Vec<(u16, &str)> = deliveries
        .iter()
        .filter(|delivery| delivery.event == "push")
        .map(|delivery| (delivery.status_code, delivery.response_body.as_str()))
        .collect();
    assert_eq!(answers, [(200, "Skipped, as `[ci skip]` asks."), (200, "Tags are not built.")]);
    assert!(world.builds(&server.url).await.is_empty());
    server.stop().await;
}
