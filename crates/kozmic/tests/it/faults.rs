//! Server and engine are killed again and again, in every phase of a job. Nothing
//! that was acknowledged is lost, every log is what its scripts wrote, nothing stays.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use github_sim::client::{Fault, FaultKind};
use kozmic::model::{BuildId, JobStatus};
use kozmic::store::{Job, Listed, Store};
use tokio::process::Child;

use crate::crash::{free_url, said, start};
use crate::harness::{Daemon, Registry, World, busybox, docker_at, eventually, hook};

/// The same kills in the same phases; the moments within them are the machine's.
const SEED: u64 = 20_140_513;
/// Once in each phase; more of them when there is time for it (`FAULT_KILLS`).
const KILLS: usize = PHASES.len();

/// Numbers that look random (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Fetch,
    Pull,
    Install,
    Commit,
    Upload,
    Start,
    Output,
    /// The script has written its last line; its end is not kept yet.
    Finish,
    /// GitHub does not know the end yet.
    Report,
}

use Phase::{Commit, Fetch, Finish, Install, Output, Pull, Report, Start, Upload};

const PHASES: [Phase; 9] = [Fetch, Pull, Install, Commit, Upload, Start, Output, Finish, Report];

impl Phase {
    /// How long after its beginning the kill comes at the latest, in milliseconds.
    fn length(self) -> u64 {
        match self {
            Output => 600,
            Install => 300,
            Fetch | Pull | Commit | Start | Report => 20,
            Upload | Finish => 5,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Server,
    Engine,
    Both,
}

const INSTALL: &str = "#!/bin/sh
for n in 1 2 3 4 5; do echo installed $n; sleep 0.1; done
dd if=/dev/zero of=/tmp/installed bs=1M count=60 2>/dev/null
";
const BUILD: &str = "#!/bin/sh
n=0; while [ $n -lt 20 ]; do n=$((n+1)); echo line $n; sleep 0.04; done
";

fn written_by_install() -> String {
    (1..=5).fold(String::new(), |log, n| log + &format!("installed {n}\n"))
}

fn written_by_build() -> String {
    (1..=20).fold(String::new(), |log, n| log + &format!("line {n}\n"))
}

/// The last attempt wrote everything; what earlier ones wrote is its beginning, as is
/// what a script wrote that ended without its engine, of which the log says so. An
/// install script wrote all of it or, where its image was there, nothing.
pub fn is_whole(log: &str) -> bool {
    let (build, install) = (written_by_build(), written_by_install());
    let whole = install + &build;
    let is_beginning = |part: &str| {
        // It may have ended within a line, which Kozmic's own line completes.
        let part = part.trim_end_matches('\n');
        whole.starts_with(part) || build.starts_with(part)
    };
    let (mut part, mut parts_are_beginnings, mut is_said) = (String::new(), true, false);
    for line in log.split_inclusive('\n') {
        is_said = line.starts_with("[kozmic] the container engine was not there all the ");
        if is_said || line.starts_with("[kozmic] attempt ") {
            parts_are_beginnings &= is_beginning(&part);
            part.clear();
        } else if !line.starts_with("[kozmic] ") {
            part += line;
        }
    }
    parts_are_beginnings && (part == build || part == whole || (is_said && part.is_empty()))
}

#[test]
fn a_log_that_lacks_something_is_seen() {
    let (build, install) = (written_by_build(), written_by_install());
    let lost =
        "[kozmic] the container engine was not there all the time until the script ended: …\n";
    assert!(is_whole(&build) && is_whole(&format!("{install}[kozmic] done\n{build}")));
    assert!(is_whole(&format!("installed 1\ninst\n[kozmic] attempt 2\n{install}{build}")));
    assert!(is_whole(&format!("installed 1\n{lost}{build}")));
    assert!(is_whole(&format!("line 1\nline 2\n{lost}")));
    for lacking in [
        "",
        &install,
        &build[..build.len() - 2],
        &build.replace("line 7\n", ""),
        &build.replace("line 7\n", "line 7\nline 7\n"),
        &format!("installed 2\n{lost}{build}"),
        &format!("{lost}line 1\n"),
        &format!("line 2\n[kozmic] attempt 2\n{build}"),
    ] {
        assert!(!is_whole(lacking), "{lacking}");
    }
}

/// One hook that has an install script, and one that has none.
pub async fn apply_hooks(world: &World, url: &str, image: &str, (install, build): (&str, &str)) {
    let tracking = hook("Install", image, build).replacen(
        "# kozmic: image",
        "# kozmic: track = a\n# kozmic: image",
        1,
    );
    let plain = hook("Plain", image, build);
    let files =
        [("plain.sh", plain.as_str()), ("install.sh", &tracking), ("install.install.sh", install)];
    world.apply_files(url, &files).await;
}

/// What is killed, and where its jobs are.
struct Target {
    world: World,
    url: String,
    server: Child,
    engine: Daemon,
    store: Store,
    image: String,
    hit: BTreeMap<(Phase, Victim), usize>,
}

impl Target {
    async fn start(registry: &Registry) -> Self {
        let engine = Daemon::start().await;
        let world = World::at(&engine.host, &[("KOZMIC_CONCURRENCY", "2")]).await;
        let url = free_url();
        let server = start(&world, &url).await;
        world.add_project(&url).await;
        let image = registry.push(busybox().await, "faults:1").await;
        apply_hooks(&world, &url, &image, (INSTALL, BUILD)).await;
        world.api_token().await;
        let store = world.store().await;
        Self { world, url, server, engine, store, image, hit: BTreeMap::new() }
    }

    /// A commit whose install step has to run.
    async fn push(&self, round: usize) -> String {
        self.world.push(&[("a", round.to_string().as_bytes())]).await
    }

    async fn jobs(&self, sha: &str) -> Vec<Job> {
        let Some(build) = self.build(sha).await else { return Vec::new() };
        self.store.jobs_of(build).await.unwrap()
    }

    async fn build(&self, sha: &str) -> Option<BuildId> {
        let projects = self.store.listed_ids(Listed::All, 1).await.unwrap();
        let builds = self.store.builds_before(projects[0], None, 5).await.unwrap();
        builds.into_iter().find(|build| build.commit.sha.as_str() == sha).map(|build| build.id)
    }

    /// Where a job is by what is kept of it.
    async fn phase(&self, job: &Job) -> Option<Phase> {
        if job.status.is_finished() {
            let name = format!("Kozmic-CI/{}", job.title);
            let told =
                self.world.sim.statuses("octo/orbit", &self.sha_of(job).await).await.unwrap();
            let latest = told.iter().find(|status| status.context == name);
            return latest.is_none_or(|status| status.state == "pending").then_some(Report);
        }
        let says = |words: &str| job.reason.starts_with(words);
        Some(match job.status {
            JobStatus::Pending if says("fetching") || says("starting") && !says("starting the") => {
                Fetch
            }
            JobStatus::Pending if says("pulling") => Pull,
            JobStatus::Pending if says("running the install") => Install,
            JobStatus::Pending if says("keeping the image") => Commit,
            JobStatus::Pending if says("putting the checkout") => Upload,
            JobStatus::Pending if says("starting the") => Start,
            JobStatus::Pending if says("running the build") => {
                if self.log(job).ends_with("line 20\n") { Finish } else { Output }
            }
            _ => return None,
        })
    }

    async fn sha_of(&self, job: &Job) -> String {
        self.store.build(job.build).await.unwrap().unwrap().commit.sha.to_string()
    }

    fn log(&self, job: &Job) -> String {
        let uuid = job.uuid.to_string();
        let path = self.world.data_dir().join("logs").join(&uuid[..2]).join(format!("{uuid}.log"));
        String::from_utf8(std::fs::read(path).unwrap_or_default()).unwrap()
    }

    /// Kills in this phase of the commit's build, if it comes to it; counts the phases
    /// that its jobs were in.
    async fn kill_in(&mut self, sha: &str, wanted: Phase, victim: Victim, later: Duration) {
        loop {
            let jobs = self.jobs(sha).await;
            let mut is_there = false;
            for job in &jobs {
                is_there |= self.phase(job).await == Some(wanted);
            }
            if is_there || (!jobs.is_empty() && jobs.iter().all(|job| job.status.is_finished())) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(later).await;
        if victim != Victim::Engine {
            self.server.start_kill().unwrap();
        }
        // A server that goes on may be further by the next line, but not much.
        let phases = self.phases(sha).await;
        if victim != Victim::Server {
            self.engine.kill();
        }
        for phase in phases {
            *self.hit.entry((phase, victim)).or_default() += 1;
        }
    }

    async fn phases(&self, sha: &str) -> Vec<Phase> {
        let mut phases = Vec::new();
        for job in self.jobs(sha).await {
            phases.extend(self.phase(&job).await);
        }
        phases
    }

    async fn restart(&mut self, victim: Victim) {
        if victim != Victim::Server {
            self.engine.restart().await;
        }
        if victim != Victim::Engine {
            self.server.wait().await.unwrap();
            self.server = start(&self.world, &self.url).await;
        }
    }

    /// Green, with logs that lack nothing, and GitHub knows.
    async fn is_right(&self, sha: &str) {
        let build = self.world.finished(&self.url, sha).await;
        assert_eq!(build.status, "success", "{:?}", build.jobs);
        assert_eq!(build.jobs.len(), 2);
        for job in &build.jobs {
            let log = self.world.log_text(job).await;
            assert!(is_whole(&log), "{} {}: {log}\n{}", job.title, job.uuid, said(&self.world));
        }
        self.world.told(sha, "Kozmic-CI", "success").await;
    }

    /// Only cached images that may be kept, the one that was pulled, and the one of what holds
    /// the networks that are kept ready.
    async fn nothing_left(&self) {
        self.world.nothing_left().await;
        let engine = Some(self.engine.host.as_str());
        let nameless = eventually("images without a name to be removed", async || {
            let list = ["images", "--quiet", "--filter", "dangling=true"];
            docker_at(engine, &list).await.is_empty().then_some(())
        });
        nameless.await;
        let images = docker_at(engine, &["images", "--format", "{{.Repository}}"]).await;
        let named = |start: &str| images.lines().filter(|name| name.starts_with(start)).count();
        let (cached, holders) = (named("kozmic-cache/"), named("kozmic-sandbox"));
        assert!(cached <= 3 && holders <= 1, "{images}");
        assert!(images.lines().count() <= cached + holders + 1, "{images}");
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for phase in PHASES {
            let of = |victim| self.hit.get(&(phase, victim)).copied().unwrap_or_default();
            let counts = [of(Victim::Server), of(Victim::Engine), of(Victim::Both)];
            let name = format!("{phase:?}").to_lowercase();
            writeln!(f, "{name:>8}  {:>6} {:>6} {:>6}", counts[0], counts[1], counts[2])?;
        }
        Ok(())
    }
}

/// GitHub does not redeliver by itself; what was not acknowledged is sent again.
pub async fn redeliver(world: &World) {
    let sim = &world.sim;
    eventually("every delivery to be acknowledged", async || {
        let deliveries = sim.deliveries("octo/orbit").await.unwrap();
        let mut missing = false;
        for delivery in deliveries.iter().filter(|delivery| delivery.event == "push") {
            let is_taken = deliveries.iter().any(|other| {
                (&other.guid, other.hook_id, other.status_code)
                    == (&delivery.guid, delivery.hook_id, 200)
            });
            if !is_taken {
                missing = true;
                sim.redeliver(&delivery.guid).await.unwrap();
            }
        }
        (!missing).then_some(())
    })
    .await;
}

/// A number from the environment, for longer runs.
pub fn given<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name).map_or(default, |text| text.parse().ok().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_in_whatever_phase_nothing_is_lost() {
    let (kills, seed) = (given("FAULT_KILLS", KILLS), given("FAULT_SEED", SEED));
    let registry = Registry::start().await;
    let mut target = Target::start(&registry).await;
    let mut random = Random(seed);
    let mut open: Vec<String> = Vec::new();
    let mut round = 0;
    // Short phases may be over before the kill comes; then it is tried again.
    let missed = |target: &Target| {
        let is_hit = |phase: &Phase| target.hit.keys().any(|(hit, _)| hit == phase);
        PHASES.into_iter().find(|phase| !is_hit(phase))
    };
    while round < kills || (missed(&target).is_some() && round < kills + 40) {
        let victim = match random.below(4) {
            0 => Victim::Engine,
            1 => Victim::Both,
            _ => Victim::Server,
        };
        let phase = match PHASES.get(round % 10) {
            _ if round >= kills => missed(&target).unwrap(),
            Some(phase) => *phase,
            None => PHASES[usize::try_from(random.below(9)).unwrap()],
        };
        // A job starts again by itself once: it must not lose its engine twice. And no
        // job may use an image that is removed.
        if victim != Victim::Server || phase == Pull || open.len() == 10 {
            for sha in open.drain(..) {
                target.is_right(&sha).await;
            }
        }
        if phase == Pull {
            remove_images(&target).await;
        }
        if phase == Report {
            let fault = Fault {
                method: Some("POST".into()),
                path_contains: "/statuses/".into(),
                kind: FaultKind::Status(503),
                times: 1_000,
            };
            target.world.sim.add_fault(fault).await.unwrap();
        }
        let sha = target.push(round).await;
        let later = Duration::from_millis(random.below(phase.length()));
        target.kill_in(&sha, phase, victim, later).await;
        target.world.sim.clear_faults().await.unwrap();
        target.restart(victim).await;
        redeliver(&target.world).await;
        open.push(sha);
        round += 1;
    }
    println!("{round} kills with the seed {seed} found jobs in these phases:");
    println!("          server engine   both\n{target}");
    for sha in &open {
        target.is_right(sha).await;
    }
    assert_eq!(missed(&target), None, "a phase was never hit");
    // What is beyond the cached images that are kept goes as the next one is made: a server that
    // was killed in between has left one more.
    let sha = target.push(round).await;
    target.is_right(&sha).await;
    target.nothing_left().await;
    target.server.kill().await.unwrap();
}

/// The base image as well, so that the next job has to pull it; not the one of what holds the
/// networks that are kept ready, which runs.
async fn remove_images(target: &Target) {
    let engine = Some(target.engine.host.as_str());
    target.world.nothing_left().await;
    let listed = docker_at(engine, &["images", "--quiet"]).await;
    let holders = docker_at(engine, &["images", "--quiet", "kozmic-sandbox"]).await;
    // The newest first: those that were made of others.
    let mut images: Vec<&str> = listed.lines().collect();
    images.dedup();
    images.retain(|image| !holders.contains(image));
    for image in images {
        docker_at(engine, &["rmi", "--force", image]).await;
    }
    assert_eq!(docker_at(engine, &["images", "--quiet", &target.image]).await, "");
}
