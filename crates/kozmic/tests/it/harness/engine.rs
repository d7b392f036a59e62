//! The engine's side: images made here, a registry, an engine that goes away.

use std::hash::{BuildHasher as _, RandomState};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;

use super::{eventually, podman};

/// Made by `images/base/build`, which `make test` runs before.
pub const BASE: &str = "kozmic/debian:bookworm";

/// Of the user `ada`, in a registry that asks for it.
pub const PASSWORD: &str = "sesame";

const BUSYBOX: &str = "kozmic-test/busybox:latest";

/// The test program `podman` tells its journeys on Podman.
pub fn is_podman() -> bool {
    env!("CARGO_CRATE_NAME") == "podman"
}

/// Where the engine of these tests listens, as DOCKER_HOST; none: where it always does.
pub async fn engine_host() -> Option<String> {
    if is_podman() {
        return Some(podman::host().await.to_owned());
    }
    std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty())
}

/// Runs docker on the engine of these tests, and fails the test when it fails; what it
/// printed.
pub async fn docker(arguments: &[&str]) -> String {
    docker_at(engine_host().await.as_deref(), arguments).await
}

/// As [`docker`], at another engine.
pub async fn docker_at(engine: Option<&str>, arguments: &[&str]) -> String {
    let output = output_of(engine, arguments).await;
    assert!(output.status.success(), "docker {arguments:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

async fn output_of(engine: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = Command::new("docker");
    if let Some(engine) = engine {
        command.args(["--host", engine]);
    }
    command.args(arguments).output().await.unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Makes an empty file in a container, for which its script waits.
pub async fn touch(container: &str, path: &str) {
    touch_at(engine_host().await.as_deref(), container, path).await;
}

/// As [`touch`], at another engine.
pub async fn touch_at(engine: Option<&str>, container: &str, path: &str) {
    // The script may end as soon as it is there, and what has made it is killed with the container.
    const KILLED: i32 = 137;
    let make = format!(": > {path}");
    let arguments = ["exec", container, "/bin/sh", "-c", &make];
    let output = output_of(engine, &arguments).await;
    let is_made = output.status.success() || output.status.code() == Some(KILLED);
    assert!(is_made, "docker {arguments:?}: {}, {}", output.status, said(&output));
}

/// This machine's address on the engine's bridge: containers reach it, and nobody else. The
/// engine tells no gateway of a bridge that it has made since it was started.
pub async fn address_for_containers() -> String {
    let option = "{{index .Options \"com.docker.network.bridge.name\"}}";
    let bridge = docker(&["network", "inspect", "bridge", "--format", option]).await;
    let words = ["-4", "-brief", "address", "show", "dev", bridge.trim()];
    let told = Command::new("ip").args(words).output().await.unwrap();
    // Its name, its state and its address with the length of the prefix.
    let told = String::from_utf8(told.stdout).unwrap();
    let address = told.split_whitespace().nth(2).and_then(|address| address.split('/').next());
    address.unwrap_or_else(|| panic!("{bridge:?}: {told:?}")).to_owned()
}

/// An image without bash, git and the user `kozmic`: Debian's static busybox.
pub async fn busybox() -> &'static str {
    static MADE: OnceCell<()> = OnceCell::const_new();
    MADE.get_or_init(async || {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["bin", "etc", "tmp"] {
            std::fs::create_dir(root.join(name)).unwrap();
        }
        let everyone = std::fs::Permissions::from_mode(0o1777);
        std::fs::set_permissions(root.join("tmp"), everyone).unwrap();
        std::fs::copy("/bin/busybox", root.join("bin/busybox"))
            .expect("Debian's package busybox-static");
        for name in ["sh", "cat", "dd", "id", "pwd", "ls", "echo", "sleep", "env", "stat"] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        std::fs::write(
            root.join("etc/passwd"),
            "root:x:0:0:root:/root:/bin/sh\napp:x:70:71::/tmp:/bin/sh\n",
        )
        .unwrap();
        let archive = root.with_extension("tar");
        let packed = std::fs::File::create(&archive).unwrap();
        let mut builder = tar::Builder::new(packed);
        builder.follow_symlinks(false);
        builder.append_dir_all(".", root).unwrap();
        builder.finish().unwrap();
        docker(&["import", "--change", "USER app", archive.to_str().unwrap(), BUSYBOX]).await;
        std::fs::remove_file(archive).unwrap();
    })
    .await;
    BUSYBOX
}

/// Containers, their volumes and networks of one installation; cache folders outlive jobs.
pub async fn containers_of(engine: Option<&str>, instance: &str) -> Vec<String> {
    let filter = format!("label=kozmic.instance={instance}");
    let host = match engine {
        Some(engine) => Some(engine.to_owned()),
        None => engine_host().await,
    };
    let docker = async |arguments: &[&str]| docker_at(host.as_deref(), arguments).await;
    let containers = docker(&["ps", "--all", "--quiet", "--filter", &filter]).await;
    // Podman labels no volume; it removes a container's own with the container.
    let of_job = ["--filter", &filter, "--filter", "label=kozmic.job"];
    let volumes = docker(&[&["volume", "ls", "--quiet"], &of_job[..]].concat()).await;
    let networks = docker(&["network", "ls", "--quiet", "--filter", &filter]).await;
    let named = |kind: &'static str, text: String| {
        text.lines().map(|id| format!("{kind} {id}")).collect::<Vec<_>>()
    };
    [named("container", containers), named("volume", volumes), named("network", networks)].concat()
}

/// The cached images of one installation.
pub async fn cached_images(instance: &str) -> Vec<String> {
    let filter = format!("label=kozmic.instance={instance}");
    let format = "{{.Repository}}:{{.Tag}}";
    let listed = docker(&["images", "--filter", &filter, "--format", format]).await;
    // On Podman a second name tells when the image was used.
    let is_image = |name: &&str| name.starts_with("kozmic-cache/") && !name.contains(".used-");
    listed.lines().filter(is_image).map(str::to_owned).collect()
}

pub async fn remove_cached_images(instance: &str) {
    for name in cached_images(instance).await {
        let names = docker(&["inspect", "--format", "{{join .RepoTags \" \"}}", &name]).await;
        docker(&[&["rmi"], &names.split_whitespace().collect::<Vec<_>>()[..]].concat()).await;
    }
}

/// The cached images that `kozmic run` has made with this install script, by the path that it was
/// given.
pub async fn remove_images_of_runs(install: &Path) {
    let of_script = format!("label=kozmic.cache.hook={}", install.display());
    let local = ["--filter", "label=kozmic.instance=local", "--filter", &of_script];
    let listed = docker(&[&["images", "--quiet"], &local[..]].concat()).await;
    for image in listed.lines() {
        docker(&["rmi", image]).await;
    }
}

/// A port that stays this test's, also while nobody listens there: below those that
/// the system gives to whoever asks for any (ip(7), ip_local_port_range).
pub fn free_port() -> u16 {
    // By chance, so that tests of another run, beside this one, do not take the port of
    // a server that is down for a moment.
    static START: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(()) % 10_000);
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let next = *START + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + u16::try_from(next % 10_000).unwrap();
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Debian's docker-registry on a free port of loopback.
pub struct Registry {
    pub host: String,
    folder: tempfile::TempDir,
    _child: Child,
}

impl Registry {
    /// Where it keeps what was pushed.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub async fn start() -> Self {
        Self::with_access("").await
    }

    /// Lets nobody in who has no password.
    pub async fn with_password() -> Self {
        Self::with_access("auth: {htpasswd: {realm: kozmic, path: PASSWORDS}}\n").await
    }

    async fn with_access(access: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let passwords = folder.path().join("passwords");
        // bcrypt of PASSWORD.
        let digest = "$2a$05$j9swIEJJbC1ym2PvQrnlmONM9zOBBmAXl785qfWiu6/kyTmTVBdne";
        std::fs::write(&passwords, format!("ada:{digest}\n")).unwrap();
        let access = access.replace("PASSWORDS", passwords.to_str().unwrap());
        let port = if is_podman() { podman::registry_port().await } else { free_port() };
        let host = format!("127.0.0.1:{port}");
        let config = folder.path().join("registry.yml");
        let root = folder.path().join("data");
        let text = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{host}'}}\n{access}",
            root.display()
        );
        std::fs::write(&config, text).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("Debian's package docker-registry");
        eventually("the registry", async || tokio::net::TcpStream::connect(&host).await.ok()).await;
        Self { host, folder, _child: child }
    }

    /// Makes `name` an image of this registry, with the content of `image`.
    pub async fn push(&self, image: &str, name: &str) -> String {
        self.push_from(&self.host, image, name).await
    }

    /// As somebody on another machine would: no name of [`Registry::host`]'s is
    /// touched at the engine here.
    pub async fn push_elsewhere(&self, image: &str, name: &str) {
        let host = self.host.replace("127.0.0.1", "localhost");
        self.push_from(&host, image, name).await;
    }

    async fn push_from(&self, host: &str, image: &str, name: &str) -> String {
        let name = format!("{host}/{name}");
        docker(&["tag", image, &name]).await;
        let folder = tempfile::tempdir().unwrap();
        let config = docker_config(folder.path(), host);
        docker(&["--config", config.to_str().unwrap(), "push", "--quiet", &name]).await;
        docker(&["rmi", &name]).await;
        name
    }
}

