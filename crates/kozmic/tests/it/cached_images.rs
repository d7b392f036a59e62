//! What people are told of a job's install step, and what they can do about it.

use kozmic::model::{InstallOutcome, InstallStep, JobEnd, Timestamp};
use serde::Deserialize;

use crate::cache::remove_cached;
use crate::harness::{BASE, Server, World, cached_images, eventually, hook};
use crate::store::{LEASE, build, delivery, on_both, project};

#[derive(Debug, Clone, Deserialize)]
struct Job {
    id: i64,
    build_id: i64,
    install_step: Option<Step>,
}

#[derive(Debug, Clone, Deserialize)]
struct Step {
    outcome: String,
    because: String,
    cache_id: String,
    image_made_at: Option<String>,
    milliseconds: Option<u64>,
    dropped_at: Option<String>,
    dropped_by: Option<String>,
}

/// `own` sets its images apart: all worlds share one engine.
async fn world(own: &str, limit: &str) -> (World, Server) {
    let world = World::with(&[("KOZMIC_CACHED_IMAGES_LIMIT", limit)]).await;
    let server = world.serve().await;
    world.add_project(&server.url).await;
    let tests = hook("Tests", BASE, ":\n").replacen(
        "# kozmic: image",
        "# kozmic: track = Depends\n# kozmic: image",
        1,
    );
    let install = format!("#!/bin/sh\nsudo touch /{own}\n");
    world.apply_files(&server.url, &[("t.sh", &tests), ("t.install.sh", &install)]).await;
    (world, server)
}

/// The job of a new commit, once it is over; with what it did for its image.
async fn ran(world: &World, url: &str, files: &[(&str, &[u8])]) -> (Job, Step) {
    let sha = world.push(files).await;
    let build = world.finished(url, &sha).await;
    assert_eq!(build.status, "success", "{build:?}");
    let job = ask(world, url, build.jobs[0].id).await;
    let step = job.install_step.clone().unwrap();
    (job, step)
}

async fn ask(world: &World, url: &str, job: i64) -> Job {
    let asked = world.http.get(format!("{url}/api/v1/jobs/{job}"));
    let answer = asked.bearer_auth(world.api_token().await).send().await.unwrap();
    answer.json().await.unwrap()
}

