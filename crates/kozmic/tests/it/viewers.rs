//! Many viewers of one job, slow ones among them, and lines that are not whole yet.

use crate::crash::{free_url, said, start};
use crate::harness::tailer::{Socket, lines, narrow_tailer, next, tailer, until_finished};
use crate::harness::{self, BASE, World, docker, eventually, hook};

const VIEWERS: u64 = 200;
const LINES: u64 = 2_000;

/// The number and the text of the lines that a viewer got until the job was over.
async fn seen(mut socket: Socket) -> Vec<(u64, String)> {
    lines(&until_finished(&mut socket).await.0)
}

fn expected(from: u64, to: u64) -> Vec<(u64, String)> {
    (from..=to).map(|line| (line, format!("line {line}"))).collect()
}

/// Makes a file in the world's only container.
async fn touch(world: &World, path: &str) {
    let filter = format!("label=kozmic.instance={}", world.instance().await);
    let container = docker(&["ps", "--quiet", "--filter", &filter]).await;
    harness::touch(container.trim(), path).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_many_viewers_sees_each_line_once() {
    let world = World::new().await;
    // Some lines at once, then some time none: viewers come amid both.
    let script = format!(
        "#!/bin/bash\nfor n in $(seq {LINES}); do echo line $n; ((n % 20)) || sleep 0.05; done\n"
    );
    let server = world.serve_with(&script).await;
    let sha = world.push(&[("a", b"a")]).await;
    let uuid = world.build_of(&server.url, &sha).await.job("Tests").uuid.clone();
    let mut viewers = Vec::new();
    for number in 0..VIEWERS {
        // From the first line, from one that is there, from one that comes later.
        let from = match number % 4 {
            0 | 1 => 1,
            2 => 1 + number,
            _ => LINES - number,
        };
        let socket = tailer(&world, &server.url, &uuid, &format!("?from={from}")).await;
        viewers.push((from, tokio::spawn(seen(socket))));
    }
    for (from, viewer) in viewers {
        assert_eq!(viewer.await.unwrap(), expected(from, LINES), "from {from}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_reads_nothing_holds_nobody_up_and_gets_all_of_it_later() {
    let world = World::new().await;
    let count = 60_000;
    let text = "x".repeat(90);
    let script = format!(
        "#!/bin/bash\nuntil [ -e /tmp/go ]; do sleep 0.1; done\n\
         for n in $(seq {count}); do echo line $n {text}; done\n"
    );
    let server = world.serve_with(&script).await;
    let sha = world.push(&[("a", b"a")]).await;
    let uuid = world.build_of(&server.url, &sha).await.job("Tests").uuid.clone();
    eventually("the script", async || {
        let build = world.build_of(&server.url, &sha).await;
        (build.job("Tests").reason == "running the build script").then_some(())
    })
    .await;
    let slow = narrow_tailer(&world, &server.url, &uuid).await;
    let quick = tokio::spawn(seen(tailer(&world, &server.url, &uuid, "").await));
    touch(&world, "/tmp/go").await;
    let whole: Vec<(u64, String)> =
        (1..=count).map(|line| (line, format!("line {line} {text}"))).collect();
    assert!(quick.await.unwrap() == whole);
    assert!(seen(slow).await == whole);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_under_way_is_shown_to_those_who_ask_for_it() {
    let world = World::new().await;
    let script = "#!/bin/bash\nwait_for() { until [ -e $1 ]; do sleep 0.1; done; }\n\
                  printf '<working>'\nwait_for /tmp/1\nprintf '\\r<almost>'\nwait_for /tmp/2\n\
                  printf ' done\\nnext\\nno end'\nwait_for /tmp/3\n";
    let server = world.serve_with(script).await;
    let sha = world.push(&[("a", b"a")]).await;
    let uuid = world.build_of(&server.url, &sha).await.job("Tests").uuid.clone();
    let plain = tokio::spawn(seen(tailer(&world, &server.url, &uuid, "").await));
    let mut socket = tailer(&world, &server.url, &uuid, "?partial=1").await;
    let row = |line: u64, message: serde_json::Value| {
        let html = message["content"].as_str().unwrap().to_owned();
        let [(number, text)] = lines(&html).try_into().unwrap();
        assert_eq!(number, line);
        text
    };
    let first = next(&mut socket).await.unwrap();
    assert_eq!((&first["type"], &first["line"]), (&"partial".into(), &1.into()));
    assert_eq!(row(1, first), "&lt;working&gt;");
    touch(&world, "/tmp/1").await;
    let second = next(&mut socket).await.unwrap();
    assert_eq!(second["type"], "partial");
    assert_eq!(row(1, second), "&lt;almost&gt;&gt;");
    // Who comes now is told as well.
    let mut late = tailer(&world, &server.url, &uuid, "?from=1&partial=1").await;
    assert_eq!(row(1, next(&mut late).await.unwrap()), "&lt;almost&gt;&gt;");
    touch(&world, "/tmp/2").await;
    let whole = [(1, "&lt;almost&gt; done".to_owned()), (2, "next".to_owned())];
    // The shell writes each line by itself: they come together, or one after the other.
    let mut ended = Vec::new();
    let last = loop {
        let message = next(&mut socket).await.unwrap();
        if message["type"] == "partial" && message["line"] == 3 {
            break message;
        }
        if message["type"] == "message" {
            ended.extend(lines(message["content"].as_str().unwrap()));
        }
    };
    assert_eq!(ended, whole);
    assert_eq!(row(3, last), "no end");
    touch(&world, "/tmp/3").await;
    let end = until_finished(&mut socket).await.0;
    assert_eq!(lines(&end), [(3, "no end".to_owned())]);
    let all = plain.await.unwrap();
    assert_eq!(all, [whole[0].clone(), whole[1].clone(), (3, "no end".to_owned())]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_amid_a_hundred_thousand_lines_loses_none() {
    let world = World::new().await;
    let url = free_url();
    let mut server = start(&world, &url).await;
    let script =
        "#!/bin/bash\nfor n in $(seq 100000); do echo line $n; ((n % 1000)) || sleep 0.05; done\n";
    world.project(&url, &[hook("Tests", BASE, script)]).await;
    let sha = world.push(&[("a", b"a")]).await;
    let whole: Vec<String> = (1..=100_000).map(|line| format!("line {line}\n")).collect();
    let whole = whole.concat();
    let kept = async |least: usize| {
        eventually("some lines", async || {
            let length = world.log(world.build_of(&url, &sha).await.job("Tests")).await.len();
            (length > least).then_some(length)
        })
        .await
    };
    let first = kept(0).await;
    server.kill().await.unwrap();
    let mut server = start(&world, &url).await;
    let second = kept(first).await;
    server.kill().await.unwrap();
    assert!(second < whole.len(), "killed amid its lines: {second}");
    let mut server = start(&world, &url).await;
    let build = world.finished(&url, &sha).await;
    assert_eq!(build.status, "success", "{}", said(&world));
    assert!(world.log_text(build.job("Tests")).await == whole);
    world.nothing_left().await;
    server.kill().await.unwrap();
}