/// What `docker login` leaves of a registry: a folder with a config.json.
pub fn docker_config(folder: &Path, host: &str) -> PathBuf {
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("ada:{PASSWORD}"));
    let config = serde_json::json!({"auths": {host: {"auth": auth}}});
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    folder.to_owned()
}

/// A socket that leads to the engine until it is cut.
pub struct CuttableEngine {
    pub host: String,
    path: PathBuf,
    task: JoinHandle<()>,
}

impl CuttableEngine {
    pub async fn start(folder: &Path) -> Self {
        let path = folder.join("engine.sock");
        let task = lead_to_engine(&path).await;
        Self { host: format!("unix://{}", path.display()), task, path }
    }

    /// From now on nothing answers there.
    pub fn cut(&self) {
        self.task.abort();
        std::fs::remove_file(&self.path).unwrap();
    }

    /// It answers again.
    pub async fn mend(&mut self) {
        self.task = lead_to_engine(&self.path).await;
    }
}

async fn lead_to_engine(path: &Path) -> JoinHandle<()> {
    let host = engine_host().await.unwrap_or_default();
    let engine = host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock").to_owned();
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        // Dropped with the task, and with it every connection.
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((mut client, _)) = listener.accept().await {
            let engine = engine.clone();
            connections.spawn(async move {
                let mut engine = UnixStream::connect(engine).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut engine).await;
            });
        }
    })
}
