//! Clients that are slow, by their nature or on purpose: they are cut off, and cost little until
//! then.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::crash::{free_url, said, start};
use crate::harness::{BASE, PATIENCE, World, eventually, hook};

async fn connect(url: &str) -> TcpStream {
    TcpStream::connect(url.trim_start_matches("http://")).await.unwrap()
}

/// Everything until the other end closes the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    // It may end by a reset, where something that was sent is not read any more.
    let _ = read.expect("the connection ends");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends a head, one byte a second, until it is cut off.
async fn dribbled(url: String) -> String {
    let mut stream = connect(&url).await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let write = async {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let mut answer = Vec::new();
    let read = async {
        let _ = reader.read_to_end(&mut answer).await;
    };
    let cut = async {
        tokio::select! {
            () = write => {}
            () = read => {}
        }
    };
    tokio::time::timeout(PATIENCE, cut).await.expect("it is cut off");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_a_head_or_a_body_byte_by_byte_is_cut_off() {
    let world = World::new().await;
    let server = world.serve().await;
    world.add_project(&server.url).await;
    let slow: Vec<_> = (0..200).map(|_| tokio::spawn(dribbled(server.url.clone()))).collect();
    let token = world.api_token().await;
    let put = |length: usize, more: &str| {
        format!(
            "PUT /api/v1/projects/1/secrets/SLOW HTTP/1.1\r\nHost: localhost\r\n{more}\
             Connection: close\r\nContent-Length: {length}\r\n\r\n{{"
        )
    };
    let known = format!("Authorization: Bearer {token}\r\n");
    let mut body = connect(&server.url).await;
    body.write_all(put(1_000, &known).as_bytes()).await.unwrap();
    // Nothing is read of what nobody known sends.
    let mut stranger = connect(&server.url).await;
    stranger.write_all(put(1_000, "").as_bytes()).await.unwrap();
    let answer = rest(&mut stranger).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    // Others are answered meanwhile.
    let healthy = world.http.get(format!("{}/healthz", server.url)).send().await.unwrap();
    assert_eq!(healthy.status(), 200);
    let answer = rest(&mut body).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    assert!(answer.contains("was not there within 30 s"), "{answer}");
    for answer in join_all(slow).await {
        let answer = answer.unwrap();
        assert!(!answer.contains(" 200 "), "{answer}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused_with_a_sentence() {
    let world = World::new().await;
    let server = world.serve().await;
    world.add_project(&server.url).await;
    let put = world.http.put(format!("{}/api/v1/projects/1/secrets/LARGE", server.url));
    let put = put.bearer_auth(world.api_token().await).body("x".repeat(3 << 20));
    let answer = put.send().await.unwrap();
    assert_eq!(answer.status(), 413);
    let problem: serde_json::Value = answer.json().await.unwrap();
    assert!(problem["detail"].as_str().unwrap().contains("taken here, 2 MiB"), "{problem}");
    let mut head = connect(&server.url).await;
    let large = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {}", "x".repeat(100_000));
    let _ = head.write_all(large.as_bytes()).await;
    let answer = rest(&mut head).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    server.stop().await;
}

/// Whether the server's end of a connection is open, as the system tells (proc_pid_net(5)).
fn is_open(server: SocketAddr, client: SocketAddr) -> bool {
    let ends = format!(":{:04X} 0100007F:{:04X} 01 ", server.port(), client.port());
    std::fs::read_to_string("/proc/net/tcp").unwrap().contains(&ends)
}

async fn memory(world: &World, url: &str) -> f64 {
    let metrics = world.http.get(format!("{url}/metrics")).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let line = metrics.lines().find(|line| line.starts_with("process_resident_memory_bytes "));
    line.unwrap().split(' ').nth(1).unwrap().parse().unwrap()
}

/// The log is 40 MB, of which the system holds some ten on the way.
#[tokio::test(flavor = "multi_thread")]
async fn who_never_reads_a_large_log_is_cut_off_and_costs_little() {
    let world = World::new().await;
    let url = free_url();
    let mut server = start(&world, &url).await;
    let script = "#!/bin/bash\nyes \"$(printf 'x%.0s' {1..99})\" | head -c 40000000\n";
    world.project(&url, &[hook("Tests", BASE, script)]).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&url, &sha).await;
    assert_eq!(build.status, "success");
    let job = build.job("Tests");
    let path = job.log_url.replacen(&url, "", 1);
    let token = world.api_token().await;
    let before = memory(&world, &url).await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = connect(&url).await;
        let ask = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(ask.as_bytes()).await.unwrap();
        streams.push(stream);
    }
    let address = streams[0].peer_addr().unwrap();
    assert!(is_open(address, streams[0].local_addr().unwrap()));
    let mut most = before;
    eventually("all of them to be cut off", async || {
        most = most.max(memory(&world, &url).await);
        let open = streams.iter().filter(|it| is_open(address, it.local_addr().unwrap()));
        (open.count() == 0).then_some(())
    })
    .await;
    assert!(most - before < 60e6, "{before} bytes became {most}");
    // What was on the way is less than the log; who does read gets all of it.
    let partial = rest(&mut streams[0]).await;
    assert!(partial.starts_with("HTTP/1.1 200 "), "{}", &partial[..200.min(partial.len())]);
    assert!(partial.len() < 40_000_000, "{}", partial.len());
    assert_eq!(world.log(job).await.len(), 40_000_000, "{}", said(&world));
    server.start_kill().unwrap();
    server.wait().await.unwrap();
}
