//! `kozmic doctor`: what is right, what is wrong, and what to do.

use std::os::unix::fs::PermissionsExt as _;

use serde::Deserialize;

use crate::harness::{MailServer, Sink, World};

#[derive(Debug, Deserialize)]
struct Finding {
    part: String,
    verdict: String,
    what: String,
    #[serde(rename = "do", default)]
    advice: String,
}

/// Its answer, and whether its exit code says that all is well.
async fn doctor(world: &World, changed: &[(&str, &str)]) -> (Vec<Finding>, bool) {
    let mut command = world.command("http://127.0.0.1:0", &["doctor", "--json"]);
    let output = command.envs(changed.iter().copied()).output().await.unwrap();
    let findings = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (findings, output.status.success())
}

fn errors(findings: &[Finding]) -> Vec<&str> {
    let errors = findings.iter().filter(|finding| finding.verdict == "error");
    errors.map(|finding| finding.part.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_works_is_well_also_while_it_runs() {
    let world = World::new().await;
    let (before, is_well) = doctor(&world, &[]).await;
    assert!(is_well, "{before:?}");
    let data = before.iter().find(|finding| finding.part == "data").unwrap();
    assert_eq!(data.verdict, "warning", "{data:?}");
    assert!(!world.data_dir().exists(), "it changes nothing");

    let server = world.serve().await;
    let (findings, is_well) = doctor(&world, &[]).await;
    assert!(is_well && findings.iter().all(|finding| finding.verdict == "ok"), "{findings:?}");
    let parts: Vec<&str> = findings.iter().map(|finding| finding.part.as_str()).collect();
    for part in ["engine", "database", "objects", "GitHub", "clock", "sign-in", "git", "ssh"] {
        assert!(parts.contains(&part), "{part} of {parts:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_part_that_is_wrong_is_named_with_what_to_do() {
    let world = World::with(&[("KOZMIC_MAIL_FROM", "ci@example.org")]).await;
    world.serve().await.stop().await;
    let folder = world.folder().join("no-folder");
    std::fs::write(&folder, "").unwrap();
    let place = format!("file://{}/logs", folder.display());
    let other_key = "o".repeat(40);
    for (part, setting, value, said) in [
        ("engine", "KOZMIC_DOCKER_HOST", "unix:///nowhere/docker.sock", "does not answer"),
        ("GitHub", "KOZMIC_GITHUB_API_URL", "http://127.0.0.1:1", "did not answer"),
        ("sign-in", "KOZMIC_GITHUB_CLIENT_SECRET", "hush-hush", "does not know the OAuth app"),
        ("database", "KOZMIC_SECRET_KEY", &other_key, "was sealed with another key"),
        ("database", "KOZMIC_DATABASE_URL", "postgres://k:hush-hush@127.0.0.1:1/k", "can't open"),
        ("objects", "KOZMIC_LOG_URL", &place, "no-folder"),
        ("settings", "KOZMIC_CONCURRENCY", "many", "must be a whole number"),
        ("mail", "KOZMIC_SMTP_URL", "smtp://me:hush-hush@127.0.0.1:1", "127.0.0.1:1"),
        ("traces", "KOZMIC_OTLP_URL", "http://127.0.0.1:1", "127.0.0.1:1"),
        ("errors", "KOZMIC_SENTRY_DSN", "http://hush-hush@127.0.0.1:1/7", "127.0.0.1"),
        ("git", "PATH", "/nowhere", "can't be run"),
    ] {
        let (findings, is_well) = doctor(&world, &[(setting, value)]).await;
        assert!(!is_well && errors(&findings).contains(&part), "{setting}: {findings:?}");
        let found = findings.iter().find(|finding| finding.part == part).unwrap();
        assert!(found.what.contains(said) && !found.advice.is_empty(), "{found:?}");
        assert!(!format!("{findings:?}").contains("hush-hush"), "{findings:?}");
    }
    let key = world.data_dir().join("secret-key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (findings, _) = doctor(&world, &[]).await;
    assert_eq!(errors(&findings), ["key"]);
    let output = world.run("http://127.0.0.1:0", &["doctor"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(&format!("-> chmod 600 {}", key.display())), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_builds_are_told_to_is_tried_without_telling() {
    let (mail, sink) = (MailServer::start(&[]).await, Sink::start().await);
    let dsn = sink.url.replace("http://", "http://key@") + "/7";
    let smtp = format!("smtp://127.0.0.1:{}", mail.port);
    let world = World::with(&[
        ("KOZMIC_SMTP_URL", &smtp),
        ("KOZMIC_MAIL_FROM", "ci@example.org"),
        ("KOZMIC_OTLP_URL", &sink.url),
        ("KOZMIC_SENTRY_DSN", &dsn),
        ("KOZMIC_WEBHOOK_NETWORKS", "127.0.0.1"),
    ])
    .await;
    let server = world.serve().await;
    world.add_project(&server.url).await;
    let webhooks = format!("{}/api/v1/projects/1/webhooks", server.url);
    let webhook = serde_json::json!({"format": "slack", "url": sink.url, "events": ["failed"]});
    let added = world.http.post(&webhooks).bearer_auth(world.api_token().await).json(&webhook);
    assert_eq!(added.send().await.unwrap().status(), 201);
    let (findings, is_well) = doctor(&world, &[]).await;
    assert!(is_well && findings.iter().all(|finding| finding.verdict == "ok"), "{findings:?}");
    for part in ["mail", "webhooks", "traces", "errors"] {
        assert!(findings.iter().any(|finding| finding.part == part), "{part}: {findings:?}");
    }
    assert_eq!(mail.mails().len(), 0);
    assert!(sink.received().iter().all(|received| received.body.is_empty()));
    // A webhook that may not lead where it does is a warning.
    let (findings, _) = doctor(&world, &[("KOZMIC_WEBHOOK_NETWORKS", "10.0.0.0/8")]).await;
    let found = findings.iter().find(|finding| finding.part == "webhooks").unwrap();
    assert_eq!(found.verdict, "warning");
    assert!(found.what.contains("127.0.0.1"), "{found:?}");
    server.stop().await;
}
