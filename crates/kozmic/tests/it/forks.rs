//! Pull requests from forks: they wait for a manager, and run after one click.

use github_sim::client::Push;

use crate::harness::{Build, Server, World, eventually};

const SCRIPT: &str = "#!/bin/sh\ncat b\n";
const WAITS: &str = "waiting for a manager's approval: pull request from a fork of mallory";

/// A pushed repository, and mallory with a fork of it.
async fn world() -> (World, Server) {
    let world = World::new().await;
    let server = world.serve_with(SCRIPT).await;
    let sha = world.push(&[("b", b"ours\n")]).await;
    world.finished(&server.url, &sha).await;
    world.sim.add_user("mallory").await.unwrap();
    world.sim.fork("octo/orbit", "mallory").await.unwrap();
    (world, server)
}

/// A commit of mallory's on a branch of the fork.
async fn commit(world: &World, branch: &str, content: &str) -> String {
    let push = Push::new("mallory/orbit", "mallory").branch(branch).message("Change b");
    world.sim.push(&push.write("b", content)).await.unwrap()
}

async fn open(world: &World, branch: &str) -> u64 {
    let (head, title) = (format!("mallory:{branch}"), format!("Better: {branch}"));
    world.sim.open_pull_request("octo/orbit", "mallory", &head, "main", &title, "").await.unwrap()
}

/// The page's button; `author` is what the second one sends besides.
async fn approve(world: &World, url: &str, build: i64, sha: &str, author: &str) -> u16 {
    let path = format!("{url}/projects/1/builds/{build}/approve/");
    let request = world.owner(url).await.post(path).header("origin", url);
    let request = request
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/x-www-form-urlencoded");
    let body = format!("sha={sha}&author={author}");
    request.body(body).send().await.unwrap().status().as_u16()
}

fn waits(build: &Build) -> bool {
    build.approval == "awaited" && build.jobs.iter().all(|job| job.reason == WAITS)
}

