//! A database as it is after years: 1,000 projects and up to 1,000,000 builds, and the pages that
//! people open there.

use std::path::Path;

use kozmic::log::{Bus, LiveLog, Logs, Sink as _};
use kozmic::model::JobUuid;
use kozmic::objects::Objects;
use kozmic::seal::Seal;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Row as _};

/// What the values of hooks' secrets are sealed with.
pub const KEY: &str = "a key of the database with a million builds";

/// Filled in bulk: without their indexes and triggers, which are made at the end.
const TABLES: &str = "'builds', 'jobs', 'deliveries', 'hook_calls', 'phases', 'outbox', \
                      'install_steps', 'test_results', 'collections'";

async fn run(connection: &mut AnyConnection, text: &str) {
    let done = sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(connection).await;
    done.unwrap_or_else(|error| panic!("{error}: {text}"));
}

async fn texts(connection: &mut AnyConnection, text: &str) -> Vec<String> {
    let rows = sqlx::query(AssertSqlSafe(text.to_owned())).fetch_all(connection).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Makes the rows in a database that has its tables, the first user and the first project with
/// its first hook.
pub async fn fill(url: &str, builds: usize) {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(url).await.unwrap();
    let connection = &mut connection;
    let is_sqlite = url.starts_with("sqlite");
    let (random, newline, blob) = if is_sqlite {
        ("lower(hex(randomblob(16)))", "char(10)", "x'00'")
    } else {
        ("md5(random()::text)", "chr(10)", "'\\x00'::bytea")
    };
    let data = include_str!("data.sql")
        .lines()
        .filter(|line| !line.starts_with("--"))
        .collect::<Vec<_>>()
        .join("\n")
        .replace("{random}", random)
        .replace("{newline}", newline)
        .replace("{blob}", blob)
        .replace("{builds}", &builds.to_string())
        .replace("{{", "{")
        .replace("}}", "}");
    if is_sqlite {
        let quick = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; \
                     PRAGMA cache_size = -2000000; PRAGMA temp_store = MEMORY";
        run(connection, quick).await;
    }
    run(connection, "BEGIN").await;
    let again = if is_sqlite {
        undress_sqlite(connection).await
    } else {
        undress_postgres(connection).await
    };
    for statement in data.split(";\n").filter(|statement| !statement.trim().is_empty()) {
        run(connection, statement).await;
    }
    let words = if is_sqlite {
        "INSERT INTO build_words (rowid, project, words) \
         SELECT id, project_id, said FROM build_texts ORDER BY id"
    } else {
        "INSERT INTO build_words (build_id, words) \
         SELECT id, words_of(project_id, said) FROM build_texts"
    };
    run(connection, words).await;
    run(
        connection,
        "UPDATE projects SET built_at = COALESCE((SELECT created_at FROM builds \
         WHERE project_id = projects.id ORDER BY number DESC LIMIT 1), 0)",
    )
    .await;
    for statement in again {
        run(connection, &statement).await;
    }
    seal_secrets(connection).await;
    run(connection, "COMMIT").await;
    if is_sqlite {
        run(connection, "PRAGMA journal_mode = WAL").await;
    } else {
        run(connection, "ANALYZE").await;
    }
}

/// Takes indexes and triggers off; what makes them again.
async fn undress_sqlite(connection: &mut AnyConnection) -> Vec<String> {
    let of_these = format!(
        "FROM sqlite_master WHERE sql IS NOT NULL AND type IN ('index', 'trigger') \
         AND tbl_name IN ({TABLES})"
    );
    let again = texts(connection, &format!("SELECT sql {of_these}")).await;
    for text in
        texts(connection, &format!("SELECT 'DROP ' || type || ' ' || name {of_these}")).await
    {
        run(connection, &text).await;
    }
    again
}

async fn undress_postgres(connection: &mut AnyConnection) -> Vec<String> {
    let of_these = format!(
        "FROM pg_indexes WHERE schemaname = 'public' \
         AND tablename IN ({TABLES}, 'build_words') AND NOT EXISTS \
         (SELECT 1 FROM pg_constraint WHERE conname = indexname)"
    );
    let mut again = texts(connection, &format!("SELECT indexdef {of_these}")).await;
    for text in texts(connection, &format!("SELECT 'DROP INDEX ' || indexname {of_these}")).await {
        run(connection, &text).await;
    }
    for table in ["builds", "jobs"] {
        run(connection, &format!("ALTER TABLE {table} DISABLE TRIGGER USER")).await;
        again.push(format!("ALTER TABLE {table} ENABLE TRIGGER USER"));
    }
    for table in ["projects", "hooks", "builds", "hook_calls"] {
        again.push(format!(
            "SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT MAX(id) FROM {table}))"
        ));
    }
    again
}

async fn seal_secrets(connection: &mut AnyConnection) {
    let seal = Seal::from_text(&KEY.into()).unwrap();
    let rows = sqlx::query("SELECT id FROM hooks WHERE id > 2").fetch_all(&mut *connection).await;
    for row in rows.unwrap() {
        let id: i64 = row.get(0);
        let sealed = seal.seal(&format!("hooks:{id}:secret"), b"secret").unwrap();
        let update = sqlx::query("UPDATE hooks SET secret = $1 WHERE id = $2");
        update.bind(sealed).bind(id).execute(&mut *connection).await.unwrap();
    }
}

/// Whether a page is a search for words, which may take longer, or none at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Page,
    Words,
    /// An answer for programs, with all that there is.
    Api,
}

