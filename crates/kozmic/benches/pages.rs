//! How soon pages are there with 1,000 projects and 1,000,000 builds: each alone, and all kinds
//! mixed, with 50 readers who open one each second.
//!
//! On SQLite, whose file is kept in `target/pages` between runs, or with PAGES_ON=postgres on a
//! PostgreSQL of its own. PAGES_BUILDS and PAGES_SECONDS make it smaller and longer. Says what
//! should be faster and is not; fails only where a page is not there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::figures::Figure;
use crate::harness::{Postgres, World};
use crate::million::{Kind, Pages};
use crate::process::Process;
use crate::{harness, million};

const READERS: usize = 50;
/// Of each kind, one after the other.
const ALONE: usize = 20;

/// The longest that 99 of 100 may take.
fn most(kind: Kind) -> Duration {
    match kind {
        Kind::Page => Duration::from_millis(20),
        Kind::Words | Kind::Api => Duration::from_millis(200),
    }
}

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// Where SQLite's file is kept: another one for other rows and other tables.
fn kept(builds: usize) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut made_from = include_bytes!("million/data.sql").to_vec();
    let mut migrations: Vec<PathBuf> = std::fs::read_dir(root.join("migrations/sqlite"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    migrations.sort();
    for path in migrations {
        made_from.extend(std::fs::read(path).unwrap());
    }
    let digest = kozmic::seal::sha256_hex(&made_from);
    // Below the workspace's target folder, wherever that is.
    let bin = Path::new(env!("CARGO_BIN_EXE_kozmic"));
    let folder = bin.parent().and_then(Path::parent).unwrap().join("pages");
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(format!("{builds}-{}.db", &digest[..16]))
}

/// A database with all rows, for the world's server.
async fn prepare(world: &mut World, builds: usize, postgres: Option<&Postgres>) -> String {
    let sqlite = kept(builds);
    let made = sqlite.with_extension("made");
    let url = match postgres {
        Some(postgres) => postgres.url.clone(),
        None => format!("sqlite://{}", sqlite.display()),
    };
    world.set("KOZMIC_SECRET_KEY", million::KEY);
    world.set("KOZMIC_DATABASE_URL", &url);
    world.set("KOZMIC_ADMINS", "octo");
    if postgres.is_none() && made.exists() {
        return url;
    }
    let _ = std::fs::remove_file(&sqlite);
    let server = Process::start(world).await;
    world.project(&server.url, &[harness::hook("Tests", harness::BASE, "make test\n")]).await;
    server.stop().await;
    let began = Instant::now();
    million::fill(&url, builds).await;
    println!("{builds} builds made in {:.0?}", began.elapsed());
    if postgres.is_none() {
        std::fs::write(made, "").unwrap();
    }
    url
}

/// A reader, who is signed in and has a token.
#[derive(Clone)]
struct Reader {
    http: reqwest::Client,
    url: String,
    cookie: String,
    token: String,
}

impl Reader {
    /// How long a page takes, and how many bytes it has on its way.
    async fn open(&self, path: &str) -> (Duration, usize) {
        let began = Instant::now();
        let request =
            self.http.get(format!("{}{path}", self.url)).header("accept-encoding", "gzip");
        let request = if path.starts_with("/api/") {
            request.bearer_auth(&self.token)
        } else {
            request.header("cookie", &self.cookie)
        };
        let answer = request.send().await.unwrap();
        let status = answer.status();
        assert!(status.is_success() || status.is_redirection(), "{path}: {status}");
        let size = answer.bytes().await.unwrap().len();
        (began.elapsed(), size)
    }
}

/// Each reader opens a page a second, of all kinds in turn; the times of each kind.
async fn mixed(reader: &Reader, pages: &[Pages], seconds: usize) -> BTreeMap<usize, Vec<Duration>> {
    let mut tasks = Vec::new();
    for who in 0..READERS {
        let reader = reader.clone();
        let paths: Vec<Vec<String>> = pages.iter().map(|page| page.paths.clone()).collect();
        tasks.push(tokio::spawn(async move {
            let first = Duration::from_secs(1) / READERS as u32 * who as u32;
            let start = tokio::time::Instant::now() + first;
            let mut times = Vec::new();
            for round in 0..seconds {
                tokio::time::sleep_until(start + Duration::from_secs(1) * round as u32).await;
                let kind = (who * 17 + round) % paths.len();
                let path = &paths[kind][(who * seconds + round) % paths[kind].len()];
                times.push((kind, reader.open(path).await.0));
            }
            times
        }));
    }
    let mut all: BTreeMap<usize, Vec<Duration>> = BTreeMap::new();
    for task in tasks {
        for (kind, time) in task.await.unwrap() {
            all.entry(kind).or_default().push(time);
        }
    }
    all
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap().trim().to_owned()
}

#[tokio::main]
pub async fn main() {
    sqlx::any::install_default_drivers();
    let (builds, seconds) = (number("PAGES_BUILDS", 1_000_000), number("PAGES_SECONDS", 60));
    let postgres = match std::env::var("PAGES_ON").as_deref() {
        Ok("postgres") => Some(Postgres::start().await),
        _ => None,
    };
    let mut world = World::new().await;
    let url = prepare(&mut world, builds, postgres.as_ref()).await;
    million::write_log(&url, &world.data_dir()).await;
    let server = Process::start(&world).await;
    let reader = Reader {
        http: reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap(),
        cookie: harness::cookies(&world.sign_in(&server.url, "octo").await),
        token: world.api_token().await.to_owned(),
        url: server.url.clone(),
    };
    let pages = million::pages(&url).await;
    println!("load before: {}", load());
    let mut alone = Vec::new();
    for page in &pages {
        reader.open(&page.paths[0]).await;
        let before = server.worked();
        let mut times = Vec::new();
        let mut size = 0;
        for round in 0..ALONE {
            let (time, bytes) = reader.open(&page.paths[round % page.paths.len()]).await;
            times.push(time);
            size = size.max(bytes);
        }
        times.sort_unstable();
        alone.push((times, server.worked().saturating_sub(before) / ALONE as u32, size));
    }
    let (began, before) = (Instant::now(), server.worked());
    let together = mixed(&reader, &pages, seconds).await;
    let (took, worked) = (began.elapsed(), server.worked().saturating_sub(before));
    println!(
        "{READERS} readers, a page a second each, all kinds mixed, for {seconds} s: milliseconds\n\
         {:<44} {:>7} {:>7} {:>7} | {:>7} {:>9} {:>7}",
        "", "median", "p99", "max", "alone", "processor", "bytes"
    );
    let mut all = Vec::new();
    let mut others = Vec::new();
    for (index, page) in pages.iter().enumerate() {
        let mut times = together.get(&index).cloned().unwrap_or_default();
        times.sort_unstable();
        let sort = if page.kind == Kind::Page { &mut all } else { &mut others };
        sort.extend(times.iter().copied());
        let (times_alone, processor, size) = &alone[index];
        let (middle, p99, max) = quantiles(&times);
        let told = if p99 > most(page.kind) {
            format!("  more than {:?}", most(page.kind))
        } else {
            String::new()
        };
        println!(
            "{:<44} {:>7.1} {:>7.1} {:>7.1} | {:>7.1} {:>9.1} {size:>7}{told}",
            page.what,
            milliseconds(middle),
            milliseconds(p99),
            milliseconds(max),
            milliseconds(times_alone[times_alone.len() / 2]),
            milliseconds(*processor),
        );
    }
    let on = if postgres.is_some() { "PostgreSQL" } else { "SQLite" };
    let sorts = [
        ("a page", &all, most(Kind::Page)),
        ("a search for words, or a call of the API", &others, most(Kind::Api)),
    ];
    for (what, times, most) in sorts {
        let what = format!("{what}, {builds} builds, {READERS} readers, {on}");
        let most = milliseconds(most);
        Figure::times("pages", &what, times).at_most("p99", most).write();
    }
    all.sort_unstable();
    let (middle, p99, max) = quantiles(&all);
    println!(
        "{:<44} {:>7.1} {:>7.1} {:>7.1}",
        format!("all pages but searches for words, {} of them", all.len()),
        milliseconds(middle),
        milliseconds(p99),
        milliseconds(max)
    );
    println!(
        "the server was on a processor for {:.0} % of the time; load after: {}",
        worked.as_secs_f64() / took.as_secs_f64() * 100.0,
        load()
    );
    server.stop().await;
}

/// The middle, the 99th of 100 and the last; of none: nothing.
fn quantiles(sorted: &[Duration]) -> (Duration, Duration, Duration) {
    let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
    (at(sorted.len() / 2), at(sorted.len() * 99 / 100), at(sorted.len().saturating_sub(1)))
}
