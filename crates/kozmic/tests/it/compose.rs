//! packaging/compose.yaml: everything that several machines are, on one, from nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::harness::{
    BASE, World, address_for_containers, docker, eventually, eventually_within, free_port,
    remove_cached_images, with_header,
};
use crate::image::{kozmic_image, packaging};

/// A project of docker-compose; taken down, with its volumes, when it is dropped.
struct Compose {
    folder: PathBuf,
    name: String,
}

impl Compose {
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

async fn program(path: &Path, arguments: &[&str]) {
    let output = tokio::process::Command::new(path).args(arguments).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", path.display());
}

const INSTALL: &str = "#!/bin/bash\nsudo sh -c 'echo the test of compose > /made-by'\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_push_becomes_a_green_build_behind_the_proxy() {
    let image = kozmic_image().await;
    program(&packaging("compose/parts/build"), &[]).await;
    let mut world = World::with_github_at(&address_for_containers().await, &[]).await;
    let (port, registry) = (free_port(), free_port());
    let url = format!("https://localhost:{port}");
    world.set("KOZMIC_PUBLIC_URL", &url);
    let folder = world.folder().join("compose");
    let mut settings: Vec<String> = vec![
        format!("KOZMIC_IMAGE={image}"),
        format!("HTTPS_PORT=127.0.0.1:{port}"),
        format!("REGISTRY_PORT={registry}"),
    ];
    let of_world = [
        "KOZMIC_PUBLIC_URL",
        "KOZMIC_GITHUB_URL",
        "KOZMIC_GITHUB_API_URL",
        "KOZMIC_GITHUB_CLIENT_ID",
        "KOZMIC_GITHUB_CLIENT_SECRET",
    ];
    let environment = world.environment("");
    let given = |name: &str| environment.iter().find(|(it, _)| it == name).unwrap().1.clone();
    settings.extend(of_world.map(|name| format!("{name}={}", given(name))));
    let mut arguments = vec![folder.to_str().unwrap()];
    arguments.extend(settings.iter().map(String::as_str));
    program(&packaging("compose/setup"), &arguments).await;
    let compose = Compose { folder, name: format!("kozmictest{}", std::process::id()) };
    compose.run(&["up", "--detach"]).await;

    // The certificate that the proxy has made for itself, without its key.
    let certificate = eventually("the proxy", async || {
        let id = compose.run(&["ps", "--quiet", "proxy"]).await;
        let read = ["exec", id.trim(), "openssl", "x509", "-in", "/var/lib/parts/haproxy/tls.pem"];
        let read = tokio::process::Command::new("docker").args(read).output().await.unwrap();
        read.status.success().then(|| String::from_utf8(read.stdout).unwrap())
    })
    .await;
    let trusted = reqwest::Certificate::from_pem(certificate.as_bytes()).unwrap();
    world.http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .add_root_certificate(trusted)
        .build()
        .unwrap();
    world.sim.trust(&certificate).await.unwrap();
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

    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&url, &sha).await;
    let log = world.log_text(build.job("Tests")).await;
    assert_eq!(build.status, "success", "{log}\n{}", compose.said());
    assert!(log.ends_with("the test of compose\n"), "{log}");
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
    let name = "PGPASSWORD=$POSTGRES_PASSWORD psql -h localhost -U kozmic -Atc \
                'SELECT instance FROM installation' kozmic";
    let instance = compose.inside("postgres", &["bash", "-c", name]).await;
    drop(compose);
    remove_cached_images(instance.trim()).await;
}