async fn page(world: &World, url: &str, job: &Job) -> String {
    let page = format!("{url}/projects/1/builds/{}/jobs/{}/", job.build_id, job.id);
    let visitor = world.visitor(url, "octo").await;
    visitor.get(page).send().await.unwrap().text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_api_say_why_an_install_step_ran_and_what_skipping_it_saved() {
    let (world, server) = world("told", "3").await;
    let url = &server.url;
    let (job, made) = ran(&world, url, &[("Depends", b"1")]).await;
    assert_eq!((made.outcome.as_str(), made.because.as_str()), ("made", "no image is cached yet"));
    assert!(made.milliseconds.is_some() && made.image_made_at.is_some());
    let shown = page(&world, url, &job).await;
    assert!(shown.contains("no image is cached yet") && shown.contains(&made.cache_id[..12]));

    let (job, found) = ran(&world, url, &[("other", b"1")]).await;
    assert_eq!((found.outcome.as_str(), &found.cache_id), ("found", &made.cache_id));
    assert_eq!(found.milliseconds, made.milliseconds, "what it took is what it saves");
    let shown = page(&world, url, &job).await;
    assert!(shown.contains("skipped, which saved "), "{shown}");
    let log = world.get_log(&format!("{url}/projects/1/jobs/{}/log/", job.id)).await;
    assert!(log.text().await.unwrap().contains(" old; that saves "));

    let (_, other) = ran(&world, url, &[("Depends", b"2")]).await;
    assert_eq!(other.outcome, "made");
    let why = &other.because;
    assert!(why.starts_with("Depends is another than in the cached image of "), "{why}");
    assert_ne!(other.cache_id, made.cache_id);
    world.end(server).await;
    remove_cached(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_drops_an_image_and_it_is_made_anew() {
    let (world, server) = world("dropped", "3").await;
    let url = &server.url;
    let (job, made) = ran(&world, url, &[("Depends", b"1")]).await;
    let button = format!("action=\"/projects/1/jobs/{}/drop-image/\"", job.id);
    assert!(page(&world, url, &job).await.contains(&button));
    let visitor = world.visitor(url, "octo").await;
    let drop = format!("{url}/projects/1/jobs/{}/drop-image/", job.id);
    let answer = visitor.post(&drop).header("Origin", url).send().await.unwrap();
    assert_eq!(answer.status(), 303);
    let dropped = ask(&world, url, job.id).await.install_step.unwrap();
    assert_eq!(dropped.dropped_by.as_deref(), Some("octo"));
    assert!(dropped.dropped_at.is_some());
    let shown = page(&world, url, &job).await;
    assert!(shown.contains("dropped by") && !shown.contains(&button), "{shown}");

    let (job, anew) = ran(&world, url, &[("other", b"1")]).await;
    assert_eq!((anew.outcome.as_str(), &anew.cache_id), ("made", &made.cache_id));
    assert_eq!(anew.because, "octo dropped its cached image, which build #1 had made");
    assert_eq!(anew.dropped_at, None, "this one was made after it");
    let (_, found) = ran(&world, url, &[("other", b"2")]).await;
    assert_eq!(found.outcome, "found");

    // By the API as well; and what no job will use is no longer on the disk.
    let drop = format!("{url}/api/v1/jobs/{}/drop-image", job.id);
    let answer = world.http.post(drop).bearer_auth(world.api_token().await).send().await.unwrap();
    let answer: Job = answer.json().await.unwrap();
    assert_eq!(answer.install_step.unwrap().dropped_by.as_deref(), Some("octo"));
    let instance = world.instance().await;
    assert_eq!(cached_images(&instance).await.len(), 1);
    let gc = world.run(url, &["gc"]).await;
    assert!(gc.status.success(), "{}", String::from_utf8_lossy(&gc.stderr));
    eventually("the dropped image to be gone", async || {
        cached_images(&instance).await.is_empty().then_some(())
    })
    .await;
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_had_to_go_is_not_blamed_on_a_file() {
    let (world, server) = world("removed", "1").await;
    let url = &server.url;
    ran(&world, url, &[("Depends", b"1")]).await;
    ran(&world, url, &[("Depends", b"2")]).await;
    let instance = world.instance().await;
    eventually("the first image to be removed", async || {
        (cached_images(&instance).await.len() == 1).then_some(())
    })
    .await;
    let (_, again) = ran(&world, url, &[("Depends", b"1")]).await;
    assert!(
        again.because.starts_with("its cached image, which build #1 had made ")
            && again.because.ends_with(" ago, was removed to make room"),
        "{again:?}"
    );
    world.end(server).await;
    remove_cached(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_attempt_notes_no_install_step() {
    on_both(async |store| {
        let (project, hooks) = project(&store, &["Tests"]).await;
        let call = delivery(&hooks[0], "g");
        store.hook_called(&call, &build("main", '1'), Timestamp(10)).await.unwrap();
        let job = store.claim_job("w", LEASE, Timestamp(20)).await.unwrap().unwrap();
        let step = |because: &str| InstallStep {
            cache_id: "c".repeat(64),
            outcome: InstallOutcome::Unfinished,
            because: because.into(),
            started_from: None,
            made_at: None,
            took: None,
        };
        let kept = async || store.install_steps_of(job.build).await.unwrap().remove(&job.id);
        store.install_step_is(job.id, 0, &step("stale")).await.unwrap();
        assert!(kept().await.is_none());
        store.install_step_is(job.id, 1, &step("first")).await.unwrap();
        store.install_step_is(job.id, 2, &step("not yet")).await.unwrap();
        assert_eq!(kept().await.unwrap().step, step("first"));
        // There is no image yet that could be dropped.
        let shown = store.job(job.id).await.unwrap().unwrap();
        assert!(!store.image_dropped(&shown, "octo", Timestamp(25)).await.unwrap());
        let took = std::time::Duration::from_secs(7);
        store.install_step_made(job.id, 2, took, Timestamp(30)).await.unwrap();
        assert_eq!(kept().await.unwrap().step.made_at, None);
        store.install_step_made(job.id, 1, took, Timestamp(30)).await.unwrap();
        let made = kept().await.unwrap();
        assert_eq!(made.step.outcome, InstallOutcome::Made);
        assert_eq!((made.step.made_at, made.step.took), (Some(Timestamp(30)), Some(took)));
        store.job_finished(job.id, 1, &JobEnd::Exited(0), Timestamp(40)).await.unwrap();
        store.install_step_is(job.id, 1, &step("too late")).await.unwrap();
        assert_eq!(kept().await.unwrap(), made);

        assert!(store.image_dropped(&shown, "octo", Timestamp(50)).await.unwrap());
        assert!(store.image_dropped(&shown, "eve", Timestamp(60)).await.unwrap(), "once more");
        let dropped = kept().await.unwrap().dropped.unwrap();
        assert_eq!((dropped.by.as_str(), dropped.at), ("eve", Timestamp(60)));
        let known = store.known_images(project).await.unwrap();
        assert_eq!(known.made, [("c".repeat(64), 1, Timestamp(30))]);
        assert_eq!(known.dropped.as_slice(), std::slice::from_ref(&dropped));
        assert_eq!(store.dropped_images().await.unwrap(), [(project, dropped)]);
    })
    .await;
}
