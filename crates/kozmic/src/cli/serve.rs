//! `kozmic serve`: everything in one process, or one part of it.

mod blocks;
mod lock;
mod notify;
mod parts;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use futures_util::StreamExt as _;
use rustix::process::Resource;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::between::{Between, pass_word};
use super::role::Role;
use super::{artifact_rules, connect_store, limits, make_data_dir, memory, node, now, open_logs};
use crate::config::Settings;
use crate::engine::{Engine, EngineVersion};
use crate::github::{Client, OAuthApp};
use crate::log::{Bus, Logs};
use crate::model::Actor;
use crate::outgoing;
use crate::report::{self, Notifier, Reporter};
use crate::schedule::{self, Scheduler};
use crate::shutdown::{self, Shutdown};
use crate::source::Source;
use crate::store::{Store, StoreError, sqlite_file, without_password};
use crate::telemetry::{self, start_logging};
use crate::terminal::{self, Asks, Terminals};
use crate::trees::TreeLimits;
use crate::upkeep::Upkeep;
use crate::web::{self, App, AppParts, Avatars, Cookies, Feeds, Live};
use crate::worker::{self, Beside, CacheKeeper, Disk, DiskParts, Held, Worker};

pub(super) use lock::lock;
use parts::{Parts, drained, ensure_key, in_turns, unready};

/// Open requests have this long after the jobs have ended.
const LAST_REQUESTS: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct Command {
    /// What of the server this process is: several processes share a database
    #[arg(long, value_enum, default_value_t)]
    role: Role,
}

pub(super) async fn run(settings: Settings, command: &Command) -> anyhow::Result<()> {
    let _telemetry = start_logging(&settings.watch)?;
    raise_open_files();
    let role = command.role;
    role.check(&settings)?;
    let listener = if role.is_web() {
        web::check_listen(&settings)?;
        let bound = TcpListener::bind(settings.listen).await;
        Some(
            bound
                .with_context(|| format!("can't listen on {} (KOZMIC_LISTEN)", settings.listen))?,
        )
    } else {
        None
    };
    let shutdown = Shutdown::new();
    let (drain, on_signal) = (Shutdown::new(), shutdown.clone());
    let drained = drain_timeout(role, &settings).map(|_| drain.clone());
    tokio::spawn(async move {
        match shutdown::signal().await {
            Ok(()) => line(match &drained {
                Some(_) => "stopping: no more jobs are taken; those that run may end",
                None => {
                    "stopping: scripts that run go on, and are attended to after the next start"
                }
            }),
            Err(error) => line(&format!("signals can't be waited for: {error}")),
        }
        match &drained {
            Some(drain) => drain.request(),
            None => on_signal.request(),
        }
        // A second signal does not wait for jobs, or ends it at once, as people expect of
        // Ctrl-C twice.
        if shutdown::signal().await.is_ok() {
            if drained.is_none() || on_signal.is_requested() {
                std::process::exit(130);
            }
            on_signal.request();
            if shutdown::signal().await.is_ok() {
                std::process::exit(130);
            }
        }
    });
    serve_as(role, listener, settings, shutdown, drain).await
}

