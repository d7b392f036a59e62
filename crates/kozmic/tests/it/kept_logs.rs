//! What becomes of a log when its job is over: in a folder and in S3.

use kozmic::log::Query;
use kozmic::objects::Objects;

use crate::harness::{BASE, Build, REPOSITORY, S3, World, eventually, free_port, hook};

/// Colours, sections, and a word that is rare.
const SCRIPT: &str = "#!/bin/bash\nprintf '\\033[32m==> Count\\033[0m\\n'\n\
                      seq -f 'line %.0f of many' 50000\nprintf '\\033[31mred\\n'\necho rare needle\n\
                      printf 'no end'\n";

fn expected() -> String {
    let lines: Vec<String> = (1..=50_000).map(|n| format!("line {n} of many")).collect();
    let lines = lines.join("\n");
    format!("\x1b[32m==> Count\x1b[0m\n{lines}\n\x1b[31mred\nrare needle\nno end")
}

/// The logs as a server of this world sees them.
fn logs(world: &World) -> kozmic::log::Logs {
    let settings = world.settings();
    let objects = Objects::open(&settings.objects, &settings.data_dir).unwrap();
    kozmic::log::Logs::new(&settings.data_dir, objects)
}

/// Waits until nothing of any log is live.
async fn archived(world: &World) {
    let logs = logs(world);
    eventually("the logs to be archived", async || logs.live_jobs().is_empty().then_some(())).await;
}

async fn is_read_in_every_way(world: &World, url: &str, build: &Build) {
    let job = build.job("Tests");
    let (log, whole) = (&job.log_url, expected());
    let answer = world.get_log(log).await;
    assert_eq!(answer.headers()["accept-ranges"], "bytes");
    assert!(answer.text().await.unwrap() == whole, "the plain log is another");
    let get = async |url: String, range: &str| {
        let request = world.http.get(url).header("range", range);
        request.bearer_auth(world.api_token().await).send().await.unwrap()
    };
    let part = get(log.clone(), "bytes=300000-300049").await;
    assert_eq!(part.status(), 206);
    let said = part.headers()["content-range"].to_str().unwrap().to_owned();
    assert_eq!(said, format!("bytes 300000-300049/{}", whole.len()));
    assert_eq!(part.text().await.unwrap(), whole[300_000..300_050]);
    assert_eq!(get(log.clone(), "bytes=99999999-").await.status(), 416);
    let plain = whole.replace("\x1b[32m", "").replace("\x1b[31m", "").replace("\x1b[0m", "");
    let without = world.get_log(&format!("{log}?plain=1")).await.text().await.unwrap();
    assert!(without == plain, "the log without colours is another");
    assert!(world.get_log(&format!("{log}?follow=1")).await.text().await.unwrap() == whole);
    let (id, token) = (job.id.to_string(), world.api_token().await);
    let printed = world.run(url, &["logs", "--server", url, "--token", token, &id]).await;
    assert!(printed.stdout == whole.as_bytes(), "the command line prints another");
    let arguments = ["logs", "--server", url, "--token", token, "--plain", &id];
    assert!(world.run(url, &arguments).await.stdout == plain.as_bytes());
    let page = world.page(&format!("{}jobs/{}/", build.url, job.id)).await;
    assert!(page.contains("line 2 of many"), "the page shows the log: {page}");

    let mut reader = logs(world).reader(job.uuid.parse().unwrap()).await.unwrap().unwrap();
    reader.ended();
    assert_eq!(reader.line_count(), 50_004);
    let rows = reader.rows(50_001, 9).await.unwrap();
    let html: Vec<_> = rows.iter().map(|row| row.html.as_str()).collect();
    let red = |text| format!("<span class=\"f1\">{text}</span>");
    assert_eq!(html, ["line 50000 of many", &red("red"), &red("rare needle"), &red("no end")]);
    assert!(rows.iter().all(|row| row.at.is_some()), "each line has its time");
    let found = reader.find(&Query::new("Rare", false, false).unwrap(), 1).await.unwrap();
    assert_eq!(found.matches.iter().map(|it| it.number).collect::<Vec<_>>(), [50_003]);
    assert_eq!(found.next, None);
    let sections = reader.sections().await.unwrap();
    assert_eq!((sections[0].title.as_str(), sections[0].last), ("Count", 50_004));
}

