//! A network without a way out: a push is built and told there, and nobody else is even tried.

use std::collections::BTreeSet;

use tokio::process::Command;

use crate::crash::{free_url, said, start_as};
use crate::harness::{
    BASE, Checkout, Registry, World, as_here, as_root, busybox, docker, hook, shown, trace,
};

const INSIDE: &str = "KOZMIC_TEST_IN_A_NETWORK_OF_ITS_OWN";
const TEST: &str = "air_gapped::a_push_is_built_where_there_is_no_way_out";

/// This very test again, in a network namespace that has loopback and no more.
async fn again_inside() {
    let program = std::env::current_exe().unwrap().display().to_string();
    let path = format!("PATH={}", std::env::var("PATH").unwrap());
    let inside = "ip link set lo up && exec \"$0\" --exact \"$1\" --nocapture";
    let words = [
        "env",
        &format!("{INSIDE}=1"),
        &path,
        "unshare",
        "--net",
        "sh",
        "-c",
        inside,
        &program,
        TEST,
    ];
    let ran = Command::from(as_root(&words)).output().await.unwrap();
    let told =
        format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && told.contains("1 passed"), "{told}");
}

/// Whom a call of connect(2), sendto(2) or sendmsg(2) names, if that is an address of the
/// Internet: `127.0.0.1:80`.
fn address(arguments: &str) -> Option<String> {
    let behind = |start: &str| arguments.split_once(start).map(|(_, rest)| rest);
    let until = |text: &str, end: &str| text.split(end).next().unwrap_or_default().to_owned();
    let port = until(behind("_port=htons(")?, ")");
    let host = behind("inet_addr(\"").or_else(|| behind("inet_pton(AF_INET6, \""))?;
    Some(format!("{}:{port}", until(host, "\"")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_built_where_there_is_no_way_out() {
    if std::env::var_os(INSIDE).is_none() {
        return again_inside().await;
    }
    // Another machine, of a network for documentation (RFC 5737).
    let other = tokio::net::TcpStream::connect("192.0.2.1:443").await.unwrap_err();
    assert_eq!(other.kind(), std::io::ErrorKind::NetworkUnreachable, "{other}");

    let world = World::new().await;
    let url = free_url();
    let file = world.folder().join("trace");
    let program = world.command(&url, &["serve"]);
    let mut serve = Command::new("strace");
    // -D: the server is this test's child, and strace ends with it.
    serve.args(["-D", "-f", "--seccomp-bpf", "-a", "1", "-s", "64"]);
    serve.args(["-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o"]);
    serve.arg(&file).arg(program.as_std().get_program()).arg("serve");
    serve.current_dir(world.folder()).kill_on_drop(true).env_clear();
    serve.env("PATH", std::env::var_os("PATH").unwrap());
    serve.envs(world.environment(url.trim_start_matches("http://")));
    let mut server = start_as(&world, &url, &mut serve).await;
    world.project(&url, &[hook("Tests", BASE, "#!/bin/sh\ncat a\n")]).await;
    let sha = world.push(&[("a", b"no way out\n")]).await;
    let build = world.finished(&url, &sha).await;
    let log = world.log_text(build.job("Tests")).await;
    assert_eq!((build.status.as_str(), log.as_str()), ("success", "no way out\n"), "{build:?}");
    world.told(&sha, "Kozmic-CI", "success").await;
    let page = world.page(&build.url).await;
    assert!(page.contains("Tests"), "{page}");
    for loaded in ["src=\"http", "src=\"//", "rel=\"stylesheet\" href=\"http", "@import"] {
        assert!(!page.contains(loaded), "{loaded}: {page}");
    }
    let picture = format!("{url}/avatars/1/");
    let picture = world.owner(&url).await.get(picture).send().await.unwrap();
    assert_eq!(picture.headers()["content-type"], "image/gif");
    let pid = server.id().unwrap().to_string();
    assert!(Command::new("kill").arg(pid).status().await.unwrap().success());
    server.wait().await.unwrap();
    assert!(said(&world).contains("stopped"), "{}", said(&world));

    let text = std::fs::read_to_string(&file).unwrap();
    let named: BTreeSet<String> =
        trace::parse(&text).iter().filter_map(|call| address(&call.arguments)).collect();
    let github = world.sim.url().trim_start_matches("http://").to_owned();
    assert_eq!(named, BTreeSet::from([github]), "{named:?}");
}

/// The machine inside, whose engine is the same one: it has no such image when it is given it.
const SSH: &str = r#"#!/bin/sh
set -eu
[ "$1" = inside ] && shift
cat >image.tar
docker rmi --force IMAGE >&2
"$@" <image.tar
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_brought_inside() {
    let registry = Registry::start().await;
    let image = registry.push(busybox().await, "debian:bookworm").await;
    let at = Checkout::new().await;
    at.stands_in("ssh", &SSH.replace("IMAGE", &image));
    let bring = as_here(&shown("air_gapped::images"), &[("debian:bookworm", &image)]);
    let said = at.carry_out(&bring).await;
    assert!(said.ends_with(&format!("Loaded image: {image}\n")), "{said}");
    docker(&["rmi", &image]).await;
}
