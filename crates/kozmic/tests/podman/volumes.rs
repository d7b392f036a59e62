//! Podman labels no volume, so one that stays is not found by whose it is.

use crate::harness::{World, docker, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_container_s_volume_goes_with_it() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/bash\necho begun\nsleep 600\n").await;
    let sha = world.push(&[("a", b"a")]).await;
    eventually("the first line", async || {
        let build = world.build_of(&server.url, &sha).await;
        (world.log(&build.jobs[0]).await == b"begun\n").then_some(())
    })
    .await;
    let left = world.leftovers().await;
    let container = left.iter().find_map(|left| left.strip_prefix("container ")).unwrap();
    let format = "{{range .Mounts}}{{.Name}}{{end}}";
    let volume = docker(&["inspect", "--format", format, container]).await;
    let volumes = async || docker(&["volume", "ls", "--quiet"]).await;
    assert!(!volume.trim().is_empty() && volumes().await.contains(volume.trim()), "{volume}");
    world.end(server).await;
    assert!(!volumes().await.contains(volume.trim()), "{volume}");
}
