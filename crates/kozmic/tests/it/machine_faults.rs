//! Faults between many machines, again and again: processes are killed or put to sleep, the
//! ways between them and what they meet in are cut, a worker's disk is full. Every build ends
//! once, and rightly; every log is what its scripts wrote; GitHub knows; nothing stays.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use kozmic::model::JobStatus;
use kozmic::store::Store;

use crate::faults::{Random, apply_hooks, given, is_whole, redeliver};
use crate::harness::{
    Build, Cut, Daemon, Machines, Node, REPOSITORY, Registry, TinyDisk, Way, World, busybox,
    containers_of, eventually, remove_cached_images,
};

/// The same faults in the same order; the moments are the machines'.
const SEED: u64 = 20_140_513;
/// Each of them once.
const ROUNDS: usize = FAULTS.len();
/// Seconds that a part is away.
const AWAY: u64 = 3;
/// Seconds; with less, the lease of a worker that sleeps is ended for it.
const LEASE: u64 = 30;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    KilledWeb,
    KilledWorker,
    /// It sleeps until its jobs are others', and wakes.
    SleepingWorker,
    FullDisk,
    Away(Part),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Postgres,
    Redis,
    S3,
    Registry,
}

const FAULTS: [Fault; 8] = [
    Fault::KilledWeb,
    Fault::KilledWorker,
    Fault::SleepingWorker,
    Fault::FullDisk,
    Fault::Away(Part::Postgres),
    Fault::Away(Part::Redis),
    Fault::Away(Part::S3),
    Fault::Away(Part::Registry),
];

const SETTINGS: [(Part, &str); 4] = [
    (Part::Postgres, "KOZMIC_DATABASE_URL"),
    (Part::Redis, "KOZMIC_REDIS_URL"),
    (Part::S3, "AWS_ENDPOINT_URL"),
    (Part::Registry, "KOZMIC_CACHE_REGISTRY"),
];

/// What `faults::is_whole` knows, and slower.
const INSTALL: &str = "#!/bin/sh
for n in 1 2 3 4 5; do echo installed $n; sleep 0.1; done
dd if=/dev/zero of=/tmp/installed bs=1M count=5 2>/dev/null
";
const BUILD: &str = "#!/bin/sh
n=0; while [ $n -lt 20 ]; do n=$((n+1)); echo line $n; sleep 0.1; done
";

/// What is hit, and where its jobs are. The processes end before what they work with.
struct Target {
    webs: [Node; 2],
    workers: [Node; 2],
    ways: BTreeMap<Part, Way>,
    store: Store,
    /// The data folder of the first worker.
    _disk: TinyDisk,
    machines: Machines,
    engine: Daemon,
    _registry: Registry,
    random: Random,
    away: Duration,
    pushes: usize,
    rounds: usize,
    hit: BTreeMap<(String, String), usize>,
}

impl Target {
    async fn start(seed: u64, away: Duration) -> Self {
        let registry = Registry::start().await;
        let image = registry.push(busybox().await, "machine-faults:1").await;
        let (mut machines, engine) = tokio::join!(Machines::new(), Daemon::start());
        machines.set("KOZMIC_CACHE_REGISTRY", &format!("{}/ci", registry.host));
        machines.set("KOZMIC_CONCURRENCY", "2");
        let ways = SETTINGS.map(|(part, setting)| (part, machines.lead(setting)));
        let disk = TinyDisk::mount(&machines.data_of("worker-1"), "64m");
        let webs = [machines.web("web-1").await, machines.web("web-2").await];
        let host = ("KOZMIC_DOCKER_HOST", engine.host.as_str());
        let workers =
            [machines.worker("worker-1", &[]).await, machines.worker("worker-2", &[host]).await];
        let world = &machines.world;
        world.add_project(&webs[0].url).await;
        apply_hooks(world, &webs[0].url, &image, (INSTALL, BUILD)).await;
        world.api_token().await;
        let store = world.store().await;
        Self {
            webs,
            workers,
            ways: ways.into(),
            store,
            _disk: disk,
            machines,
            engine,
            _registry: registry,
            random: Random(seed),
            away,
            pushes: 0,
            rounds: 0,
            hit: BTreeMap::new(),
        }
    }

    fn world(&self) -> &World {
        &self.machines.world
    }

    /// A commit whose install step has to run.
    async fn push(&mut self) -> String {
        self.pushes += 1;
        self.world().push(&[("a", self.pushes.to_string().as_bytes())]).await
    }

    fn one_of_two(&mut self) -> usize {
        usize::try_from(self.random.below(2)).unwrap()
    }