/// None: it does not wait for its jobs. Where one process is all, it is started again soon,
/// and attends to what runs then.
fn drain_timeout(role: Role, settings: &Settings) -> Option<Duration> {
    let limit = settings.machines.drain_timeout;
    (role == Role::Worker && !limit.is_zero()).then_some(limit)
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

/// Serves everything on `listener` until `shutdown` is requested and everything under way
/// has ended.
pub async fn serve(
    listener: TcpListener,
    settings: Settings,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    serve_as(Role::All, Some(listener), settings, shutdown, Shutdown::new()).await
}

/// The parts of a server that `role` names. Once `drain` is requested, a worker takes no
/// more jobs, and ends when the last one has, or its time is over.
pub async fn serve_as(
    role: Role,
    listener: Option<TcpListener>,
    settings: Settings,
    shutdown: Shutdown,
    drain: Shutdown,
) -> anyhow::Result<()> {
    let listening = listener.as_ref().map(TcpListener::local_addr).transpose();
    let address = listening.context("the listening address")?.unwrap_or(settings.listen);
    telemetry::install();
    make_data_dir(&settings)?;
    // Before the database is touched: another server may work on it.
    let _locks = lock(&settings)?;
    let name = node::name(&settings.data_dir)?;
    // From now on it is nobody's command.
    let store = connect_store(&settings).await?.by(Actor::kozmic());
    let instance = store.instance(now()).await?;
    let engine = blocks::engine(role, &settings, address, (&instance, &name)).await?;
    let version = match &engine {
        Some(engine) => Some(engine.version().await?),
        None => None,
    };
    take_over(&store, &settings, &name).await?;
    let public_url = public_url(&settings, address);
    let between = Between::new(&settings, &instance, &name)?;
    let bus = Bus::with(between.logs());
    let logs = open_logs(&settings)?.with(between.logs());
    let github = Client::new(&settings.github_api_url, &settings.trust)?;
    let upkeep =
        Upkeep { store: store.clone(), github: github.clone(), public_url: public_url.clone() };
    announce(role, &settings, (&name, address, &public_url), version.as_ref());
    let (mut terminals, asks) = terminal::terminals();
    let mut parts = Parts::new(&shutdown);
    parts.add("free memory", memory::give_back(shutdown.clone()));
    reach_others(&mut parts, &between, (role, &store), &mut terminals);
    let disk = match &engine {
        Some(engine) => {
            let limit = drain_timeout(role, &settings);
            let shared = Shared { settings: &settings, name: &name, logs: &logs, bus: &bus };
            Some(start_worker(&mut parts, &shared, (engine, &upkeep), asks, (drain, limit))?)
        }
        None => None,
    };
    let to_leave = engine.clone();
    let mut web = None;
    if let Some(listener) = listener {
        let reporter = reporter(&store, &github, &name, &public_url);
        parts.add("the reports", report::run(reporter, shutdown.clone()));
        parts.add("the schedules", schedule::run(scheduler(&store, &github), shutdown.clone()));
        let (to_tell, logs_of_builds) = (store.clone(), logs.clone());
        let notifier =
            Notifier::new(&settings.notify, to_tell, logs_of_builds, public_url.clone())?;
        let mail = notifier.default_choice();
        in_turns(&mut parts, &settings, (&upkeep, notifier), &name);
        let app = App::new(AppParts {
            store: store.clone(),
            oauth: oauth_app(&settings, &github)?,
            github,
            upkeep,
            admission: Arc::new(settings.admission.clone()),
            cookies: Cookies::new(&settings.public_url, store.seal()),
            feeds: Feeds::default(),
            live: Live::default(),
            exchanges: Arc::default(),
            bus,
            logs,
            terminals,
            trees: TreeLimits { bytes: settings.artifacts.try_limit, ..TreeLimits::default() },
            mail,
            metrics_token: settings.watch.metrics_token.clone(),
            unready: unready(store.clone(), engine, disk),
            github_url: settings.github_url.as_str().trim_end_matches('/').to_owned(),
            proxies: Arc::new(settings.limits.trusted_proxies.clone()),
            rates: between.rates(&settings),
            hosts: App::hosts(address, &settings.public_url),
            public_url: public_url.clone(),
            in_force: settings.in_force.clone().into(),
            avatars: Avatars::new(&settings.data_dir, &settings.github_url, &settings.trust)?,
            shutdown: shutdown.clone(),
        });
        web = Some(tokio::spawn(web::serve(listener, app)));
    }
    notify::ready();
    let stop_web = web.as_ref().map(JoinHandle::abort_handle);
    let web = async move {
        match web {
            Some(web) => web.await.context("the web server"),
            None => std::future::pending().await,
        }
    };
    tokio::pin!(web);
    let ended = tokio::select! {
        () = shutdown.requested() => Ok(()),
        ended = &mut web => ended,
        Some(ended) = parts.running.next() => ended,
    };
    shutdown.finish().await;
    // A client that reads slowly may have so much longer.
    if let Some(stop_web) = stop_web.filter(|web| !web.is_finished())
        && tokio::time::timeout(LAST_REQUESTS, web).await.is_err()
    {
        stop_web.abort();
    }
    blocks::leave(to_leave).await;
    store.close().await;
    line("stopped");
    ended
}

/// Speaks with the installation's other processes, where there are any.
fn reach_others(
    parts: &mut Parts,
    between: &Between,
    (role, store): (Role, &Store),
    terminals: &mut Terminals,
) {
    let Some((relay, logs)) = between.relay().zip(between.logs()) else { return };
    let shutdown = parts.shutdown.clone();
    parts.add("word from other processes", relay.clone().listen(shutdown.clone()));
    parts.add("the answers for other processes", logs.answer(shutdown.clone()));
    let word = pass_word(relay.clone(), store.clone(), role, shutdown.clone());
    parts.add("word for other processes", word);
    // The worker of a job may be anywhere, here as well.
    let (asking, asked) = terminal::terminals();
    let local = std::mem::replace(terminals, asking);
    let here = role.is_worker().then_some(local);
    let between = terminal::between(relay.clone(), here, asked, find_worker(store), shutdown);
    parts.add("the way to shells", between);
}

/// What a worker has in common with the rest of its process.
struct Shared<'a> {
    settings: &'a Settings,
    name: &'a str,
    logs: &'a Logs,
    bus: &'a Bus,
}

