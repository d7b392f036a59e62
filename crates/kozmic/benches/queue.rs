//! The queue alone: how many jobs that do nothing are claimed and finished a second, on SQLite
//! by one process, on PostgreSQL by 8, each with several places, and whether each was, once. Both
//! databases sync what they commit. Fails where a job is lost or is carried out twice; for
//! speed it fails nowhere.

use std::time::{Duration, Instant};

use kozmic::model::{GithubUser, HookSpec, JobEnd, RemoteRepository, Timestamp};
use kozmic::seal::Seal;
use kozmic::store::Store;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Row as _};

use crate::figures;
use crate::figures::Figure;
use crate::harness::Postgres;

const WORKERS: usize = 8;
/// Jobs at once of each worker.
const PLACES: usize = 16;
const LEASE: Duration = Duration::from_secs(30);
/// Claims of one worker, whose middle tells what one costs.
const CLAIMS: usize = 100;
/// A process that works has its database here.
const WORKS_ON: &str = "QUEUE_WORKS_ON";

async fn open(url: &str) -> Store {
    let seal = Seal::from_text(&"the queue's key, as long as keys are".into()).unwrap();
    Store::open(url, seal).await.unwrap()
}

/// Claims and finishes until nothing waits, so many jobs at once; how many jobs that were.
async fn work(store: &Store, name: &str, places: usize) -> usize {
    let mut done = 0;
    loop {
        let jobs = store.claim_jobs(name, places, LEASE, Timestamp::now()).await.unwrap();
        if jobs.is_empty() {
            return done;
        }
        done += jobs.len();
        // Each tells its end by itself, as jobs do.
        let ends = jobs.iter().map(async |job| {
            let end = JobEnd::Exited(0);
            store.job_finished(job.id, job.attempt, &end, Timestamp::now()).await.unwrap();
        });
        futures_util::future::join_all(ends).await;
    }
}

/// Jobs that wait, each of a build of its own.
async fn enqueue(url: &str, jobs: usize) {
    let mut connection = AnyConnection::connect(url).await.unwrap();
    let random = if url.starts_with("sqlite") {
        "lower(hex(randomblob(16)))"
    } else {
        "md5(random()::text)"
    };
    let before: i64 =
        sqlx::query("SELECT COUNT(*) FROM builds").fetch_one(&mut connection).await.unwrap().get(0);
    for text in [
        format!(
            "INSERT INTO builds (project_id, number, gh_commit_ref, gh_commit_sha, gh_commit_author, \
             gh_commit_message, triggered_by, is_from_fork, status, created_at) \
             WITH RECURSIVE counted (i) AS (SELECT CAST(1 AS BIGINT) UNION ALL \
             SELECT i + 1 FROM counted WHERE i < {jobs}) \
             SELECT 1, {before} + i, 'refs/heads/main', {random} || substr({random}, 1, 8), 'Ada', \
             'Nothing', 'push', 0, 'enqueued', 1 FROM counted"
        ),
        format!(
            "INSERT INTO hook_calls (build_id, hook_id, created_at) \
             SELECT id, NULL, 1 FROM builds WHERE number > {before}"
        ),
        format!(
            "INSERT INTO jobs (uuid, build_id, hook_call_id, title, docker_image, build_script, options, \
             tracked_paths, status, reason, created_at, attempt, script_started, lost, hook_title, line, queue_project, queue_rank) \
             SELECT substr(r, 1, 8) || '-' || substr(r, 9, 4) || '-4' || substr(r, 14, 3) || '-8' || \
             substr(r, 18, 3) || '-' || substr(r, 21, 12), build_id, id, 'Tests', 'debian:bookworm', \
             '#!/bin/sh', '{{}}', '', 'enqueued', 'waiting for a worker', 1, 0, 0, 0, 'Tests', '1:', 1, 1 \
             FROM (SELECT hook_calls.id, build_id, {random} AS r FROM hook_calls \
             JOIN builds ON builds.id = build_id WHERE number > {before}) AS each"
        ),
    ] {
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
}

async fn project(store: &Store) {
    let user = GithubUser {
        gh_id: 1,
        login: "octo".into(),
        name: "Octo".into(),
        avatar_url: None,
        email: None,
    };
    let owner = store.user_signed_in(&user, &"token".into(), Timestamp(1)).await.unwrap();
    let repository = RemoteRepository {
        gh_id: 1,
        full_name: "octo/orbit".parse().unwrap(),
        ssh_clone_url: String::new(),
        https_clone_url: String::new(),
        default_branch: "main".into(),
        is_public: true,
    };
    store.project_added(&repository, owner, Timestamp(1)).await.unwrap();
}

/// What one claim costs with so many jobs that wait.
async fn claims(store: &Store, url: &str, waiting: usize) -> Duration {
    enqueue(url, waiting).await;
    let mut times = Vec::new();
    for _ in 0..CLAIMS.min(waiting / 2) {
        let began = Instant::now();
        let job = store.claim_job("one", LEASE, Timestamp::now()).await.unwrap().unwrap();
        times.push(began.elapsed());
        let end = JobEnd::Exited(0);
        store.job_finished(job.id, job.attempt, &end, Timestamp::now()).await.unwrap();
    }
    times.sort_unstable();
    work(store, "one", PLACES).await;
    times[times.len() / 2]
}

/// How soon a worker that waits has a job which another connection enqueues.
async fn latencies(store: &Store, url: &str) -> (Duration, Duration) {
    let mut times = Vec::new();
    let worker = open(url).await;
    for _ in 0..50 {
        let store = store.clone();
        let waits = async {
            loop {
                let changed = worker.jobs_changed();
                if let Some(job) = worker.claim_job("one", LEASE, Timestamp::now()).await.unwrap() {
                    break (Instant::now(), job);
                }
                changed.await;
            }
        };
        let url = url.to_owned();
        let enqueues = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            enqueue(&url, 1).await;
            Instant::now()
        };
        let ((claimed_at, job), since) = tokio::join!(waits, enqueues);
        times.push(claimed_at.saturating_duration_since(since));
        let end = JobEnd::Exited(0);
        store.job_finished(job.id, job.attempt, &end, Timestamp::now()).await.unwrap();
    }
    worker.close().await;
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() - 1])
}

