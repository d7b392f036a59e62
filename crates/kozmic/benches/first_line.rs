//! How long a push waits: from the webhook's answer to the script's first line,
//! beside a bare `docker run --rm` of the same script in the same minute.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::process::Command;

use crate::figures::Figure;
use crate::harness::{BASE, World, push_payload};
use crate::{harness, timing};

const RUNS: usize = 20;

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

fn since(earlier: Duration) -> Duration {
    now().saturating_sub(earlier)
}

/// The first line is the time at which it was written, in nanoseconds.
fn written(log: &[u8]) -> Duration {
    let text = String::from_utf8_lossy(log);
    Duration::from_nanos(text.lines().next().unwrap().trim().parse().unwrap())
}

#[tokio::main]
pub async fn main() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\ndate +%s%N\n").await;
    // The image's account is known, and the mirror has the commit, as for every
    // job but a project's first.
    let sha = world.push(&[("a", b"a")]).await;
    world.finished(&server.url, &sha).await;
    let hook = world.hook(1).await;
    let project = world.store().await.project(hook.project).await.unwrap().unwrap();
    let (mut ours, mut ours_whole, mut bare, mut bare_whole) = (vec![], vec![], vec![], vec![]);
    for run in 0..RUNS {
        let payload = push_payload(project.repository.gh_id, &format!("run-{run}"), &sha, "Run");
        let delivered =
            world.deliver(&server.url, &hook, "push", &format!("g{run}"), &payload).await;
        assert_eq!(delivered.status(), 200);
        let answered = now();
        let build = harness::eventually("the run's end", async || {
            let build = world.builds(&server.url).await.remove(0);
            (build.git_ref == format!("run-{run}") && build.is_finished()).then_some(build)
        })
        .await;
        ours_whole.push(since(answered));
        ours.push(written(&world.log(build.job("Tests")).await).saturating_sub(answered));

        let started = now();
        let arguments = ["run", "--rm", BASE, "/bin/sh", "-c", "date +%s%N"];
        let output = Command::new("docker").args(arguments).output().await.unwrap();
        bare_whole.push(since(started));
        bare.push(written(&output.stdout).saturating_sub(started));
    }
    server.stop().await;
    let mut rows = [
        ("webhook's answer to the first line", ours),
        ("docker run --rm to the first line", bare),
        ("webhook's answer to the end, seen", ours_whole),
        ("docker run --rm to the end", bare_whole),
    ];
    let medians = timing::table(&format!("{RUNS} runs in turn"), &mut rows);
    let figure = |what, ours: usize| {
        Figure::times("first_line", what, &rows[ours].1)
            .beside("docker run --rm", &rows[ours + 1].1)
    };
    figure("from a webhook's answer to the script's first line", 0).write();
    figure("from a webhook's answer to the end of the job, seen", 2).write();
    println!(
        "ratio of the medians: first line {:.2}, end {:.2}",
        medians[0] / medians[1],
        medians[2] / medians[3]
    );
}
