//! `kozmic serve`: everything in one process.

use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Resource;
use tokio::net::TcpListener;

use super::{artifact_rules, connect_engine, connect_store, limits, make_data_dir, now, open_logs};
use crate::config::Settings;
use crate::engine::{Engine, EngineVersion};
use crate::github::{Client, OAuthApp};
use crate::intake::{self, Reconciler};
use crate::log::{Bus, Logs};
use crate::model::Actor;
use crate::report::{self, Notifier, Reporter};
use crate::schedule::{self, Scheduler};
use crate::shutdown::{self, Shutdown};
use crate::source::Source;
use crate::store::{Store, StoreError, sqlite_file, without_password};
use crate::telemetry::{self, start_logging};
use crate::terminal;
use crate::trees::TreeLimits;
use crate::upkeep::{self, Upkeep};
use crate::web::{self, App, Avatars, Cookies, Feeds, Live, Unready};
use crate::worker::{self, BeforeFetch, Beside, CacheKeeper, Disk, DiskParts, Held, Worker};

/// How long a fetch waits for GitHub to tell of the deploy key.
const KEY_TIME: Duration = Duration::from_secs(10);
/// Open requests have this long after the jobs have ended.
const LAST_REQUESTS: Duration = Duration::from_secs(10);

pub(super) async fn run(settings: Settings) -> anyhow::Result<()> {
    let _telemetry = start_logging(&settings.watch)?;
    raise_open_files();
    web::check_listen(&settings)?;
    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("can't listen on {} (KOZMIC_LISTEN)", settings.listen))?;
    let shutdown = Shutdown::new();
    let on_signal = shutdown.clone();
    tokio::spawn(async move {
        match shutdown::signal().await {
            Ok(()) => {
                line("stopping: scripts that run go on, and are attended to after the next start");
            }
            Err(error) => line(&format!("signals can't be waited for: {error}")),
        }
        on_signal.request();
        // A second signal ends it at once, as people expect of Ctrl-C twice.
        if shutdown::signal().await.is_ok() {
            std::process::exit(130);
        }
    });
    serve(listener, settings, shutdown).await
}

