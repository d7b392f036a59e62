//! A GitHub Enterprise Server: by the settings of its web pages and of its API.

use github_sim::client::Push;
use reqwest::{StatusCode, header};

use crate::harness::{BASE, World, eventually, location};

#[tokio::test(flavor = "multi_thread")]
async fn an_enterprise_server_is_two_urls_from_sign_in_to_a_green_status() {
    let mut world = World::new().await;
    // The pages under one name, the API below a path of another.
    let port = world.sim.url().rsplit(':').next().unwrap().to_owned();
    world.set("KOZMIC_GITHUB_URL", &format!("http://localhost:{port}/"));
    world.set("KOZMIC_GITHUB_API_URL", &format!("http://127.0.0.1:{port}/api/v3/"));
    // From the pages alone: no token of the command line's.
    world.set("KOZMIC_GITHUB_TOKEN", "none");
    let repository = world.sim.add_repository("octo", "comet").await.unwrap();
    let server = world.serve().await;
    let (sign_in, _) = world.at_github(&server.url).await;
    assert!(sign_in.starts_with(&format!("http://localhost:{port}/login/oauth/")), "{sign_in}");
    let octo = world.visitor(&server.url, "octo").await;
    let offered = octo.get(format!("{}/repositories/", server.url)).send().await.unwrap();
    assert!(offered.text().await.unwrap().contains(">comet</span>"));
    let on = octo.post(format!("{}/repositories/{repository}/on/", server.url));
    assert_eq!(location(&on.send().await.unwrap()), "/projects/1/hooks/add/");
    let hook = [("title", "Tests"), ("image", BASE), ("build_script", "#!/bin/sh\n:\n")];
    let hook = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(hook).finish();
    let added = octo
        .post(format!("{}/projects/1/hooks/add/", server.url))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(hook + "&options=")
        .send()
        .await
        .unwrap();
    assert_eq!(added.status(), StatusCode::SEE_OTHER, "{}", added.text().await.unwrap());
    let push = Push::new("octo/comet", "octo").write("a", "a");
    let sha = world.sim.push(&push).await.unwrap();
    eventually("a green status", async || {
        let statuses = world.sim.statuses("octo/comet", &sha).await.unwrap();
        statuses
            .iter()
            .any(|status| status.context == "Kozmic-CI" && status.state == "success")
            .then_some(())
    })
    .await;
    server.stop().await;
}
