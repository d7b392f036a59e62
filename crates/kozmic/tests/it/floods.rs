//! What comes from nobody that is known, and in masses: it leaves nothing behind, costs
//! GitHub little, and holds up nobody.

use std::net::IpAddr;
use std::time::Instant;

use futures_util::future::join_all;
use reqwest::header;
use sqlx::Row as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{World, cookies, push_payload};

/// How many rows each table has.
async fn rows(world: &World) -> Vec<(String, i64)> {
    sqlx::any::install_default_drivers();
    let pool = sqlx::AnyPool::connect(&world.settings().database_url).await.unwrap();
    let tables =
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'sqlite_sequence'";
    let mut counts = Vec::new();
    for table in sqlx::query(tables).fetch_all(&pool).await.unwrap() {
        let table: String = table.get("name");
        let count = format!("SELECT COUNT(*) AS count FROM {table}");
        let count = sqlx::query(sqlx::AssertSqlSafe(count)).fetch_one(&pool).await.unwrap();
        counts.push((table, count.get("count")));
    }
    pool.close().await;
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_leaves_a_row_behind() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    let url = &server.url;
    let before = rows(&world).await;
    assert!(before.iter().any(|(table, count)| table == "hooks" && *count == 1));
    let wrong = format!("sha256={}", "0".repeat(64));
    for (path, status) in [
        ("/", 303),
        ("/login/?next=/projects/1/", 200),
        ("/_auth/", 303),
        ("/_auth/auth-callback/?code=x&state=y", 400),
        ("/badges/octo/orbit/main", 200),
        ("/badges/no/body/refs/heads/x", 200),
        ("/projects/1/", 303),
        ("/projects/99/", 303),
        ("/nowhere", 404),
    ] {
        for _ in 0..20 {
            let request = world.http.get(format!("{url}{path}"));
            let request = request.header(header::COOKIE, "kozmic=made-up; kozmic-sign-in=made-up");
            assert_eq!(request.send().await.unwrap().status(), status, "{path}");
        }
    }
    for (hook, signature, status) in
        [(1, Some(wrong.as_str()), 401), (1, None, 401), (9, Some(wrong.as_str()), 404)]
    {
        for number in 0..20 {
            let payload = push_payload(1, "main", &"a".repeat(40), "x").to_string().into_bytes();
            let guid = format!("flood-{number}");
            let answer = world.post(url, hook, "push", &guid, payload, signature).await;
            assert_eq!(answer.status(), status);
        }
    }
    let token = world.http.get(format!("{url}/api/v1/projects")).bearer_auth("kozmic_made-up");
    assert_eq!(token.send().await.unwrap().status(), 401);
    assert_eq!(rows(&world).await, before);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn github_is_asked_about_made_up_codes_a_limited_number_of_times() {
    let world = World::new().await;
    let server = world.serve().await;
    let begun = world.http.get(format!("{}/_auth/", server.url)).send().await.unwrap();
    let cookie = cookies(&begun);
    let asked: url::Url = begun.headers()[header::LOCATION].to_str().unwrap().parse().unwrap();
    let state = asked.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let made_up = |number: u8, from: u8| {
        let url =
            format!("{}/_auth/auth-callback/?code=made-up-{number}&state={state}", server.url);
        let client = reqwest::Client::builder().local_address(IpAddr::from([127, 0, 0, from]));
        client.build().unwrap().get(url).header(header::COOKIE, &cookie).send()
    };
    let asked = async |from: &dyn Fn(u8) -> u8| {
        let answers = join_all((0..100).map(|number| made_up(number, from(number)))).await;
        let statuses: Vec<u16> =
            answers.into_iter().map(|answer| answer.unwrap().status().as_u16()).collect();
        let of = |status| statuses.iter().filter(|told| **told == status).count();
        assert_eq!(of(400) + of(429), 100, "{statuses:?}");
        of(400)
    };
    // One address gets a part of what there is for all; those that were under way when its last
    // one was unknown are asked about still, and one comes back every three seconds.
    let one = asked(&|_| 200).await;
    assert!((20..40).contains(&one), "{one} were asked about");
    let all = one + asked(&|number| 2 + number % 20).await;
    assert!((60..68).contains(&all), "{all} were asked about");
    let answer = made_up(100, 99).await.unwrap();
    assert_eq!(answer.status(), 429);
    let page = answer.text().await.unwrap();
    assert!(page.contains("Please begin yours again in a minute."), "{page}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_that_never_arrive_hold_up_none_that_do() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    let host = server.url.trim_start_matches("http://");
    let mut slow = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(host).await.unwrap();
        let head = format!(
            "POST /_hooks/hook/1/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
             X-Hub-Signature-256: sha256=00\r\nContent-Length: 20000000\r\n\r\n{{"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    let begun = Instant::now();
    let sha = world.push(&[("a", b"a")]).await;
    assert_eq!(world.finished(&server.url, &sha).await.status, "success");
    let mut answer = String::new();
    slow[0].read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}, after {:?}", begun.elapsed());
    drop(slow);
    world.end(server).await;
}
