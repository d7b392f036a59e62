//! Builds that nobody pushed for: started by page, API and command, of any branch, tag or
//! commit.

use github_sim::client::Push;
use serde_json::{Value, json};

use crate::cache::remove_cached;
use crate::harness::{BASE, Build, Server, World, eventually, hook, post_form};

const SHOWS: &str = "#!/bin/bash\necho \"$(cat word) level=$LEVEL for $KOZMIC_BUILD_TRIGGER on $KOZMIC_BUILD_REF\"\n";

async fn push(world: &World, branch: &str, content: &str) -> String {
    let push = Push::new("octo/orbit", "octo").branch(branch).message(content);
    world.sim.push(&push.write("word", content)).await.unwrap()
}

async fn api_start(world: &World, server: &Server, body: &Value) -> (u16, Value) {
    let url = format!("{}/api/v1/projects/1/builds", server.url);
    let request = world.http.post(url).bearer_auth(world.api_token().await);
    let answer = request.body(body.to_string()).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// The build with this number, once it is finished.
async fn ended(world: &World, server: &Server, number: i64) -> Build {
    eventually("the build's end", async || {
        let builds = world.builds(&server.url).await;
        builds.into_iter().find(|build| build.number == number && build.is_finished())
    })
    .await
}

async fn said(world: &World, build: &Build) -> String {
    let log = world.log_text(build.job("Tests")).await;
    log.lines().filter(|line| !line.starts_with('[')).collect::<Vec<_>>().join("\n")
}

/// A command of the client, with its output and its code.
async fn client(world: &World, server: &Server, arguments: &[&str]) -> (String, Option<i32>) {
    let mut command = world.command(&server.url, arguments);
    command.env("KOZMIC_SERVER", &server.url).env("KOZMIC_TOKEN", world.api_token().await);
    let output = command.output().await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    (said + &String::from_utf8(output.stderr).unwrap(), output.status.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn branch_tag_and_commit_are_built_with_variables_as_somebody_asks() {
    let world = World::new().await;
    let server = world.serve().await;
    let first = push(&world, "main", "one").await;
    world.sim.tag("octo/orbit", "octo", "v1").await.unwrap();
    let other = push(&world, "feature/x", "two").await;
    push(&world, "main", "three").await;
    let own = "# kozmic: env = LEVEL=hook\n# kozmic: image";
    let tests = hook("Tests", BASE, SHOWS).replacen("# kozmic: image", own, 1);
    let by_hand = "# kozmic: event = manual\n# kozmic: image";
    let deploy = hook("Deploy", BASE, SHOWS).replacen("# kozmic: image", by_hand, 1);
    let install = "#!/bin/bash\necho \"install level=$LEVEL\"\n";
    let files =
        [("tests.sh", tests.as_str()), ("tests.install.sh", install), ("deploy.sh", &deploy)];
    world.add_project(&server.url).await;
    world.apply_files(&server.url, &files).await;

    // The default branch, as the hook has it.
    let (status, answer) = api_start(&world, &server, &json!({})).await;
    assert_eq!((status, &answer["trigger"]), (201, &json!("manual")), "{answer}");
    let build = ended(&world, &server, 1).await;
    assert_eq!(build.jobs.len(), 1, "a hook that runs by hand only is to be named");
    assert_eq!(build.not_run[0].reason, "runs by hand or by the clock only");
    let expected = "install level=hook\nthree level=hook for manual on main";
    assert_eq!(said(&world, &build).await, expected);

    // A branch by the API, with a variable: the image of the install script is not touched.
    let body = json!({"ref": "feature/x", "variables": {"LEVEL": "it's \"2\"", "MORE": ""}});
    let (status, answer) = api_start(&world, &server, &body).await;
    assert_eq!((status, &answer["asked_by"]), (201, &json!("octo")));
    assert_eq!(answer["variables"]["LEVEL"], json!("it's \"2\""));
    let build = ended(&world, &server, 2).await;
    assert_eq!((build.sha.as_str(), build.git_ref.as_str()), (other.as_str(), "feature/x"));
    assert_eq!(said(&world, &build).await, "two level=it's \"2\" for manual on feature/x");
    let page = world.page(&build.url).await;
    assert!(page.contains("Built by hand of <img class=\"avatar\" src=\"/avatars/"), "{page}");
    assert!(page.contains("> <bdi>octo</bdi>."), "{page}");
    assert!(page.contains("2 variables given") && page.contains("it&#39;s &#34;2&#34;"), "{page}");

    // Run again, it is given the same.
    let restart = format!("{}/api/v1/builds/{}/restart", server.url, build.id);
    world.http.post(restart).bearer_auth(world.api_token().await).send().await.unwrap();
    let again = ended(&world, &server, 2).await;
    assert_ne!(again.job("Tests").id, build.job("Tests").id);
    assert_eq!(said(&world, &again).await, "two level=it's \"2\" for manual on feature/x");

    // A tag by the command, with a hook that runs by hand only.
    let arguments = [
        "start",
        "octo/orbit",
        "--ref",
        "v1",
        "--hook",
        "Deploy",
        "--hook",
        "Tests",
        "--env",
        "LEVEL=3",
    ];
    let (shown, code) = client(&world, &server, &arguments).await;
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.starts_with("Build #3 of refs/tags/v1 at "), "{shown}");
    let build = ended(&world, &server, 3).await;
    assert_eq!(build.sha, first);
    assert_eq!(said(&world, &build).await, "one level=3 for manual on refs/tags/v1");
    assert!(build.jobs.iter().any(|job| job.title == "Deploy" && job.status == "success"));

    // A commit by the page, by the first of its digits.
    let owner = world.owner(&server.url).await;
    let form = format!("{}/projects/1/start/", server.url);
    let shown = world.page(&form).await;
    assert!(shown.contains("<code>LEVEL=hook</code>"), "what may be replaced is shown: {shown}");
    let fields = [("ref", &first[..8]), ("hook", "Tests"), ("variables", "LEVEL=4\r\n\r\nB=c\r\n")];
    let answer = post_form(owner, &form, &fields).await;
    assert_eq!(answer.status(), 303);
    let build = ended(&world, &server, 4).await;
    assert_eq!((build.sha.as_str(), build.git_ref.as_str()), (first.as_str(), "main"));
    assert_eq!(said(&world, &build).await, "one level=4 for manual on main");
    let head = &other[..10];
    let (status, answer) = api_start(&world, &server, &json!({"ref": head})).await;
    assert_eq!((status, &answer["ref"]), (201, &json!("feature/x")), "{answer}");
    ended(&world, &server, 5).await;
    let history = world.page(&format!("{}/projects/1/history/", server.url)).await;
    assert!(history.contains("by hand") && history.contains("Start a build"), "{history}");
    remove_cached(&world).await;
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_t_be_started_is_told_and_leaves_nothing() {
    let world = World::new().await;
    let server = world.serve().await;
    let main = push(&world, "main", "one").await;
    world.sim.add_user("mallory").await.unwrap();
    world.sim.fork("octo/orbit", "mallory").await.unwrap();
    let theirs = Push::new("mallory/orbit", "mallory").branch("theirs").write("b", "theirs");
    let theirs = world.sim.push(&theirs).await.unwrap();
    // GitHub shows their commit in ours as well.
    let (octo, head) = ("octo/orbit", "mallory:theirs");
    world.sim.open_pull_request(octo, "mallory", head, "main", "Better", "").await.unwrap();
    let by_hand = "# kozmic: event = manual\n# kozmic: image";
    let deploy = hook("Deploy", BASE, SHOWS).replacen("# kozmic: image", by_hand, 1);
    world.project(&server.url, &[deploy]).await;

    let form = format!("{}/projects/1/start/", server.url);
    for (reference, hooks, variable, says) in [
        ("nowhere", vec![], "A=1", "octo/orbit has no branch, tag or commit `nowhere`."),
        ("a..b", vec![], "A=1", "octo/orbit has no branch, tag or commit `a..b`."),
        ("abcdef1234", vec![], "A=1", "octo/orbit has no branch, tag or commit `abcdef1234`."),
        (&*theirs, vec!["Deploy"], "A=1", "it may be a fork's"),
        ("refs/pull/1/head", vec!["Deploy"], "A=1", "only branches, tags and commits"),
        ("main", vec!["Nothing"], "A=1", "The project has no hook `Nothing`. Its hooks: Deploy."),
        ("main", vec![], "A=1", "Deploy runs by hand or by the clock only"),
        ("main", vec!["Deploy"], "CI=1", "the variable CI is set by Kozmic itself"),
        ("main", vec!["Deploy"], "1A=1", "is not the name of a variable"),
    ] {
        let (name, value) = variable.split_once('=').unwrap();
        let body = json!({"ref": reference, "hooks": hooks, "variables": {name: value}});
        let (status, answer) = api_start(&world, &server, &body).await;
        let detail = answer["detail"].as_str().unwrap();
        assert_eq!(status, 422, "{reference}: {detail}");
        assert!(detail.contains(says), "{reference}: {detail}");
        let mut fields = vec![("ref", reference), ("variables", variable)];
        fields.extend(hooks.iter().map(|title| ("hook", *title)));
        let answer = post_form(world.owner(&server.url).await, &form, &fields).await;
        assert_eq!(answer.status(), 422, "{reference}");
        let page = answer.text().await.unwrap();
        let says = says.replace('\'', "&#39;");
        assert!(page.contains("role=\"alert\"") && page.contains(&says), "{reference}: {page}");
        assert!(page.contains(variable), "what was typed is still there");
    }
    let (status, _) = api_start(&world, &server, &json!({"reff": "main"})).await;
    assert_eq!(status, 400);
    let (shown, code) = client(&world, &server, &["start", "octo/orbit", "--ref", "nowhere"]).await;
    assert_eq!(code, Some(1));
    assert_eq!(shown, "kozmic: octo/orbit has no branch, tag or commit `nowhere`.\n");
    assert!(world.builds(&server.url).await.is_empty(), "nothing was made");
    assert!(world.sim.statuses("octo/orbit", &main).await.unwrap().is_empty());
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chosen_hook_speaks_for_itself_and_not_for_the_commit() {
    let world = World::new().await;
    let server = world.serve().await;
    let fails = "#!/bin/bash\n[ \"$LEVEL\" = 2 ]\n";
    let hooks = [hook("Tests", BASE, fails), hook("Style", BASE, fails)];
    world.project(&server.url, &hooks).await;
    let sha = push(&world, "main", "one").await;
    world.finished(&server.url, &sha).await;
    world.told(&sha, "Kozmic-CI", "failure").await;
    world.told(&sha, "Kozmic-CI/Tests", "failure").await;
    let badge = async || {
        let url = format!("{}/badges/octo/orbit/main", server.url);
        world.http.get(url).send().await.unwrap().text().await.unwrap()
    };

    let body = json!({"hooks": ["Tests"], "variables": {"LEVEL": "2"}});
    api_start(&world, &server, &body).await;
    assert_eq!(ended(&world, &server, 2).await.status, "success");
    world.told(&sha, "Kozmic-CI/Tests", "success").await;
    assert_eq!(world.states(&sha, "Kozmic-CI").await.last().unwrap(), "failure");
    assert_eq!(world.states(&sha, "Kozmic-CI/Style").await.last().unwrap(), "failure");
    assert!(badge().await.contains("fail"), "the badge is that of the whole build");

    // The first one's job runs again, too late to speak for its hook.
    let restart = format!("{}/api/v1/builds/1/restart?failed=true", server.url);
    world.http.post(restart).bearer_auth(world.api_token().await).send().await.unwrap();
    ended(&world, &server, 1).await;
    world.told(&sha, "Kozmic-CI", "failure").await;
    assert_eq!(world.states(&sha, "Kozmic-CI/Tests").await.last().unwrap(), "success");

    // All of them, with what they need.
    api_start(&world, &server, &json!({"variables": {"LEVEL": "2"}})).await;
    assert_eq!(ended(&world, &server, 3).await.status, "success");
    world.told(&sha, "Kozmic-CI", "success").await;
    world.told(&sha, "Kozmic-CI/Style", "success").await;
    assert!(badge().await.contains("success"), "{}", badge().await);
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn newer_pushes_leave_alone_what_somebody_started() {
    let world = World::with(&[("KOZMIC_CONCURRENCY", "3")]).await;
    let server = world
        .serve_with("#!/bin/bash\nuntil [ \"$(cat word)\" = two ]; do sleep 0.1; done\n")
        .await;
    let set = ["project", "set", "octo/orbit", "--cancel-superseded", "on"];
    assert!(world.run(&server.url, &set).await.status.success());
    push(&world, "main", "one").await;
    let first = world.builds(&server.url).await.remove(0);
    let (status, _) = api_start(&world, &server, &json!({})).await;
    assert_eq!(status, 201);
    let sha = push(&world, "main", "two").await;
    assert_eq!(world.finished(&server.url, &sha).await.status, "success");
    assert_eq!(ended(&world, &server, first.number).await.status, "cancelled");
    let started = world.builds(&server.url).await;
    let started = started.iter().find(|build| build.trigger == "manual").unwrap();
    assert!(!started.is_finished(), "{}", started.status);
    world.end(server).await;
}
