//! What an operator watches: numbers, traces, errors and the log, each by who gets them.

use std::collections::{BTreeMap, BTreeSet};

use kozmic::telemetry::{Kind, METRICS};
use serde_json::Value;

use crate::harness::{BASE, Sink, World, eventually, hook};

/// Names of samples with the sum over all their labels.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let name = series.split('{').next().unwrap().to_owned();
        *samples.entry(name).or_default() += value.parse::<f64>().unwrap();
    }
    samples
}

/// The metrics that a dashboard's queries name.
fn named(dashboard: &Value) -> BTreeSet<String> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let words = targets.flat_map(|target| {
        let query = target["expr"].as_str().unwrap().to_owned();
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        query.split(|c| !is_part(c)).map(str::to_owned).collect::<Vec<_>>()
    });
    words.filter(|word| word.starts_with("kozmic_") || word.starts_with("process_")).collect()
}

fn dashboard() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/grafana/kozmic.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_is_in_the_numbers_and_every_one_that_the_dashboard_names_is_there() {
    let world = World::new().await;
    let server = world.serve().await;
    let script = "#!/bin/sh\necho counted\n";
    let tests = hook("Counted", BASE, script);
    let install = "#!/bin/sh\necho installed for the numbers\n";
    world.add_project(&server.url).await;
    world.apply_files(&server.url, &[("t.sh", &tests), ("t.install.sh", install)]).await;
    let sha = world.push(&[("a", b"a")]).await;
    world.finished(&server.url, &sha).await;
    world.told(&sha, "Kozmic-CI", "success").await;

    let url = format!("{}/metrics", server.url);
    let names = named(&dashboard());
    assert!(names.len() > 20, "{names:?}");
    let mut text = String::new();
    let all_there = async || {
        text = world.http.get(&url).send().await.unwrap().text().await.unwrap();
        let there = samples(&text);
        names.iter().all(|name| there.contains_key(name)).then_some(())
    };
    eventually("every number of the dashboard", all_there).await;
    let there = samples(&text);
    for metric in METRICS {
        let name = match metric.kind {
            Kind::Histogram => format!("{}_count", metric.name),
            _ => metric.name.to_owned(),
        };
        assert!(there.contains_key(&name), "{name} of {there:?}");
        assert!(text.contains(&format!("# TYPE {} {}\n", metric.name, metric.kind.as_str())));
        assert!(text.contains(&format!("# HELP {} ", metric.name)), "{}", metric.name);
    }
    for name in [
        "kozmic_deliveries_total",
        "kozmic_jobs_finished_total",
        "kozmic_job_phase_seconds_count",
        "kozmic_github_calls_total",
        "kozmic_cache_total",
        "kozmic_workers",
        "kozmic_disk_bytes",
        "process_resident_memory_bytes",
    ] {
        assert!(there[name] > 0.0, "{name} of {there:?}");
    }
    assert!(text.contains(r#"route="/_hooks/hook/{hook}",status="200""#), "{text}");
    assert!(!text.contains("orbit"), "no project's name: {text}");
    // Each metric has the labels that it is documented with, and a bounded number of series.
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let name = line.split(['{', ' ']).next().unwrap();
        let metric = METRICS
            .iter()
            .find(|metric| {
                name == metric.name
                    || name
                        .strip_prefix(metric.name)
                        .is_some_and(|rest| ["_sum", "_count", "_bucket"].contains(&rest))
            })
            .unwrap_or_else(|| panic!("{name} is not in the table"));
        let labels = line.split_once('{').map_or("", |(_, rest)| rest.rsplit_once('}').unwrap().0);
        for label in labels.split("\",").filter_map(|label| label.split_once('=')) {
            let known = metric.labels.contains(&label.0) || label.0 == "le";
            assert!(known, "{} of {line}", label.0);
        }
    }
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_for_this_machine_or_with_a_token() {
    let token = "a token for prometheus";
    let world = World::with(&[("KOZMIC_METRICS_TOKEN", token), ("KOZMIC_ADMINS", "octo")]).await;
    let server = world.serve().await;
    world.add_project(&server.url).await;
    let url = format!("{}/metrics", server.url);
    let status = async |forwarded: Option<&str>, bearer: Option<&str>| {
        let mut request = world.http.get(&url);
        if let Some(name) = forwarded {
            request = request.header(name, "for=192.0.2.1");
        }
        if let Some(bearer) = bearer {
            request = request.bearer_auth(bearer);
        }
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(status(None, None).await, 200);
    // As a proxy on this machine asks for somebody elsewhere.
    for name in ["forwarded", "x-forwarded-for", "x-real-ip", "via"] {
        assert_eq!(status(Some(name), None).await, 401, "{name}");
        assert_eq!(status(Some(name), Some("another token")).await, 401, "{name}");
        assert_eq!(status(Some(name), Some(token)).await, 200, "{name}");
    }
    let administrator = world.api_token().await;
    assert_eq!(status(Some("via"), Some(administrator)).await, 200);
    world.sim.add_user("member").await.unwrap();
    world.visitor(&server.url, "member").await;
    let made = world.run(&server.url, &["token", "create", "--user", "member"]).await;
    let member = String::from_utf8(made.stdout).unwrap();
    assert_eq!(status(Some("via"), Some(member.trim())).await, 401);
    server.stop().await;
}

#[test]
fn the_documentation_has_every_number() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows = METRICS.iter().map(|metric| {
        let labels = metric.labels.join(", ");
        format!(
            "| `{}` | {} | {labels} | {} |\n",
            metric.name,
            metric.kind.as_str(),
            metric.meaning
        )
    });
    let table: String = rows.collect();
    let (_, rest) = page.split_once("| --- | --- | --- | --- |\n").unwrap();
    assert!(rest.starts_with(&table), "the table should be:\n{table}");
}

/// A server in a process of its own: its log, traces and errors are the process's.
#[tokio::test(flavor = "multi_thread")]
async fn requests_and_jobs_are_traced_logged_and_errors_reported() {
    let (collector, sentry) = (Sink::start().await, Sink::start().await);
    let dsn = sentry.url.replace("http://", "http://public-key@") + "/7";
    let world = World::with(&[
        ("KOZMIC_OTLP_URL", &collector.url),
        ("KOZMIC_SENTRY_DSN", &dsn),
        ("KOZMIC_LOG_FORMAT", "json"),
    ])
    .await;
    let url = format!("http://127.0.0.1:{}", crate::harness::free_port());
    let log = std::fs::File::create(world.folder().join("serve.log")).unwrap();
    let mut serve = world.command(&url, &["serve"]);
    let mut server = serve.stderr(log).spawn().unwrap();
    let ready = async || world.http.get(format!("{url}/readyz")).send().await.ok();
    let answer = eventually("the server to be ready", ready).await;
    let request = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    world.project(&url, &[hook("Traced", BASE, "#!/bin/sh\necho traced\n")]).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&url, &sha).await;
    // What the server can't keep is an error of its own.
    let token = world.api_token().await.to_owned();
    sqlx::any::install_default_drivers();
    let pool = sqlx::AnyPool::connect(&world.settings().database_url).await.unwrap();
    sqlx::query("ALTER TABLE announcements RENAME TO elsewhere").execute(&pool).await.unwrap();
    pool.close().await;
    let errors = eventually("an error at Sentry", async || {
        Some(sentry.received()).filter(|received| !received.is_empty())
    })
    .await;
    let envelope = String::from_utf8_lossy(&errors[0].body).into_owned();
    assert!(errors[0].path.starts_with("/api/7/envelope"), "{}", errors[0].path);
    assert!(envelope.contains("messages can't be read"), "{envelope}");
    assert!(envelope.contains("announcements"), "{envelope}");
    for secret in [token.as_str(), "KOZMIC_"] {
        assert!(!envelope.contains(secret), "{envelope}");
    }
    let pid = server.id().unwrap().to_string();
    let ended = tokio::process::Command::new("kill").args(["-TERM", &pid]).status().await.unwrap();
    assert!(ended.success());
    server.wait().await.unwrap();

    // OTLP's protobuf has texts as they are.
    let traces = collector.arrived(1).await;
    assert!(traces.iter().all(|trace| trace.path == "/v1/traces"));
    assert_eq!(traces[0].header("content-type"), "application/x-protobuf");
    let sent: Vec<u8> = traces.iter().flat_map(|trace| trace.body.to_vec()).collect();
    let sent = String::from_utf8_lossy(&sent);
    let job = &build.jobs[0].uuid;
    for text in ["kozmic", "/_hooks/hook/{hook}", "/readyz", &request, job.as_str()] {
        assert!(sent.contains(text), "{text}");
    }
    let said = std::fs::read_to_string(world.folder().join("serve.log")).unwrap();
    let lines: Vec<Value> =
        said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let started = lines.iter().find(|line| line["message"] == "job started").unwrap();
    assert_eq!(started["span"]["job"], job.as_str(), "{started}");
    assert!(lines.iter().all(|line| line["timestamp"].is_string()), "{said}");
}