/// The same in a folder and in S3: kept, read, and gone with its project.
async fn a_log_is_kept(world: World) {
    let server = world.serve_with(SCRIPT).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&server.url, &sha).await;
    // Wherever it is just now, a moment later it is archived.
    assert!(world.log_text(build.job("Tests")).await == expected());
    archived(&world).await;
    is_read_in_every_way(&world, &server.url, &build).await;
    // Another server knows nothing of it but what is kept.
    server.stop().await;
    let server = world.serve().await;
    let build = world.finished(&server.url, &sha).await;
    assert!(world.log_text(build.job("Tests")).await == expected());

    let delete = ["project", "delete", REPOSITORY, "--yes"];
    let deleted = world.run(&server.url, &delete).await;
    assert!(deleted.status.success(), "{}", String::from_utf8_lossy(&deleted.stderr));
    let (logs, job) = (logs(&world), build.job("Tests").uuid.parse().unwrap());
    eventually("the log to go with its project", async || {
        logs.objects().size(&logs.key(job)).await.unwrap().is_none().then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_kept_in_a_folder() {
    a_log_is_kept(World::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_kept_in_s3() {
    let storage = S3::start(free_port(), "logs").await;
    let settings = S3::environment(&storage.url, "s3://logs/of/kozmic");
    a_log_is_kept(World::with(&settings).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_s3_is_away_logs_stay_and_go_there_later() {
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let world = World::with(&S3::environment(&url, "s3://logs")).await;
    let server = world.serve_with("#!/bin/sh\necho begun\n").await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&server.url, &sha).await;
    assert_eq!(build.status, "success");
    assert_eq!(world.log_text(build.job("Tests")).await, "begun\n");
    assert_eq!(logs(&world).live_jobs().len(), 1);
    let storage = S3::start(port, "logs").await;
    archived(&world).await;
    assert_eq!(world.log_text(build.job("Tests")).await, "begun\n");
    // What is gone from there is said in its place.
    drop(storage);
    let sha = world.push(&[("a", b"b")]).await;
    world.finished(&server.url, &sha).await;
    server.stop().await;
    let server = world.serve().await;
    let build = world.finished(&server.url, &build.sha).await;
    let page = world.page(&format!("{}jobs/{}/", build.url, build.job("Tests").id)).await;
    assert!(page.contains("be read now; the administrator"), "{page}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_keeps_as_much_of_its_logs_as_it_was_told() {
    let world = World::new().await;
    let server = world.serve().await;
    // As good as incompressible: more than a MiB.
    let script = "#!/bin/bash\nhead -c 1500000 /dev/urandom | base64\n";
    world.project(&server.url, &[hook("Tests", BASE, script)]).await;
    let set = async |arguments: &[&str]| {
        let arguments = [&["project", "set", REPOSITORY], arguments].concat();
        world.run(&server.url, &arguments).await
    };
    let refused = set(&["--keep-logs-size", "1K"]).await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("from 1M"));
    let said = set(&["--keep-logs-size", "1M", "--keep-logs-days", "30"]).await;
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("for 30 days") && said.contains("up to 1 MiB"), "{said}");
    let sha = world.push(&[("a", b"a")]).await;
    let old = world.finished(&server.url, &sha).await;
    let sha = world.push(&[("a", b"b")]).await;
    let new = world.finished(&server.url, &sha).await;
    archived(&world).await;
    server.stop().await;
    // What is looked for each hour is looked for at the start as well.
    let server = world.serve().await;
    let old = world.finished(&server.url, &old.sha).await;
    let new = world.finished(&server.url, &new.sha).await;
    let said = eventually("the old log to go", async || {
        let answer = world.get_log(&old.job("Tests").log_url).await;
        (answer.status() == 410).then_some(answer)
    });
    let said = said.await.text().await.unwrap();
    assert!(said.contains("because its project keeps 1 MiB of logs"), "{said}");
    assert_eq!(world.get_log(&new.job("Tests").log_url).await.status(), 200);
    server.stop().await;
}
