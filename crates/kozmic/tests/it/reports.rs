//! GitHub learns the latest state, however it behaves meanwhile.

use github_sim::client::{Fault, FaultKind, Method, Push};
use kozmic::model::{ProjectId, Timestamp};
use secrecy::ExposeSecret as _;
use serde_json::json;
use sqlx::AnyPool;

use crate::harness::{BASE, Server, World, eventually, hook, push_payload};

async fn survives(kind: FaultKind) {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    let fault =
        Fault { method: Some("POST".into()), path_contains: "/statuses/".into(), kind, times: 3 };
    world.sim.add_fault(fault).await.unwrap();
    let sha = world.push(&[("a", b"a")]).await;
    world.told(&sha, "Kozmic-CI", "success").await;
    world.told(&sha, "Kozmic-CI/Tests", "success").await;
    let requests = world.sim.requests().await.unwrap();
    let refused = requests
        .iter()
        .filter(|request| request.path.contains("/statuses/") && request.status != 201);
    assert_eq!(refused.filter(|request| request.method == "POST").count(), 3);
    // Whatever was skipped, the last state came last and once.
    for context in ["Kozmic-CI", "Kozmic-CI/Tests"] {
        let states = world.states(&sha, context).await;
        assert_eq!(states.last().map(String::as_str), Some("success"));
        assert_eq!(states.iter().filter(|state| *state == "success").count(), 1, "{states:?}");
    }
    let build = world.finished(&server.url, &sha).await;
    assert!(!world.page(&build.url).await.contains("has not learned"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_github_that_answers_5xx_is_told_again() {
    survives(FaultKind::Status(502)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_github_that_does_not_answer_is_told_again() {
    survives(FaultKind::Drop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrived_without_an_answer_is_not_told_twice() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    answer_statuses(&world, FaultKind::LostAnswer, 3).await;
    let sha = world.push(&[("a", b"a")]).await;
    world.told(&sha, "Kozmic-CI", "success").await;
    world.told(&sha, "Kozmic-CI/Tests", "success").await;
    let build = world.finished(&server.url, &sha).await;
    eventually("GitHub to have been told of all", async || {
        (!world.page(&build.url).await.contains("not learned")).then_some(())
    })
    .await;
    for context in ["Kozmic-CI", "Kozmic-CI/Tests"] {
        let states = world.states(&sha, context).await;
        let mut once = states.clone();
        once.dedup();
        assert_eq!(states, once, "{context}");
        assert_eq!(states.last().map(String::as_str), Some("success"), "{context}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_is_obeyed() {
    survives(FaultKind::Status(429)).await;
}

/// From now on GitHub answers each status so.
async fn answer_statuses(world: &World, kind: FaultKind, times: u32) {
    let (method, path_contains) = (Some("POST".into()), "/statuses/".into());
    world.sim.add_fault(Fault { method, path_contains, kind, times }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_github_will_never_take_is_given_up_and_said() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    for code in [404, 422] {
        answer_statuses(&world, FaultKind::Status(code), u32::MAX).await;
        let sha = world.push(&[("a", code.to_string().as_bytes())]).await;
        let build = world.finished(&server.url, &sha).await;
        eventually("the reason on the build's page", async || {
            let page = world.page(&build.url).await;
            page.contains("GitHub will not learn this: GitHub").then_some(())
        })
        .await;
        assert!(!world.page(&build.url).await.contains("not learned this yet"));
        world.sim.clear_faults().await.unwrap();
    }
    // What comes later is told as ever.
    let sha = world.push(&[("a", b"later")]).await;
    world.told(&sha, "Kozmic-CI", "success").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_said_and_a_new_one_tells_what_waits() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    answer_statuses(&world, FaultKind::Status(401), u32::MAX).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&server.url, &sha).await;
    eventually("the refused token on the build's page", async || {
        let page = world.page(&build.url).await;
        let is_said = page.contains("GitHub has not accepted the token of octo")
            && page.contains("GitHub has not learned this yet: nobody who may do this");
        is_said.then_some(())
    })
    .await;
    assert!(
        world.page(&format!("{}/projects/1/history/", server.url)).await.contains("not accepted")
    );
    // GitHub is not asked again and again with it.
    world.sim.clear_faults().await.unwrap();
    assert!(world.states(&sha, "Kozmic-CI").await.is_empty());
    world.run(&server.url, &["project", "add", "octo/orbit"]).await;
    world.told(&sha, "Kozmic-CI", "success").await;
    world.told(&sha, "Kozmic-CI/Tests", "success").await;
    let page = world.page(&build.url).await;
    assert!(!page.contains("not accepted") && !page.contains("not learned"), "{page}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_build_of_a_commit_speaks_for_it() {
    let world = World::new().await;
    // Red on main, green on the branch that has the same commit.
    let server = world.serve_with("#!/bin/bash\n[ $KOZMIC_BUILD_REF = again ]\n").await;
    let sha = world.push(&[("a", b"a")]).await;
    world.told(&sha, "Kozmic-CI", "failure").await;
    world.sim.branch("octo/orbit", "octo", "again", "main").await.unwrap();
    world.told(&sha, "Kozmic-CI", "success").await;
    assert_eq!(world.states(&sha, "Kozmic-CI").await, ["pending", "failure", "pending", "success"]);
    assert_eq!(world.builds(&server.url).await.len(), 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_can_t_note_what_was_sent_does_not_flood_github() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    let _drivers = world.store().await;
    let database = AnyPool::connect(&world.settings().database_url).await.unwrap();
    // As a full disk would: what was sent can't be noted as sent.
    let breaks = "CREATE TRIGGER broken BEFORE UPDATE OF sent_version ON outbox \
                  BEGIN SELECT RAISE(FAIL, 'broken'); END";
    sqlx::query(breaks).execute(&database).await.unwrap();
    let sha = world.push(&[("a", b"a")]).await;
    world.finished(&server.url, &sha).await;
    // A last state, which no newer one will take the place of.
    eventually("a last state to be sent", async || {
        let statuses = world.sim.statuses("octo/orbit", &sha).await.unwrap();
        statuses.iter().any(|status| status.state == "success").then_some(())
    })
    .await;
    sqlx::query("DROP TRIGGER broken").execute(&database).await.unwrap();
    for context in ["Kozmic-CI", "Kozmic-CI/Tests"] {
        world.told(&sha, context, "success").await;
    }
    let build = world.finished(&server.url, &sha).await;
    eventually("all to be noted", async || {
        (!world.page(&build.url).await.contains("not learned")).then_some(())
    })
    .await;
    // Nobody knew whether it had arrived, so GitHub was asked: none was sent twice.
    for context in ["Kozmic-CI", "Kozmic-CI/Tests"] {
        let states = world.states(&sha, context).await;
        let mut once = states.clone();
        once.dedup();
        assert_eq!(states, once, "{context}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_can_t_be_read_holds_up_no_other() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    answer_statuses(&world, FaultKind::Status(502), u32::MAX).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&server.url, &sha).await;
    let broken =
        "UPDATE outbox SET payload = '{', next_attempt_at = 0 WHERE key LIKE '%:Kozmic-CI'";
    world.change(broken).await;
    world.sim.clear_faults().await.unwrap();
    world.told(&sha, "Kozmic-CI/Tests", "success").await;
    // Each goes its own way, so either may be first.
    eventually("the other to be given up", async || {
        let page = world.page(&build.url).await;
        page.contains("GitHub will not learn this: it was kept in a way").then_some(())
    })
    .await;
    server.stop().await;
}

/// Delivers a push that was there before the hook.
async fn hand_over(world: &World, server: &Server, sha: &str) {
    let hook = world.hook(1).await;
    let project = world.store().await.project(hook.project).await.unwrap().unwrap();
    let payload = push_payload(project.repository.gh_id, "main", sha, "Change something");
    let answer = world.deliver(&server.url, &hook, "push", "by-hand", &payload).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_with_a_thousand_statuses_is_given_up_and_the_others_are_told() {
    let world = World::new().await;
    let sha = world.push(&[("a", b"a")]).await;
    let path = format!("/repos/octo/orbit/statuses/{sha}");
    let status = json!({"state": "pending", "context": "Kozmic-CI"});
    for _ in 0..1_000 {
        let posted = world.sim.rest("octo", Method::POST, &path, Some(status.clone())).await;
        posted.unwrap();
    }
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    hand_over(&world, &server, &sha).await;
    world.told(&sha, "Kozmic-CI/Tests", "success").await;
    let build = world.finished(&server.url, &sha).await;
    let page = eventually("the reason on the build's page", async || {
        let page = world.page(&build.url).await;
        (page.contains("GitHub will not learn this") && !page.contains("not learned this yet"))
            .then_some(page)
    })
    .await;
    assert!(
        page.contains("with 422: Validation Failed: This SHA and context has reached"),
        "{page}"
    );
    assert_eq!(world.states(&sha, "Kozmic-CI").await.len(), 1_000);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_has_vanished_is_given_up_with_the_reason() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    world.push(&[("a", b"begin")]).await;
    answer_statuses(&world, FaultKind::Status(502), u32::MAX).await;
    let side = Push::new("octo/orbit", "octo").branch("side").write("a", "side");
    let sha = world.sim.push(&side).await.unwrap();
    let build = world.finished(&server.url, &sha).await;
    world.sim.delete_branch("octo/orbit", "octo", "side").await.unwrap();
    world.sim.vanish("octo/orbit", &sha).await.unwrap();
    world.sim.clear_faults().await.unwrap();
    eventually("the reason on the build's page", async || {
        let page = world.page(&build.url).await;
        let is_said = page.contains("GitHub will not learn this")
            && page.contains("No commit found for SHA")
            && !page.contains("not learned this yet");
        is_said.then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_github_that_was_away_for_hours_learns_the_latest_of_each_once() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    let told = world.push(&[("a", b"before")]).await;
    world.told(&told, "Kozmic-CI", "success").await;
    world.told(&told, "Kozmic-CI/Tests", "success").await;
    let away = Fault::on("/repos/octo/orbit", FaultKind::Status(503)).until_lifted();
    world.sim.add_fault(away).await.unwrap();
    let mut commits = Vec::new();
    for content in ["1", "2", "3"] {
        let sha = world.push(&[("a", content.as_bytes())]).await;
        commits.push((world.finished(&server.url, &sha).await, sha));
    }
    let refused = async || {
        let requests = world.sim.requests().await.unwrap();
        requests.iter().filter(|request| request.status == 503).count()
    };
    // An hour passes, three times: nothing waits longer than that.
    let jumps = 3;
    for _ in 0..jumps {
        let before = refused().await;
        world.change("UPDATE outbox SET next_attempt_at = next_attempt_at - 3600000").await;
        eventually("another attempt", async || (refused().await > before).then_some(())).await;
    }
    for (build, _) in &commits {
        let page = world.page(&build.url).await;
        assert!(page.contains("GitHub has not learned this yet: GitHub did not answer"), "{page}");
    }
    // Each of 3 builds has changed 2 contexts twice, which may be told at once; beyond that
    // the pause doubles from 1 s: 10 more calls take 17 minutes.
    let calls = refused().await;
    assert!(calls <= 3 * 2 * 2 + 10 + jumps, "{calls} calls");
    world.sim.clear_faults().await.unwrap();
    world.change("UPDATE outbox SET next_attempt_at = next_attempt_at - 3600000").await;
    for (_, sha) in &commits {
        for context in ["Kozmic-CI", "Kozmic-CI/Tests"] {
            world.told(sha, context, "success").await;
            assert_eq!(world.states(sha, context).await, ["success"], "{context}");
        }
    }
    for context in ["Kozmic-CI", "Kozmic-CI/Tests"] {
        assert_eq!(world.states(&told, context).await, ["pending", "success"], "{context}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_whose_calls_hang_does_not_hold_up_another() {
    let world = World::new().await;
    let server = world.serve().await;
    let hooks: Vec<String> =
        ('a'..='f').map(|name| hook(&name.to_string(), BASE, "#!/bin/sh\n:\n")).collect();
    world.project(&server.url, &hooks).await;
    world.sim.add_repository("octo", "comet").await.unwrap();
    let folder = tempfile::tempdir_in(world.folder()).unwrap();
    std::fs::write(folder.path().join("tests.sh"), &hooks[0]).unwrap();
    let apply = ["hooks", "apply", "octo/comet", folder.path().to_str().unwrap()];
    for command in [&["project", "add", "octo/comet"][..], &apply] {
        let ran = world.run(&server.url, command).await;
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }
    // Each takes longer than Kozmic waits, which is 20 s.
    let hangs = Fault::on("POST /orbit/statuses/", FaultKind::Slow(60_000)).until_lifted();
    world.sim.add_fault(hangs).await.unwrap();
    let slow = world.push(&[("a", b"a")]).await;
    eventually("the first report to hang", async || {
        (!world.sim.statuses("octo/orbit", &slow).await.unwrap().is_empty()).then_some(())
    })
    .await;
    let push = Push::new("octo/comet", "octo").write("a", "a");
    let sha = world.sim.push(&push).await.unwrap();
    eventually("the other to be told", async || {
        (!world.sim.statuses("octo/comet", &sha).await.unwrap().is_empty()).then_some(())
    })
    .await;
    // Seven contexts were due by then; not all of them had to be waited for.
    let told = world.sim.statuses("octo/orbit", &slow).await.unwrap();
    assert!(told.len() < 7, "{told:?}");
    world.sim.clear_faults().await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_manager_may_not_tell_waits_for_the_owner_to_sign_in() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    world.sim.add_user("bob").await.unwrap();
    world.sim.add_collaborator("octo/orbit", "bob", "push").await.unwrap();
    let bob = world.visitor(&server.url, "bob").await;
    world.visitor(&server.url, "octo").await;
    let store = world.store().await;
    let holders = store.token_holders(ProjectId(1), Timestamp::now()).await.unwrap();
    let logins: Vec<&str> = holders.iter().map(|holder| holder.login.as_str()).collect();
    assert_eq!(logins, ["octo", "bob"]);
    // It is hidden from the one, and the other's token is revoked.
    world.sim.remove_collaborator("octo/orbit", "bob").await.unwrap();
    world.sim.set_private("octo/orbit", true).await.unwrap();
    world.sim.revoke_token(holders[0].token.expose_secret()).await.unwrap();
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.build_of(&server.url, &sha).await;
    eventually("it to be said", async || {
        let page = bob.get(&build.url).send().await.unwrap().text().await.unwrap();
        let is_said = page.contains("GitHub has not accepted the token of octo")
            && page.contains("not learned this yet: nobody who may do this");
        is_said.then_some(())
    })
    .await;
    assert!(world.states(&sha, "Kozmic-CI").await.is_empty());
    world.visitor(&server.url, "octo").await;
    eventually("a status", async || {
        (!world.states(&sha, "Kozmic-CI").await.is_empty()).then_some(())
    })
    .await;
    server.stop().await;
}
