//! `kozmic doctor`: looks at everything that a server needs, and changes nothing.

mod tell;

use std::fmt::Display;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use secrecy::SecretString;
use serde::Serialize;

use super::secret_key::key_file;
use super::{now, say};
use crate::config::{ConfigError, Settings};
use crate::engine::Engine;
use crate::github::{Client, OAuthApp, OAuthError};
use crate::model::readable_bytes;
use crate::objects::Objects;
use crate::relay::Relay;
use crate::seal::{self, Seal};
use crate::source;
use crate::store::{Distance, Store, StoreError, sqlite_file, without_password};

/// Nothing is waited for longer.
const PATIENCE: Duration = Duration::from_secs(15);
/// A clock that is off by more makes times wrong; by far more, certificates.
const CLOCK: Duration = Duration::from_secs(30);
const CLOCK_FAR: Duration = Duration::from_mins(5);
/// What is kept free for a job to start, see docs/disk.md.
const RESERVE: u64 = 1 << 30;

#[derive(Debug, Args)]
pub(super) struct Command {
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Warning,
    Error,
}

/// What was found of one part.
#[derive(Debug, Serialize)]
struct Finding {
    part: &'static str,
    verdict: Verdict,
    what: String,
    /// What to do about it.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

fn ok(part: &'static str, what: impl Into<String>) -> Finding {
    Finding { part, verdict: Verdict::Ok, what: what.into(), advice: None }
}

fn warning(part: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Finding {
    let advice = Some(advice.into());
    Finding { part, verdict: Verdict::Warning, what: what.into(), advice }
}

fn error(part: &'static str, what: impl Display, advice: impl Into<String>) -> Finding {
    Finding { part, verdict: Verdict::Error, what: what.to_string(), advice: Some(advice.into()) }
}

/// Whether nothing is wrong that keeps a server from working.
pub(super) async fn run(
    settings: Result<Settings, ConfigError>,
    command: &Command,
) -> anyhow::Result<bool> {
    let findings = match settings {
        Ok(settings) => Box::pin(examine(&settings)).await,
        Err(problem) => vec![error(
            "settings",
            problem,
            "put it right; `kozmic config --reference` lists all settings",
        )],
    };
    if command.json {
        say(&serde_json::to_string_pretty(&findings)?);
    } else {
        for finding in &findings {
            let verdict = match finding.verdict {
                Verdict::Ok => "ok",
                Verdict::Warning => "warning",
                Verdict::Error => "ERROR",
            };
            say(&format!("{verdict:<8} {:<9} {}", finding.part, finding.what));
            if let Some(advice) = &finding.advice {
                say(&format!("{:<8} {:<9} -> {advice}", "", ""));
            }
        }
    }
    Ok(findings.iter().all(|finding| finding.verdict != Verdict::Error))
}

async fn examine(settings: &Settings) -> Vec<Finding> {
    let mut findings =
        vec![ok("settings", "can be read; `kozmic config` shows them"), of_address(settings)];
    findings.extend(of_proxies(settings));
    findings.push(of_data_folder(settings));
    findings.extend(of_disk(&settings.data_dir));
    findings.extend(of_key_file(settings));
    let (database, engine, objects, github, mail, told, watch) = tokio::join!(
        in_time("database", of_database(settings)),
        in_time("engine", of_engine(settings)),
        in_time("objects", of_objects(settings)),
        of_github(settings),
        in_time("mail", tell::of_mail(settings)),
        tell::of_told(settings),
        tell::of_watch(settings),
    );
    findings.extend([database, engine, objects]);
    findings.extend(of_redis(settings).await);
    findings.extend(github);
    findings.push(mail);
    findings.extend(told.into_iter().chain(watch));
    findings.extend(of_programs().await);
    findings
}

async fn in_time(part: &'static str, look: impl Future<Output = Finding>) -> Finding {
    tokio::time::timeout(PATIENCE, look).await.unwrap_or_else(|_| {
        let what = format!("no answer within {} s", PATIENCE.as_secs());
        error(part, what, "see whether it runs and can be reached from here")
    })
}

/// HTTPS means a proxy, and everybody who comes by it has its address.
fn of_proxies(settings: &Settings) -> Option<Finding> {
    let is_known = !settings.limits.trusted_proxies.is_empty();
    (settings.public_url.scheme() == "https" && !is_known).then(|| {
        warning(
            "proxies",
            "a proxy with TLS is before it, and everybody who comes by it counts as one: they \
             share the limits of sign-in and of the API, and the audit log has its address",
            "set KOZMIC_TRUSTED_PROXIES to the proxy's address, as it is seen from here, and let \
             it set X-Forwarded-For, see docs/install.md",
        )
    })
}

fn of_address(settings: &Settings) -> Finding {
    let url = &settings.public_url;
    let is_here = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback() || address.is_unspecified(),
        Some(url::Host::Ipv6(address)) => address.is_loopback() || address.is_unspecified(),
        None => true,
    };
    let is_github_elsewhere =
        settings.github_url.host_str().is_some_and(|host| host.contains("github.com"));
    if is_here && is_github_elsewhere {
        let what = format!("{url} leads to this machine only, and GitHub has to reach it");
        return warning(
            "address",
            what,
            "set KOZMIC_PUBLIC_URL to the address that others use; without it no webhook arrives, \
             and pushes are found by comparing every few minutes",
        );
    }
    if url.scheme() == "http" && !is_here {
        let what = format!("{url} is not encrypted: sessions and logs can be read on their way");
        return warning("address", what, "put a proxy with TLS before it, see docs/install.md");
    }
    ok("address", url.as_str())
}

fn of_data_folder(settings: &Settings) -> Finding {
    let folder = settings.data_dir.display();
    if !settings.data_dir.exists() {
        let what = format!("{folder} is not there yet; the first start makes it");
        return warning("data", what, "is KOZMIC_DATA_DIR right?");
    }
    match tempfile::tempfile_in(&settings.data_dir) {
        Ok(_) => ok("data", format!("{folder} can be written")),
        Err(problem) => {
            let what = format!("{folder} can't be written: {problem}");
            error("data", what, "give it to the user that the server runs as")
        }
    }
}

/// Of the nearest folder that is there.
fn of_disk(folder: &Path) -> Option<Finding> {
    let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let found = rustix::fs::statvfs(there).ok()?;
    let (free, total) = (found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize);
    let what = format!("{} of {} are free", readable_bytes(free), readable_bytes(total));
    if free < RESERVE.min(total / 20) {
        let advice = "jobs wait until there is room; `kozmic gc` shows what uses it";
        return Some(error("disk", what, advice));
    }
    Some(ok("disk", what))
}

/// The key in the data folder is for the server's user alone.
fn of_key_file(settings: &Settings) -> Option<Finding> {
    let path = key_file(settings);
    let mode = std::fs::metadata(&path).ok()?.permissions().mode() & 0o777;
    let shown = path.display();
    let others = mode & 0o077;
    if others == 0 {
        return Some(ok("key", format!("{shown} is for its user alone")));
    }
    let what = format!("{shown} can be read by others (mode {mode:03o})");
    Some(error("key", what, format!("chmod 600 {shown}")))
}

async fn of_database(settings: &Settings) -> Finding {
    let url = &settings.database_url;
    let shown = without_password(url);
    if sqlite_file(url).is_some_and(|file| !file.exists()) {
        let what = format!("{shown} is not there yet; the first start makes it");
        return warning("database", what, "is KOZMIC_DATABASE_URL right?");
    }
    let looked = async {
        let store = Store::open(url, the_seal(settings)?).await?;
        let schema = store.schema().await;
        let sealed_with = store.sealed_with().await;
        let (ours, is_known) = (store.seal().key_id(), has_key(settings));
        store.close().await;
        anyhow::Ok((schema?, sealed_with?.filter(|id| is_known && *id != ours)))
    };
    match looked.await {
        Ok((_, Some(id))) => error(
            "database",
            format!("{shown} was sealed with another key"),
            format!("set KOZMIC_SECRET_KEY to the key with the id {id}"),
        ),
        Ok((Distance { due: 0, ahead: 0 }, None)) => {
            ok("database", format!("{shown} is up to date"))
        }
        Ok((Distance { due: 0, .. }, None)) => ok(
            "database",
            format!("{shown} is that of a newer Kozmic, and this one may work on it"),
        ),
        Ok((Distance { due, .. }, None)) => {
            let what = format!("{shown} is {due} migrations behind");
            warning("database", what, "`kozmic migrate` makes them, and so does the next start")
        }
        Err(problem) => {
            let is_too_new = matches!(problem.downcast_ref(), Some(StoreError::TooNew { .. }));
            let advice =
                if is_too_new { "see docs/many-machines.md" } else { "see KOZMIC_DATABASE_URL" };
            error("database", problem, advice)
        }
    }
}

fn has_key(settings: &Settings) -> bool {
    settings.secret_key.is_some() || key_file(settings).exists()
}

/// Any will do to look at what is not sealed.
fn the_seal(settings: &Settings) -> anyhow::Result<Seal> {
    let key = match &settings.secret_key {
        Some(key) => key.clone(),
        None => match seal::read_key(&key_file(settings))? {
            Some(key) => key,
            None => SecretString::from(seal::random_hex()?),
        },
    };
    Ok(Seal::from_text(&key)?)
}

async fn of_engine(settings: &Settings) -> Finding {
    let looked = async {
        let engine = Engine::connect(settings.docker_host.as_deref(), "doctor").await?;
        engine.version().await
    };
    match looked.await {
        Ok(version) => ok("engine", version.to_string()),
        Err(problem) => error(
            "engine",
            problem,
            "start it; the server's user must be in the group of its socket (docker), or see \
             KOZMIC_DOCKER_HOST",
        ),
    }
}

/// What is kept there can be written, read and removed.
async fn of_objects(settings: &Settings) -> Finding {
    const KEY: &str = "doctor/probe";
    let looked = async {
        let objects = Objects::open(&settings.objects, &settings.data_dir)?;
        objects.put(KEY, "probe".into()).await?;
        let read = objects.get(KEY, 0..5).await;
        objects.delete(KEY).await?;
        anyhow::ensure!(read? == "probe", "what was read is not what was written");
        anyhow::Ok(objects.place().to_owned())
    };
    // The first start makes its own folder.
    if settings.objects.url.is_none() && !settings.data_dir.exists() {
        return ok("objects", "finished logs and artifacts lie in the data folder");
    }
    match looked.await {
        Ok(place) => ok("objects", format!("{place} can be written and read")),
        Err(problem) => error("objects", format!("{problem:#}"), "see KOZMIC_LOG_URL and AWS_*"),
    }
}

/// Where several processes meet.
async fn of_redis(settings: &Settings) -> Option<Finding> {
    let url = settings.machines.redis_url.as_ref()?;
    let answered = async { Relay::new(url, "doctor", "doctor")?.ping().await };
    Some(match answered.await {
        Ok(()) => ok("redis", "answers"),
        Err(problem) => error("redis", problem, "see KOZMIC_REDIS_URL, and whether it runs"),
    })
}

async fn of_github(settings: &Settings) -> Vec<Finding> {
    let client = match Client::new(&settings.github_api_url) {
        Ok(client) => client,
        Err(problem) => return vec![error("GitHub", problem, "see KOZMIC_GITHUB_API_URL")],
    };
    let api = &settings.github_api_url;
    let reached = match client.reach().await {
        Ok(reached) => reached,
        Err(problem) => {
            let advice = format!("see whether {api} can be reached from here, by a proxy too");
            return vec![error("GitHub", problem, advice)];
        }
    };
    let mut findings = vec![ok("GitHub", format!("{api} answers"))];
    findings.extend(reached.clock.map(|clock| {
        let ours = now();
        let off = ours.since(clock).max(clock.since(ours));
        let what = format!("{} s off GitHub's", off.as_secs());
        let advice = "let the machine keep its time (NTP)";
        match off {
            off if off > CLOCK_FAR => error("clock", what, advice),
            off if off > CLOCK => warning("clock", what, advice),
            _ => ok("clock", "as GitHub's"),
        }
    }));
    findings.push(of_sign_in(settings, &client).await);
    if let Some(token) = &settings.github_token {
        findings.push(match client.user(token).await {
            Ok(user) => ok("token", format!("KOZMIC_GITHUB_TOKEN is {}'s", user.login)),
            Err(problem) => error("token", problem, "make a new KOZMIC_GITHUB_TOKEN"),
        });
    }
    findings
}

/// A code that nobody has tells whether GitHub knows the app.
async fn of_sign_in(settings: &Settings, client: &Client) -> Finding {
    const PART: &str = "sign-in";
    let Some(keys) = &settings.oauth else {
        let what = "nobody can sign in";
        return warning(PART, what, "set KOZMIC_GITHUB_CLIENT_ID and _SECRET, see docs/install.md");
    };
    let app = match OAuthApp::new(keys, &settings.github_url, client) {
        Ok(app) => app,
        Err(problem) => return error(PART, problem, "see KOZMIC_GITHUB_URL"),
    };
    let callback = settings.page_url("/_auth/auth-callback/");
    match app.exchange("none", &callback, &"v".repeat(43)).await {
        Ok(_) | Err(OAuthError::BadCode) => ok(PART, "GitHub knows the OAuth app"),
        Err(OAuthError::RedirectMismatch) => {
            let what = "the OAuth app has another callback URL";
            error(PART, what, format!("register {callback} for it at GitHub"))
        }
        Err(OAuthError::WrongSecret) => {
            let what = "GitHub does not know the OAuth app by this id and secret";
            error(PART, what, "see KOZMIC_GITHUB_CLIENT_ID and _SECRET")
        }
        Err(problem) => error(PART, problem, "see the OAuth app at GitHub"),
    }
}

async fn of_programs() -> Vec<Finding> {
    let of = |(name, found)| match found {
        Ok(version) => ok(name, version),
        Err(problem) => {
            error(name, format!("can't be run: {problem}"), format!("install {name}, or see PATH"))
        }
    };
    source::programs().await.map(of).into()
}
