//! packaging/compose.yaml: everything that several machines are, on one, from nothing.

use std::path::PathBuf;
use std::time::Duration;

use crate::harness::{
    BASE, Build, Checkout, Tls, World, address_for_containers, as_here, docker, eventually,
    eventually_within, free_port, in_terminal, remove_cached_images, shown, succeeded, with_header,
};
use crate::image::kozmic_image;

/// A project of docker-compose; taken down, with its volumes, when it is dropped.
struct Compose {
    clone: Checkout,
    folder: PathBuf,
    name: String,
}

impl Compose {
    /// What a block says, in the project's folder.
    async fn carry_out(&self, text: &str) {
        let mut shell = self.clone.shell(text);
        shell.current_dir(&self.folder).env("COMPOSE_PROJECT_NAME", &self.name);
        succeeded(shell.output().await.unwrap());
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new("docker-compose");
        command.args(["--project-name", &self.name]).args(arguments).current_dir(&self.folder);
        command
    }

    async fn run(&self, arguments: &[&str]) -> String {
        let output = tokio::process::Command::from(self.command(arguments)).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker-compose {arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    async fn inside(&self, service: &str, command: &[&str]) -> String {
        let id = self.run(&["ps", "--quiet", service]).await;
        docker(&[&["exec", id.trim()], command].concat()).await
    }

    fn said(&self) -> String {
        let logs = self.command(&["logs", "--no-color", "--tail=30"]).output().unwrap();
        String::from_utf8_lossy(&logs.stdout).into_owned()
    }
}

impl Drop for Compose {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.said());
        }
        let down = self.command(&["down", "--volumes", "--timeout", "20"]).output();
        assert!(down.is_ok_and(|it| it.status.success()) || std::thread::panicking());
    }
}

const INSTALL: &str = "#!/bin/bash\nsudo sh -c 'echo the test of compose > /made-by'\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_push_becomes_a_green_build_behind_the_proxy() {
    let image = kozmic_image().await;
    let mut world = World::with_github_at(&address_for_containers().await, &[]).await;
    let (port, registry) = (free_port(), free_port());
    let url = format!("https://localhost:{port}");
    world.set("KOZMIC_PUBLIC_URL", &url);
    let environment = world.environment("");
    let given = |name: &str| environment.iter().find(|(it, _)| it == name).unwrap().1.clone();
    let (id, secret) = ("KOZMIC_GITHUB_CLIENT_ID", "KOZMIC_GITHUB_CLIENT_SECRET");
    // GitHub's stand-in, and the ports that are free here.
    let more = ["KOZMIC_GITHUB_URL", "KOZMIC_GITHUB_API_URL"];
    let more = more.map(|name| format!("{name}={}", given(name))).join(" ");
    let more = format!("=ada KOZMIC_IMAGE={image} REGISTRY_PORT={registry} {more}");
    let values = [
        ("https://ci.example.org", url.as_str()),
        ("=443", &format!("=127.0.0.1:{port}")),
        ("=ID", &format!("={}", given(id))),
        ("=SECRET", &format!("={}", given(secret))),
        ("=ada", &more),
    ];
    let clone = Checkout::new().await;
    let setup = as_here(&shown("compose::setup"), &values);
    let folder = clone.carry_out(&format!("{setup}pwd")).await.trim().into();
    let compose = Compose { clone, folder, name: format!("kozmictest{}", std::process::id()) };
    compose.carry_out(&shown("compose::start")).await;

    // The proxy makes a certificate for itself, until it is given another one.
    eventually("the proxy", async || {
        let id = compose.run(&["ps", "--quiet", "proxy"]).await;
        let read = ["exec", id.trim(), "openssl", "x509", "-in", "/var/lib/parts/haproxy/tls.pem"];
        let read = tokio::process::Command::new("docker").args(read).output().await.unwrap();
        read.status.success().then_some(())
    })
    .await;
    let tls = Tls::new(world.folder()).await;
    for (file, name) in tls.leaf().iter().zip(["fullchain.pem", "privkey.pem"]) {
        std::fs::copy(file, compose.folder.join(name)).unwrap();
    }
    compose.carry_out(&shown("compose::certificate")).await;
    let authority = std::fs::read_to_string(&tls.ca).unwrap();
    let trusted = reqwest::Certificate::from_pem(authority.as_bytes()).unwrap();
    world.http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .add_root_certificate(trusted)
        .build()
        .unwrap();
    world.sim.trust(&authority).await.unwrap();
    let patience = Duration::from_mins(2);
    let page = eventually_within(patience, "a page by the proxy", async || {
        let answer = world.http.get(format!("{url}/login/")).send().await.ok()?;
        answer.error_for_status().ok()?.text().await.ok()
    })
    .await;
    assert!(page.contains("Sign in"), "{page}");

    let token = format!("KOZMIC_GITHUB_TOKEN={}", given("KOZMIC_GITHUB_TOKEN"));
    let add = ["env", &token, "kozmic", "project", "add", "octo/orbit", "--visible-to-all"];
    compose.inside("web-1", &add).await;
    let create = ["kozmic", "token", "create", "--user", "octo"];
    world.has_token(compose.inside("web-2", &create).await.trim());
    let hooks = world.folder().join("hooks");
    std::fs::create_dir(&hooks).unwrap();
    let script = with_header(&["title = Tests", &format!("image = {BASE}")], "cat /made-by\n");
    std::fs::write(hooks.join("t.sh"), script).unwrap();
    std::fs::write(hooks.join("t.install.sh"), INSTALL).unwrap();
    let id = compose.run(&["ps", "--quiet", "web-1"]).await;
    docker(&["cp", hooks.to_str().unwrap(), &format!("{}:/tmp/hooks", id.trim())]).await;
    compose.inside("web-1", &["kozmic", "hooks", "apply", "octo/orbit", "/tmp/hooks"]).await;

    let build = green(&world, &compose, &url, b"a").await;
    let sha = build.sha.clone();
    world.told(&sha, "Kozmic-CI", "success").await;
    assert_eq!(world.states(&sha, "Kozmic-CI").await, ["pending", "success"]);
    let page = world.http.get(&build.url).send().await.unwrap();
    assert_eq!((page.status().as_u16(), page.text().await.unwrap().contains("Tests")), (200, true));

    // What it was built on is in the registry, for the other workers.
    let ls = ["ls", "/var/lib/parts/docker-registry/docker/registry/v2/repositories/kozmic"];
    eventually("the image to be shared", async || {
        let id = compose.run(&["ps", "--quiet", "registry"]).await;
        let listed = [&["exec", id.trim()], &ls[..]].concat();
        let listed = tokio::process::Command::new("docker").args(listed).output().await.unwrap();
        (listed.status.success() && !listed.stdout.is_empty()).then_some(())
    })
    .await;
    for worker in ["worker-1", "worker-2", "worker-3"] {
        let found = compose.inside(worker, &["healthcheck"]).await;
        assert!(found.contains("redis") && !found.contains("ERROR"), "{found}");
    }
    is_looked_at(&compose).await;
    is_upgraded(&compose, image).await;
    green(&world, &compose, &url, b"b").await;
    let name = "PGPASSWORD=$POSTGRES_PASSWORD psql -h localhost -U kozmic -Atc \
                'SELECT instance FROM installation' kozmic";
    let instance = compose.inside("postgres", &["bash", "-c", name]).await;
    drop(compose);
    remove_cached_images(instance.trim()).await;
}

