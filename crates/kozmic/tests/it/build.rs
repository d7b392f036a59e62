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
    assert_eq!(build.sender.as_deref(), Some("octo"), "who pushed");
    let page = world.page(&build.url).await;
    assert!(page.contains("Built by a push of ") && page.contains("> <bdi>octo</bdi>."), "{page}");
    assert_eq!(build.job("Tests").return_code, Some(0));
    assert_eq!(world.log(build.job("Tests")).await, b"hello world\n");
    let description = world.told(&sha, "Kozmic-CI", "success").await;
    assert!(description.starts_with("Build #1 passed in "), "{description}");
    world.told(&sha, "Kozmic-CI/Tests", "success").await;
    assert_eq!(world.states(&sha, "Kozmic-CI").await, ["pending", "success"]);
    let statuses = world.sim.statuses("octo/orbit", &sha).await.unwrap();
    let target = statuses.iter().find(|status| status.context == "Kozmic-CI").unwrap();
    assert_eq!(target.target_url.as_deref(), Some(build.url.as_str()));
    world.end(server).await;
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
        // Its own status is read before those of its jobs.
        let are_over = build.jobs.iter().all(|job| job.return_code.is_some());
        (are_over && build.status != "pending").then_some(build)
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
    world.end(server).await;
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
    let script = "#!/bin/bash\necho begun\nsleep 600\n";
    world.project(&server.url, &[hook("One", BASE, script), hook("Two", BASE, script)]).await;
    let sha = world.push(&[("a", b"a")]).await;
    eventually("both to run", async || {
        let build = world.build_of(&server.url, &sha).await;
        for job in &build.jobs {
            if job.status != "pending" || world.log(job).await != b"begun\n" {
                return None;
            }
        }
        Some(())
    })
    .await;
    world.end(server).await;
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
    world.build_forks(&server.url).await;
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
    // The tag is of the same commit.
    assert_eq!(answers, [(200, "Skipped, as `[ci skip]` asks."); 2]);
    assert!(world.builds(&server.url).await.is_empty());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_came_with_another_is_built_with_its_history() {
    let world = World::new().await;
    world.push(&[("a", b"1")]).await;
    let second = world.push(&[("a", b"2")]).await;
    world.sim.branch("octo/orbit", "octo", "second", "main").await.unwrap();
    world.push(&[("a", b"3")]).await;
    let server = world.serve_with("#!/bin/sh\ngit rev-list --count HEAD\n").await;
    let fourth = world.push(&[("a", b"4")]).await;
    let build = world.finished(&server.url, &fourth).await;
    assert_eq!(world.log_text(build.job("Tests")).await, "4\n");
    // It is in the mirror, but only as a parent of what was fetched.
    world.sim.branch("octo/orbit", "octo", "older", "second").await.unwrap();
    let build = world.finished(&server.url, &second).await;
    assert_eq!((build.git_ref.as_str(), build.status.as_str()), ("older", "success"));
    assert_eq!(world.log_text(build.job("Tests")).await, "2\n");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_was_killed_hinders_no_later_one() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    let sha = world.push(&[("a", b"1")]).await;
    world.finished(&server.url, &sha).await;
    let mirror = world.data_dir().join("mirrors/1.git");
    for lock in ["shallow.lock", "packed-refs.lock", "config.lock"] {
        std::fs::write(mirror.join(lock), "").unwrap();
    }
    let sha = world.push(&[("a", b"2")]).await;
    let build = world.finished(&server.url, &sha).await;
    assert_eq!(build.status, "success", "{:?}", build.jobs);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_may_have_any_name_that_git_allows() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\ngit symbolic-ref HEAD\ncat a\n").await;
    world.push(&[("a", b"1\n")]).await;
    let hook = world.hook(1).await;
    let project = world.store().await.project(hook.project).await.unwrap().unwrap();
    let sha = world.builds(&server.url).await[0].sha.clone();
    for (number, branch) in
        ["-x", "HEAD", "--upload-pack=x", "@", "ünï/çode"].into_iter().enumerate()
    {
        let payload = crate::harness::push_payload(project.repository.gh_id, branch, &sha, "x");
        let guid = format!("g{number}");
        let answer = world.deliver(&server.url, &hook, "push", &guid, &payload).await;
        assert_eq!(answer.status(), 200);
        let build = eventually("the branch's build", async || {
            let builds = world.builds(&server.url).await;
            builds.into_iter().find(|build| build.git_ref == branch && build.is_finished())
        })
        .await;
        let log = world.log_text(build.job("Tests")).await;
        assert_eq!(log, format!("refs/heads/{branch}\n1\n"), "{:?}", build.jobs);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_was_cut_off_while_it_was_added_takes_part() {
    let world = World::new().await;
    let server = world.serve().await;
    world.add_project(&server.url).await;
    // As `hooks apply` leaves it when it ends between GitHub's answer and its note.
    let store = world.store().await;
    let project = store.project_by_name(&"octo/orbit".parse().unwrap()).await.unwrap().unwrap();
    let spec = kozmic::model::HookSpec {
        title: "Tests".into(),
        image: BASE.parse().unwrap(),
        install_script: None,
        tracked: Vec::new(),
        build_script: kozmic::model::Script::parse(":\n").unwrap(),
        options: kozmic::model::HookOptions::default(),
    };
    let now = kozmic::model::Timestamp::now();
    let id = store.hook_added(project.id, &spec, &"secret".into(), "test", now).await.unwrap();
    let sha = world.push(&[("a", b"1")]).await;
    let payload = crate::harness::push_payload(project.repository.gh_id, "main", &sha, "x");
    let hook = world.hook(id.0).await;
    let answer = world.deliver(&server.url, &hook, "push", "g", &payload).await;
    assert_eq!(answer.text().await.unwrap(), "Build #1 with 1 job is enqueued.");
    assert_eq!(world.finished(&server.url, &sha).await.status, "success");
    server.stop().await;
}
