//! How soon pages are there with 1,000 projects and 1,000,000 builds in SQLite, with 50 readers
//! who open one each second, and what the database plans for what they ask.
//!
//! Says what should be faster and is not; fails only where a page is not there.

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

use std::time::{Duration, Instant};

use harness::World;
use process::Process;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _};

/// Of all projects but the first, and of the first, which has more than the others.
const EACH: usize = 900;
const FIRST: usize = 100_900;
const PROJECTS: usize = 1_000;
const READERS: usize = 50;
const P99: Duration = Duration::from_millis(20);
const TEXT: Duration = Duration::from_millis(200);

/// In this order ids follow time, as they do where builds are made one after the other.
const BUILDS: &str = "
INSERT INTO builds (project_id, number, gh_commit_ref, gh_commit_sha, gh_commit_author,
    gh_commit_message, triggered_by, is_from_fork, status, created_at, started_at, finished_at)
WITH RECURSIVE counted (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM counted WHERE i + 1 < {count})
SELECT {project}, {number},
    CASE WHEN i % 5 < 3 THEN 'refs/heads/main' ELSE 'refs/heads/topic/' || (i * 7919 % 331) END,
    lower(hex(randomblob(20))), 'Author ' || (i * 31 % 47),
    CASE i % 3 WHEN 0 THEN 'Fix ' WHEN 1 THEN 'Add ' ELSE 'Merge the ' END
        || (SELECT word FROM made_up WHERE id = i * 7877 % 2000) || ' of '
        || (SELECT word FROM made_up WHERE id = i * 6701 % 1999) || char(10, 10)
        || CASE WHEN {number} = 77 THEN 'needle ' ELSE '' END
        || (SELECT word FROM made_up WHERE id = i * 5501 % 1997) || ' goes with '
        || (SELECT word FROM made_up WHERE id = i * 4999 % 1993),
    'push', 0,
    CASE WHEN i % 20 < 16 THEN 'success' WHEN i % 20 < 18 THEN 'failure'
         WHEN i % 20 = 18 THEN 'error' ELSE 'cancelled' END,
    1700000000000 + {at} * 30000, 1700000000000 + {at} * 30000 + 2000,
    1700000000000 + {at} * 30000 + 2000 + i * 7919 % 300000
FROM counted;";

const REST: &str = "
INSERT INTO hook_calls (build_id, created_at) SELECT id, created_at FROM builds;
INSERT INTO jobs (uuid, build_id, hook_call_id, title, docker_image, build_script, options,
    tracked_paths, status, reason, return_code, created_at, started_at, finished_at, attempt,
    script_started, lost, log_removed_at)
SELECT lower(hex(randomblob(16))), builds.id, hook_calls.id, 'Tests', 'kozmic/debian:bookworm',
    '#!/bin/sh' || char(10) || 'make test', '{}', '', builds.status, 'return code 0', 0,
    builds.created_at, started_at, finished_at, 1, 1, 0, finished_at
FROM builds JOIN hook_calls ON hook_calls.build_id = builds.id;
INSERT INTO user_repositories (user_id, gh_id, gh_name, gh_full_name, gh_ssh_clone_url,
    gh_https_clone_url, is_public, is_archived)
SELECT 1, gh_id, gh_name, gh_full_name, '', '', 1, 0 FROM projects WHERE id > 1;
PRAGMA optimize;";

async fn fill(connection: &mut AnyConnection) {
    let run = async |connection: &mut AnyConnection, text: String| {
        sqlx::raw_sql(AssertSqlSafe(text)).execute(connection).await.unwrap();
    };
    let began = Instant::now();
    let projects = format!(
        "PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; PRAGMA cache_size = -400000; BEGIN;
         CREATE TEMP TABLE made_up (id INTEGER PRIMARY KEY, word TEXT);
         INSERT INTO made_up WITH RECURSIVE counted (i) AS
            (SELECT 0 UNION ALL SELECT i + 1 FROM counted WHERE i < 2000)
         SELECT i, lower(hex(randomblob(2 + i % 3))) FROM counted;
         INSERT INTO projects (id, owner_id, gh_id, gh_login, gh_name, gh_full_name,
            gh_ssh_clone_url, gh_https_clone_url, gh_default_branch, is_public,
            cancels_superseded, created_at)
         WITH RECURSIVE counted (i) AS
            (SELECT 2 UNION ALL SELECT i + 1 FROM counted WHERE i < {PROJECTS})
         SELECT i, 1, 1000000 + i, 'octo', 'project-' || i, 'octo/project-' || i, '', '', 'main',
            1, 0, 1 FROM counted"
    );
    run(connection, projects).await;
    let count = PROJECTS * EACH;
    for (count, project, number, at) in [
        (count, format!("1 + i % {PROJECTS}"), format!("1 + i / {PROJECTS}"), "i".to_owned()),
        (FIRST - EACH, "1".to_owned(), format!("{EACH} + 1 + i"), format!("({count} + i)")),
    ] {
        let builds = BUILDS
            .replace("{count}", &count.to_string())
            .replace("{project}", &project)
            .replace("{number}", &number)
            .replace("{at}", &at);
        run(connection, builds).await;
        println!("{count} builds after {:.0?}", began.elapsed());
    }
    run(connection, format!("{REST} COMMIT; PRAGMA wal_checkpoint(TRUNCATE)")).await;
    println!("all rows after {:.0?}", began.elapsed());
}

