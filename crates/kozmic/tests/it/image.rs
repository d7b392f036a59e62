//! Kozmic in a container, made by packaging/image/build.

use std::process::Command;

use tokio::sync::OnceCell;

use crate::harness::{
    BASE, Checkout, World, address_for_containers, as_here, docker, engine_host, eventually,
    free_port, hook, shell, shown, succeeded,
};

/// The image of the Kozmic that is tested; its id, since its name may be another one's soon. Beside
/// it the parts are made that a whole installation needs.
pub async fn kozmic_image() -> &'static str {
    static MADE: OnceCell<String> = OnceCell::const_new();
    let make = async || {
        let name = "kozmic-test/kozmic:latest";
        let build = as_here(&shown("image::build"), &[("kozmic:latest", name)]);
        assert_eq!(Checkout::new().await.carry_out(&build).await, format!("{name}\n"));
        docker(&["image", "inspect", "--format", "{{.Id}}", name]).await.trim().to_owned()
    };
    MADE.get_or_init(make).await
}

/// Removed, with the volume of its name, when it is dropped.
struct Container(String);

impl Drop for Container {
    fn drop(&mut self) {
        for remove in [&["rm", "--force"][..], &["volume", "rm"]] {
            let removed = Command::new("docker").args(remove).arg(&self.0).output();
            let is_removed = removed.is_ok_and(|output| output.status.success());
            assert!(is_removed || std::thread::panicking());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_image_serves_and_builds_by_the_engine_s_socket() {
    let image = kozmic_image().await;
    let mut world = World::with_github_at(&address_for_containers().await, &[]).await;
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    world.set("KOZMIC_PUBLIC_URL", &url);
    let host = engine_host().await.unwrap_or_default();
    let socket = host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock");
    let own = ["KOZMIC_LISTEN", "KOZMIC_DATA_DIR", "DOCKER_HOST"];
    let mut settings = world.environment("");
    settings.retain(|(name, _)| !own.contains(&name.as_str()));
    let settings = settings.iter().map(|(name, value)| format!("{name}={value}\n"));
    std::fs::write(world.folder().join("kozmic.env"), settings.collect::<String>()).unwrap();
    let container = Container(format!("kozmic-test-{}", kozmic::model::JobUuid::random()));
    let values = [
        ("kozmic:latest", image),
        // Looked at sooner than people need it.
        ("--name kozmic ", &format!("--health-interval 2s --name {} ", container.0)),
        ("127.0.0.1:8080:", &format!("127.0.0.1:{port}:")),
        (" kozmic:/var", &format!(" {}:/var", container.0)),
        ("--volume /var/run/docker.sock:", &format!("--volume {socket}:")),
        ("%g /var/run/docker.sock", &format!("%g {socket}")),
    ];
    let run = as_here(&shown("image::run"), &values);
    succeeded(shell(&run).current_dir(world.folder()).output().await.unwrap());
    let inside =
        async |command: &[&str]| docker(&[&["exec", &container.0], command].concat()).await;
    let said = async || docker(&["logs", &container.0]).await;
    let inspect = async |what: &str| {
        let told = docker(&["inspect", "--format", what, &container.0]).await;
        told.trim().to_owned()
    };
    eventually("the container to be healthy", async || {
        assert_eq!(inspect("{{.State.Running}}").await, "true", "{}", said().await);
        (inspect("{{.State.Health.Status}}").await == "healthy").then_some(())
    })
    .await;
    let page = world.http.get(format!("{url}/login/")).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.text().await.unwrap().contains("Sign in"));
    assert_eq!(inside(&["id", "-un"]).await, "kozmic\n");
    inside(&["sh", "-c", "test -O /var/lib/kozmic/kozmic.db"]).await;
    inside(&["sh", "-c", "! command -v sudo && ! command -v gcc"]).await;

    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("t.sh"), hook("Tests", BASE, "echo in the container\n"))
        .unwrap();
    let copied = format!("{}:/tmp/hooks", container.0);
    docker(&["cp", files.path().to_str().unwrap(), &copied]).await;
    docker(&["exec", "--user", "root", &container.0, "chmod", "-R", "a+rX", "/tmp/hooks"]).await;
    inside(&["kozmic", "project", "add", "octo/orbit"]).await;
    inside(&["kozmic", "hooks", "apply", "octo/orbit", "/tmp/hooks"]).await;
    world.has_token(inside(&["kozmic", "token", "create", "--user", "octo"]).await.trim());
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&url, &sha).await;
    let log = world.log_text(build.job("Tests")).await;
    assert_eq!((build.status.as_str(), log.as_str()), ("success", "in the container\n"));
    world.told(&sha, "Kozmic-CI", "success").await;
    docker(&["stop", "--time", "60", &container.0]).await;
    assert_eq!(inspect("{{.State.ExitCode}}").await, "0", "{}", said().await);
}
