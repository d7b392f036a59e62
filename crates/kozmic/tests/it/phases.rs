//! What a job's time went into.

use std::time::Duration;

use kozmic::model::{BuildId, JobEnd, JobId, Phase, Timestamp};
use serde::Deserialize;

use crate::crash::{free_url, start};
use crate::harness::{BASE, World, eventually, hook};
use crate::store::{LEASE, build, delivery, on_both, project};

#[derive(Debug, Clone, Deserialize)]
struct Job {
    id: i64,
    build_id: i64,
    title: String,
    finished_at: Option<String>,
    phases: Vec<PhaseAnswer>,
}

#[derive(Debug, Clone, Deserialize)]
struct PhaseAnswer {
    phase: String,
    attempt: i64,
    started_at: String,
    finished_at: Option<String>,
    milliseconds: Option<i64>,
    interrupted: bool,
}

impl Job {
    /// Name, attempt, whether it is over, whether it was interrupted.
    fn story<'a>(&'a self) -> Vec<(&'a str, i64, bool, bool)> {
        let told = |one: &'a PhaseAnswer| {
            (one.phase.as_str(), one.attempt, one.finished_at.is_some(), one.interrupted)
        };
        self.phases.iter().map(told).collect()
    }

    fn of(&self, phase: &str) -> &PhaseAnswer {
        self.phases.iter().rfind(|one| one.phase == phase).unwrap()
    }
}

