//! Who asks too often is told to wait, by their own address or user, and nobody else is.

use std::collections::BTreeMap;
use std::net::IpAddr;

use futures_util::future::join_all;
use reqwest::{Client, Response, header, redirect::Policy};

use crate::harness::{Machines, Proxy, World, free_port, push_payload};

/// A program or browser with this address; all of 127.0.0.0/8 is this machine's.
fn at(address: &str) -> Client {
    let address: IpAddr = address.parse().unwrap();
    Client::builder().local_address(address).redirect(Policy::none()).build().unwrap()
}

async fn by_token(http: &Client, url: &str, token: &str) -> Response {
    http.get(format!("{url}/api/v1/projects")).bearer_auth(token).send().await.unwrap()
}

/// Asks until it is too often: how many answers came before, all of them with `status`, and
/// the one that says so. What is allowed comes back while they come, so they may be more.
async fn until_too_often<F: Future<Output = Response>>(
    status: u16,
    ask: impl Fn(usize) -> F,
) -> (usize, Response) {
    for before in 0..500 {
        let answer = ask(before).await;
        if answer.status() == 429 {
            return (before, answer);
        }
        assert_eq!(answer.status(), status);
    }
    panic!("it is never too often");
}

/// The seconds after which it may be asked again.
fn wait(answer: &Response) -> u64 {
    answer.headers()[header::RETRY_AFTER].to_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_tokens_are_limited_by_address_and_right_ones_are_not() {
    let world = World::with(&[("KOZMIC_STRANGER_RATE", "20")]).await;
    let server = world.serve().await;
    let url = &server.url;
    world.owner(url).await;
    let (storm, other) = (at("127.0.0.2"), at("127.0.0.3"));
    let (before, answer) =
        until_too_often(401, async |_| by_token(&storm, url, "kozmic_made-up").await).await;
    assert!(before >= 20, "{before}");
    assert!((1..=4).contains(&wait(&answer)), "one comes back after three seconds");
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
    let problem: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(problem["status"], 429);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("20 requests without a valid token"), "{detail}");
    assert!(problem["request_id"].is_string());
    // Without any token it is the same; a valid one is taken from there as well.
    let (before, _) = until_too_often(401, async |_| {
        storm.get(format!("{url}/api/v1/queue")).send().await.unwrap()
    })
    .await;
    assert!(before < 20, "{before} more");
    assert_eq!(by_token(&storm, url, world.api_token().await).await.status(), 200);
    assert_eq!(by_token(&other, url, "kozmic_made-up").await.status(), 401);
    let metrics = world.http.get(format!("{url}/metrics")).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let counted = metrics.lines().find(|line| {
        line.starts_with("kozmic_rate_limited_total{") && line.contains("what=\"stranger\"")
    });
    assert!(!counted.unwrap().ends_with(" 0"), "{counted:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_is_limited_by_user_and_not_by_address() {
    let world = World::with(&[("KOZMIC_API_RATE", "20")]).await;
    let server = world.serve().await;
    let url = &server.url;
    world.sim.add_user("ada").await.unwrap();
    world.visitor(url, "ada").await;
    let made = world.run(url, &["token", "create", "--user", "ada"]).await;
    let ada = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    world.owner(url).await;
    let octo = world.api_token().await;
    // Whichever address they come from.
    let from = [at("127.0.0.2"), at("127.0.0.3")];
    let (before, answer) =
        until_too_often(200, async |number| by_token(&from[number % 2], url, octo).await).await;
    assert!(before >= 20, "{before}");
    let detail = answer.text().await.unwrap();
    assert!(detail.contains("20 requests of a user in a minute"), "{detail}");
    assert_eq!(by_token(&from[0], url, &ada).await.status(), 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_ins_are_limited_by_address_and_the_page_says_what_to_do() {
    let world = World::with(&[("KOZMIC_SIGN_IN_RATE", "6")]).await;
    let server = world.serve().await;
    let url = format!("{}/_auth/", server.url);
    let (many, other) = (at("127.0.0.2"), at("127.0.0.3"));
    let ask = async |_| many.get(&url).send().await.unwrap();
    let (before, answer) = until_too_often(303, ask).await;
    assert!(before >= 6, "{before}");
    let seconds = wait(&answer);
    assert!((1..=11).contains(&seconds), "{seconds}");
    let page = answer.text().await.unwrap();
    assert!(page.contains("<h1") && page.contains("Too often"), "{page}");
    assert!(page.contains(&format!("Please try again in {seconds} s.")), "{page}");
    assert!(page.contains("KOZMIC_SIGN_IN_RATE"), "{page}");
    // The way back is counted, too, and pages are not.
    let back = many.get(format!("{url}auth-callback/?code=x&state=y")).send().await.unwrap();
    assert!(matches!(back.status().as_u16(), 429 | 400), "{}", back.status());
    assert_eq!(many.get(format!("{}/login/", server.url)).send().await.unwrap().status(), 200);
    assert_eq!(other.get(&url).send().await.unwrap().status(), 303);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarded_address_counts_when_a_trusted_proxy_tells_it() {
    let world = World::with(&[
        ("KOZMIC_STRANGER_RATE", "20"),
        ("KOZMIC_TRUSTED_PROXIES", "127.0.0.1"),
        ("KOZMIC_PUBLIC_URL", "https://ci.example.org"),
    ])
    .await;
    let server = world.serve().await;
    let host = server.url.trim_start_matches("http://");
    let port = free_port();
    let _proxy = Proxy::start(port, [host, host]).await;
    let by_proxy = format!("http://127.0.0.1:{port}");
    let guess = async |http: &Client, url: &str, forwarded: &str| {
        let request = http.get(format!("{url}/api/v1/projects")).bearer_auth("kozmic_made-up");
        request.header("X-Forwarded-For", forwarded).send().await.unwrap()
    };

    // By the proxy: whoever it is for, and not what they say themselves.
    let (storm, other) = (at("127.0.0.2"), at("127.0.0.3"));
    let ask = async |number| guess(&storm, &by_proxy, &format!("6.6.6.{}", number % 250)).await;
    assert!(until_too_often(401, ask).await.0 >= 20);
    assert_eq!(guess(&other, &by_proxy, "6.6.6.6").await.status(), 401);

    // A trusted one is believed, and of what it tells only the part that is its own.
    let trusted = at("127.0.0.1");
    let ask = async |number| {
        guess(&trusted, &server.url, &format!("6.6.{}.6, 7.7.7.7", number % 250)).await
    };
    assert!(until_too_often(401, ask).await.0 >= 20);
    assert_eq!(guess(&trusted, &server.url, "7.7.7.7, 8.8.8.8").await.status(), 401);

    // Who is not trusted is who they are.
    let liar = at("127.0.0.4");
    let ask = async |number| guess(&liar, &server.url, &format!("9.9.9.{}", number % 250)).await;
    assert!(until_too_often(401, ask).await.0 >= 20);
    assert_eq!(guess(&trusted, &server.url, "9.9.9.1").await.status(), 401, "nobody else is");

    // Nobody signs in where their cookie would be lost.
    let begin = async |http: &Client, proto: &str| {
        let request = http.get(format!("{}/_auth/", server.url));
        request.header("X-Forwarded-Proto", proto).send().await.unwrap()
    };
    let plain = begin(&trusted, "http").await;
    assert_eq!(plain.status(), 400);
    let page = plain.text().await.unwrap();
    assert!(page.contains("https://ci.example.org/login/"), "{page}");
    assert_eq!(begin(&trusted, "https").await.status(), 303);
    assert_eq!(begin(&liar, "http").await.status(), 303);
    server.stop().await;
}

/// GitHub's deliveries come from the same address as the stranger's: as by a proxy that is
/// not trusted.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_wrong_signatures_keep_no_right_one_out() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    let payload = push_payload(1, "main", &"a".repeat(40), "x").to_string();
    let wrong = format!("sha256={}", "0".repeat(64));
    let (http, url) = (world.http.clone(), format!("{}/_hooks/hook/1/", server.url));
    let one_after_another = || {
        let (http, url) = (http.clone(), url.clone());
        let (payload, wrong) = (payload.clone(), wrong.clone());
        tokio::spawn(async move {
            let mut statuses = BTreeMap::new();
            for _ in 0..500 {
                let request = http.post(&url).header("x-hub-signature-256", &wrong);
                let answer = request.body(payload.clone()).send().await.unwrap();
                *statuses.entry(answer.status().as_u16()).or_insert(0) += 1;
            }
            statuses
        })
    };
    let storm: Vec<_> = (0..20).map(|_| one_after_another()).collect();
    let first = world.push(&[("a", b"a")]).await;
    assert_eq!(world.finished(&server.url, &first).await.status, "success");
    let mut told = BTreeMap::new();
    for statuses in join_all(storm).await {
        for (status, count) in statuses.unwrap() {
            *told.entry(status).or_insert(0) += count;
        }
    }
    assert_eq!(told.values().sum::<i32>(), 10_000);
    assert_eq!(told.keys().copied().collect::<Vec<_>>(), [401, 429], "{told:?}");
    assert!(told[&401] >= 300, "{told:?}");
    // Who is held to nothing more is told so, and the next right one is taken as well.
    let answer = world.post(&server.url, 1, "push", "g", payload.into(), Some(&wrong)).await;
    if answer.status() == 429 {
        assert!(wait(&answer) >= 1);
        let text = answer.text().await.unwrap();
        assert!(text.contains("those with one are taken") && !text.contains('<'), "{text}");
    }
    let second = world.push(&[("b", b"b")]).await;
    let build = world.finished(&server.url, &second).await;
    assert_eq!(build.status, "success");
    assert_eq!(build.missed_because, None, "it was delivered");
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_count_together_while_redis_answers_and_each_by_itself_without() {
    let mut machines = Machines::new().await;
    machines.set("KOZMIC_STRANGER_RATE", "20");
    let (one, other) = (machines.web("web-1").await, machines.web("web-2").await);
    let storm = at("127.0.0.2");
    let urls = [&one.url, &other.url];
    let ask = async |number: usize| by_token(&storm, urls[number % 2], "kozmic_made-up").await;
    let (before, answer) = until_too_often(401, ask).await;
    assert!((20..40).contains(&before), "{before} by both together");
    drop(answer);
    machines.redis.kill().await;
    let storm = at("127.0.0.3");
    for url in urls {
        let ask = async |_| by_token(&storm, url, "kozmic_made-up").await;
        assert!(until_too_often(401, ask).await.0 >= 20, "each has its own count");
    }
}
