//! A failed job, opened: its container is kept for a while, people work in it with a
//! shell, and nothing of it stays when its time is over.

use std::process::Output;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use crate::cli::printed;
use crate::harness::terminal::Terminal;
use crate::harness::{
    BASE, Build, Server, World, containers_of, docker, eventually, hook, networks_of, web_image,
    with_header,
};

/// Fails until the file `answer` says that it is fixed.
pub const SCRIPT: &str = "#!/bin/bash\necho left > left.txt\necho outside > /tmp/outside\n\
                          grep -q fixed answer || { echo 'it is broken'; exit 3; }\necho 'it is green'\n";

/// A server that keeps what failed, and a job that did.
pub async fn with_failed(world: &World) -> (Server, Build) {
    let server = world.serve_with(SCRIPT).await;
    let sha = world.push(&[("answer", b"broken\n")]).await;
    let build = world.finished(&server.url, &sha).await;
    assert_eq!(build.job("Tests").return_code, Some(3));
    (server, build)
}

/// Runs the client without a terminal, with this on its standard input.
pub async fn client(world: &World, url: &str, arguments: &[&str], input: &str) -> Output {
    client_of(world, url, world.api_token().await, arguments, input).await
}

async fn client_of(
    world: &World,
    url: &str,
    token: &str,
    arguments: &[&str],
    input: &str,
) -> Output {
    let mut command = world.command(url, arguments);
    command.env("KOZMIC_SERVER", url).env("KOZMIC_TOKEN", token);
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes()).await;
    child.wait_with_output().await.unwrap()
}

/// What a client that was refused said.
pub fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub async fn instance(world: &World) -> String {
    world.store().await.instance(kozmic::model::Timestamp::now()).await.unwrap()
}

/// What was made of kept containers.
pub async fn kept_images(world: &World) -> Vec<String> {
    let repository = format!("kozmic-failed/{}", instance(world).await);
    let format = "{{.Repository}}:{{.Tag}}";
    let listed = docker(&["images", &repository, "--format", format]).await;
    listed.lines().map(str::to_owned).collect()
}

/// The time of all kept containers is over; nothing of them stays.
pub async fn expires(world: &World) {
    world.change("UPDATE kept_containers SET kept_until = 1, held_until = 0").await;
    all_gone(world).await;
}

pub async fn all_gone(world: &World) {
    world.nothing_left().await;
    eventually("the images to be removed", async || {
        kept_images(world).await.is_empty().then_some(())
    })
    .await;
}

/// The containers of shells that run.
async fn shells_running(world: &World) -> usize {
    let instance = format!("label=kozmic.instance={}", instance(world).await);
    let arguments = ["ps", "--quiet", "--filter", &instance, "--filter", "label=kozmic.step=shell"];
    docker(&arguments).await.lines().count()
}

