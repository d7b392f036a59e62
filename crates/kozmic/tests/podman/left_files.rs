//! Podman packs a folder of a container that has ended as Docker does.

use serde_json::Value;

use crate::harness::World;

const SCRIPT: &str = r#"#!/bin/bash
cat > $KOZMIC_REPORTS/junit.xml <<'END'
<testsuite><testcase name="goes round"/><testcase name="falls"><failure message="down"/></testcase></testsuite>
END
mkdir $KOZMIC_ARTIFACTS/dist
printf 0123456789 > $KOZMIC_ARTIFACTS/dist/digits
exit 3
"#;

async fn asked(world: &World, url: &str) -> reqwest::Response {
    let answer = world.http.get(url).bearer_auth(world.api_token().await).send().await.unwrap();
    assert!(answer.status().is_success(), "{url}: {}", answer.status());
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failed_script_left_is_read_and_kept() {
    let world = World::new().await;
    let server = world.serve_with(SCRIPT).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&server.url, &sha).await;
    let job = &build.jobs[0];
    assert_eq!(job.return_code, Some(3));
    let api = format!("{}/api/v1/jobs/{}", server.url, job.id);
    let tests: Value = asked(&world, &format!("{api}/tests")).await.json().await.unwrap();
    assert_eq!((&tests["passed"], &tests["failed"]), (&1.into(), &1.into()), "{tests}");
    assert_eq!(tests["tests"][0]["message"], "down");
    let listed: Value = asked(&world, &format!("{api}/artifacts")).await.json().await.unwrap();
    assert_eq!(listed["artifacts"][0]["path"], "dist/digits", "{listed}");
    let url = format!("{}/projects/1/jobs/{}/artifacts/dist/digits", server.url, job.id);
    assert_eq!(asked(&world, &url).await.bytes().await.unwrap(), "0123456789");
    world.end(server).await;
}
