//! Debian's Podman, with a service, storage and network of the tests' own.

use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::OnceCell;

use super::engine::{BASE, free_port};
use super::eventually;
use super::shown::{as_here, shell, shown, succeeded};

/// Registries that may listen without TLS, one after the other.
const REGISTRIES: usize = 24;

/// Started when it is first asked for. A keeper ends it after this process.
struct Podman {
    host: String,
    ports: Vec<u16>,
    /// Its standard input, which ends with this process, is what stops it.
    _keeper: Child,
}

static PODMAN: OnceCell<Podman> = OnceCell::const_new();

async fn podman() -> &'static Podman {
    PODMAN.get_or_init(start).await
}

/// Where it listens, as DOCKER_HOST.
pub async fn host() -> &'static str {
    &podman().await.host
}

/// A port at which a registry needs no TLS, and that no other one was given.
pub async fn registry_port() -> u16 {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let ports = &podman().await.ports;
    *ports.get(NEXT.fetch_add(1, Ordering::Relaxed)).expect("REGISTRIES is too small")
}

async fn start() -> Podman {
    // Not in /tmp, which may be a small file system in memory.
    let folder = tempfile::Builder::new().prefix("kozmic-podman-").tempdir_in("/var/tmp").unwrap();
    let folder = folder.keep();
    let ports: Vec<u16> = (0..REGISTRIES).map(|_| free_port()).collect();
    let settings = shown("podman::limits") + &shown("podman::runtime");
    std::fs::write(folder.join("page.conf"), settings).unwrap();
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let keeper = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/podman/keeper");
    let mut words = vec![keeper.to_owned(), folder.to_str().unwrap().to_owned()];
    words.extend(ports.iter().map(u16::to_string));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let keeper = super::as_root(&words)
        .stdin(Stdio::piped())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let socket = folder.join("podman.sock");
    eventually("Podman, of Debian's package", async || {
        tokio::net::UnixStream::connect(&socket).await.ok()
    })
    .await;
    let host = format!("unix://{}", socket.display());
    let load = format!("docker save {BASE} | DOCKER_HOST={host} docker load");
    succeeded(shell(&load).output().await.unwrap());
    // The base image is made here as well, on what a registry would have.
    let upstream = "printf 'FROM %s\\nUSER root\\nRUN userdel --remove kozmic\\n' \"$BASE\" |
        docker build --tag debian:bookworm-slim -
        docker rmi \"$BASE\"";
    let mut made = shell(upstream);
    made.env("BASE", BASE).env("DOCKER_HOST", &host).env("DOCKER_BUILDKIT", "0");
    succeeded(made.output().await.unwrap());
    let text = as_here(&shown("podman::base_image"), &[("unix:///run/podman/podman.sock", &host)]);
    let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let made = shell(&text).current_dir(repository).output().await.unwrap();
    let said = String::from_utf8_lossy(&made.stderr).into_owned();
    succeeded(made);
    assert!(said.contains("Made kozmic/debian:bookworm on debian:bookworm-slim"), "{said}");
    Podman { host, ports, _keeper: keeper }
}
