//! No page reads through a big table: what both databases plan for each query that pages and
//! the worker make. The server tells its queries; it runs with few rows, and plans do not
//! depend on how many there are (SQLite has no statistics, PostgreSQL is told to avoid scans).

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Row as _};

use crate::harness::{Postgres, World, client, cookies, eventually, free_port, hook};
use crate::million;

/// Tables that grow with every build.
const BIG: &[&str] = &[
    "artifacts",
    "build_words",
    "builds",
    "collections",
    "deliveries",
    "hook_calls",
    "hooks_not_run",
    "install_steps",
    "jobs",
    "outbox",
    "phases",
    "test_results",
    "tests",
];
const BUILDS: usize = 20_000;

/// What a server asked its database, in a database with some builds, while each page was opened.
async fn queries(url: &str) -> BTreeSet<String> {
    let mut world = World::new().await;
    world.set("KOZMIC_SECRET_KEY", million::KEY);
    world.set("KOZMIC_DATABASE_URL", url);
    world.set("KOZMIC_ADMINS", "octo");
    let server = world.serve().await;
    world.project(&server.url, &[hook("Tests", crate::harness::BASE, "make test\n")]).await;
    server.stop().await;
    million::fill(url, BUILDS).await;
    million::write_log(url, &world.data_dir()).await;

    let at = format!("http://127.0.0.1:{}", free_port());
    let said = world.folder().join("serve.log");
    let mut command = world.command(&at, &["serve"]);
    command.env("KOZMIC_LOG", "warn,sqlx::query=debug").stdout(Stdio::null());
    let mut child = command.stderr(std::fs::File::create(&said).unwrap()).spawn().unwrap();
    eventually("the server to be ready", async || {
        let answer = world.http.get(format!("{at}/readyz")).send().await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
    let cookie = cookies(&world.sign_in(&at, "octo").await);
    let http = client(reqwest::header::HeaderMap::new());
    for page in million::pages(url).await {
        let path = &page.paths[0];
        let request = http.get(format!("{at}{path}")).timeout(Duration::from_mins(1));
        let request = if path.starts_with("/api/") {
            request.bearer_auth(world.api_token().await)
        } else {
            request.header("cookie", &cookie)
        };
        let status = request.send().await.unwrap().status();
        assert!(status.is_success() || status.is_redirection(), "{path}: {status}");
    }
    child.kill().await.unwrap();
    statements(&std::fs::read_to_string(said).unwrap())
}

/// The statements of sqlx's own account, in which long ones have two forms.
fn statements(log: &str) -> BTreeSet<String> {
    let quoted = |line: &str, name: &str| {
        let rest = line.split_once(&format!("{name}=\""))?.1;
        let end = rest.split("\" rows_affected=").next()?.split("\" db.statement=").next()?;
        Some(end.replace("\\n", "\n").replace("\\\"", "\"").replace("\\\\", "\\"))
    };
    let of_line = |line: &str| {
        let whole = quoted(line, "db.statement")?;
        let text = if whole.is_empty() { quoted(line, "summary")? } else { whole };
        let text = text.trim().to_owned();
        let is_read = text.starts_with("SELECT") || text.starts_with("WITH");
        (is_read && BIG.iter().any(|table| text.contains(table))).then_some(text)
    };
    log.lines().filter(|line| line.contains("sqlx::query")).filter_map(of_line).collect()
}

async fn lines(connection: &mut AnyConnection, text: String, column: &str) -> Vec<String> {
    let rows = sqlx::raw_sql(AssertSqlSafe(text.clone())).fetch_all(connection).await;
    let rows = rows.unwrap_or_else(|error| panic!("{error}: {text}"));
    rows.iter().map(|row| row.get(column)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_reads_through_a_big_table_of_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("kozmic.db").display());
    let queries = queries(&url).await;
    assert!(queries.len() > 40, "what was asked is not told: {queries:#?}");
    let mut connection = AnyConnection::connect(&url).await.unwrap();
    // Those that have few rows, whatever the table has.
    let partial = "SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE '% WHERE %'";
    let partial = lines(&mut connection, partial.to_owned(), "name").await;
    let mut bad = Vec::new();
    for query in &queries {
        let plan = lines(&mut connection, format!("EXPLAIN QUERY PLAN {query}"), "detail").await;
        for step in &plan {
            let words: Vec<&str> = step.split(' ').collect();
            let [how, table, rest @ ..] = words.as_slice() else { continue };
            let by = rest.iter().skip_while(|word| **word != "INDEX").nth(1).copied();
            let has_few = by.is_some_and(|index| partial.iter().any(|name| name == index));
            let is_bad = BIG.contains(table)
                && match *how {
                    // Words are looked for, or all of them are read.
                    "SCAN" if *table == "build_words" => !step.contains(":M"),
                    "SCAN" => !has_few,
                    // All that a project has, unless it is read by number.
                    "SEARCH" => {
                        let by_number = by == Some("sqlite_autoindex_builds_1");
                        step.ends_with("(project_id=?)") && !by_number && !has_few
                    }
                    _ => false,
                };
            if is_bad {
                bad.push(format!("{step}\n  of: {query}\n  {plan:#?}"));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_reads_through_a_big_table_of_postgresql() {
    let postgres = Postgres::start().await;
    let queries = queries(&postgres.url).await;
    assert!(queries.len() > 40, "what was asked is not told: {queries:#?}");
    let mut connection = AnyConnection::connect(&postgres.url).await.unwrap();
    let set = "SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan";
    sqlx::raw_sql(set).execute(&mut connection).await.unwrap();
    let mut bad = Vec::new();
    for query in &queries {
        let places = (1..1_000).take_while(|place| query.contains(&format!("${place}"))).count();
        // Rows of parameters do not say what they are; those that there are have numbers.
        let types = if query.contains("(VALUES ") && places > 0 {
            format!("({})", vec!["BIGINT"; places].join(", "))
        } else {
            String::new()
        };
        let prepare = format!("DEALLOCATE ALL; PREPARE page {types} AS {query}");
        sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut connection).await.unwrap();
        let nulls = vec!["NULL"; places].join(", ");
        let values = if places == 0 { String::new() } else { format!("({nulls})") };
        let plan =
            lines(&mut connection, format!("EXPLAIN EXECUTE page{values}"), "QUERY PLAN").await;
        for step in &plan {
            let scanned = step.split_once("Seq Scan on ").map(|(_, rest)| rest.split(' ').next());
            if scanned.flatten().is_some_and(|table| BIG.contains(&table)) {
                bad.push(format!("{step}\n  of: {query}\n  {plan:#?}"));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n\n"));
}
