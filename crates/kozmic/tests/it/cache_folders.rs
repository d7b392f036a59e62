//! Cache folders: they outlive jobs, are apart for forks, and are kept within bounds.

use github_sim::client::Push;
use reqwest::StatusCode;
use serde_json::Value;

use crate::harness::{
    BASE, Build, Server, World, cache_folder_volumes, docker, eventually, hook,
    remove_cache_folders, touch, with_header,
};

/// Says what it finds, and leaves the commit's number of letters more.
const COUNT: &str = "cd ~/.cache/made\nif [ -e count ]; then cat count; else echo nothing; fi\n\
                     stat -c %U .. . \necho one more >> count\n";
const FOLDER: &str = "cache-folder = made: /home/kozmic/.cache/made";

async fn serve(header: &[&str], script: &str) -> (World, Server) {
    let world = World::new().await;
    let server = world.serve_with(&with_header(header, script)).await;
    (world, server)
}

async fn build(world: &World, server: &Server, content: &str) -> (Build, String) {
    let sha = world.push(&[("a", content.as_bytes())]).await;
    let build = world.finished(&server.url, &sha).await;
    let log = world.log_text(&build.jobs[0]).await;
    assert_eq!(build.status, "success", "{log}");
    (build, log)
}

async fn folders(world: &World, server: &Server) -> Vec<Value> {
    let url = format!("{}/api/v1/projects/1/cache-folders", server.url);
    world.answer(&url).await["cache_folders"].as_array().unwrap().clone()
}

/// What the scripts themselves wrote.
fn own(log: &str) -> Vec<&str> {
    log.lines().filter(|line| !line.starts_with("[kozmic]")).collect()
}

/// Once so many volumes are left.
async fn until_left(world: &World, count: usize) {
    let instance = world.instance().await;
    eventually("volumes to go", async || {
        (cache_folder_volumes(&instance).await.len() == count).then_some(())
    })
    .await;
}