/// A kind of page, with the paths that its readers open.
pub struct Pages {
    pub what: &'static str,
    pub kind: Kind,
    pub paths: Vec<String>,
}

/// Its pages that do not show the queue.
fn administration() -> Vec<String> {
    ["/", "/audit/", "/projects/"].map(|page| format!("/administration{page}")).to_vec()
}

/// All kinds of pages. Of the first project there are a tenth of all builds.
pub async fn pages(url: &str) -> Vec<Pages> {
    let mut connection = AnyConnection::connect(url).await.unwrap();
    let connection = &mut connection;
    let each = |path: &str| -> Vec<String> {
        (2..400).map(|project| format!("/projects/{project}{path}")).collect()
    };
    let one = |path: &str| vec![path.to_owned()];
    let newest: i64 =
        number(connection, "SELECT MAX(number) FROM builds WHERE project_id = 1").await;
    let middle = texts(
        connection,
        "SELECT '/projects/' || project_id || '/builds/' || CAST(MAX(id) AS TEXT) || '/' FROM builds \
         WHERE number < 150 AND project_id < 400 GROUP BY project_id",
    )
    .await;
    let fifty = texts(
        connection,
        "SELECT '/projects/' || project_id || '/builds/' || CAST(builds.id AS TEXT) || '/' FROM builds \
         WHERE number % 1000 = 500 AND project_id <= 100 ORDER BY id LIMIT 50",
    )
    .await;
    let jobs = "'/projects/1/' FROM jobs JOIN builds ON builds.id = jobs.build_id \
                WHERE project_id = 1 AND jobs.status NOT IN ('enqueued', 'pending') ORDER BY jobs.id DESC LIMIT 20";
    let job = texts(
        connection,
        &jobs.replace(
            "'/projects/1/'",
            "SELECT '/projects/1/builds/' || build_id || '/jobs/' || CAST(jobs.id AS TEXT) || '/'",
        ),
    )
    .await;
    let job_tests = texts(
        connection,
        &jobs.replace(
            "'/projects/1/'",
            "SELECT '/projects/1/jobs/' || CAST(jobs.id AS TEXT) || '/tests/'",
        ),
    )
    .await;
    let log = texts(
        connection,
        &jobs
            .replace(
                "'/projects/1/'",
                "SELECT '/projects/1/jobs/' || CAST(jobs.id AS TEXT) || '/log/'",
            )
            .replace("LIMIT 20", "LIMIT 1"),
    )
    .await;
    let history = |query: &str| one(&format!("/projects/1/history/{query}"));
    let page = |what, paths| Pages { what, kind: Kind::Page, paths };
    let words = |what, paths| Pages { what, kind: Kind::Words, paths };
    let api = |what, path| Pages { what, kind: Kind::Api, paths: one(path) };
    vec![
        page("home", one("/")),
        page("home, its last page", one("/?page=34")),
        words("home, a common word", one("/?q=fix")),
        words("home, a rare word", one("/?q=needle")),
        page("project, to its latest build", each("/builds/latest/")),
        page("project, to its branch's latest", one("/projects/1/builds/latest/?ref=main")),
        page("build", middle),
        page("build of 50 jobs", fifty),
        page("job with tests", job),
        page("history", each("/history/")),
        page("history of many: first page", history("")),
        page("history of many: middle", history(&format!("?before={}", newest / 2))),
        page("history of many: last page", history("?after=0")),
        page("history of many: a branch", history("?branch=main")),
        page("history of many: a branch's last page", history("?branch=main&after=0")),
        page("history of many: an author", history("?author=Author+7")),
        page("history of many: a status", history("?status=failure")),
        page("history of many: a status nothing has", history("?status=pending&branch=main")),
        page("history of many: branch, other's author", history("?branch=main&author=Nobody")),
        page("history of many: all three", history("?branch=main&author=Author+7&status=success")),
        page("history of many: nobody's", history("?status=success&branch=main&author=Nobody")),
        words("history of many: a common word", history("?text=fix")),
        words("history of many: a longer common word", history("?text=merge")),
        words("history of many: the last page of one", history("?text=fix&after=0")),
        words("history of many: all words' letter", history("?text=m")),
        words("history of many: a rare word", history("?text=needle")),
        words("history of many: no such word", history("?text=unheardof")),
        words("history of many: word and author", history("?text=fix&author=Author+7")),
        words("history of many: word, other's author", history("?text=fix&author=Nobody")),
        page("tests of a job", job_tests),
        page("tests of a project", one("/projects/1/tests/")),
        page("tests of a project without any", one("/projects/2/tests/")),
        page("a test", one("/projects/1/tests/0000000000000007/")),
        page("settings of a project", each("/settings/")),
        page("a hook's form", one("/projects/1/hooks/1/edit/")),
        page("account", one("/account/settings/")),
        page("administration", administration()),
        page("administration: queue", one("/administration/queue/")),
        page("repositories", one("/repositories/")),
        page("badge", one("/badges/octo/project-7/main")),
        page("log, plain", log),
        api("API: projects", "/api/v1/projects"),
        api("API: builds of a project", "/api/v1/projects/1/builds"),
        api("API: the queue", "/api/v1/queue"),
    ]
}

async fn number(connection: &mut AnyConnection, text: &'static str) -> i64 {
    sqlx::query(text).fetch_one(connection).await.unwrap().get(0)
}

/// Writes the log that the newest of the first project's finished jobs has.
pub async fn write_log(url: &str, data_dir: &Path) {
    let mut connection = AnyConnection::connect(url).await.unwrap();
    let uuids = texts(
        &mut connection,
        "SELECT uuid FROM jobs WHERE log_removed_at IS NULL AND finished_at IS NOT NULL \
         ORDER BY id DESC LIMIT 1",
    )
    .await;
    let logs = Logs::new(data_dir, Objects::in_folder(&data_dir.join("objects")).unwrap());
    let job: JobUuid = uuids[0].parse().unwrap();
    let mut live = LiveLog::open(logs.folder(), job, &Bus::default()).unwrap();
    let lines = (1..=1_000).map(|line| format!("line {line} of a log that somebody reads\n"));
    live.append(lines.collect::<Vec<_>>().concat().as_bytes()).unwrap();
    live.sync().unwrap();
}
