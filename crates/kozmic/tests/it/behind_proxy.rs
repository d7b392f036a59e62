//! A network from which everything goes by a proxy, to servers whose certificates are by an
//! authority of one's own.

use serde_json::json;

use crate::crash::{free_url, said, start_as};
use crate::harness::{
    BASE, MailServer, Postgres, Redis, S3, Sink, Tinyproxy, Tls, World, as_here, as_root, cookies,
    eventually, free_port, hook, shown,
};

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// What `kozmic doctor` says.
async fn doctor(world: &World) -> String {
    let said = world.run("http://127.0.0.1:0", &["doctor"]).await;
    String::from_utf8(said.stdout).unwrap()
}

/// The line of one part with what to do.
fn line<'a>(said: &'a str, verdict: &str, part: &str) -> &'a str {
    let start = format!("{verdict:<8} {part:<9} ");
    let at = said.find(&start).unwrap_or_else(|| panic!("no {start:?} in:\n{said}"));
    let rest = &said[at..];
    let end =
        rest.match_indices('\n').map(|(at, _)| at).find(|at| !rest[at + 1..].starts_with(' '));
    &rest[..end.unwrap_or(rest.len())]
}

/// The page's settings, with this proxy; what they leave out.
fn by_proxy(world: &mut World, proxy: &str) -> String {
    let example = "http://kozmic:password@proxy.example.org:3128";
    let settings = as_here(&shown("behind_proxy::settings"), &[(example, proxy)]);
    let mut left_out = String::new();
    for (name, value) in settings.lines().map(|line| line.split_once('=').unwrap()) {
        world.set(name, value);
        if name == "NO_PROXY" {
            value.clone_into(&mut left_out);
        }
    }
    left_out
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_by_the_proxy_and_an_own_authority_is_trusted() {
    let mut world = World::new().await;
    let folder = world.folder().to_owned();
    let (sink, s3_port) = (Sink::start().await, free_port());
    let s3 = S3::start(s3_port, "kozmic").await;
    let [github, told, objects] = [free_port(), free_port(), free_port()];
    let tls = Tls::new(&folder).await;
    let behind = |url: &str| url.trim_start_matches("http://").to_owned();
    let plain = [world.sim.url(), &sink.url, &s3.url].map(behind);
    let before = [(github, &*plain[0]), (told, &*plain[1]), (objects, &*plain[2])];
    let _before = tls.serve(&before, &[]).await;
    let proxy = Tinyproxy::start(&folder).await;
    let secure = |port: u16| format!("https://localhost:{port}");
    world.sim.set_base(&secure(github)).await.unwrap();
    world.set("KOZMIC_GITHUB_URL", &secure(github));
    world.set("KOZMIC_GITHUB_API_URL", &format!("{}/api/v3", secure(github)));
    world.set("KOZMIC_OTLP_URL", &secure(told));
    world.set("KOZMIC_SENTRY_DSN", &format!("https://public-key@localhost:{told}/7"));
    world.set("KOZMIC_WEBHOOK_NETWORKS", "127.0.0.0/8,::1");
    let stored = secure(objects);
    for (name, value) in S3::environment(&stored, "s3://kozmic/all") {
        world.set(name, value);
    }
    let no_proxy = by_proxy(&mut world, &proxy.url);
    world.set("KOZMIC_CA_FILE", tls.ca.to_str().unwrap());
    // What the page leaves out is asked without the proxy, and lets nobody else in.
    line(&doctor(&world).await, "ERROR", "GitHub");
    world.set("NO_PROXY", &as_here(&no_proxy, &[("localhost,", "")]));
    world.set("KOZMIC_CA_FILE", "");

    // The certificate is by nobody who is known, and that is said.
    let unknown = doctor(&world).await;
    for part in ["GitHub", "objects", "traces", "errors"] {
        let said = line(&unknown, "ERROR", part);
        assert!(said.contains("KOZMIC_CA_FILE"), "{said}");
    }
    world.set("KOZMIC_CA_FILE", tls.ca.to_str().unwrap());
    let known = doctor(&world).await;
    for part in ["GitHub", "objects", "traces", "errors", "proxy", "trust"] {
        line(&known, "ok", part);
    }

    let url = free_url();
    let mut server = start_as(&world, &url, &mut world.command(&url, &["serve"])).await;
    world.project(&url, &[hook("Tests", BASE, "#!/bin/sh\ncat a; env\n")]).await;
    for (path, more) in [("json", json!({"secret": "a secret that signs"})), ("slack", json!({}))] {
        let to = format!("{}/{path}", secure(told));
        let mut webhook = json!({"format": path, "url": to, "events": ["finished"]});
        webhook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let webhooks = format!("{url}/api/v1/projects/1/webhooks");
        let added = world.http.post(webhooks).bearer_auth(world.api_token().await).json(&webhook);
        assert_eq!(added.send().await.unwrap().status(), 201);
    }
    let sha = world.push(&[("a", b"by the proxy\n")]).await;
    let build = world.finished(&url, &sha).await;
    let log = world.log_text(build.job("Tests")).await;
    assert_eq!(build.status, "success", "{log}\n{}", said(&world));
    // The container has nothing of it.
    assert!(log.starts_with("by the proxy\n"), "{log}");
    assert!(!log.to_lowercase().contains("proxy=") && !log.contains(Tinyproxy::PASSWORD), "{log}");
    world.told(&sha, "Kozmic-CI", "success").await;
    let arrived = |path: &'static str| {
        let sink = &sink;
        eventually(path, async move || {
            sink.received().into_iter().find(|it| it.path.starts_with(path) && !it.body.is_empty())
        })
    };
    arrived("/json").await;
    arrived("/slack").await;
    arrived("/v1/traces").await;
    // Sign-in, whose page a browser opens by itself, and a picture, which GitHub has.
    let (page, cookie) = world.at_github(&url).await;
    let page = page.replace(&secure(github), world.sim.url());
    let back = world.sim.authorize(&page, "octo").await.unwrap();
    let session = cookies(&world.back(&back, &cookie).await);
    let picture = world.http.get(format!("{url}/avatars/1/")).header("cookie", session);
    let picture = picture.send().await.unwrap();
    assert_eq!(picture.headers()["content-type"], "image/gif");
    // The log lies in the storage once it is archived.
    let signature = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request";
    eventually("the archived log", async || {
        let listed = world.http.get(format!("{}/kozmic?list-type=2", s3.url));
        let listed = listed.header("authorization", signature).send().await.ok()?;
        listed.text().await.ok()?.contains(".log.zst").then_some(())
    })
    .await;
    assert_eq!(world.log_text(build.job("Tests")).await, log);
    // What the server can't keep is an error of its own.
    sqlx::any::install_default_drivers();
    let pool = sqlx::AnyPool::connect(&world.settings().database_url).await.unwrap();
    sqlx::query("ALTER TABLE announcements RENAME TO elsewhere").execute(&pool).await.unwrap();
    pool.close().await;
    arrived("/api/7/envelope").await;

    let tunnels = proxy.said();
    for port in [github, told, objects] {
        assert!(tunnels.contains(&format!("CONNECT localhost:{port}")), "{tunnels}");
    }
    let settings = world.run(&url, &["config"]).await;
    let shown = String::from_utf8(settings.stdout).unwrap() + &said(&world) + &known + &unknown;
    assert!(!shown.contains(Tinyproxy::PASSWORD), "{shown}");
    assert!(shown.contains("HTTPS_PROXY is http://127.0.0.1:"), "{shown}");
    server.start_kill().unwrap();
    server.wait().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_does_not_do_is_named_without_its_password() {
    let mut world = World::new().await;
    world.set("KOZMIC_GITHUB_API_URL", "https://localhost:1/api/v3");
    let gone = format!("http://me:hush-hush@127.0.0.1:{}", free_port());
    world.set("HTTPS_PROXY", &gone);
    let said = doctor(&world).await;
    let github = line(&said, "ERROR", "GitHub");
    assert!(github.contains("see whether the proxy http://127.0.0.1:"), "{github}");
    // One that asks for a password, and is given another.
    let proxy = Tinyproxy::start(world.folder()).await;
    world.set("HTTPS_PROXY", &proxy.url.replace(Tinyproxy::PASSWORD, "hush-hush"));
    let refused = doctor(&world).await;
    let github = line(&refused, "ERROR", "GitHub");
    assert!(github.contains("lets this machine in"), "{github}");
    // One that is none.
    world.set("HTTPS_PROXY", "http://me:hush-hush#@127.0.0.1:3128");
    let wrong = doctor(&world).await;
    assert!(line(&wrong, "ERROR", "proxy").contains("HTTPS_PROXY must be"), "{wrong}");
    // Not even a part of the password, which looks like a port.
    world.set("HTTPS_PROXY", "http://me:12/hush-hush@127.0.0.1:3128");
    let part = doctor(&world).await;
    assert!(part.contains("GitHub is reached by the proxy of the environment"), "{part}");
    assert!(!part.contains("me:12"), "{part}");
    let output = world.run("http://127.0.0.1:0", &["project", "add", "octo/orbit"]).await;
    let failed = String::from_utf8(output.stderr).unwrap();
    for said in [said, refused, wrong, failed] {
        assert!(!said.contains("hush-hush"), "{said}");
    }
    // An authority's file that is none.
    world.set("KOZMIC_CA_FILE", "/etc/passwd");
    let output = world.run("http://127.0.0.1:0", &["config"]).await;
    let wrong = String::from_utf8(output.stderr).unwrap();
    assert!(wrong.contains("KOZMIC_CA_FILE") && wrong.contains("in PEM"), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn database_redis_and_mail_have_certificates_by_an_own_authority() {
    let mut world = World::new().await;
    let folder = world.folder().to_owned();
    let tls = Tls::new(&folder).await;
    let [certificate, key] = tls.leaf();
    // PostgreSQL wants its key to be its user's, where that is another than root.
    let place = tempfile::tempdir().unwrap();
    let (there, its) = (place.path().join("crt"), place.path().join("key"));
    std::fs::copy(&certificate, &there).unwrap();
    std::fs::copy(&key, &its).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(place.path(), open).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&its, private).unwrap();
    if std::os::unix::fs::MetadataExt::uid(&its.metadata().unwrap()) == 0 {
        let user = as_root(&["chown", "postgres", its.to_str().unwrap()]).status().unwrap();
        assert!(user.success());
    }
    let options =
        format!("-c ssl=on -c ssl_cert_file={} -c ssl_key_file={}", there.display(), its.display());
    let postgres = Postgres::start_with(&options).await;
    let redis = Redis::start().await;
    let mail = MailServer::start(&[]).await;
    let [to_redis, to_mail] = [free_port(), free_port()];
    let plain = redis.url.trim_start_matches("redis://").trim_end_matches('/').to_owned();
    let smtp = format!("127.0.0.1:{}", mail.port);
    let _before = tls.serve(&[], &[(to_redis, &plain), (to_mail, &smtp)]).await;
    world.set("KOZMIC_SECRET_KEY", KEY);
    let database = postgres.url.replace("127.0.0.1", "localhost") + "?sslmode=verify-full";
    world.set("KOZMIC_DATABASE_URL", &database);
    world.set("KOZMIC_REDIS_URL", &format!("rediss://localhost:{to_redis}/"));
    world.set("KOZMIC_SMTP_URL", &format!("smtps://localhost:{to_mail}"));
    world.set("KOZMIC_MAIL_FROM", "ci@example.org");
    let unknown = doctor(&world).await;
    for part in ["database", "redis", "mail"] {
        let said = line(&unknown, "ERROR", part);
        assert!(said.contains("KOZMIC_CA_FILE"), "{said}");
    }
    world.set("KOZMIC_CA_FILE", tls.ca.to_str().unwrap());
    let migrated = world.run("http://127.0.0.1:0", &["migrate"]).await;
    assert!(migrated.status.success(), "{migrated:?}");
    let known = doctor(&world).await;
    for part in ["database", "redis", "mail"] {
        line(&known, "ok", part);
    }
}