async fn set(world: &World, arguments: &[&str]) -> String {
    let arguments = [&["project", "set", "octo/orbit"], arguments].concat();
    let output = world.run("http://127.0.0.1:0", &arguments).await;
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_s_pull_request_waits_and_runs_after_one_click() {
    let (world, server) = world().await;
    let sha = commit(&world, "main", "theirs\n").await;
    open(&world, "main").await;
    let build = world.build_of(&server.url, &sha).await;
    assert!(waits(&build), "{build:?}");
    assert_eq!(build.pull_request_author.as_deref(), Some("mallory"));
    assert_eq!(build.pull_request_title.as_deref(), Some("Better: main"));
    let told = world.told(&sha, "Kozmic-CI", "pending").await;
    assert_eq!(told, "Waiting for a manager's approval: pull request from a fork of mallory");
    let statuses = world.sim.statuses("octo/orbit", &sha).await.unwrap();
    assert!(statuses.iter().all(|status| status.target_url.as_ref().unwrap().contains("/builds/")));
    let page = world.page(&build.url).await;
    assert!(page.contains("Approve this commit") && page.contains("/pull/1/files"), "{page}");
    assert!(page.contains("of <bdi>mallory</bdi>, from a fork"), "{page}");
    let mut queue = world.command(&server.url, &["queue", "--server", &server.url]);
    let queue = queue.env("KOZMIC_TOKEN", world.api_token().await).output().await.unwrap();
    let queue = String::from_utf8(queue.stdout).unwrap();
    assert!(queue.lines().last().unwrap().ends_with(WAITS), "{queue}");
    let history = world.page(&format!("{}/projects/1/history/", server.url)).await;
    assert!(history.contains("waits for a manager's approval"), "{history}");
    // What was pushed meanwhile is built; nothing of the fork ran.
    let ours = world.push(&[("c", b"c")]).await;
    assert_eq!(world.finished(&server.url, &ours).await.status, "success");
    assert!(waits(&world.build_of(&server.url, &sha).await));

    assert_eq!(approve(&world, &server.url, build.id, &ours, "").await, 409, "another commit");
    assert_eq!(approve(&world, &server.url, build.id, &sha, "").await, 303);
    let build = world.finished(&server.url, &sha).await;
    assert_eq!((build.status.as_str(), build.approval.as_str()), ("success", "given"));
    assert_eq!(build.approved_by.as_deref(), Some("octo"));
    assert_eq!(world.log_text(build.job("Tests")).await, "theirs\n");
    world.told(&sha, "Kozmic-CI", "success").await;
    let page = world.page(&build.url).await;
    assert!(page.contains("Approved by") && !page.contains("Approve this commit"), "{page}");
    assert_eq!(approve(&world, &server.url, build.id, &sha, "").await, 409, "it waits no more");

    // Running it again needs nobody.
    let url = format!("{}/api/v1/builds/{}/restart", server.url, build.id);
    world.http.post(url).bearer_auth(world.api_token().await).send().await.unwrap();
    eventually("the second run", async || {
        let again = world.build_of(&server.url, &sha).await;
        (again.status == "success" && again.jobs[0].id != build.jobs[0].id).then_some(())
    })
    .await;
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_commit_asks_again_and_supersedes_what_waits() {
    let (world, server) = world().await;
    let first = commit(&world, "main", "one\n").await;
    open(&world, "main").await;
    let old = world.build_of(&server.url, &first).await;
    let second = commit(&world, "main", "two\n").await;
    let new = world.build_of(&server.url, &second).await;
    assert!(waits(&new), "{new:?}");
    let old = world.finished(&server.url, &old.sha).await;
    assert_eq!(old.jobs[0].reason, format!("cancelled: superseded by build #{}", new.number));
    assert_eq!(approve(&world, &server.url, old.id, &first, "").await, 409, "it is over");
    // Run again, it waits again: nobody has agreed to this commit.
    let url = format!("{}/api/v1/builds/{}/restart", server.url, old.id);
    world.http.post(url).bearer_auth(world.api_token().await).send().await.unwrap();
    assert!(waits(&world.build_of(&server.url, &first).await));

    let number = new.number.to_string();
    let arguments =
        ["approve", "--server", &server.url, "--token", world.api_token().await, "octo/orbit"];
    let output = world.run(&server.url, &[&arguments[..], &[&number]].concat()).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(world.finished(&server.url, &second).await.approved_by.as_deref(), Some("octo"));
    // An approval is for one commit.
    let third = commit(&world, "main", "three\n").await;
    assert!(waits(&world.build_of(&server.url, &third).await));
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_author_waits_no_more_until_the_trust_is_withdrawn() {
    let (world, server) = world().await;
    let one = commit(&world, "one", "one\n").await;
    open(&world, "one").await;
    let two = commit(&world, "two", "two\n").await;
    open(&world, "two").await;
    let build = world.build_of(&server.url, &one).await;
    assert!(waits(&world.build_of(&server.url, &two).await));
    assert_eq!(approve(&world, &server.url, build.id, &one, "trusted").await, 303);
    assert_eq!(world.finished(&server.url, &one).await.status, "success");
    assert_eq!(world.finished(&server.url, &two).await.status, "success", "it waited, too");
    let next = commit(&world, "one", "one more\n").await;
    let next = world.finished(&server.url, &next).await;
    assert_eq!((next.status.as_str(), next.approval.as_str()), ("success", "given"));

    // Trust in mallory is not trust in whoever opens a request of mallory's branch.
    world.sim.add_user("eve").await.unwrap();
    commit(&world, "three", "three\n").await;
    let opened = world.sim.open_pull_request("octo/orbit", "eve", "mallory:three", "main", "x", "");
    opened.await.unwrap();
    let of_eve = eventually("eve's build", async || {
        let builds = world.builds(&server.url).await;
        builds.into_iter().find(|build| build.pull_request_author.as_deref() == Some("eve"))
    })
    .await;
    assert!(waits(&of_eve), "{of_eve:?}");

    let shown = world.run(&server.url, &["project", "show", "octo/orbit"]).await;
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("trusted author      mallory (by octo"), "{shown}");
    let said = set(&world, &["--distrust", "Mallory"]).await;
    assert_eq!(said, "Pull requests of Mallory need approval again.\n");
    let last = commit(&world, "two", "last\n").await;
    assert!(waits(&world.build_of(&server.url, &last).await));
    let said = set(&world, &["--distrust", "mallory"]).await;
    assert!(said.contains("mallory is no trusted author of the project"), "{said}");
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_may_build_forks_at_once_or_never() {
    let (world, server) = world().await;
    let said = set(&world, &["--forks", "never"]).await;
    assert_eq!(said, "Pull requests from forks of octo/orbit now are not built.\n");
    let refused = commit(&world, "main", "theirs\n").await;
    open(&world, "main").await;
    // Ping, a push, the pull request.
    let deliveries =
        world.sim.wait_for_deliveries("octo/orbit", 3, crate::harness::PATIENCE).await.unwrap();
    let opened = deliveries.iter().find(|delivery| delivery.event == "pull_request").unwrap();
    assert_eq!(opened.response_body, "Pull requests from forks are not built in this project.");
    assert!(world.sim.statuses("octo/orbit", &refused).await.unwrap().is_empty());
    assert_eq!(world.builds(&server.url).await.len(), 1);

    set(&world, &["--forks", "build"]).await;
    let sha = commit(&world, "main", "at once\n").await;
    let build = world.finished(&server.url, &sha).await;
    assert_eq!((build.status.as_str(), build.approval.as_str()), ("success", "not_needed"));
    assert!(set(&world, &["--forks", "maybe"]).await.contains("write build, ask or never"));
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_api_a_manager_of_the_project_approves_and_nobody_else() {
    let (world, server) = world().await;
    let url = &server.url;
    let people = ["reader", "elsewhere", "former", "manager"];
    for login in people {
        world.sim.add_user(login).await.unwrap();
    }
    for (login, role) in [("reader", "pull"), ("former", "push"), ("manager", "push")] {
        world.sim.add_collaborator("octo/orbit", login, role).await.unwrap();
    }
    // One of them owns another project.
    let moon = world.sim.add_repository("elsewhere", "moon").await.unwrap();
    let mut tokens = Vec::new();
    for login in people {
        let visitor = world.visitor(url, login).await;
        if login == "elsewhere" {
            let on = visitor.post(format!("{url}/repositories/{moon}/on/")).send().await.unwrap();
            assert_eq!(on.status(), 303);
        }
        let made = world.run(url, &["token", "create", "--user", login]).await;
        tokens.push(String::from_utf8(made.stdout).unwrap().trim().to_owned());
    }
    let sha = commit(&world, "main", "theirs\n").await;
    open(&world, "main").await;
    let build = world.build_of(url, &sha).await;
    assert!(waits(&build), "{build:?}");
    // The token was made while its user was a manager.
    world.sim.remove_collaborator("octo/orbit", "former").await.unwrap();
    let synchronize = format!("{url}/projects/1/memberships/sync/");
    let synchronized = world.owner(url).await.post(synchronize).send().await.unwrap();
    assert!(synchronized.text().await.unwrap().contains("Up to date with GitHub."));
    let approve = async |token: &str| {
        let request = world.http.post(format!("{url}/api/v1/builds/{}/approve", build.id));
        let answer = request.bearer_auth(token).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, told) = approve(&tokens[0]).await;
    assert_eq!(status, 403);
    assert!(told.contains("Members may look; managers and the owner may change this."), "{told}");
    assert_eq!(approve(&tokens[1]).await.0, 404);
    assert_eq!(approve(&tokens[2]).await.0, 404);
    assert_eq!(approve("kozmic_made-up").await.0, 401);
    assert!(waits(&world.build_of(url, &sha).await));
    assert_eq!(approve(&tokens[3]).await.0, 200);
    let build = world.finished(url, &sha).await;
    assert_eq!((build.status.as_str(), build.approved_by.as_deref()), ("success", Some("manager")));
    world.end(server).await;
}
