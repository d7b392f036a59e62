//! The badge: for anyone, for any ref.

use github_sim::client::Push;

use crate::harness::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_badge_shows_the_latest_build_of_its_ref() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/bash\n[ $KOZMIC_BUILD_REF = main ]\n").await;
    let badge = async |path: &str| {
        let answer = world.http.get(format!("{}/badges/{path}", server.url)).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "image/svg+xml; charset=utf-8");
        let text = answer.text().await.unwrap();
        let title = text.split_once("<title>").unwrap().1.split_once("</title>").unwrap().0;
        title.to_owned()
    };
    assert_eq!(badge("octo/orbit/main").await, "kozmic: unknown");
    let main = world.push(&[("a", b"a")]).await;
    let push =
        Push::new("octo/orbit", "octo").branch("feature/slashes").message("x").write("b", "b");
    let branch = world.sim.push(&push).await.unwrap();
    world.finished(&server.url, &main).await;
    world.finished(&server.url, &branch).await;
    assert_eq!(badge("octo/orbit/main").await, "kozmic: success");
    assert_eq!(badge("Octo/Orbit/main").await, "kozmic: success");
    assert_eq!(badge("octo/orbit/feature/slashes").await, "kozmic: failure");
    assert_eq!(badge("octo/orbit/refs/heads/main").await, "kozmic: success");
    assert_eq!(badge("octo/nothing/main").await, "kozmic: unknown");
    assert_eq!(badge("octo/orbit/%3Cscript%3E").await, "kozmic: unknown");
    server.stop().await;
}