async fn job(world: &World, url: &str, id: i64) -> Value {
    world.answer(&format!("{url}/api/v1/jobs/{id}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_job_is_opened_with_a_terminal_and_mended() {
    let world = World::with(&[("KOZMIC_KEEP_FAILED", "3600")]).await;
    let (server, build) = with_failed(&world).await;
    let failed = build.job("Tests");
    let log = String::from_utf8(world.log(failed).await).unwrap();
    assert!(log.contains(&format!("`kozmic shell {}` opens it", failed.id)), "{log}");
    assert!(job(&world, &server.url, failed.id).await["kept_until"].is_string());

    let mut terminal = Terminal::shell(&world, &server.url, failed.id).await;
    terminal.until("kept until").await;
    // As the script's user, where it ran, with what it found and what it left.
    let shown = terminal.runs("id -un; pwd; cat left.txt /tmp/outside answer").await;
    let found = "kozmic\n/kozmic/src\nleft\noutside\nbroken\n";
    assert!(shown.ends_with(found), "{shown:?}");
    let shown = terminal.runs("echo $KOZMIC_BUILD_SHA $KOZMIC_JOB_ID $HOME").await;
    assert!(shown.contains(&format!("{} {} /home/kozmic", build.sha, failed.id)), "{shown}");
    assert!(terminal.runs("stty size").await.contains("33 91"));
    terminal.resize(120, 40).await;
    eventually("the shell to see the new size", async || {
        terminal.runs("stty size").await.contains("40 120").then_some(())
    })
    .await;
    // Keys go to the shell, not to the client.
    terminal.types("sh -c 'echo re\"\"ady; exec sleep 1000'\n").await;
    terminal.until("ready").await;
    terminal.types("\u{3}").await;
    assert!(terminal.runs("echo code $?").await.contains("code 130"));
    // Bytes that look like the head of a frame.
    assert!(
        terminal
            .runs("printf '\\001\\000\\000\\000\\377\\377\\377\\377'; echo ok")
            .await
            .contains("ok")
    );
    assert!(terminal.runs("echo fixed > answer; /kozmic/script").await.contains("it is green"));
    terminal.types("exit 7\n").await;
    let (_, code) = terminal.ends().await;
    assert_eq!(code, 7);

    // Whoever comes next finds what was mended; the page says who was there.
    let shown = client(&world, &server.url, &["shell", "1"], "cat answer\nexit 4\n").await;
    assert_eq!((shown.stdout.as_slice(), shown.status.code()), (&b"fixed\n"[..], Some(4)));
    let page = world.page(&build.url).await;
    assert!(
        page.contains("kozmic shell 1</code>") && page.contains("opened by <bdi>octo"),
        "{page}"
    );
    eventually("nothing to run any more", async || {
        (shells_running(&world).await == 0).then_some(())
    })
    .await;
    expires(&world).await;
    assert!(job(&world, &server.url, failed.id).await["kept_until"].is_null());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_beside_a_failed_job_is_not_kept_with_it() {
    let world = World::with(&[("KOZMIC_KEEP_FAILED", "3600")]).await;
    let server = world.serve().await;
    let service = format!("service = web: {}", web_image().await);
    let header = [service.as_str(), "cache-folder = things: /home/kozmic/things"];
    let script = with_header(&header, "echo kept > /home/kozmic/things/one\nexit 3\n");
    world.project(&server.url, &[hook("Tests", BASE, &script)]).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&server.url, &sha).await;
    assert_eq!(build.job("Tests").return_code, Some(3), "{build:?}");
    let instance = instance(&world).await;
    eventually("service and network to go", async || {
        let is_gone =
            world.containers("service").await.is_empty() && networks_of(&instance).await.is_empty();
        is_gone.then_some(())
    })
    .await;
    let shown = client(&world, &server.url, &["shell", "1"], "cat ~/things/one\n").await;
    assert_eq!(shown.stdout, b"kept\n", "{}", String::from_utf8_lossy(&shown.stderr));
    expires(&world).await;
    crate::harness::remove_cache_folders(&instance).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_are_in_it_at_once_and_what_they_start_ends_with_them() {
    let world = World::with(&[("KOZMIC_KEEP_FAILED", "3600")]).await;
    let (server, _) = with_failed(&world).await;
    let mut one = Terminal::shell(&world, &server.url, 1).await;
    let mut other = Terminal::shell(&world, &server.url, 1).await;
    one.runs("echo seen > by-one; sleep 4321 & sleep 4322 & :").await;
    assert!(other.runs("cat by-one").await.contains("seen"));
    let processes = "cat /proc/[0-9]*/cmdline | tr '\\0' ' '";
    let shown = other.runs(processes).await;
    assert!(shown.contains("sleep 4321") && shown.contains("sleep 4322"), "{shown}");
    // Whoever loses their connection leaves nothing behind, and the other one goes on.
    let client = one.client();
    assert!(
        std::process::Command::new("kill").args(["-KILL", &client]).status().unwrap().success()
    );
    eventually("its processes to end", async || {
        let shown = other.runs(processes).await;
        (!shown.contains("sleep 4321") && !shown.contains("sleep 4322")).then_some(())
    })
    .await;
    // A client that is asked to end puts the terminal right.
    let client = other.client();
    assert_eq!(shells_running(&world).await, 1);
    assert!(
        std::process::Command::new("kill").args(["-TERM", &client]).status().unwrap().success()
    );
    let (_, code) = other.ends().await;
    assert_eq!(code, 128 + 15);
    eventually("the last one to put out the light", async || {
        (shells_running(&world).await == 0).then_some(())
    })
    .await;
    expires(&world).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_outlives_the_server() {
    let world = World::with(&[("KOZMIC_KEEP_FAILED", "3600")]).await;
    let (server, _) = with_failed(&world).await;
    let mut terminal = Terminal::shell(&world, &server.url, 1).await;
    terminal.runs("echo fixed > answer").await;
    server.stop().await;
    let (shown, code) = terminal.ends().await;
    assert!(shown.contains("the server stops"), "{shown}");
    assert_eq!(code, 1);
    assert_eq!(shells_running(&world).await, 0);
    let server = world.serve().await;
    let shown = client(&world, &server.url, &["shell", "1"], "cat answer\n").await;
    assert_eq!(String::from_utf8_lossy(&shown.stdout), "fixed\n");
    // A server that ends at once leaves shells running; the next one ends them.
    let shells = format!("label=kozmic.instance={}", instance(&world).await);
    server.stop().await;
    let all =
        ["ps", "--all", "--quiet", "--filter", &shells, "--filter", "label=kozmic.step=shell"];
    docker(&["start", docker(&all).await.trim()]).await;
    let server = world.serve().await;
    eventually("what was left to be ended", async || {
        (shells_running(&world).await == 0).then_some(())
    })
    .await;
    expires(&world).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_its_time_is_over_it_goes_unless_somebody_is_in_it() {
    let world = World::with(&[("KOZMIC_KEEP_FAILED", "3600")]).await;
    let (server, _) = with_failed(&world).await;
    let mut terminal = Terminal::shell(&world, &server.url, 1).await;
    terminal.runs("echo here > still").await;
    let now = kozmic::model::Timestamp::now().0;
    world.change(&format!("UPDATE kept_containers SET kept_until = {now}")).await;
    // Others may still come as well.
    let shown = client(&world, &server.url, &["shell", "1"], "cat still\n").await;
    assert_eq!(String::from_utf8_lossy(&shown.stdout), "here\n");
    assert!(terminal.runs("cat still").await.contains("here"));
    terminal.types("exit\n").await;
    assert_eq!(terminal.ends().await.1, 0);
    all_gone(&world).await;
    let said = refused(&client(&world, &server.url, &["shell", "1"], "").await);
    assert!(said.contains("job 1 is gone: its time was over"), "{said}");
    assert!(said.contains("KOZMIC_KEEP_FAILED"), "{said}");
    server.stop().await;
    world.nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_time_passes_by_itself() {
    let world = World::with(&[("KOZMIC_KEEP_FAILED", "1")]).await;
    let (server, _) = with_failed(&world).await;
    all_gone(&world).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_is_deleted_takes_it_along() {
    let world = World::with(&[("KOZMIC_KEEP_FAILED", "3600")]).await;
    let (server, _) = with_failed(&world).await;
    let mut terminal = Terminal::shell(&world, &server.url, 1).await;
    terminal.runs("pwd").await;
    let owner = world.owner(&server.url).await;
    let deleting = owner.post(format!("{}/projects/1/delete/", server.url));
    let form = "application/x-www-form-urlencoded";
    let deleting = deleting.header("content-type", form).body("full_name=octo%2Forbit");
    let deleted = deleting.send().await.unwrap();
    assert!(!deleted.status().is_client_error(), "{}", deleted.text().await.unwrap());
    let (shown, code) = terminal.ends().await;
    assert!(shown.contains("The shell was ended"), "{shown}");
    assert_eq!(code, 1);
    all_gone(&world).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_told_in_a_sentence() {
    let world = World::new().await;
    let (server, _) = with_failed(&world).await;
    let url = server.url.clone();
    let said =
        async |command: &str, job: &str| refused(&client(&world, &url, &[command, job], "").await);
    for command in ["shell", "pull"] {
        let not_kept = said(command, "1").await;
        assert!(not_kept.contains("job 1 was not kept") && not_kept.contains("KOZMIC_KEEP_FAILED"));
        assert!(said(command, "99").await.contains("no such job"));
    }
    let sha = world.push(&[("answer", b"fixed\n")]).await;
    let green = world.finished(&url, &sha).await.jobs[0].id.to_string();
    assert!(said("shell", &green).await.contains("did not fail (it is success)"));
    world.nothing_left().await;
    server.stop().await;

    let mut world = world;
    world.set("KOZMIC_KEEP_FAILED", "3600");
    let server = world.serve().await;
    let url = server.url.clone();
    let said =
        async |command: &str, job: &str| refused(&client(&world, &url, &[command, job], "").await);
    assert!(said("shell", "1").await.contains("before KOZMIC_KEEP_FAILED was set"));
    printed(&client(&world, &url, &["restart", "1"], "").await);
    let failed = eventually("it to fail again", async || {
        let job = job(&world, &url, 3).await;
        (job["status"] == "failure").then_some(job)
    })
    .await;
    let (id, uuid) = (failed["id"].to_string(), failed["uuid"].as_str().unwrap().to_owned());
    // Somebody tidies up at the engine.
    let of_job = format!("label=kozmic.job={uuid}");
    let container = docker(&["ps", "--all", "--quiet", "--filter", &of_job]).await;
    docker(&["rm", "--volumes", container.trim()]).await;
    for command in ["shell", "pull"] {
        let gone = said(command, &id).await;
        assert!(gone.contains("is gone: somebody else removed it"), "{gone}");
    }
    assert!(containers_of(None, &instance(&world).await).await.is_empty());
    assert!(kept_images(&world).await.is_empty());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_managers_may_look_inside() {
    let world = World::with(&[("KOZMIC_KEEP_FAILED", "3600")]).await;
    let (server, _) = with_failed(&world).await;
    for (login, role) in [("stranger", None), ("member", Some("pull")), ("manager", Some("push"))] {
        world.sim.add_user(login).await.unwrap();
        if let Some(role) = role {
            world.sim.add_collaborator("octo/orbit", login, role).await.unwrap();
        }
        world.visitor(&server.url, login).await;
        let made = world.run(&server.url, &["token", "create", "--user", login]).await;
        let token = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        let opened = client_of(&world, &server.url, &token, &["shell", "1"], "pwd\n").await;
        match login {
            "stranger" => assert!(refused(&opened).contains("no such job")),
            "member" => assert!(refused(&opened).contains("Members may look")),
            _ => assert_eq!(String::from_utf8_lossy(&opened.stdout), "/kozmic/src\n"),
        }
        if login != "manager" {
            let pulled = client_of(&world, &server.url, &token, &["pull", "1"], "").await;
            refused(&pulled);
        }
    }
    expires(&world).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_stalls_or_fails_to_install_is_kept_and_a_cancelled_one_is_not() {
    let world = World::with(&[("KOZMIC_KEEP_FAILED", "3600"), ("KOZMIC_CONCURRENCY", "3")]).await;
    let server = world.serve().await;
    world.add_project(&server.url).await;
    let install = format!("#!/bin/sh\n# {}\necho half > half; exit 5\n", instance(&world).await);
    let hooks = [
        ("a.sh", hook("A", BASE, "#!/bin/sh\necho never\n")),
        ("a.install.sh", install),
        ("b.sh", hook("B", BASE, "#!/bin/sh\n# kozmic: stall-timeout = 1\nsleep 1000\n")),
        ("c.sh", hook("C", BASE, "#!/bin/sh\nsleep 1000\n")),
    ];
    let files: Vec<(&str, &str)> =
        hooks.iter().map(|(name, text)| (*name, text.as_str())).collect();
    world.apply_files(&server.url, &files).await;
    let sha = world.push(&[("answer", b"")]).await;
    let is = async |title: &str, status: &str, reason: &str| {
        eventually(&format!("{title} to be {status}"), async || {
            let build = world.build_of(&server.url, &sha).await;
            let job = build.job(title).clone();
            (job.status == status && job.reason.contains(reason)).then(|| job.id.to_string())
        })
        .await
    };
    let cancelled = is("C", "pending", "running the build script").await;
    printed(&client(&world, &server.url, &["cancel", &cancelled], "").await);
    is("C", "cancelled", "").await;
    let said = refused(&client(&world, &server.url, &["shell", &cancelled], "").await);
    assert!(said.contains("did not fail (it is cancelled)"), "{said}");
    let installs = is("A", "failure", "").await;
    let shown = client(&world, &server.url, &["shell", &installs], "cat half\n").await;
    assert_eq!(String::from_utf8_lossy(&shown.stdout), "half\n");
    let stalls = is("B", "failure", "").await;
    let shown = client(&world, &server.url, &["shell", &stalls], "cat /kozmic/script\n").await;
    assert!(String::from_utf8_lossy(&shown.stdout).contains("sleep 1000"));
    expires(&world).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_disk_is_short_it_is_the_first_to_go_but_not_under_somebody() {
    let world = World::with(&[("KOZMIC_KEEP_FAILED", "3600")]).await;
    let script = "#!/bin/sh\nhead -c 30000000 /dev/urandom > big\nexit 1\n";
    let server = world.serve_with(script).await;
    let sha = world.push(&[("a", b"a")]).await;
    world.finished(&server.url, &sha).await;
    let gc = async |budget: &str, arguments: &[&str]| {
        let mut command = world.command(&server.url, &[&["gc"], arguments].concat());
        printed(&command.env("KOZMIC_DISK_BUDGET", budget).output().await.unwrap())
    };
    // It is counted, and would go alone.
    let counted: Value = serde_json::from_str(&gc("20M", &["--dry-run", "--json"]).await).unwrap();
    let removed: Vec<_> = counted["removed"].as_array().unwrap().iter().collect();
    let names: Vec<_> = removed.iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["of octo/orbit #1 Tests, which failed"], "{counted}");
    assert!(removed[0]["bytes"].as_u64().unwrap() >= 30_000_000, "{counted}");
    let mut terminal = Terminal::shell(&world, &server.url, 1).await;
    terminal.runs("ls").await;
    let told = gc("20M", &[]).await;
    assert!(!told.contains("which failed"), "{told}");
    assert!(terminal.runs("ls").await.contains("big"));
    terminal.types("exit\n").await;
    terminal.ends().await;
    eventually("it to be let go", async || {
        gc("20M", &[]).await.contains("which failed").then_some(())
    })
    .await;
    let said = refused(&client(&world, &server.url, &["shell", "1"], "").await);
    assert!(said.contains("its disk space was needed"), "{said}");
    all_gone(&world).await;
    server.stop().await;
}
