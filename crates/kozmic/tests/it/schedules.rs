//! Hooks that run by the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use github_sim::client::{Fault, FaultKind, Push};
use kozmic::github::Client;
use kozmic::model::{ProjectId, Timestamp};
use kozmic::schedule::Scheduler;

use crate::harness::{BASE, Build, World, eventually, eventually_within, hook, post_form};

const QUICK: &str = "#!/bin/sh\n:\n";

/// A clock that stands where it is put.
struct Clock(Arc<AtomicI64>);

fn at(text: &str) -> Timestamp {
    Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

impl Clock {
    /// A scheduler beside the server's, by this clock.
    async fn new(world: &World) -> (Self, Scheduler) {
        let time = Arc::new(AtomicI64::new(0));
        let shown = time.clone();
        let clock = Arc::new(move || Timestamp(shown.load(Ordering::SeqCst)));
        let github =
            Client::new(&world.settings().github_api_url, &kozmic::config::Trust::default())
                .unwrap();
        (Self(time), Scheduler { store: world.store().await, github, clock })
    }

    /// Puts the clock there, and has the scheduler look; when it is to look again.
    async fn shows(&self, scheduler: &Scheduler, text: &str) -> Option<String> {
        self.0.store(at(text).0, Ordering::SeqCst);
        scheduler.run_due().await.unwrap().map(|next| next.to_string())
    }
}

fn clocked(title: &str, lines: &[&str]) -> String {
    let lines: String =
        lines.iter().map(|line| format!("# kozmic: cron = {line}\n")).collect::<Vec<_>>().concat();
    let header = format!("{lines}# kozmic: event = manual\n# kozmic: image");
    hook(title, BASE, QUICK).replacen("# kozmic: image", &header, 1)
}

async fn by_the_clock(world: &World, url: &str) -> Vec<Build> {
    let mut builds = world.builds(url).await;
    builds.retain(|build| build.trigger == "cron");
    builds.reverse();
    builds
}

/// The build, once it is finished.
async fn ended(world: &World, url: &str, id: i64) -> Build {
    eventually("the build's end", async || {
        let builds = world.builds(url).await;
        builds.into_iter().find(|build| build.id == id && build.is_finished())
    })
    .await
}

fn due(builds: &[Build]) -> Vec<&str> {
    builds.iter().map(|build| build.due_at.as_deref().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nightly_run_comes_once_on_the_days_when_clocks_are_set() {
    let world = World::new().await;
    let server = world.serve().await;
    let sha = world.push(&[("a", b"a")]).await;
    let nightly = clocked("Nightly", &["30 2 * * * Europe/Berlin"]);
    world.project(&server.url, &[nightly]).await;
    let (clock, scheduler) = Clock::new(&world).await;

    // Missed for months, and caught up once; the next one is that day's, which lacks 02:30.
    let next = clock.shows(&scheduler, "2027-03-27T12:00:00Z").await;
    assert_eq!(next.as_deref(), Some("2027-03-28T01:00:00Z"));
    assert_eq!(by_the_clock(&world, &server.url).await.len(), 1);
    clock.shows(&scheduler, "2027-03-28T00:59:59Z").await;
    assert_eq!(by_the_clock(&world, &server.url).await.len(), 1, "not before its time");
    let next = clock.shows(&scheduler, "2027-03-28T01:00:00Z").await;
    assert_eq!(next.as_deref(), Some("2027-03-29T00:30:00Z"));
    let next = clock.shows(&scheduler, "2027-03-28T01:30:00Z").await;
    assert_eq!(next.as_deref(), Some("2027-03-29T00:30:00Z"));

    // The day that has 02:30 twice.
    let next = clock.shows(&scheduler, "2027-10-30T12:00:00Z").await;
    assert_eq!(next.as_deref(), Some("2027-10-31T00:30:00Z"));
    let next = clock.shows(&scheduler, "2027-10-31T00:30:00Z").await;
    assert_eq!(next.as_deref(), Some("2027-11-01T01:30:00Z"));
    clock.shows(&scheduler, "2027-10-31T01:30:00Z").await;
    let builds = by_the_clock(&world, &server.url).await;
    let expected = ["2027-03-28T01:00:00Z", "2027-03-29T00:30:00Z", "2027-10-31T00:30:00Z"];
    assert_eq!(due(&builds)[1..], expected, "each once; missed ones once in all");
    for build in &builds {
        let build = ended(&world, &server.url, build.id).await;
        assert_eq!((build.status.as_str(), build.sha.as_str()), ("success", sha.as_str()));
    }
    world.told(&sha, "Kozmic-CI/Nightly", "success").await;
    let page = world.page(&builds[1].url).await;
    assert!(
        page.contains("30 2 * * * Europe/Berlin") && page.contains("2027-03-28 03:00 CEST"),
        "{page}"
    );
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_run_what_is_due_once() {
    let world = World::new().await;
    let server = world.serve().await;
    world.push(&[("a", b"a")]).await;
    world.project(&server.url, &[clocked("Nightly", &["0 3 * * *", "0 4 * * *"])]).await;
    let (clock, one) = Clock::new(&world).await;
    let (other_clock, two) = Clock::new(&world).await;
    for day in ["2027-01-01", "2027-01-02", "2027-01-03"] {
        let time = format!("{day}T12:00:00Z");
        let (first, second) =
            tokio::join!(clock.shows(&one, &time), other_clock.shows(&two, &time));
        assert_eq!(first, second);
    }
    assert_eq!(by_the_clock(&world, &server.url).await.len(), 3 * 2);
    // Back in time: nothing is due again.
    clock.shows(&one, "2027-01-02T12:00:00Z").await;
    assert_eq!(by_the_clock(&world, &server.url).await.len(), 3 * 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_made_is_told_and_tried_again_or_left_out() {
    let world = World::new().await;
    let server = world.serve().await;
    world.push(&[("a", b"a")]).await;
    let side = Push::new("octo/orbit", "octo").branch("side").write("b", "b");
    let side = world.sim.push(&side).await.unwrap();
    let lines = ["0 3 * * * Europe/Berlin on side"];
    world.project(&server.url, &[clocked("Nightly", &lines)]).await;
    let (clock, scheduler) = Clock::new(&world).await;
    let settings = format!("{}/projects/1/settings/", server.url);

    let away = Fault::on("/orbit/commits/", FaultKind::Status(503)).until_lifted();
    let away = world.sim.add_fault(away).await.unwrap();
    let next = clock.shows(&scheduler, "2027-01-02T02:00:00Z").await.unwrap();
    assert!(next.as_str() > "2027-01-02T02:00:00Z", "{next}");
    let page = world.page(&settings).await;
    assert!(page.contains("It was due and could not be made") && page.contains("503"), "{page}");
    assert!(by_the_clock(&world, &server.url).await.is_empty());
    world.sim.lift_fault(away).await.unwrap();
    let next = clock.shows(&scheduler, &next).await;
    assert_eq!(next.as_deref(), Some("2027-01-03T02:00:00Z"));
    let builds = by_the_clock(&world, &server.url).await;
    assert_eq!((builds.len(), builds[0].sha.as_str()), (1, side.as_str()));
    assert_eq!(builds[0].git_ref, "side");
    let page = world.page(&settings).await;
    assert!(page.contains("its build") && !page.contains("It was due"), "{page}");

    world.sim.delete_branch("octo/orbit", "octo", "side").await.unwrap();
    let next = clock.shows(&scheduler, "2027-01-03T02:00:00Z").await;
    assert_eq!(next.as_deref(), Some("2027-01-04T02:00:00Z"), "it goes on with the next");
    let page = world.page(&settings).await;
    assert!(
        page.contains("The last time was left out: GitHub has no branch side any more."),
        "{page}"
    );
    assert_eq!(by_the_clock(&world, &server.url).await.len(), 1);

    // Without its line nothing is due any more.
    world.apply(&server.url, &[hook("Nightly", BASE, QUICK)]).await;
    assert_eq!(clock.shows(&scheduler, "2027-02-01T02:00:00Z").await, None);
    world.end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_wakes_when_something_is_due() {
    let world = World::new().await;
    let server = world.serve().await;
    let sha = world.push(&[("a", b"a")]).await;
    world.add_project(&server.url).await;
    let url = format!("{}/projects/1/hooks/add/", server.url);
    let options = "event = manual\ncron = * * * * *";
    let fields = [("title", "A"), ("image", BASE), ("build_script", QUICK), ("options", options)];
    let added = post_form(world.owner(&server.url).await, &url, &fields).await;
    assert_eq!(added.status(), 303);
    let schedules = world.store().await.schedules(ProjectId(1)).await.unwrap();
    let due_at = schedules[0].next_at;
    let found = async || by_the_clock(&world, &server.url).await.into_iter().next();
    let build = eventually_within(Duration::from_secs(90), "a build by the clock", found).await;
    let expected = (sha.as_str(), Some(due_at.to_string()));
    assert_eq!((build.sha.as_str(), build.due_at.clone()), expected);
    assert!(Timestamp::now() >= due_at, "not before its time");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_can_t_be_kept_are_refused_with_a_sentence() {
    let world = World::new().await;
    let server = world.serve().await;
    world.project(&server.url, &[hook("Tests", BASE, QUICK)]).await;
    let owner = world.owner(&server.url).await;
    for (line, says) in [
        ("0 25 * * * Europe/Berlin", "0 25 * * *"),
        (
            "0 3 * * * Europe/Berln",
            "there is no time zone `Europe/Berln`; did you mean Europe/Berlin?",
        ),
        ("0 0 30 2 * UTC", "`0 0 30 2 *` never comes"),
    ] {
        let options = format!("cron = {line}");
        let fields =
            [("title", "Nightly"), ("image", BASE), ("build_script", QUICK), ("options", &options)];
        let url = format!("{}/projects/1/hooks/add/", server.url);
        let answer = post_form(owner, &url, &fields).await;
        assert_eq!(answer.status(), 422);
        let page = answer.text().await.unwrap();
        assert!(page.contains(says), "{says}: {page}");
        let folder = tempfile::tempdir_in(world.folder()).unwrap();
        let file = clocked("Nightly", &[line]);
        std::fs::write(folder.path().join("nightly.sh"), file).unwrap();
        let arguments = ["hooks", "apply", "octo/orbit", folder.path().to_str().unwrap()];
        let applied = world.run(&server.url, &arguments).await;
        let said = String::from_utf8_lossy(&applied.stderr);
        assert!(!applied.status.success() && said.contains(says), "{says}: {said}");
    }
    let store = world.store().await;
    assert_eq!(store.hooks(ProjectId(1)).await.unwrap().len(), 1);
    assert!(store.schedules(ProjectId(1)).await.unwrap().is_empty());
    world.end(server).await;
}
