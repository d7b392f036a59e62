//! With Podman nothing is kept from jobs; where it must be, none runs.

use crate::harness::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_can_t_be_kept_from_what_is_blocked_does_not_run() {
    let world = World::with(&[("KOZMIC_BLOCKED_NETWORKS", "metadata")]).await;
    let server = world.serve_with("#!/bin/sh\necho ran\n").await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&server.url, &sha).await;
    let job = build.job("Tests");
    assert_eq!(build.status, "error", "{job:?}");
    let expected =
        "the job can't be kept from what KOZMIC_BLOCKED_NETWORKS names, so it does not run";
    assert!(job.reason.contains(expected), "{job:?}");
    let log = world.log_text(job).await;
    assert!(!log.lines().any(|line| line == "ran"), "{log}");
    world.end(server).await;
}
