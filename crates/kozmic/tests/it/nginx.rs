//! Behind nginx with the settings of the page: pushes come by it, a log is watched while it grows,
//! and what Prometheus is told to ask for is there.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use tokio::process::{Child, Command};
use tokio_tungstenite::client_async;

use crate::harness::tailer::{lines, next, until_finished, with_token};
use crate::harness::{
    BASE, Tls, World, as_here, eventually, free_port, hook, shell, shown, succeeded, touch,
};

/// Debian's nginx, with a folder of its own; ends when it is dropped.
async fn nginx(folder: &Path, port: u16, server: &str, [certificate, key]: [PathBuf; 2]) -> Child {
    let tls = format!(
        "ssl_certificate {}; ssl_certificate_key {};",
        certificate.display(),
        key.display()
    );
    let values = [
        ("listen 443 ssl;", &*format!("listen 127.0.0.1:{port} ssl;")),
        ("server_name ci.example.org;", "server_name localhost;"),
        ("# ssl_certificate …", &tls),
        ("http://127.0.0.1:8080", server),
    ];
    let block = as_here(&shown("nginx::server"), &values);
    let place = folder.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {place}/{what};\n"));
    // One process, so that nothing of it is left.
    let settings = format!(
        "daemon off;\nmaster_process off;\npid {place}/nginx.pid;\nerror_log {place}/nginx.log;\n\
         events {{}}\nhttp {{\naccess_log off;\n{}{block}}}\n",
        temporary.concat()
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, settings).unwrap();
    let command = || {
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder).arg("-c").arg(&file).kill_on_drop(true);
        command
    };
    let tested = command().arg("-t").output().await.expect("Debian's package nginx-light");
    let said = String::from_utf8_lossy(&tested.stderr).into_owned();
    succeeded(tested);
    assert!(!said.contains("[warn]"), "{said}");
    let quiet = || Stdio::null();
    let child = command().stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn().unwrap();
    let address = ("127.0.0.1", port);
    eventually("nginx", async || tokio::net::TcpStream::connect(address).await.ok()).await;
    child
}

/// What the page's settings have of those that Prometheus takes, and nothing else.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Prometheus {
    scrape_configs: Vec<Scrape>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scrape {
    job_name: String,
    authorization: Authorization,
    static_configs: Vec<Targets>,
    scheme: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Authorization {
    credentials_file: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Targets {
    targets: Vec<String>,
}

/// Asks as Prometheus does; Debian's package of that is a hundred megabytes.
async fn scraped(world: &World, target: &str, token: &Path) -> String {
    let values =
        [("/etc/prometheus/kozmic-token", token.to_str().unwrap()), ("ci.example.org", target)];
    let yaml = as_here(&shown("nginx::numbers"), &values);
    let read = "python3 -c 'import json, os, yaml; print(json.dumps(yaml.safe_load(os.environ[\"YAML\"])))'";
    let json = succeeded(shell(read).env("YAML", yaml).output().await.unwrap());
    let Prometheus { scrape_configs } = serde_json::from_str(&json).unwrap();
    let [Scrape { job_name, authorization, static_configs, scheme }] = &scrape_configs[..] else {
        panic!("one job: {json}")
    };
    assert_eq!(job_name, "kozmic");
    let url = format!("{scheme}://{}/metrics", static_configs[0].targets[0]);
    let refused = world.http.get(&url).send().await.unwrap();
    assert_eq!(refused.status(), 401, "who comes by the proxy is not on this machine");
    let token = std::fs::read_to_string(&authorization.credentials_file).unwrap();
    let answer = world.http.get(url).bearer_auth(token.trim()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_watched_and_numbers_are_read_through_nginx() {
    let secret = "a token for prometheus";
    let mut world = World::with(&[("KOZMIC_METRICS_TOKEN", secret)]).await;
    let folder = world.folder().to_owned();
    let tls = Tls::new(&folder).await;
    let port = free_port();
    let url = format!("https://localhost:{port}");
    world.set("KOZMIC_PUBLIC_URL", &url);
    let trusted = shown("nginx::trusted");
    let (name, value) = trusted.split('#').next().unwrap().trim().split_once('=').unwrap();
    world.set(name, value);
    let server = world.serve().await;
    let _nginx = nginx(&folder, port, &server.url, tls.leaf()).await;
    let authority = std::fs::read_to_string(&tls.ca).unwrap();
    world.sim.trust(&authority).await.unwrap();
    // Another address than nginx comes from.
    world.http = reqwest::Client::builder()
        .local_address(std::net::IpAddr::from([127, 0, 0, 9]))
        .add_root_certificate(reqwest::Certificate::from_pem(authority.as_bytes()).unwrap())
        .build()
        .unwrap();
    let script = "#!/bin/sh\necho begin\nuntil [ -e /tmp/go ]; do sleep 0.1; done\nseq 5000\n";
    world.project(&server.url, &[hook("Tests", BASE, script)]).await;

    let sha = world.push(&[("a", b"a")]).await;
    let job = world.build_of(&url, &sha).await.jobs[0].clone();
    // A stream by TLS, which openssl(1) speaks.
    let words = ["s_client", "-quiet", "-verify_return_error", "-servername", "localhost"];
    let mut openssl = Command::new("openssl");
    openssl
        .args(words)
        .arg("-CAfile")
        .arg(&tls.ca)
        .args(["-connect", &format!("localhost:{port}")]);
    openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut openssl = openssl.spawn().unwrap();
    let stream = tokio::io::join(openssl.stdout.take().unwrap(), openssl.stdin.take().unwrap());
    let address = format!("wss://localhost:{port}/tailer/{}/", job.uuid);
    let mut request = with_token(&world, &address).await;
    // As a browser says where its page is from.
    request.headers_mut().insert("origin", url.parse().unwrap());
    let (mut viewer, _) = client_async(request, stream).await.unwrap();
    let first = next(&mut viewer).await.unwrap();
    assert_eq!(lines(first["content"].as_str().unwrap()), [(1, "begin".to_owned())]);
    for container in world.containers("build").await {
        touch(&container, "/tmp/go").await;
    }
    let shown = lines(&until_finished(&mut viewer).await.0);
    assert!(shown.into_iter().eq((1..=5000).map(|n| (n + 1, n.to_string()))), "a viewer's lines");
    assert_eq!(world.finished(&url, &sha).await.status, "success");

    // Who asked is who nginx says it was.
    let secret_of = format!("{url}/api/v1/projects/1/secrets/WORD");
    let set = world.http.put(secret_of).bearer_auth(world.api_token().await).body("hush-hush");
    assert!(set.send().await.unwrap().status().is_success());
    let audit = succeeded(world.run(&server.url, &["audit"]).await);
    let line = audit.lines().find(|line| line.contains("secret.set")).unwrap();
    assert!(line.contains(" 127.0.0.9 "), "{audit}");

    let token = folder.join("token");
    std::fs::write(&token, format!("{secret}\n")).unwrap();
    let numbers = scraped(&world, &format!("localhost:{port}"), &token).await;
    assert!(numbers.contains("\nkozmic_info{version="), "{numbers}");
    world.end(server).await;
}