/// Starts all that a worker does; what it knows of the disks.
fn start_worker(
    parts: &mut Parts,
    shared: &Shared<'_>,
    (engine, upkeep): (&Arc<Engine>, &Upkeep),
    asks: Asks,
    (drain, limit): (Shutdown, Option<Duration>),
) -> anyhow::Result<Disk> {
    let &Shared { settings, name, logs, bus } = shared;
    let (store, shutdown) = (&upkeep.store, parts.shutdown.clone());
    let registry = settings.machines.cache_registry.as_deref();
    let cache = CacheKeeper::new(settings.cached_images_limit).shared(engine, registry);
    let source = Source::new(&settings.data_dir, &settings.known_hosts);
    let source = source.trusting(&settings.trust, &settings.data_dir)?;
    let source = source.limiting_lfs(settings.lfs_limit);
    source.remove_left_keys()?;
    let disk = disk(settings, (store, engine), (&source, logs), &cache);
    let worker = Worker {
        before_fetch: ensure_key(upkeep.clone()),
        store: store.clone(),
        engine: engine.clone(),
        source,
        logs: logs.clone(),
        bus: bus.clone(),
        limits: limits(settings),
        artifacts: artifact_rules(settings),
        cache,
        disk: disk.clone(),
        held: Held::default(),
        concurrency: settings.concurrency,
        labels: settings.worker_labels.clone(),
        keep_failed: settings.keep_failed,
        engine_timeout: settings.engine_timeout,
        name: name.to_owned(),
        public_url: upkeep.public_url.clone(),
        drain: drain.clone(),
    };
    parts.add("the sweep", worker::sweep(worker.clone(), shutdown.clone()));
    parts.add("the care of the logs", worker::keep_logs(worker.clone(), shutdown.clone()));
    let kept = worker::look_after_kept(worker.clone(), asks, shutdown.clone());
    parts.add("the care of kept containers", kept);
    parts.add("the care of the disks", disk.clone().keep(shutdown.clone()));
    parts.add("the worker", worker::run(worker, shutdown.clone()));
    if let Some(limit) = limit {
        parts.add("the drain", drained(drain, limit, shutdown));
    }
    Ok(disk)
}

/// Which worker has what is left of a job.
fn find_worker(store: &Store) -> terminal::Find {
    let store = store.clone();
    Arc::new(move |job| {
        let store = store.clone();
        Box::pin(async move {
            store.worker_of(job).await.unwrap_or_else(|error| {
                tracing::warn!(%job, %error, "the worker of a job can't be told");
                None
            })
        })
    })
}

fn reporter(store: &Store, github: &Client, name: &str, public_url: &str) -> Reporter {
    let (store, github) = (store.clone(), github.clone());
    Reporter { store, github, name: name.to_owned(), public_url: public_url.to_owned() }
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

/// What the server before, and its settings, have left to be put right.
async fn take_over(store: &Store, settings: &Settings, name: &str) -> Result<(), StoreError> {
    store.logins_named(&settings.admission.logins(), now()).await?;
    // Only this process works on a data folder of its own, so what is leased is lost.
    if sqlite_file(&settings.database_url).is_some() {
        store.leases_inherited(name).await?;
    }
    // Who had this name worked in this data folder, and is gone.
    store.leases_abandoned(name, now()).await?;
    store.reports_abandoned(name).await
}

/// What a person who started it wants to know.
fn announce(
    role: Role,
    settings: &Settings,
    (name, address, public_url): (&str, SocketAddr, &str),
    engine: Option<&EngineVersion>,
) {
    if role.is_web() {
        line(&format!("listening on http://{address}, reached as {public_url}"));
    }
    line(&format!("data folder {}", settings.data_dir.display()));
    line(&format!("database {}", without_password(&settings.database_url)));
    for (name, proxy) in outgoing::proxies() {
        line(&match proxy {
            Ok(proxy) => format!("{name} is {proxy}, by which others are reached"),
            Err(problem) => format!("{name} can't be used: it {problem}"),
        });
    }
    if settings.machines.redis_url.is_some() {
        line(&format!("one of several processes, as {name}"));
    }
    if let Some(engine) = engine {
        line(&format!("engine {engine}"));
        line(&format!("{} jobs at once", settings.concurrency));
        if !settings.worker_labels.is_empty() {
            line(&format!("takes jobs that need {}", settings.worker_labels.in_words()));
        }
    }
    if role.is_web() && settings.oauth.is_none() {
        line(
            "nobody can sign in: KOZMIC_GITHUB_CLIENT_ID and KOZMIC_GITHUB_CLIENT_SECRET are not set",
        );
    }
}

/// The listening port may have been chosen by the system.
fn public_url(settings: &Settings, address: SocketAddr) -> String {
    let mut url = settings.public_url.clone();
    if settings.listen.port() == 0 && url.port() == Some(0) {
        let _ = url.set_port(Some(address.port()));
    }
    url.as_str().trim_end_matches('/').to_owned()
}

/// A line for whoever started the server.
#[allow(clippy::print_stderr, reason = "start-up lines are for the person at the terminal")]
fn line(text: &str) {
    eprintln!("kozmic: {text}");
}
