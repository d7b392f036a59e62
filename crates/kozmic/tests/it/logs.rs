//! Every byte in order, live and afterwards.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio_tungstenite::connect_async;

use crate::harness::tailer::{lines, next, tailer, until_finished, with_token};
use crate::harness::{BASE, PATIENCE, World, hook};

#[tokio::test(flavor = "multi_thread")]
async fn the_plain_log_is_what_the_script_wrote() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\ncat bytes\n").await;
    let mut bytes = Vec::new();
    for number in 0..10_000 {
        bytes.extend(format!("line {number} of ten thousand\n").bytes());
    }
    bytes.extend(b"windows\r\nprogress 1%\rprogress 2%\r\n\n\n\t\x00\x07 \x1b[31mred\x1b[0m \xff\xfe\xc3\x28 \xf0\x9f\x9a\x80\n");
    bytes.extend(b"x".repeat(1_000_000));
    bytes.extend(b"\nlast line without an end");
    let sha = world.push(&[("bytes", &bytes)]).await;
    let build = world.finished(&server.url, &sha).await;
    let log = world.log(build.job("Tests")).await;
    assert_eq!(log.len(), bytes.len());
    assert!(log == bytes, "same length, other bytes");
    let answer = world.get_log(&build.job("Tests").log_url).await;
    assert_eq!(answer.headers()["content-type"], "text/plain; charset=utf-8");
    // The tailer gives the same lines, numbered, the last one included.
    let (html, _) =
        until_finished(&mut tailer(&world, &server.url, &build.job("Tests").uuid, "").await).await;
    let lines = lines(&html);
    let count = bytes.split(|byte| *byte == b'\n').count() as u64;
    assert_eq!(
        lines.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
        (1..=count).collect::<Vec<_>>()
    );
    assert_eq!(lines[9_999].1, "line 9999 of ten thousand");
    assert_eq!(lines.last().unwrap().1, "last line without an end");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_and_errors_keep_their_order() {
    let world = World::new().await;
    let script = "#!/bin/bash\nfor n in $(seq 500); do echo out $n; echo err $n >&2; done\n";
    let server = world.serve_with(script).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&server.url, &sha).await;
    let expected: Vec<String> =
        (1..=500).flat_map(|n| [format!("out {n}"), format!("err {n}")]).collect();
    assert_eq!(world.log_text(build.job("Tests")).await.lines().collect::<Vec<_>>(), expected);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_is_followed_from_its_first_line() {
    let world = World::new().await;
    let script = "#!/bin/bash\necho \"<first & foremost>\"\nfor n in $(seq 40); do echo step $n; sleep 0.1; done\n";
    let server = world.serve_with(script).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.build_of(&server.url, &sha).await;
    let uuid = build.job("Tests").uuid.clone();
    // One is there before the job starts, one comes in the middle, one resumes.
    let mut early = tailer(&world, &server.url, &uuid, "").await;
    let first = next(&mut early).await.unwrap();
    assert_eq!(
        lines(first["content"].as_str().unwrap())[0],
        (1, "&lt;first &amp; foremost&gt;".to_owned())
    );
    assert_eq!(
        world.build_of(&server.url, &sha).await.status,
        "pending",
        "lines are seen while the job runs"
    );
    let mut late = tailer(&world, &server.url, &uuid, "").await;
    let mut resumed = tailer(&world, &server.url, &uuid, "?from=20").await;
    let follow = world.get_log(&format!("{}?follow=1", build.job("Tests").log_url)).await;
    let (rest, messages) = until_finished(&mut early).await;
    assert!(messages > 5, "lines come as they are written, not all at once: {messages} messages");
    let whole = first["content"].as_str().unwrap().to_owned() + &rest;
    assert_eq!(lines(&whole).len(), 41);
    assert_eq!(lines(&until_finished(&mut late).await.0), lines(&whole));
    assert_eq!(lines(&until_finished(&mut resumed).await.0), lines(&whole)[19..]);
    let followed = follow.bytes().await.unwrap();
    let build = world.finished(&server.url, &sha).await;
    assert_eq!(followed, world.log(build.job("Tests")).await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_job_has_its_tailer_wait() {
    let world = World::with(&[("KOZMIC_CONCURRENCY", "1")]).await;
    let server = world.serve().await;
    let hooks = [hook("First", BASE, "sleep 2\n"), hook("Second", BASE, "echo mine\n")];
    world.project(&server.url, &hooks).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.build_of(&server.url, &sha).await;
    let (html, _) =
        until_finished(&mut tailer(&world, &server.url, &build.job("Second").uuid, "").await).await;
    assert_eq!(lines(&html), [(1, "mine".to_owned())]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_sites_open_no_tailer() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    let sha = world.push(&[("a", b"a")]).await;
    let uuid = world.finished(&server.url, &sha).await.job("Tests").uuid.clone();
    let address = format!("{}/tailer/{uuid}/", server.url.replace("http://", "ws://"));
    let refused = async |origin: &str, address: &str| {
        let mut request = with_token(&world, address).await;
        request.headers_mut().insert("origin", origin.parse().unwrap());
        match connect_async(request).await {
            Ok(_) => None,
            Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => {
                Some(answer.status().as_u16())
            }
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(refused("https://evil.example", &address).await, Some(403));
    assert_eq!(refused(&server.url, &address).await, None);
    let unknown = address.replace(&uuid[..8], "00000000");
    assert_eq!(refused(&server.url, &unknown).await, Some(404));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_server_lets_its_viewers_go() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/bash\necho begin\nsleep 600\n").await;
    let sha = world.push(&[("a", b"a")]).await;
    let uuid = world.build_of(&server.url, &sha).await.job("Tests").uuid.clone();
    let mut socket = tailer(&world, &server.url, &uuid, "").await;
    assert!(next(&mut socket).await.is_some());
    let stopped = tokio::time::timeout(Duration::from_secs(30), server.stop()).await;
    stopped.expect("the server stops in time");
    let ended = tokio::time::timeout(PATIENCE, socket.next()).await.expect("the socket ends");
    assert!(ended.is_none_or(|message| message.map_or(true, |message| message.is_close())));
    // The script went on; the next server attends to it.
    let server = world.serve().await;
    assert_eq!(world.build_of(&server.url, &sha).await.status, "pending");
    world.end(server).await;
}
