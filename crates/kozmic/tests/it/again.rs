//! Stopping jobs, and running them again: from the page, the API and the command
//! line.

use crate::harness::{BASE, Build, World, eventually, hook};

const ENDLESS: &str =
    "#!/bin/bash\ntrap 'echo asked to end; exit 3' TERM\necho begun\nsleep 600 & wait\n";

async fn running(world: &World, url: &str, sha: &str) -> Build {
    eventually("the job's first line", async || {
        let build = world.build_of(url, sha).await;
        (world.log(&build.jobs[0]).await == b"begun\n").then_some(build)
    })
    .await
}

/// A form of a page, as the browser sends it.
pub async fn press(world: &World, url: &str, path: &str) -> (u16, String) {
    let request = world.owner(url).await.post(format!("{url}{path}")).header("origin", url);
    let answer = request
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/x-www-form-urlencoded")
        .body("jobs=failed")
        .send()
        .await
        .unwrap();
    let location = answer.headers().get("location").map(|to| to.to_str().unwrap().to_owned());
    (answer.status().as_u16(), location.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_is_asked_to_end_and_is_cancelled() {
    let world = World::new().await;
    let server = world.serve_with(ENDLESS).await;
    let sha = world.push(&[("a", b"a")]).await;
    let job = running(&world, &server.url, &sha).await.job("Tests").clone();
    let (status, location) =
        press(&world, &server.url, &format!("/projects/1/jobs/{}/cancel/", job.id)).await;
    assert_eq!((status, location), (303, format!("/projects/1/builds/1/jobs/{}/", job.id)));
    let build = world.finished(&server.url, &sha).await;
    let job = build.job("Tests");
    assert_eq!(
        (build.status.as_str(), job.status.as_str(), job.return_code),
        ("cancelled", "cancelled", None)
    );
    assert_eq!(job.reason, "cancelled: by octo");
    let log = world.log_text(job).await;
    assert_eq!(log, "begun\nasked to end\n[kozmic] cancelled: by octo\n");
    assert!(world.told(&sha, "Kozmic-CI", "error").await.starts_with("Build #1 was cancelled"));
    let (status, _) =
        press(&world, &server.url, &format!("/projects/1/jobs/{}/cancel/", job.id)).await;
    assert_eq!(status, 409, "it is over already");
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_will_not_end_is_killed() {
    let world = World::new().await;
    let server = world
        .serve_with("#!/bin/bash\ntrap '' TERM\necho begun\nwhile true; do sleep 1; done\n")
        .await;
    let sha = world.push(&[("a", b"a")]).await;
    let job = running(&world, &server.url, &sha).await.job("Tests").id;
    press(&world, &server.url, &format!("/projects/1/jobs/{job}/cancel/")).await;
    assert_eq!(world.finished(&server.url, &sha).await.status, "cancelled");
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_job_is_cancelled_at_once() {
    let world = World::with(&[("KOZMIC_CONCURRENCY", "1")]).await;
    let server = world.serve().await;
    world.project(&server.url, &[hook("One", BASE, ENDLESS), hook("Two", BASE, ":\n")]).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = running(&world, &server.url, &sha).await;
    let two = build.job("Two").id;
    press(&world, &server.url, &format!("/projects/1/jobs/{two}/cancel/")).await;
    let build = world.build_of(&server.url, &sha).await;
    assert_eq!((build.job("Two").status.as_str(), build.status.as_str()), ("cancelled", "pending"));
    press(&world, &server.url, &format!("/projects/1/builds/{}/cancel/", build.id)).await;
    assert_eq!(world.finished(&server.url, &sha).await.status, "cancelled");
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_again_and_the_old_one_stays() {
    let world = World::new().await;
    let server = world.serve().await;
    let hooks = [hook("Red", BASE, "echo first; exit 1\n"), hook("Green", BASE, ":\n")];
    world.project(&server.url, &hooks).await;
    let sha = world.push(&[("a", b"a")]).await;
    world.told(&sha, "Kozmic-CI/Green", "success").await;
    let build = world.finished(&server.url, &sha).await;
    let (red, green) = (build.job("Red").clone(), build.job("Green").clone());
    // The hook was mended meanwhile.
    world.apply(&server.url, &[hook("Red", BASE, "echo second\n")]).await;
    let (status, _) =
        press(&world, &server.url, &format!("/projects/1/builds/{}/restart/", build.id)).await;
    assert_eq!(status, 303);
    world.told(&sha, "Kozmic-CI", "success").await;
    let build = world.build_of(&server.url, &sha).await;
    assert_eq!(build.job("Green").id, green.id, "what is green is left alone");
    assert_ne!(build.job("Red").id, red.id);
    assert_eq!(world.log_text(build.job("Red")).await, "second\n");
    assert_eq!(world.log_text(&red).await, "first\n", "the old log is where it was");
    let old_page = world.page(&format!("{}jobs/{}/", build.url, red.id)).await;
    assert!(old_page.contains("first") && old_page.contains("failure"));
    let new_page = world.page(&format!("{}jobs/{}/", build.url, build.job("Red").id)).await;
    assert!(new_page.contains(&format!("/jobs/{}/", red.id)), "the new page leads to the old one");
    assert_eq!(world.states(&sha, "Kozmic-CI").await, ["pending", "failure", "pending", "success"]);
    let (status, _) =
        press(&world, &server.url, &format!("/projects/1/jobs/{}/restart/", red.id)).await;
    assert_eq!(status, 409, "it was run again already");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_push_cancels_the_older_build_where_the_project_says_so() {
    let world = World::with(&[("KOZMIC_CONCURRENCY", "1")]).await;
    let server = world.serve_with(ENDLESS).await;
    let set = ["project", "set", "octo/orbit", "--cancel-superseded", "on"];
    let said = world.run(&server.url, &set).await;
    let said = String::from_utf8(said.stdout).unwrap();
    assert_eq!(said, "A newer push to a branch of octo/orbit now cancels its older builds.\n");
    let first = world.push(&[("a", b"1")]).await;
    running(&world, &server.url, &first).await;
    // Waits behind the first; both give way to the third.
    let second = world.push(&[("a", b"2")]).await;
    let third = world.push(&[("a", b"3")]).await;
    let build = world.finished(&server.url, &first).await;
    assert_eq!(build.status, "cancelled");
    assert_eq!(build.jobs[0].reason, "cancelled: superseded by build #2");
    assert_eq!(
        world.finished(&server.url, &second).await.jobs[0].reason,
        "cancelled: superseded by build #3"
    );
    running(&world, &server.url, &third).await;
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_of_other_sites_are_refused() {
    let world = World::new().await;
    let server = world.serve_with(ENDLESS).await;
    let sha = world.push(&[("a", b"a")]).await;
    let job = running(&world, &server.url, &sha).await.job("Tests").id;
    let url = format!("{}/projects/1/jobs/{job}/cancel/", server.url);
    for (name, value) in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")] {
        let owner = world.owner(&server.url).await;
        let answer = owner.post(&url).header(name, value).send().await.unwrap();
        assert_eq!(answer.status(), 403, "{name}: {value}");
    }
    assert_eq!(world.build_of(&server.url, &sha).await.status, "pending");
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_lists_follows_cancels_and_restarts() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/bash\necho begun\n[ -e quick ] || sleep 600\n").await;
    let token = world.api_token().await.to_owned();
    let client = async |arguments: &[&str]| {
        let mut command = world.command(&server.url, arguments);
        command.env("KOZMIC_SERVER", &server.url).env("KOZMIC_TOKEN", &token);
        let output = command.output().await.unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap(),
        )
    };
    let sha = world.push(&[("a", b"a")]).await;
    let job = running(&world, &server.url, &sha).await.jobs[0].id;
    let projects = format!("PROJECT     PAGE\nocto/orbit  {}/projects/1/\n", server.url);
    assert_eq!(client(&["projects"]).await, (true, projects));
    let (_, builds) = client(&["builds", "octo/orbit"]).await;
    let lines: Vec<&str> = builds.lines().collect();
    assert!(lines[0].starts_with("BUILD  STATUS   REF   COMMIT"), "{builds}");
    assert!(
        lines[1].starts_with("#1     pending  main") && lines[1].contains(&sha[..7]),
        "{builds}"
    );
    assert_eq!(client(&["logs", &job.to_string()]).await, (true, "begun\n".into()));
    let cancelled = client(&["cancel", &job.to_string()]).await;
    assert_eq!(cancelled, (true, format!("Job {job} (Tests) is pending: being stopped\n")));
    let build = world.finished(&server.url, &sha).await;
    assert_eq!(build.jobs[0].reason, "cancelled: by octo");
    let (_, restarted) = client(&["restart", &job.to_string()]).await;
    // The worker may be faster than the answer.
    let starts = ["enqueued", "pending"]
        .map(|status| format!("Job {} (Tests) is {status}: {}/projects/1/", job + 1, server.url));
    assert!(starts.iter().any(|start| restarted.starts_with(start)), "{restarted}");
    assert!(client(&["cancel", &(job + 1).to_string()]).await.0);
    let followed = client(&["logs", "-f", &(job + 1).to_string()]).await;
    assert!(followed.0 && followed.1.contains("[kozmic] cancelled: by octo"), "{followed:?}");
    let (ok, missing) = client(&["logs", "77"]).await;
    assert_eq!(
        (ok, missing.as_str()),
        (false, "kozmic: There is no such job, or this token may not see it.\n")
    );
    let (ok, over) = client(&["cancel", &job.to_string()]).await;
    assert_eq!((ok, over.as_str()), (false, "kozmic: The job is over already.\n"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_is_for_those_with_a_token_and_a_role() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    let sha = world.push(&[("a", b"a")]).await;
    world.finished(&server.url, &sha).await;
    let store = world.store().await;
    let stranger = kozmic::model::GithubUser {
        gh_id: 99,
        login: "stranger".into(),
        name: "Stranger".into(),
        avatar_url: None,
        email: None,
    };
    let now = kozmic::model::Timestamp::now();
    let stranger = store.user_signed_in(&stranger, &"x".into(), now).await.unwrap();
    let spec = kozmic::model::TokenSpec::parse("test", "write", "").unwrap();
    let stranger = store.token_created(stranger, &spec, now).await.unwrap();
    let owner = world.api_token().await.to_owned();
    let routes = [
        ("GET", "/projects/1", 200),
        ("GET", "/projects/1/builds", 200),
        ("GET", "/builds/1", 200),
        ("GET", "/jobs/1", 200),
        ("GET", "/jobs/1/log", 200),
        ("POST", "/builds/1/cancel", 409),
        ("POST", "/jobs/1/cancel", 409),
        ("POST", "/jobs/1/restart", 200),
        ("POST", "/builds/1/restart", 409),
        ("GET", "/jobs/x", 404),
    ];
    let ask = async |method: &str, path: &str, token: Option<&str>| {
        let url = format!("{}/api/v1{path}", server.url);
        let mut request = world.http.request(method.parse().unwrap(), url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        request.send().await.unwrap()
    };
    for (method, path, expected) in routes {
        for wrong in [None, Some("kozmic_wrong"), Some("")] {
            let answer = ask(method, path, wrong).await;
            assert_eq!(answer.status(), 401, "{method} {path} with the token {wrong:?}");
            let challenge = answer.headers()["www-authenticate"].to_str().unwrap().to_owned();
            assert!(challenge.starts_with("Bearer"), "{challenge}");
            assert_eq!(answer.headers()["content-type"], "application/problem+json");
        }
        assert_eq!(
            ask(method, path, Some(&stranger)).await.status(),
            404,
            "{method} {path} as a stranger"
        );
        assert_eq!(
            ask(method, path, Some(&owner)).await.status(),
            expected,
            "{method} {path} as the owner"
        );
    }
    let projects: serde_json::Value =
        ask("GET", "/projects", Some(&stranger)).await.json().await.unwrap();
    assert_eq!(projects["projects"], serde_json::json!([]));
    assert_eq!(ask("GET", "/nothing", Some(&owner)).await.status(), 404);
    let wrong = world.run(&server.url, &["token", "create", "--user", "nobody"]).await;
    assert_eq!(
        String::from_utf8(wrong.stderr).unwrap(),
        "kozmic: there is no user nobody; people are known once they have signed in\n"
    );
    server.stop().await;
}
