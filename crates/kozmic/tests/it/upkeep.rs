//! A project stays in step with GitHub, and leaves nothing when it is deleted.

use github_sim::client::{Fault, FaultKind, Method};
use serde_json::json;

use crate::harness::{BASE, World, docker, eventually, hook};

async fn ran(world: &World, url: &str, arguments: &[&str]) -> String {
    let output = world.run(url, arguments).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_was_changed_or_deleted_by_hand_is_put_right() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    let sync = ["project", "sync", "octo/orbit"];
    assert!(!ran(&world, &server.url, &sync).await.contains("webhook"));
    let webhook = world.sim.webhooks("octo/orbit").await.unwrap().remove(0);
    let path = format!("/repos/octo/orbit/hooks/{}", webhook.id);
    let broken = json!({"active": false, "events": ["push"], "config": {
        "url": "https://example.com/elsewhere", "content_type": "form", "insecure_ssl": "1"}});
    world.sim.rest("octo", Method::PATCH, &path, Some(broken)).await.unwrap();
    let repaired = ran(&world, &server.url, &sync).await;
    for what in
        ["another URL", "not JSON", "no secret", "certificates", "lacked events", "not active"]
    {
        assert!(repaired.contains(what), "{what}: {repaired}");
    }
    assert!(!ran(&world, &server.url, &sync).await.contains("webhook"));
    world.sim.rest("octo", Method::DELETE, &path, None).await.unwrap();
    assert!(ran(&world, &server.url, &sync).await.contains("made the webhook of `Tests`"));
    let sha = world.push(&[("a", b"a")]).await;
    world.told(&sha, "Kozmic-CI", "success").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_project_leaves_nothing() {
    let world = World::new().await;
    let server = world.serve().await;
    let installs = [
        ("tests.sh", hook("Tests", BASE, "#!/bin/sh\necho ran\n")),
        ("tests.install.sh", "#!/bin/sh\nsudo touch /installed\n".to_owned()),
    ];
    world.add_project(&server.url).await;
    let files: Vec<(&str, &str)> =
        installs.iter().map(|(name, content)| (*name, content.as_str())).collect();
    world.apply_files(&server.url, &files).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&server.url, &sha).await;
    assert_eq!(build.status, "success", "{build:?}");
    let mirror = world.data_dir().join("mirrors/1.git");
    // A log that ended is moved from the one to the other.
    let folders = ["logs", "objects/logs"].map(|folder| world.data_dir().join(folder));
    let log = || folders.iter().flat_map(|folder| walkdir_files(folder)).collect::<Vec<_>>();
    assert!(mirror.exists() && !log().is_empty(), "{build:?}");
    let unsure = world.run(&server.url, &["project", "delete", "octo/orbit"]).await;
    assert!(!unsure.status.success());
    // While GitHub is away nothing is deleted: its webhooks would go on calling.
    let fault = Fault {
        method: Some("DELETE".into()),
        path_contains: "/hooks/".into(),
        kind: FaultKind::Status(502),
        times: 1,
    };
    world.sim.add_fault(fault).await.unwrap();
    let delete = ["project", "delete", "octo/orbit", "--yes"];
    let away = world.run(&server.url, &delete).await;
    let said = String::from_utf8_lossy(&away.stderr).into_owned();
    assert!(said.contains("octo/orbit was not deleted: GitHub did not answer"), "{said}");
    assert_eq!(world.builds(&server.url).await.len(), 1);
    assert_eq!(ran(&world, &server.url, &delete).await, "Deleted octo/orbit.\n");
    assert!(world.sim.webhooks("octo/orbit").await.unwrap().is_empty());
    let instance = world.instance().await;
    eventually("the disks to be clear of it", async || {
        let filter = format!("label=kozmic.instance={instance}");
        let images = docker(&["images", "--quiet", "--filter", &filter]).await;
        (!mirror.exists() && log().is_empty() && images.is_empty()).then_some(())
    })
    .await;
    let gone = world.run(&server.url, &["project", "show", "octo/orbit"]).await;
    assert!(String::from_utf8_lossy(&gone.stderr).contains("octo/orbit is not a project"));
    // And it can be turned on again.
    world.project(&server.url, &[hook("Tests", BASE, "#!/bin/sh\n:\n")]).await;
    server.stop().await;
}

fn walkdir_files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { walkdir_files(&path) } else { vec![path] }).collect()
}