/// A push, and its build.
async fn green(world: &World, compose: &Compose, url: &str, content: &[u8]) -> Build {
    let sha = world.push(&[("a", content)]).await;
    let build = world.finished(url, &sha).await;
    let log = world.log_text(build.job("Tests")).await;
    assert_eq!(build.status, "success", "{log}\n{}", compose.said());
    assert!(log.ends_with("the test of compose\n"), "{log}");
    build
}

async fn is_looked_at(compose: &Compose) {
    let healthy = |listed: &str| listed.matches("(healthy)").count() == 2;
    eventually("the web processes to be healthy", async || {
        healthy(&compose.run(&["ps"]).await).then_some(())
    })
    .await;
    let look = format!("set -e; stty cols 300\n{}", shown("compose::look"));
    let mut look = in_terminal(&look);
    look.current_dir(&compose.folder).env("COMPOSE_PROJECT_NAME", &compose.name);
    let said = succeeded(look.output().await.unwrap());
    assert!(healthy(&said) && said.matches(" Up ").count() == 10, "{said}");
    assert!(said.contains("redis") && !said.contains("ERROR"), "{said}");
}

/// To an image of another name, which every process has afterwards.
async fn is_upgraded(compose: &Compose, image: &str) {
    let next = format!("kozmic-test/kozmic:{}", compose.name);
    docker(&["tag", image, &next]).await;
    let settings = compose.folder.join(".env");
    let text = std::fs::read_to_string(&settings).unwrap();
    let text =
        as_here(&text, &[(&format!("KOZMIC_IMAGE={image}"), &format!("KOZMIC_IMAGE={next}"))]);
    std::fs::write(settings, text).unwrap();
    compose.carry_out(&shown("compose::upgrade")).await;
    for service in ["web-1", "web-2", "worker-1", "worker-2", "worker-3"] {
        let id = compose.run(&["ps", "--quiet", service]).await;
        let runs = docker(&["inspect", "--format", "{{.Config.Image}}", id.trim()]).await;
        assert_eq!(runs.trim(), next, "{service}");
    }
    // The image stays as long as somebody needs it.
    docker(&["rmi", &next]).await;
}