async fn job(world: &World, url: &str, title: &str) -> Job {
    #[derive(Deserialize)]
    struct Builds {
        builds: Vec<Build>,
    }
    #[derive(Deserialize)]
    struct Build {
        jobs: Vec<Job>,
    }
    let request = world.http.get(format!("{url}/api/v1/projects/1/builds"));
    let answer = request.bearer_auth(world.api_token().await).send().await.unwrap();
    let builds = answer.json::<Builds>().await.unwrap().builds;
    builds[0].jobs.iter().find(|job| job.title == title).unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_phases_add_up_to_the_job_s_time() {
    let world = World::new().await;
    let server = world.serve().await;
    let install = "#!/bin/sh\nsleep 1; sudo touch /made\n";
    let (plain, tests) =
        (hook("Plain", BASE, "echo done\n"), hook("Tests", BASE, "sleep 1; ls /made\n"));
    world.add_project(&server.url).await;
    let files = [("plain.sh", plain.as_str()), ("tests.sh", &tests), ("tests.install.sh", install)];
    world.apply_files(&server.url, &files).await;
    let sha = world.push(&[("a", b"a")]).await;
    let build = world.finished(&server.url, &sha).await;
    assert_eq!(build.status, "success");
    let job = job(&world, &server.url, "Tests").await;
    let whole = ["queue", "fetch", "image", "install", "build", "collect"];
    assert_eq!(job.story(), whole.map(|phase| (phase, 1, true, false)));
    assert!(job.of("install").milliseconds.unwrap() >= 1000, "{job:#?}");
    assert!(job.of("build").milliseconds.unwrap() >= 1000, "{job:#?}");
    // One ends where the next begins: what is between them is no more than the store's
    // and the worker's own time. To the millisecond in the store alone.
    let store = world.store().await;
    let kept = store.job(JobId(job.id)).await.unwrap().unwrap();
    let times = store.phases_of(BuildId(job.build_id)).await.unwrap().remove(&kept.id).unwrap();
    let [queue, fetch, image, install, build_phase, collect] = times.try_into().unwrap();
    let between = |end: Option<Timestamp>, start: Timestamp| start.0 - end.unwrap().0;
    assert_eq!(between(queue.finished_at, kept.started_at.unwrap()), 0);
    let gaps = [
        between(queue.finished_at, fetch.started_at),
        between(fetch.finished_at.max(image.finished_at), install.started_at),
        between(install.finished_at, build_phase.started_at),
        between(build_phase.finished_at, collect.started_at),
        between(collect.finished_at, kept.finished_at.unwrap()),
    ];
    assert!(gaps.iter().all(|gap| *gap >= 0), "{gaps:?}");
    let all = between(kept.started_at, kept.finished_at.unwrap());
    assert!(gaps.iter().sum::<i64>() <= all / 10, "{gaps:?} of {all}: {job:#?}");
    let page = world.page(&format!("{}jobs/{}/", build.url, build.job("Tests").id)).await;
    // People are told what it means for the job to be in the queue.
    for phase in whole.map(|phase| if phase == "queue" { "waiting" } else { phase }) {
        assert!(page.contains(&format!("<th scope=\"row\">{phase}</th>")), "{page}");
    }
    crate::cache::remove_cached(&world).await;
    // Without an install script there is no such phase.
    let plain = self::job(&world, &server.url, "Plain").await;
    assert_eq!(
        plain.story(),
        ["queue", "fetch", "image", "build", "collect"].map(|p| (p, 1, true, false))
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_s_phase_goes_on_when_its_server_is_killed() {
    let world = World::new().await;
    let url = free_url();
    let mut server = start(&world, &url).await;
    world.project(&url, &[hook("Tests", BASE, "echo begin; sleep 4\n")]).await;
    let sha = world.push(&[("a", b"a")]).await;
    eventually("the script", async || {
        let build = world.build_of(&url, &sha).await;
        (!world.log(build.job("Tests")).await.is_empty()).then_some(())
    })
    .await;
    let before = job(&world, &url, "Tests").await;
    assert_eq!(before.story().last().unwrap(), &("build", 1, false, false));
    server.kill().await.unwrap();
    let mut server = start(&world, &url).await;
    world.finished(&url, &sha).await;
    let after = job(&world, &url, "Tests").await;
    let whole = ["queue", "fetch", "image", "build", "collect"];
    assert_eq!(after.story(), whole.map(|phase| (phase, 1, true, false)));
    assert_eq!(after.of("build").started_at, before.of("build").started_at);
    assert_eq!(after.of("collect").finished_at, after.finished_at);
    world.nothing_left().await;
    server.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_keeps_each_attempt_s_phases() {
    on_both(async |store| {
        let (_, hooks) = project(&store, &["Tests"]).await;
        let at = Timestamp;
        store.hook_called(&delivery(&hooks[0], "g"), &build("main", '1'), at(10)).await.unwrap();
        let first = store.claim_job("w", LEASE, at(30)).await.unwrap().unwrap();
        let (job, build) = (first.id, first.build);
        store.phase_began(job, 1, Phase::Fetch, at(30)).await.unwrap();
        store.phase_began(job, 1, Phase::Image, at(31)).await.unwrap();
        // Whoever takes it up again tells so again.
        store.phase_began(job, 1, Phase::Image, at(33)).await.unwrap();
        store.phase_ended(job, 1, Phase::Fetch, at(35)).await.unwrap();
        let lost = at(30).plus(LEASE).plus(Duration::from_secs(1));
        assert!(store.job_lost(job, lost).await.unwrap().unwrap().retried);
        // An attempt that was given up says nothing any more.
        store.phase_began(job, 1, Phase::Build, lost).await.unwrap();
        store.phase_ended(job, 1, Phase::Image, lost.plus(LEASE)).await.unwrap();
        let again = lost.plus(Duration::from_secs(5));
        assert_eq!(store.claim_job("w", LEASE, again).await.unwrap().unwrap().attempt, 2);
        store.phase_began(job, 2, Phase::Build, again).await.unwrap();
        let end = again.plus(Duration::from_secs(9));
        store.job_finished(job, 2, &JobEnd::Exited(0), end).await.unwrap();
        let phases = store.phases_of(build).await.unwrap().remove(&job).unwrap();
        let told: Vec<_> = phases
            .iter()
            .map(|time| {
                let span = (time.started_at, time.finished_at.unwrap());
                (time.attempt, time.phase, span, time.is_interrupted)
            })
            .collect();
        assert_eq!(
            told,
            [
                (1, Phase::Queue, (at(10), at(30)), false),
                (1, Phase::Fetch, (at(30), at(35)), false),
                (1, Phase::Image, (at(31), lost), true),
                (2, Phase::Queue, (lost, again), false),
                (2, Phase::Build, (again, end), false),
            ]
        );
        // One that is stopped while it waits, waited.
        let new = store.job_restarted(job, "octo", end).await.unwrap();
        store.job_cancelled(new, "octo", end.plus(LEASE)).await.unwrap();
        let phases = store.phases_of(build).await.unwrap().remove(&new).unwrap();
        assert_eq!(phases.len(), 1);
        assert_eq!(phases[0].finished_at, Some(end.plus(LEASE)));
    })
    .await;
}