async fn end(world: World, server: Server) {
    let instance = world.instance().await;
    world.end(server).await;
    remove_cache_folders(&instance).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_job_finds_what_the_last_one_left_and_a_fork_does_not() {
    let (world, server) = serve(&[FOLDER], COUNT).await;
    let (_, log) = build(&world, &server, "1").await;
    assert_eq!(own(&log), ["nothing", "kozmic", "kozmic"]);
    let first = "[kozmic] the cache folder made is at /home/kozmic/.cache/made: ";
    assert!(log.starts_with(&format!("{first}empty\n")), "{log}");
    let (_, log) = build(&world, &server, "2").await;
    assert_eq!(own(&log)[0], "one more");
    assert!(log.starts_with(first) && log.contains("KiB, used "), "{log}");

    world.build_forks(&server.url).await;
    world.sim.add_user("mallory").await.unwrap();
    world.sim.fork("octo/orbit", "mallory").await.unwrap();
    let push = Push::new("mallory/orbit", "mallory").branch("better").message("Better");
    let sha = world.sim.push(&push.write("a", "theirs")).await.unwrap();
    let head = "mallory:better";
    world.sim.open_pull_request("octo/orbit", "mallory", head, "main", "Better", "").await.unwrap();
    let fork = world.finished(&server.url, &sha).await;
    let log = world.log_text(&fork.jobs[0]).await;
    assert_eq!(own(&log), ["nothing", "kozmic", "kozmic"], "a fork finds nothing of ours");
    let (_, log) = build(&world, &server, "3").await;
    assert_eq!(own(&log)[..2], ["one more", "one more"], "and we nothing of theirs");
    let folders = folders(&world, &server).await;
    let of: Vec<&Value> = folders.iter().map(|folder| &folder["pull_request"]).collect();
    assert_eq!(of, [&Value::Null, &Value::from(1)]);
    assert!(folders.iter().all(|it| it["name"] == "made" && it["job"] == "Tests"), "{folders:?}");
    assert!(folders.iter().all(|it| it["size"].as_u64() > Some(0) && it["in_use"] == false));
    end(world, server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_install_script_has_no_cache_folder() {
    let world = World::new().await;
    let server = world.serve().await;
    world.add_project(&server.url).await;
    let tests =
        hook("Tests", BASE, &with_header(&["cache-folder = made: /var/made"], "ls -d /var/made\n"));
    let install = "#!/bin/sh\ntest ! -e /var/made && echo none here\n";
    world.apply_files(&server.url, &[("t.sh", &tests), ("t.install.sh", install)]).await;
    let (_, log) = build(&world, &server, "1").await;
    assert_eq!(own(&log), ["none here", "/var/made"], "{log}");
    let instance = world.instance().await;
    end(world, server).await;
    crate::harness::remove_cached_images(&instance).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_beyond_its_limit_is_not_kept() {
    let limited = format!("{FOLDER} 2M");
    let script = format!("{COUNT}[ ! -e /kozmic/src/big ] || head -c 3M /dev/urandom > big\n");
    let (world, server) = serve(&[&limited], &script).await;
    build(&world, &server, "1").await;
    let sha = world.push(&[("big", b"x")]).await;
    let build = world.finished(&server.url, &sha).await;
    assert_eq!(build.status, "success");
    let log = world.log_text(&build.jobs[0]).await;
    assert_eq!(own(&log)[0], "one more");
    assert!(log.contains("[kozmic] the cache folder made is not kept: it has 3"), "{log}");
    assert!(log.ends_with("and may have 2 MiB; the next job begins with an empty one\n"), "{log}");
    assert!(folders(&world, &server).await.is_empty());
    until_left(&world, 0).await;
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_at_once_have_folders_of_their_own() {
    let world = World::with(&[("KOZMIC_CONCURRENCY", "2")]).await;
    let script = "cd /var/made\nls\ntouch $KOZMIC_BUILD_NUMBER\necho begun\n\
                  until [ -e /tmp/go ]; do sleep 0.1; done\n";
    let header = "cache-folder = made: /var/made";
    let server = world.serve_with(&with_header(&[header], script)).await;
    let first = world.push(&[("a", b"1")]).await;
    let second = world.push(&[("a", b"2")]).await;
    for sha in [&first, &second] {
        eventually("both scripts to run", async || {
            let build = world.build_of(&server.url, sha).await;
            world.log_text(&build.jobs[0]).await.contains("begun").then_some(())
        })
        .await;
    }
    assert!(folders(&world, &server).await.iter().all(|folder| folder["in_use"] == true));
    let filter = format!("label=kozmic.instance={}", world.instance().await);
    for container in docker(&["ps", "--quiet", "--filter", &filter]).await.lines() {
        touch(container, "/tmp/go").await;
    }
    for sha in [&first, &second] {
        let build = world.finished(&server.url, sha).await;
        assert_eq!(own(&world.log_text(&build.jobs[0]).await), ["begun"]);
    }
    assert_eq!(folders(&world, &server).await.len(), 2);
    end(world, server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_are_counted_and_go_beyond_the_budget() {
    let script = format!("{COUNT}head -c 5M /dev/urandom > big\n");
    let (world, server) = serve(&[FOLDER], &script).await;
    build(&world, &server, "1").await;
    world.nothing_left().await;
    let mut gc = world.command("http://127.0.0.1:0", &["gc", "--json", "--dry-run"]);
    let output = gc.output().await.unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let uses = answer["account"]["uses"].as_array().unwrap();
    let counted = uses.iter().find(|it| it["kind"] == "cache_folder").unwrap();
    assert_eq!(counted["count"], 1);
    let bytes = counted["bytes"].as_u64().unwrap();
    assert!((5 << 20..6 << 20).contains(&bytes), "{bytes}");

    let mut gc = world.command("http://127.0.0.1:0", &["gc", "--json"]);
    let output = gc.env("KOZMIC_DISK_BUDGET", "1").output().await.unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let removed = answer["removed"].as_array().unwrap();
    let folder = removed.iter().find(|it| it["kind"] == "cache_folder").unwrap();
    assert_eq!(folder["name"], "made of octo/orbit Tests");
    until_left(&world, 0).await;
    let (_, log) = build(&world, &server, "2").await;
    assert_eq!(own(&log)[0], "nothing");
    end(world, server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn managers_drop_folders_and_projects_take_theirs_with_them() {
    let (world, server) = serve(&[FOLDER], COUNT).await;
    build(&world, &server, "1").await;
    let page = world.page(&format!("{}/projects/1/settings/", server.url)).await;
    assert!(page.contains("Cache folders") && page.contains("/cache-folders/1/drop/"), "{page}");
    let owner = world.owner(&server.url).await;
    let form = async |path: &str, body: &str| {
        let request = owner.post(format!("{}{path}", server.url)).body(body.to_owned());
        let kind = "application/x-www-form-urlencoded";
        request.header("content-type", kind).send().await.unwrap()
    };
    let dropped = form("/projects/1/cache-folders/1/drop/", "").await;
    let page = dropped.text().await.unwrap();
    assert!(page.contains("The cache folder made is dropped"), "{page}");
    assert!(folders(&world, &server).await.is_empty());
    let (_, log) = build(&world, &server, "2").await;
    assert_eq!(own(&log)[0], "nothing");

    let id = folders(&world, &server).await[0]["id"].as_i64().unwrap();
    let url = format!("{}/api/v1/projects/1/cache-folders/{id}", server.url);
    let token = world.api_token().await;
    let dropped = world.http.delete(&url).bearer_auth(token).send().await.unwrap();
    assert_eq!(dropped.json::<Value>().await.unwrap()["name"], "made");
    let again = world.http.delete(&url).bearer_auth(token).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_FOUND);
    // The sweep has removed both.
    until_left(&world, 0).await;

    build(&world, &server, "3").await;
    until_left(&world, 1).await;
    let deleted = form("/projects/1/delete/", "full_name=octo/orbit").await;
    assert_eq!(deleted.status(), StatusCode::SEE_OTHER);
    until_left(&world, 0).await;
    server.stop().await;
}
