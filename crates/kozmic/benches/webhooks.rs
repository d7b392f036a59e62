//! How many webhooks a second are taken, 16 at a time: each is answered after its build, job and
//! first statuses are committed and synced. On SQLite and on PostgreSQL, both with the server in
//! a process of its own, which tells GitHub of them meanwhile: that answers as slowly as the real
//! one, and doesn't know the commits. Measured after some builds: PostgreSQL plans by its
//! statistics then, which it makes by itself within a minute of the first ones. Fails where a
//! delivery is refused or a build is lost.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use github_sim::client::{Fault, FaultKind};
use sqlx::{AnyConnection, Connection as _, Row as _};

use crate::figures::Figure;
use crate::harness::{Postgres, World};
use crate::process::Process;
use crate::{figures, harness};

const AT_ONCE: usize = 16;
/// Builds that are there before.
const BEFORE: usize = 500;

async fn measure(database: Option<&str>, deliveries: usize) {
    let mut world = World::new().await;
    if let Some(url) = database {
        world.set("KOZMIC_DATABASE_URL", url);
    }
    let server = Process::start(&world).await;
    // No worker has this label, so that nothing but the webhooks is measured.
    let header = ["title = Tests", "label = moonlight", "image = kozmic/debian:bookworm"];
    world.project(&server.url, &[harness::with_header(&header, "make test\n")]).await;
    let slow = Fault::on("POST /repos/{owner}/{repo}/statuses/{sha}", FaultKind::Slow(200));
    world.sim.add_fault(slow.until_lifted()).await.unwrap();
    let hook = Arc::new(world.hook(1).await);
    let mut connection = AnyConnection::connect(&world.settings().database_url).await.unwrap();
    let repository: i64 =
        sqlx::query("SELECT gh_id FROM projects").fetch_one(&mut connection).await.unwrap().get(0);
    let (world, url) = (Arc::new(world), server.url.clone());
    let of = Deliveries { world: world.clone(), url, hook, repository };
    of.deliver(0..BEFORE).await;
    if database.is_some() {
        sqlx::raw_sql("ANALYZE").execute(&mut connection).await.unwrap();
    }
    let (began, before) = (Instant::now(), server.worked());
    let mut times = of.deliver(BEFORE..BEFORE + deliveries).await;
    let (took, worked) = (began.elapsed(), server.worked().saturating_sub(before));
    times.sort_unstable();
    let built: i64 =
        sqlx::query("SELECT COUNT(*) FROM builds").fetch_one(&mut connection).await.unwrap().get(0);
    assert_eq!(usize::try_from(built).unwrap(), BEFORE + deliveries, "each has its build");
    let settings = match database {
        Some(_) => "PostgreSQL: fsync = on, synchronous_commit = on, its defaults",
        None => figures::SQLITE,
    };
    let rate = deliveries as f64 / took.as_secs_f64();
    Figure::value("webhooks", "webhooks taken, 16 at a time", "/s", rate)
        .settings(settings)
        .write();
    Figure::times("webhooks", "a webhook, of 16 at a time", &times).settings(settings).write();
    println!(
        "{deliveries} deliveries in {took:.1?}: {:.0} a second; median {:.1?}, p99 {:.1?}, longest {:.1?}; \
         {:.2?} of a processor each",
        deliveries as f64 / took.as_secs_f64(),
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        times[times.len() - 1],
        worked / deliveries as u32,
    );
    server.stop().await;
}

/// What GitHub delivers of a repository.
#[derive(Clone)]
struct Deliveries {
    world: Arc<World>,
    url: String,
    hook: Arc<kozmic::store::Hook>,
    repository: i64,
}

impl Deliveries {
    /// Those of these numbers, so many at a time; how long each took.
    async fn deliver(&self, numbers: Range<usize>) -> Vec<Duration> {
        let next = Arc::new(AtomicUsize::new(numbers.start));
        let mut tasks = Vec::new();
        for _ in 0..AT_ONCE {
            let (of, next, end) = (self.clone(), next.clone(), numbers.end);
            tasks.push(tokio::spawn(async move {
                let mut times = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        return times;
                    }
                    times.push(of.one(number).await);
                }
            }));
        }
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await.unwrap());
        }
        times
    }

    async fn one(&self, number: usize) -> Duration {
        let sha = format!("{:040x}", 0xabc_0000 + number);
        let mut payload = harness::push_payload(self.repository, "main", &sha, "Change something");
        payload["commits"] = serde_json::json!([{
            "id": sha, "added": [], "removed": [], "modified": ["src/lib.rs"],
        }]);
        let began = Instant::now();
        let guid = format!("guid-{number}");
        let answer = self.world.deliver(&self.url, &self.hook, "push", &guid, &payload).await;
        let took = began.elapsed();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
        took
    }
}

#[tokio::main]
pub async fn main() {
    sqlx::any::install_default_drivers();
    let deliveries =
        std::env::var("WEBHOOKS_DELIVERIES").map_or(2_000, |text| text.parse().unwrap());
    println!("SQLite");
    measure(None, deliveries).await;
    println!("PostgreSQL");
    let postgres = Postgres::start_with("").await;
    measure(Some(&postgres.url), deliveries).await;
    println!("load: {}", std::fs::read_to_string("/proc/loadavg").unwrap().trim());
}