/// As many open files as the system lets it have: each viewer of a log is one, and the usual
/// soft limit of 1,024 is there only for programs that use select(2) (getrlimit(2)).
fn raise_open_files() {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = rustix::process::setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// Serves on `listener` until `shutdown` is requested and everything under way
/// has ended.
pub async fn serve(
    listener: TcpListener,
    settings: Settings,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let address = listener.local_addr().context("the listening address")?;
    telemetry::install();
    make_data_dir(&settings)?;
    // Before the database is touched: another server may work on it.
    let _locks = lock(&settings)?;
    // From now on it is nobody's command.
    let store = connect_store(&settings).await?.by(Actor::kozmic());
    let instance = store.instance(now()).await?;
    let engine = Arc::new(connect_engine(&settings, &instance).await?);
    let version = engine.version().await?;
    take_over(&store, &settings).await?;
    let public_url = public_url(&settings, address);
    let bus = Bus::default();
    let logs = open_logs(&settings)?;
    let github = Client::new(&settings.github_api_url)?;
    let upkeep =
        Upkeep { store: store.clone(), github: github.clone(), public_url: public_url.clone() };
    let cache = CacheKeeper::new(settings.cached_images_limit);
    let source = Source::new(&settings.data_dir, &settings.known_hosts);
    source.remove_left_keys()?;
    let disk = disk(&settings, (&store, &engine), (&source, &logs), &cache);
    let worker = Worker {
        before_fetch: ensure_key(upkeep.clone()),
        store: store.clone(),
        engine: engine.clone(),
        source,
        logs: logs.clone(),
        bus: bus.clone(),
        limits: limits(&settings),
        artifacts: artifact_rules(&settings),
        cache,
        disk: disk.clone(),
        held: Held::default(),
        concurrency: settings.concurrency,
        labels: settings.worker_labels.clone(),
        keep_failed: settings.keep_failed,
        engine_timeout: settings.engine_timeout,
        name: format!("{instance}:{}", std::process::id()),
        public_url: public_url.clone(),
    };
    let (terminals, asks) = terminal::terminals();
    let reporter = reporter(&store, &github, &public_url);
    let notifier =
        Notifier::new(&settings.notify, store.clone(), logs.clone(), public_url.clone())?;
    let oauth = oauth_app(&settings, &github)?;
    let missed = intake::reconcile(reconciler(&settings, &store, &github), shutdown.clone());
    let clock = schedule::run(scheduler(&store, &github), shutdown.clone());
    let app = App {
        store: store.clone(),
        github,
        upkeep: upkeep.clone(),
        oauth,
        admission: Arc::new(settings.admission.clone()),
        cookies: Cookies::new(&settings.public_url, store.seal()),
        feeds: Feeds::default(),
        live: Live::default(),
        exchanges: Arc::default(),
        bus,
        logs,
        terminals,
        trees: TreeLimits { bytes: settings.artifacts.try_limit, ..TreeLimits::default() },
        mail: notifier.default_choice(),
        metrics_token: settings.watch.metrics_token.clone(),
        unready: unready(store.clone(), engine, disk.clone()),
        github_url: settings.github_url.as_str().trim_end_matches('/').to_owned(),
        hosts: App::hosts(address, &settings.public_url),
        public_url: public_url.clone(),
        in_force: settings.in_force.clone().into(),
        avatars: Avatars::new(&settings.data_dir, &settings.github_url)?,
        shutdown: shutdown.clone(),
    };
    announce(&settings, address, &public_url, &version);
    let web = tokio::spawn(web::serve(listener, app));
    let sweep = shutdown.spawn(worker::sweep(worker.clone(), shutdown.clone()));
    let logs_kept = shutdown.spawn(worker::keep_logs(worker.clone(), shutdown.clone()));
    let kept = worker::look_after_kept(worker.clone(), asks, shutdown.clone());
    let kept = shutdown.spawn(kept);
    let disks = shutdown.spawn(disk.keep(shutdown.clone()));
    let jobs = shutdown.spawn(worker::run(worker, shutdown.clone()));
    let reports = shutdown.spawn(report::run(reporter, shutdown.clone()));
    let notices = shutdown.spawn(report::notify(notifier, shutdown.clone()));
    let upkeep = shutdown.spawn(upkeep::run(upkeep, settings.sync_interval, shutdown.clone()));
    let audit = upkeep::keep_audit(store.clone(), settings.keep_audit, shutdown.clone());
    let audit = shutdown.spawn(audit);
    let (missed, clock) = (shutdown.spawn(missed), shutdown.spawn(clock));
    let stop_web = web.abort_handle();
    tokio::pin!(web);
    // None of them ends by itself; without one of them the others are no server.
    let ended = tokio::select! {
        () = shutdown.requested() => Ok(()),
        ended = &mut web => ended.context("the web server")?.context("the web server"),
        ended = jobs => ended.context("the worker"),
        ended = sweep => ended.context("the sweep"),
        ended = logs_kept => ended.context("the care of the logs"),
        ended = kept => ended.context("the care of kept containers"),
        ended = disks => ended.context("the care of the disks"),
        ended = reports => ended.context("the reports"),
        ended = notices => ended.context("mails and webhooks"),
        ended = upkeep => ended.context("the upkeep"),
        ended = missed => ended.context("the reconciliation"),
        ended = audit => ended.context("the audit log"),
        ended = clock => ended.context("the schedules"),
    };
    shutdown.finish().await;
    // A client that reads slowly may have so much longer.
    if !stop_web.is_finished() && tokio::time::timeout(LAST_REQUESTS, web).await.is_err() {
        stop_web.abort();
    }
    store.close().await;
    line("stopped");
    ended
}

fn reporter(store: &Store, github: &Client, public_url: &str) -> Reporter {
    let (store, github) = (store.clone(), github.clone());
    Reporter { store, github, public_url: public_url.to_owned() }
}

fn scheduler(store: &Store, github: &Client) -> Scheduler {
    Scheduler { store: store.clone(), github: github.clone(), clock: Arc::new(now) }
}

fn oauth_app(settings: &Settings, github: &Client) -> anyhow::Result<Option<OAuthApp>> {
    let keys = settings.oauth.as_ref();
    let app = keys.map(|keys| OAuthApp::new(keys, &settings.github_url, github)).transpose();
    app.context("KOZMIC_GITHUB_URL")
}

fn disk(
    settings: &Settings,
    (store, engine): (&Store, &Arc<Engine>),
    (source, logs): (&Source, &Logs),
    cache: &CacheKeeper,
) -> Disk {
    Disk::new(DiskParts {
        store: store.clone(),
        engine: engine.clone(),
        source: source.clone(),
        logs: logs.clone(),
        cache: cache.clone(),
        data_dir: settings.data_dir.clone(),
        database: sqlite_file(&settings.database_url).map(Path::to_path_buf),
        budget: settings.disk_budget,
        reserve: settings.disk_reserve,
        beside: Beside::Nobody,
    })
}

fn reconciler(settings: &Settings, store: &Store, github: &Client) -> Reconciler {
    let interval = settings.reconcile_interval;
    Reconciler { store: store.clone(), github: github.clone(), interval }
}

/// What the server before, and its settings, have left to be put right.
async fn take_over(store: &Store, settings: &Settings) -> Result<(), StoreError> {
    store.logins_named(&settings.admission.logins(), now()).await?;
    // Only this process works on a data folder of its own, so what is leased is lost.
    if settings.database_url.starts_with("sqlite:") {
        store.leases_abandoned(now()).await?;
    }
    Ok(())
}

/// What a person who started it wants to know.
fn announce(settings: &Settings, address: SocketAddr, public_url: &str, engine: &EngineVersion) {
    line(&format!("listening on http://{address}, reached as {public_url}"));
    line(&format!("data folder {}", settings.data_dir.display()));
    line(&format!("database {}", without_password(&settings.database_url)));
    line(&format!("engine {engine}"));
    line(&format!("{} jobs at once", settings.concurrency));
    if !settings.worker_labels.is_empty() {
        line(&format!("takes jobs that need {}", settings.worker_labels.in_words()));
    }
    if settings.oauth.is_none() {
        line(
            "nobody can sign in: KOZMIC_GITHUB_CLIENT_ID and KOZMIC_GITHUB_CLIENT_SECRET are not set",
        );
    }
    for name in &settings.without_effect {
        line(&format!("warning: {name} is set, but has no effect in this version"));
    }
}

/// A private project's deploy key is looked after before it is needed. One that can't
/// be looked after now may work all the same.
fn ensure_key(upkeep: Upkeep) -> BeforeFetch {
    Arc::new(move |project| {
        let upkeep = upkeep.clone();
        Box::pin(async move {
            let ensured = tokio::time::timeout(KEY_TIME, upkeep.ensure_deploy_key(&project)).await;
            match ensured {
                Ok(Ok(false)) => {}
                Ok(Ok(true)) => {
                    tracing::info!(project = %project.id, "a deploy key was registered");
                }
                Ok(Err(error)) => {
                    tracing::warn!(project = %project.id, %error, "a deploy key could not be ensured");
                }
                Err(_) => {
                    tracing::warn!(project = %project.id, "GitHub was too slow to tell of a deploy key");
                }
            }
        })
    })
}

/// What `/readyz` asks.
fn unready(store: Store, engine: Arc<Engine>, disk: Disk) -> Unready {
    Arc::new(move || {
        let (store, engine, disk) = (store.clone(), engine.clone(), disk.clone());
        Box::pin(async move {
            let (store, engine) = tokio::join!(store.ping(), engine.ping());
            let parts = [
                ("no answer from the store", store.is_err()),
                ("no answer from the engine", engine.is_err()),
                ("no room on the disk", disk.refusal().is_some()),
            ];
            parts.into_iter().filter(|(_, is_so)| *is_so).map(|(words, _)| words).collect()
        })
    })
}

/// The listening port may have been chosen by the system.
fn public_url(settings: &Settings, address: SocketAddr) -> String {
    let mut url = settings.public_url.clone();
    if settings.listen.port() == 0 && url.port() == Some(0) {
        let _ = url.set_port(Some(address.port()));
    }
    url.as_str().trim_end_matches('/').to_owned()
}

/// A locked file. Unlocked when dropped, not only closed: a child between its
/// fork and its exec holds a copy of the file, and the lock with it (flock(2)).
pub(super) struct Locked(File);

impl Locked {
    fn open(path: &Path) -> Result<Self, TryLockError> {
        let file = File::create(path).map_err(TryLockError::Error)?;
        file.try_lock()?;
        Ok(Self(file))
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // A lock that stays would end with the process.
        let _ = self.0.unlock();
    }
}

/// Held as long as the server runs, on the data folder and, where it is a file,
/// on the database: two servers would give each other's jobs up as lost.
pub(super) fn lock(settings: &Settings) -> anyhow::Result<Vec<Locked>> {
    let mut paths = vec![settings.data_dir.join("lock")];
    if let Some(database) = sqlite_file(&settings.database_url) {
        paths.push(database.with_added_extension("lock"));
    }
    let lock = |path: &PathBuf| match Locked::open(path) {
        Ok(locked) => Ok(locked),
        Err(TryLockError::WouldBlock) => anyhow::bail!(
            "another server works in the data folder {} or on its database",
            settings.data_dir.display()
        ),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| path.display().to_string()),
    };
    paths.iter().map(lock).collect()
}

/// A line for whoever started the server.
#[allow(clippy::print_stderr, reason = "start-up lines are for the person at the terminal")]
fn line(text: &str) {
    eprintln!("kozmic: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_though_a_child_has_a_copy_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let locked = Locked::open(&path).unwrap();
        assert!(matches!(Locked::open(&path), Err(TryLockError::WouldBlock)));
        let _of_a_child = locked.0.try_clone().unwrap();
        drop(locked);
        assert!(Locked::open(&path).is_ok());
    }
}