    /// Notes what the commit's jobs are at as the fault comes.
    async fn note(&mut self, fault: &str, sha: &str) {
        let builds = self.world().builds(&self.webs[1].url).await;
        let jobs = builds.into_iter().filter(|build| build.sha == sha).flat_map(|it| it.jobs);
        let mut at: Vec<String> = jobs
            .map(|job| {
                let reason = job.reason.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
                format!("{}: {reason}", job.status)
            })
            .collect();
        if at.is_empty() {
            at.push("no build yet".into());
        }
        for at in at {
            *self.hit.entry((fault.to_owned(), at)).or_default() += 1;
        }
    }

    /// One fault, and all that it has come to.
    async fn round(&mut self, fault: Fault) {
        let sha = self.push().await;
        // Before or amid its jobs.
        let later = Duration::from_millis(self.random.below(2_500));
        match fault {
            Fault::KilledWeb | Fault::KilledWorker => {
                let victim = self.one_of_two();
                tokio::time::sleep(later).await;
                self.note(&format!("{fault:?}"), &sha).await;
                let node = match fault {
                    Fault::KilledWeb => &mut self.webs[victim],
                    _ => &mut self.workers[victim],
                };
                node.child.start_kill().unwrap();
                self.machines.restart(node).await;
            }
            Fault::SleepingWorker => return self.sleeps(sha).await,
            Fault::FullDisk => return self.is_full(sha, later).await,
            Fault::Away(part) => {
                // In turn, and two parts at a time alike.
                let turn = self.rounds / FAULTS.len() + usize::from(part as u8);
                let how = [Cut::Silent, Cut::Refused][turn % 2];
                tokio::time::sleep(later).await;
                self.note(&format!("{part:?} {how:?}"), &sha).await;
                self.ways[&part].cut(how);
                // GitHub goes on, and calls.
                let other = self.push().await;
                tokio::time::sleep(self.away).await;
                self.ways[&part].mend();
                redeliver(self.world()).await;
                self.is_right(&other).await;
            }
        }
        redeliver(self.world()).await;
        self.is_right(&sha).await;
        self.nothing_runs().await;
    }

    /// A worker with a job of the commit is put to sleep, past its lease.
    async fn sleeps(&mut self, mut sha: String) {
        let (victim, name) = loop {
            match self.busy_worker(&sha).await {
                Some(found) => break found,
                None => sha = self.push().await,
            }
        };
        self.note("SleepingWorker", &sha).await;
        self.workers[victim].signal("-STOP").await;
        if self.away < Duration::from_secs(LEASE) {
            let end = "UPDATE jobs SET lease_until = 1 WHERE status = 'pending' AND lease_owner = ";
            // It may have ended as it fell asleep.
            let end = format!("{end}'{name}' RETURNING id");
            self.end_leases(&end).await;
        }
        // Another one finishes what it had, while it sleeps.
        let build = self.finished(&sha).await;
        assert_eq!(build.status, "success", "{:?}\n{}", build.jobs, self.said());
        self.is_told(&build).await;
        self.workers[victim].signal("-CONT").await;
        let next = self.push().await;
        self.is_right(&next).await;
        self.is_right(&sha).await;
        self.nothing_runs().await;
    }

    async fn end_leases(&self, statement: &str) {
        let pool = sqlx::AnyPool::connect(&self.world().settings().database_url).await.unwrap();
        sqlx::query(sqlx::AssertSqlSafe(statement)).fetch_all(&pool).await.unwrap();
        pool.close().await;
    }

