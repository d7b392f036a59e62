//! docs/podman.md: Podman's service with a server that uses it, as the page starts them.

use std::os::unix::process::CommandExt as _;

use crate::harness::{
    BASE, Checkout, World, as_here, as_root, engine_host, eventually, free_port, hook, shown,
};

/// Podman with the storage and the settings that these tests have.
const PODMAN: &str = r#"#!/bin/sh
become=
[ "$(id -u)" = 0 ] || become='/usr/bin/sudo -n'
exec $become env CONTAINERS_CONF='DIR/containers.conf' \
  CONTAINERS_REGISTRIES_CONF='DIR/registries.conf' TMPDIR='DIR' \
  /usr/bin/podman --root 'DIR/root' --runroot 'DIR/run' --tmpdir 'DIR/tmp' \
  --cgroup-manager cgroupfs --network-config-dir 'DIR/networks' --events-backend file "$@"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_builds_on_podman_s_service() {
    let host = engine_host().await.unwrap();
    let folder = host.strip_prefix("unix://").unwrap().strip_suffix("/podman.sock").unwrap();
    let world = World::new().await;
    let at = Checkout::new().await;
    at.stands_in("podman", &PODMAN.replace("DIR", folder));
    let socket = world.folder().join("page.sock").display().to_string();
    let serve = as_here(&shown("setup::serve"), &[("/run/podman/podman.sock", &socket)]);
    let url = format!("http://127.0.0.1:{}", free_port());
    let mut serving = at.shell(&serve);
    serving.envs(world.environment(url.trim_start_matches("http://")));
    let log = std::fs::File::create(world.folder().join("serve.log")).unwrap();
    serving.stdout(log.try_clone().unwrap()).stderr(log).as_std_mut().process_group(0);
    let mut serving = serving.spawn().unwrap();
    let group = format!("-{}", serving.id().unwrap());
    let said = || std::fs::read_to_string(world.folder().join("serve.log")).unwrap();
    eventually("the server to be ready", async || {
        assert!(serving.try_wait().unwrap().is_none(), "{}", said());
        let answer = world.http.get(format!("{url}/readyz")).send().await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
    // What the page has in containers.conf is what scripts have.
    world.project(&url, &[hook("Tests", BASE, "#!/bin/bash\nulimit -n\nulimit -u\n")]).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&url, &sha).await;
    let log = world.log_text(build.job("Tests")).await;
    assert_eq!((build.status.as_str(), log.as_str()), ("success", "4096\n4096\n"), "{}", said());
    world.nothing_left().await;
    assert!(as_root(&["kill", "-TERM", "--", &group]).status().unwrap().success());
    serving.wait().await.unwrap();
}
