//! How many webhooks a second are taken, 16 at a time: each is answered after its build, job and
//! first statuses are committed and synced. On SQLite and on PostgreSQL, both with the server in
//! a process of its own. Fails where a delivery is refused or a build is lost.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    unreachable_pub,
    dead_code,
    unused_imports,
    reason = "a measurement, with the tests' harness"
)]

#[path = "../tests/it/harness/mod.rs"]
mod harness;
mod process;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use harness::{Postgres, World};
use process::Process;
use sqlx::{AnyConnection, Connection as _, Row as _};

const AT_ONCE: usize = 16;

async fn measure(database: Option<&str>, deliveries: usize) {
    let mut world = World::new().await;
    if let Some(url) = database {
        world.set("KOZMIC_DATABASE_URL", url);
    }
    let server = Process::start(&world).await;
    // No worker has this label, so that nothing but the webhooks is measured.
    let header = ["title = Tests", "label = moonlight", "image = kozmic/debian:bookworm"];
    world.project(&server.url, &[harness::with_header(&header, "make test\n")]).await;
    let hook = Arc::new(world.hook(1).await);
    let mut connection = AnyConnection::connect(&world.settings().database_url).await.unwrap();
    let repository: i64 =
        sqlx::query("SELECT gh_id FROM projects").fetch_one(&mut connection).await.unwrap().get(0);
    let world = Arc::new(world);
    let next = Arc::new(AtomicUsize::new(0));
    let (began, before) = (Instant::now(), server.worked());
    let mut tasks = Vec::new();
    for _ in 0..AT_ONCE {
        let (world, hook, next, url) =
            (world.clone(), hook.clone(), next.clone(), server.url.clone());
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= deliveries {
                    return times;
                }
                let sha = format!("{:040x}", 0xabc_0000 + number);
                let mut payload =
                    harness::push_payload(repository, "main", &sha, "Change something");
                payload["commits"] = serde_json::json!([{
                    "id": sha, "added": [], "removed": [], "modified": ["src/lib.rs"],
                }]);
                let began = Instant::now();
                let guid = format!("guid-{number}");
                let answer = world.deliver(&url, &hook, "push", &guid, &payload).await;
                times.push(began.elapsed());
                assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
            }
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    let (took, worked) = (began.elapsed(), server.worked().saturating_sub(before));
    times.sort_unstable();
    let built: i64 =
        sqlx::query("SELECT COUNT(*) FROM builds").fetch_one(&mut connection).await.unwrap().get(0);
    assert_eq!(usize::try_from(built).unwrap(), deliveries, "each has its build");
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

#[tokio::main]
async fn main() {
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