    /// A worker that runs a script of the commit, and its name; none when all is over.
    async fn busy_worker(&self, sha: &str) -> Option<(usize, String)> {
        let names = [0, 1].map(|index| {
            let folder = self.machines.data_of(&self.workers[index].name);
            std::fs::read_to_string(folder.join("node")).unwrap().trim().to_owned()
        });
        loop {
            let build = self.world().build_of(&self.webs[0].url, sha).await;
            if build.is_finished() {
                return None;
            }
            for job in self.store.jobs_of(kozmic::model::BuildId(build.id)).await.unwrap() {
                if job.status != JobStatus::Pending || !job.reason.starts_with("running the") {
                    continue;
                }
                let worker = self.store.worker_of(job.id).await.unwrap();
                if let Some(index) = names.iter().position(|name| Some(name) == worker.as_ref()) {
                    return Some((index, names[index].clone()));
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The disk of the first worker fills up amid a build, and has room again later.
    async fn is_full(&mut self, sha: String, later: Duration) {
        tokio::time::sleep(later).await;
        self.note("FullDisk", &sha).await;
        let path = self.machines.data_of("worker-1").join("fill");
        let mut file = std::fs::File::create(&path).unwrap();
        let refused = loop {
            if let Err(error) = file.write_all(&[0; 4096]) {
                break error;
            }
        };
        assert_eq!(refused.kind(), std::io::ErrorKind::StorageFull, "{refused}");
        // What it had ends as its script does, or says what was wrong.
        let build = self.finished(&sha).await;
        for job in build.jobs.iter().filter(|job| job.status != "success") {
            let is_told = job.reason.contains("No space left on device");
            assert!(job.status == "error" && is_told, "{}: {}", job.status, job.reason);
        }
        self.is_told(&build).await;
        // What comes is the other one's.
        tokio::time::sleep(self.away).await;
        let other = self.push().await;
        self.is_right(&other).await;
        std::fs::remove_file(path).unwrap();
        let last = self.push().await;
        self.is_right(&last).await;
        self.nothing_runs().await;
    }

    async fn finished(&self, sha: &str) -> Build {
        self.world().finished(&self.webs[0].url, sha).await
    }

    /// Green, with logs that lack nothing at either web process, and GitHub knows.
    async fn is_right(&self, sha: &str) {
        let build = self.finished(sha).await;
        assert_eq!(build.status, "success", "{:?}\n{}", build.jobs, self.said());
        assert_eq!(build.jobs.len(), 2);
        self.is_told(&build).await;
        self.has_whole_logs(&build).await;
    }

    async fn has_whole_logs(&self, build: &Build) {
        for job in build.jobs.iter().filter(|job| job.status == "success") {
            for web in &self.webs {
                let path = job.log_url.splitn(4, '/').nth(3).unwrap();
                let url = format!("{}/{path}", web.url);
                let mut last = String::new();
                // Who has it may have to say so again first.
                let reading = eventually("a whole log", async || {
                    let answer = self.world().get_log(&url).await;
                    let status = answer.status();
                    last = answer.text().await.unwrap_or_default();
                    (status.is_success() && is_whole(&last)).then_some(())
                });
                let read =
                    futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(reading));
                let is_read = read.await.is_ok();
                assert!(is_read, "{} {url}: {last}\n{}", job.title, self.said());
            }
        }
    }

    /// GitHub's last word is the build's, which ended once.
    async fn is_told(&self, build: &Build) {
        let state = if build.status == "success" { "success" } else { "error" };
        self.world().told(&build.sha, "Kozmic-CI", state).await;
        let states = self.world().states(&build.sha, "Kozmic-CI").await;
        let ends = states.iter().skip_while(|state| *state == "pending");
        assert!(ends.clone().count() > 0 && ends.clone().all(|it| it == state), "{states:?}");
        let builds = self.world().builds(&self.webs[0].url).await;
        assert_eq!(builds.iter().filter(|other| other.sha == build.sha).count(), 1);
    }

    /// Nothing of jobs stays on either engine.
    async fn nothing_runs(&self) {
        let instance = self.world().instance().await;
        let mut left = Vec::new();
        let engines = [None, Some(self.engine.host.as_str())];
        let removed = eventually("everything to be removed", async || {
            left.clear();
            for engine in engines {
                left.extend(containers_of(engine, &instance).await);
            }
            left.is_empty().then_some(())
        });
        let removed = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(removed));
        let is_removed = removed.await.is_ok();
        assert!(is_removed, "left behind: {left:?}\n{}", self.said());
    }

    fn said(&self) -> String {
        let said = |node: &Node| format!("--- {}\n{}", node.name, self.machines.said(&node.name));
        self.webs.iter().chain(&self.workers).map(said).collect::<Vec<_>>().concat()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_between_machines_nothing_is_lost() {
    let (rounds, seed) = (given("FAULT_ROUNDS", ROUNDS), given("FAULT_SEED", SEED));
    let away = Duration::from_secs(given("FAULT_AWAY", AWAY));
    let mut target = Target::start(seed, away).await;
    let mut faults = FAULTS;
    for round in 0..rounds {
        let left = FAULTS.len() - round % FAULTS.len();
        // Each of them in another order each time (Fisher and Yates).
        let picked = target.random.below(u64::try_from(left).unwrap());
        faults.swap(usize::try_from(picked).unwrap(), left - 1);
        let began = std::time::Instant::now();
        println!("round {}: {:?}", round + 1, faults[left - 1]);
        target.rounds = round;
        target.round(faults[left - 1]).await;
        println!("  {:.1} s", began.elapsed().as_secs_f64());
    }
    println!("{rounds} faults with the seed {seed} found jobs here:");
    for ((fault, at), count) in &target.hit {
        println!("{fault:>16}  {count:>3}  {at}");
    }
    // All logs are where they are kept, and whole there.
    eventually("all logs to be archived", async || {
        let of_workers = target.workers.iter().map(|it| target.machines.live_logs(&it.name));
        (of_workers.sum::<usize>() == 0).then_some(())
    })
    .await;
    for build in target.world().builds(&target.webs[1].url).await {
        let told = target.world().sim.statuses(REPOSITORY, &build.sha).await.unwrap();
        assert!(told.iter().all(|status| status.state != "failure"), "{told:?}");
        target.is_told(&build).await;
        target.has_whole_logs(&build).await;
    }
    remove_cached_images(&target.world().instance().await).await;
}
