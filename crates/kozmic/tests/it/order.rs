//! Hooks that wait for others, hooks in variants, and what jobs say while they wait.

use std::process::Output;

use reqwest::StatusCode;

use crate::harness::{
    BASE, Build, Server, World, cached_images, eventually, hook, remove_cached_images,
};

const LIMIT: &str = "waiting for another job of the project: it runs one at once";

/// A hook's file with more lines in its header.
fn with(title: &str, options: &[&str], script: &str) -> String {
    let mut header = String::new();
    for option in options {
        header.extend(["# kozmic: ", option, "\n"]);
    }
    let image = "# kozmic: image";
    hook(title, BASE, script).replacen(image, &format!("{header}{image}"), 1)
}

/// A server whose project has hooks of these files.
async fn project(files: &[(&str, &str)]) -> (World, Server) {
    project_with(&[], files).await
}

async fn project_with(settings: &[(&str, &str)], files: &[(&str, &str)]) -> (World, Server) {
    let world = World::with(settings).await;
    let server = world.serve().await;
    world.add_project(&server.url).await;
    world.apply_files(&server.url, files).await;
    (world, server)
}

/// The client, with the owner's token.
async fn client(world: &World, server: &Server, arguments: &[&str]) -> Output {
    let mut command = world.command(&server.url, arguments);
    command.env("KOZMIC_SERVER", &server.url).env("KOZMIC_TOKEN", world.api_token().await);
    command.output().await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn restart(world: &World, server: &Server, job: i64) -> StatusCode {
    let url = format!("{}/api/v1/jobs/{job}/restart", server.url);
    world.http.post(url).bearer_auth(world.api_token().await).send().await.unwrap().status()
}

/// The page of a job, the page of its build and `kozmic queue` all say what it waits for.
async fn all_say(world: &World, server: &Server, build: &Build, title: &str, why: &str) {
    let job = eventually(&format!("{title} to be {why}"), async || {
        let build = world.build_of(&server.url, &build.sha).await;
        Some(build.job(title).clone()).filter(|job| job.reason == why)
    })
    .await;
    assert_eq!(job.status, "enqueued");
    let in_html = why.replace('\'', "&#39;");
    let page = world.page(&format!("{}jobs/{}/", build.url, job.id)).await;
    assert!(page.contains(&format!("<dd>{in_html}</dd>")), "{why}: {page}");
    let tabs = world.page(&build.url).await;
    assert!(tabs.contains(&format!("title=\"enqueued: {in_html}\"")), "{why}: {tabs}");
    let queue = client(world, server, &["queue", "octo/orbit"]).await;
    let queue = text(&queue.stdout);
    let line = queue.lines().find(|line| line.starts_with(&job.id.to_string()));
    let line = line.unwrap_or_else(|| panic!("{title} is not in the queue: {queue}"));
    assert!(line.contains(title) && line.ends_with(why), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_waits_until_all_is_green_and_runs_after_a_restart_that_is() {
    let tests = |script: &str| with("Tests", &[], &format!("#!/bin/sh\n{script}\n"));
    let deploy = with(
        "Deploy",
        &["after = Tests", "after = Lint", "branch = main", "retry = no"],
        "#!/bin/sh\necho deployed\n",
    );
    let lint = with("Lint", &[], "#!/bin/sh\ncat b\n");
    let files = [("deploy.sh", &*deploy), ("lint.sh", &lint), ("tests.sh", &tests("grep green b"))];
    let (world, server) = project(&files).await;
    let sha = world.push(&[("b", b"green\n")]).await;
    let build = world.finished(&server.url, &sha).await;
    assert_eq!(build.status, "success");
    assert_eq!(world.log_text(build.job("Deploy")).await, "deployed\n");
    world.told(&sha, "Kozmic-CI/Deploy", "success").await;

    let sha = world.push(&[("b", b"red\n")]).await;
    let told = world.told(&sha, "Kozmic-CI/Deploy", "error").await;
    assert_eq!(told, "not run: `Tests` failed");
    let build = world.finished(&server.url, &sha).await;
    assert_eq!(
        (build.status.as_str(), build.job("Deploy").status.as_str()),
        ("failure", "cancelled")
    );
    assert_eq!(world.log_text(build.job("Deploy")).await, "");
    assert_eq!(world.told(&sha, "Kozmic-CI", "failure").await, "Build #2 failed: Tests");
    let page = world.page(&format!("{}jobs/{}/", build.url, build.job("Deploy").id)).await;
    assert!(page.contains("not run: `Tests` failed"), "{page}");
    assert!(!page.contains("Run this job again"), "{page}");
    assert_eq!(restart(&world, &server, build.job("Deploy").id).await, StatusCode::CONFLICT);

    // The script was to blame; with the right one the same commit goes on to its end.
    world.apply_files(&server.url, &[("tests.sh", &tests("cat b"))]).await;
    assert_eq!(restart(&world, &server, build.job("Tests").id).await, StatusCode::OK);
    let again = eventually("the build to be green", async || {
        Some(world.build_of(&server.url, &sha).await).filter(|build| build.status == "success")
    })
    .await;
    assert_eq!(again.job("Deploy").id, build.job("Deploy").id, "the job that was skipped");
    assert_eq!(world.log_text(again.job("Deploy")).await, "deployed\n");
    world.told(&sha, "Kozmic-CI/Deploy", "success").await;
    world.told(&sha, "Kozmic-CI", "success").await;
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_that_wait_for_each_other_are_refused_and_leave_nothing_behind() {
    let tests = with("Tests", &[], ":\n");
    let deploy = with("Deploy", &["after = Tests"], ":\n");
    let (world, server) = project(&[("tests.sh", &tests), ("deploy.sh", &deploy)]).await;
    let state = async || {
        let hooks = world.store().await.hooks(kozmic::model::ProjectId(1)).await.unwrap();
        let webhooks = world.sim.webhooks("octo/orbit").await.unwrap().len();
        (hooks.into_iter().map(|hook| hook.spec).collect::<Vec<_>>(), webhooks)
    };
    let before = state().await;
    let circle = "hooks that wait for each other could never run";
    let apply = async |files: &[(&str, &str)]| {
        let folder = tempfile::tempdir_in(world.folder()).unwrap();
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let arguments = ["hooks", "apply", "octo/orbit", folder.path().to_str().unwrap()];
        let applied = world.run(&server.url, &arguments).await;
        (applied.status.success(), text(&applied.stderr))
    };
    // With a hook that is there and one that would be new.
    let turned = with("Tests", &["after = Lint"], ":\n");
    let lint = with("Lint", &["after = Deploy"], ":\n");
    let (applied, told) = apply(&[("tests.sh", &turned), ("lint.sh", &lint)]).await;
    assert!(!applied && told.contains(circle), "{told}");
    assert!(told.starts_with("kozmic: nothing of octo/orbit was changed"), "{told}");
    let lost = with("Lint", &["after = Testz"], ":\n");
    let (applied, told) = apply(&[("lint.sh", &lost)]).await;
    assert!(!applied && told.contains("`Lint` waits for `Testz`"), "{told}");
    assert_eq!(state().await, before);

    let post = async |path: &str, form: &[(&str, &str)]| {
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = world.owner(&server.url).await.post(format!("{}{path}", server.url));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = request.body(form).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let id = async |title: &str| {
        let hooks = world.store().await.hooks(kozmic::model::ProjectId(1)).await.unwrap();
        hooks.into_iter().find(|hook| hook.spec.title == title).unwrap().id
    };
    let form = |title, options| {
        [("title", title), ("image", BASE), ("build_script", ":"), ("options", options)]
    };
    let edit = format!("/projects/1/hooks/{}/edit/", id("Tests").await);
    let (status, page) = post(&edit, &form("Tests", "after = Deploy")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.contains(circle) && page.contains("after = Deploy"), "{page}");
    let (status, page) = post("/projects/1/hooks/add/", &form("Self", "after = Self")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.contains("`Self` waits for itself and could never run"), "{page}");
    let delete = format!("/projects/1/hooks/{}/delete/", id("Tests").await);
    let (status, page) = post(&delete, &[]).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.contains("`Deploy` waits for `Tests`"), "{page}");
    assert_eq!(state().await, before);

    // Turned round as a whole, it is no circle.
    let deploy = with("Deploy", &[], ":\n");
    let tests = with("Tests", &["after = Deploy"], ":\n");
    assert!(apply(&[("tests.sh", &tests), ("deploy.sh", &deploy)]).await.0);
    let (status, page) = post(&edit, &form("Unit tests", "after = Deploy")).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{page}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_variants_are_four_jobs_with_one_image() {
    let script = "#!/bin/bash\necho \"$PYTHON of $KOZMIC_JOB_VARIANT in $KOZMIC_JOB_TITLE $FLAGS\"\n\
                  cat /installed\n[ \"$PYTHON\" != 3.12 ]\n";
    let variants = [
        "variant = py3.9: PYTHON=3.9",
        "variant = py3.10: PYTHON=3.10 FLAGS=\"two words\"",
        "variant = py3.11: PYTHON=3.11",
        "variant = py3.12: PYTHON=3.12",
    ];
    let install = "#!/bin/bash\necho for all | sudo tee /installed\n";
    let files = [("t.sh", &*with("Tests", &variants, script)), ("t.install.sh", install)];
    let (world, server) = project(&files).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = eventually("all four to end", async || {
        let build = world.build_of(&server.url, &sha).await;
        let is_over = |status: &str| !matches!(status, "enqueued" | "pending");
        let are_over = build.jobs.iter().all(|job| is_over(&job.status));
        Some(build).filter(|_| are_over)
    })
    .await;
    assert_eq!(build.status, "failure");
    let found: Vec<_> = build.jobs.iter().map(|job| (&*job.title, &*job.status)).collect();
    assert_eq!(
        found,
        [
            ("Tests (py3.9)", "success"),
            ("Tests (py3.10)", "success"),
            ("Tests (py3.11)", "success"),
            ("Tests (py3.12)", "failure"),
        ]
    );
    for (title, status) in found {
        world.told(&sha, &format!("Kozmic-CI/{title}"), status).await;
    }
    let told = world.told(&sha, "Kozmic-CI", "failure").await;
    assert_eq!(told, "Build #1 failed: Tests (py3.12)");
    let log = world.log_text(build.job("Tests (py3.10)")).await;
    assert!(log.contains("3.10 of py3.10 in Tests (py3.10) two words\nfor all\n"), "{log}");
    let mut installed = 0;
    for job in &build.jobs {
        let log = world.log_text(job).await;
        installed += usize::from(log.contains("[kozmic] install step done"));
        assert!(log.contains("\nfor all\n"), "{log}");
    }
    assert_eq!(installed, 1, "they share what was installed once");
    let instance = world.instance().await;
    assert_eq!(cached_images(&instance).await.len(), 1);

    // One that is restarted keeps its place, its title and its variables.
    let red = build.job("Tests (py3.12)").id;
    assert_eq!(restart(&world, &server, red).await, StatusCode::OK);
    let again = eventually("its second run", async || {
        let build = world.build_of(&server.url, &sha).await;
        let job = build.job("Tests (py3.12)");
        (job.id != red && job.status == "failure").then(|| build.clone())
    })
    .await;
    assert_eq!(again.jobs[3].id, again.job("Tests (py3.12)").id);
    let log = world.log_text(&again.jobs[3]).await;
    assert!(log.contains("3.12 of py3.12 in Tests (py3.12)"), "{log}");

    // An install script that names the variable makes an image for each value.
    let install = "#!/bin/bash\necho \"for $PYTHON, not $FLAGS\" | sudo tee /installed\n";
    let variants = ["variant = old: PYTHON=3.9 MORE=1", "variant = new: PYTHON=3.11"];
    let files = [("t.sh", &*with("Tests", &variants, script)), ("t.install.sh", install)];
    world.apply_files(&server.url, &files).await;
    let sha = world.push(&[("a", b"b")]).await;
    let build = world.finished(&server.url, &sha).await;
    assert_eq!(build.status, "success");
    for (title, installed) in
        [("Tests (old)", "for 3.9, not \n"), ("Tests (new)", "for 3.11, not \n")]
    {
        let log = world.log_text(build.job(title)).await;
        assert!(log.contains("[kozmic] install step done") && log.ends_with(installed), "{log}");
    }
    assert_eq!(cached_images(&instance).await.len(), 3);
    remove_cached_images(&instance).await;
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_waits_says_what_for_on_the_page_in_the_api_and_in_the_terminal() {
    let slow = with("Tests", &[], "#!/bin/sh\nsleep 600\n");
    let deploy = with("Deploy", &["after = Tests"], ":\n");
    let gpu = with("Train", &["label = gpu"], ":\n");
    let ssd = with("Bench", &["label = ssd"], ":\n");
    let lint = with("Lint", &[], ":\n");
    let settings = [("KOZMIC_CONCURRENCY", "1"), ("KOZMIC_WORKER_LABELS", "ssd, big")];
    let files =
        [("a.sh", &*slow), ("b.sh", &*deploy), ("c.sh", &*gpu), ("d.sh", &*ssd), ("e.sh", &*lint)];
    let (world, server) = project_with(&settings, &files).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = eventually("the slow one to run", async || {
        let build = world.build_of(&server.url, &sha).await;
        (build.job("Tests").status == "pending").then_some(build)
    })
    .await;
    for (title, why) in [
        ("Deploy", "waiting for `Tests` to be green"),
        ("Train", "waiting for a worker: none has the label gpu"),
        ("Bench", "waiting for a worker with the label ssd, first in line"),
        ("Lint", "waiting for a worker, 1 ahead of it"),
    ] {
        all_say(&world, &server, &build, title, why).await;
    }
    let builds = client(&world, &server, &["builds", "octo/orbit"]).await;
    let builds = text(&builds.stdout);
    assert!(builds.contains("Deploy (waiting for `Tests` to be green)"), "{builds}");
    let limit = async |limit: &str| {
        let arguments = ["project", "set", "octo/orbit", "--jobs-at-once", limit];
        text(&world.run(&server.url, &arguments).await.stdout)
    };
    assert_eq!(limit("1").await, "Jobs of octo/orbit at once: 1.\n");
    all_say(&world, &server, &build, "Lint", LIMIT).await;
    let settings = world.page(&format!("{}/projects/1/settings/", server.url)).await;
    assert!(settings.contains("name=\"jobs_at_once\" inputmode=\"numeric\" value=\"1\""));
    assert_eq!(
        limit("off").await,
        "Jobs of octo/orbit at once: as many as there are workers for.\n"
    );

    // Whoever follows the log of one that waits is told, and of its end as well.
    let lint = build.job("Lint").id.to_string();
    let follow = ["logs", "-f", &lint];
    let followed = client(&world, &server, &follow);
    let cancel = async {
        // The job it is behind of goes first.
        let bench = build.job("Bench").id.to_string();
        assert!(client(&world, &server, &["cancel", &bench]).await.status.success());
        all_say(&world, &server, &build, "Lint", "waiting for a worker, first in line").await;
        assert!(client(&world, &server, &["cancel", &lint]).await.status.success());
    };
    let (followed, ()) = tokio::join!(followed, cancel);
    let told = text(&followed.stderr);
    assert!(followed.status.success() && followed.stdout.is_empty(), "{followed:?}");
    assert!(
        told.starts_with(&format!("kozmic: job {lint} (Lint): waiting for a worker")),
        "{told}"
    );
    world.end(server).await;
}