/// Opens a page, and then another one each second, at all readers; how long each took, and
/// how many bytes the last one had on its way.
async fn read(
    world: &World,
    url: &str,
    cookie: &str,
    paths: &[String],
    rounds: usize,
) -> (Vec<Duration>, usize) {
    let mut tasks = Vec::new();
    for reader in 0..READERS {
        let (http, cookie) = (world.http.clone(), cookie.to_owned());
        let urls: Vec<String> = paths.iter().map(|path| format!("{url}{path}")).collect();
        tasks.push(tokio::spawn(async move {
            let first = Duration::from_secs(1) / READERS as u32 * reader as u32;
            let start = tokio::time::Instant::now() + first;
            let (mut times, mut size) = (Vec::new(), 0);
            for round in 0..rounds {
                tokio::time::sleep_until(start + Duration::from_secs(1) * round as u32).await;
                let page = &urls[(reader * rounds + round) % urls.len()];
                let began = Instant::now();
                let request = http.get(page).header("cookie", &cookie);
                let answer = request.header("accept-encoding", "gzip").send().await.unwrap();
                assert_eq!(answer.status(), 200, "{page}");
                size = answer.bytes().await.unwrap().len();
                times.push(began.elapsed());
            }
            (times, size)
        }));
    }
    let (mut all, mut size) = (Vec::new(), 0);
    for task in tasks {
        let (times, bytes) = task.await.unwrap();
        all.extend(times);
        size = size.max(bytes);
    }
    all.sort_unstable();
    (all, size)
}

#[tokio::main]
async fn main() {
    let rounds = std::env::var("PAGES_SECONDS").map_or(10, |text| text.parse().unwrap());
    let world = World::new().await;
    let server = Process::start(&world).await;
    world.project(&server.url, &[harness::hook("Tests", harness::BASE, "make test\n")]).await;
    server.stop().await;
    sqlx::any::install_default_drivers();
    let database = world.settings().database_url;
    let mut connection = AnyConnection::connect(&database).await.unwrap();
    fill(&mut connection).await;
    connection.close().await.unwrap();

    let server = Process::start(&world).await;
    let cookie = harness::cookies(&world.sign_in(&server.url, "octo").await);
    // One of each project's middle builds.
    let builds: Vec<String> = (2..400)
        .map(|project| {
            let build = 450 * PROJECTS + project;
            format!("/projects/{project}/builds/{build}/")
        })
        .collect();
    let each = |path: &str| -> Vec<String> {
        (2..400).map(|project| format!("/projects/{project}{path}")).collect()
    };
    let one = |path: &str| vec![path.to_owned()];
    println!(
        "{READERS} readers, a page a second each, for {rounds} s: milliseconds\n{:<44} {:>7} {:>7} {:>7} {:>9}",
        "", "median", "p99", "max", "bytes"
    );
    for (what, paths, most) in [
        ("home", one("/"), P99),
        ("home, its last page", one("/?page=34"), P99),
        ("home, projects and builds with a common word", one("/?q=fix"), TEXT),
        ("home, with a rare word", one("/?q=needle"), TEXT),
        ("history, its first page", each("/history/"), P99),
        ("history, its last page", each("/history/?after=0"), P99),
        ("history, one branch", each("/history/?branch=main"), P99),
        ("history, author and status", each("/history/?author=Author+7&status=failure"), P99),
        ("history, a common word", each("/history/?text=fix"), TEXT),
        ("history, a rare word", each("/history/?text=needle"), TEXT),
        ("history of 100,000, its first page", one("/projects/1/history/"), P99),
        ("history of 100,000, its last page", one("/projects/1/history/?after=0"), P99),
        (
            "history of 100,000, branch, last page",
            one("/projects/1/history/?branch=main&after=0"),
            P99,
        ),
        (
            "history of 100,000, errors of an author",
            one("/projects/1/history/?author=Author+7&status=error"),
            P99,
        ),
        ("history of 100,000, a common word", one("/projects/1/history/?text=fix"), TEXT),
        ("history of 100,000, all words' letter", one("/projects/1/history/?text=m"), TEXT),
        ("history of 100,000, a rare word", one("/projects/1/history/?text=needle"), TEXT),
        ("build", builds, P99),
        ("settings", each("/settings/"), P99),
        ("repositories", one("/repositories/"), P99),
    ] {
        let (times, bytes) = read(&world, &server.url, &cookie, &paths, rounds).await;
        let at = |index: usize| times[index].as_secs_f64() * 1000.0;
        let p99 = times.len() * 99 / 100;
        let told = if times[p99] > most { format!("  more than {most:?}") } else { String::new() };
        println!(
            "{what:<44} {:>7.1} {:>7.1} {:>7.1} {bytes:>9}{told}",
            at(times.len() / 2),
            at(p99),
            at(times.len() - 1)
        );
    }
    server.stop().await;
}