fn settings_of(is_sqlite: bool, said: &[String]) -> String {
    if is_sqlite { figures::SQLITE.into() } else { format!("PostgreSQL: {}", said.join(", ")) }
}

async fn measure(url: &str, jobs: usize) {
    let store = open(url).await;
    store.migrate().await.unwrap();
    project(&store).await;
    let mut connection = AnyConnection::connect(url).await.unwrap();
    let is_sqlite = url.starts_with("sqlite");
    let settings: &[&str] = if is_sqlite {
        &["PRAGMA journal_mode"]
    } else {
        &["SHOW server_version", "SHOW fsync", "SHOW synchronous_commit"]
    };
    let mut said = Vec::new();
    for setting in settings {
        let row = sqlx::raw_sql(*setting).fetch_one(&mut connection).await.unwrap();
        said.push(format!("{setting}: {}", row.get::<String, _>(0)));
    }
    println!("{}", said.join(", "));
    let few = claims(&store, url, 10).await;
    let many = claims(&store, url, jobs).await;
    println!("a claim takes {few:.1?} with 10 jobs that wait, {many:.1?} with {jobs}");
    if !is_sqlite {
        let (middle, longest) = latencies(&store, url).await;
        println!(
            "from another process's commit to the claim: median {middle:.1?}, longest {longest:.1?}"
        );
    }
    enqueue(url, jobs).await;
    // As the database does by itself before long.
    sqlx::raw_sql("ANALYZE").execute(&mut connection).await.unwrap();
    let finished = "SELECT COUNT(*) FROM jobs WHERE status = 'success'";
    let count = async |connection: &mut AnyConnection, text: &'static str| -> i64 {
        sqlx::query(text).fetch_one(connection).await.unwrap().get(0)
    };
    let before = count(&mut connection, finished).await;
    let began = Instant::now();
    let mut done = 0;
    let workers = if is_sqlite { 1 } else { WORKERS };
    if is_sqlite {
        done = work(&store, "one", PLACES).await;
    } else {
        let mut children = Vec::new();
        for _ in 0..WORKERS {
            let mut worker = tokio::process::Command::new(std::env::current_exe().unwrap());
            worker.arg("queue");
            children.push(worker.env(WORKS_ON, url).output());
        }
        for output in futures_util::future::join_all(children).await {
            let said = String::from_utf8(output.unwrap().stdout).unwrap();
            done += said.trim().parse::<usize>().unwrap();
        }
    }
    let took = began.elapsed();
    let after = count(&mut connection, finished).await;
    let again = count(&mut connection, "SELECT COUNT(*) FROM jobs WHERE attempt <> 1").await;
    let finished = usize::try_from(after - before).unwrap();
    assert_eq!((done, finished, again), (jobs, jobs, 0), "lost, or done twice");
    let (rate, settings) = (jobs as f64 / took.as_secs_f64(), settings_of(is_sqlite, &said));
    let by = if is_sqlite { "1 process" } else { "8 processes" };
    Figure::value("queue", &format!("jobs claimed and finished by {by}"), "/s", rate)
        .settings(&settings)
        .write();
    println!(
        "{jobs} jobs claimed and finished by {workers} with {PLACES} places each in {took:.1?}: \
         {:.0} a second, each once",
        jobs as f64 / took.as_secs_f64()
    );
    store.close().await;
}

#[tokio::main]
pub async fn main() {
    sqlx::any::install_default_drivers();
    if let Ok(url) = std::env::var(WORKS_ON) {
        let store = open(&url).await;
        println!("{}", work(&store, &std::process::id().to_string(), PLACES).await);
        return;
    }
    let jobs = std::env::var("QUEUE_JOBS").map_or(10_000, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    println!("SQLite");
    measure(&format!("sqlite://{}?mode=rwc", folder.path().join("queue.db").display()), jobs).await;
    println!("PostgreSQL");
    let postgres = Postgres::start_with("").await;
    measure(&postgres.url, jobs).await;
    println!("load: {}", std::fs::read_to_string("/proc/loadavg").unwrap().trim());
}
