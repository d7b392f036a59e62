//! `kozmic serve`: everything in one process.

use std::fs::File;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;

use super::{now, open_store};
use crate::config::Settings;
use crate::engine::Engine;
use crate::github::Client;
use crate::log::{Bus, LogFolder};
use crate::report::{self, Reporter};
use crate::shutdown::{self, Shutdown};
use crate::source::Source;
use crate::store::{Store, without_password};
use crate::web::{self, App, Unready};
use crate::worker::{self, CacheKeeper, Limits, Worker};

pub(super) async fn run(settings: Settings) -> anyhow::Result<()> {
    start_logging();
    web::check_listen(settings.listen)?;
    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("can't listen on {} (KOZMIC_LISTEN)", settings.listen))?;
    let shutdown = Shutdown::new();
    let on_signal = shutdown.clone();
    tokio::spawn(async move {
        match shutdown::signal().await {
            Ok(()) => line("stopping: jobs under way go back to the queue"),
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

/// Serves on `listener` until `shutdown` is requested and everything under way
/// has ended.
pub async fn serve(
    listener: TcpListener,
    settings: Settings,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let address = listener.local_addr().context("the listening address")?;
    let store = open_store(&settings).await?;
    let _lock = lock_data_dir(&settings)?;
    let instance = store.instance(now()).await?;
    let engine = Arc::new(Engine::connect(settings.docker_host.as_deref(), &instance).await?);
    let version = engine.version().await?;
    // Only this process works on a data folder of its own, so what is leased is lost.
    if settings.database_url.starts_with("sqlite:") {
        store.leases_abandoned(now()).await?;
    }
    let public_url = public_url(&settings, address);
    let bus = Bus::default();
    let logs = LogFolder::new(&settings.data_dir);
    let github = Client::new(&settings.github_api_url)?;
    let worker = Worker {
        store: store.clone(),
        engine: engine.clone(),
        source: Source::new(&settings.data_dir),
        logs: logs.clone(),
        bus: bus.clone(),
        limits: Limits {
            stall: settings.stall_timeout,
            job: settings.job_timeout,
            log: settings.log_limit,
        },
        cache: CacheKeeper::new(settings.cached_images_limit),
        concurrency: settings.concurrency,
        name: format!("{instance}:{}", std::process::id()),
        public_url: public_url.clone(),
    };
    let reporter =
        Reporter { store: store.clone(), github: github.clone(), public_url: public_url.clone() };
    let app = App {
        store: store.clone(),
        github,
        bus,
        logs,
        unready: unready(store.clone(), engine),
        github_url: settings.github_url.as_str().trim_end_matches('/').to_owned(),
        hosts: App::hosts(address, &settings.public_url),
        public_url: public_url.clone(),
        shutdown: shutdown.clone(),
    };
    line(&format!("listening on http://{address}, reached as {public_url}"));
    line(&format!("data folder {}", settings.data_dir.display()));
    line(&format!("database {}", without_password(&settings.database_url)));
    line(&format!("engine {} {} (API {})", version.name, version.version, version.api));
    line(&format!("{} jobs at once", settings.concurrency));
    for name in &settings.without_effect {
        line(&format!("warning: {name} is set, but has no effect in this version"));
    }
    let web = shutdown.spawn(web::serve(listener, app));
    shutdown.spawn(worker::sweep(worker.clone(), shutdown.clone()));
    shutdown.spawn(worker::run(worker, shutdown.clone()));
    let reports = shutdown.spawn(report::run(reporter, shutdown.clone()));
    let ended = tokio::select! {
        () = shutdown.requested() => Ok(()),
        ended = web => ended.context("the web server")?.context("the web server"),
        ended = reports => ended.context("the reports"),
    };
    shutdown.finish().await;
    store.close().await;
    line("stopped");
    ended
}

/// What `/readyz` asks.
fn unready(store: Store, engine: Arc<Engine>) -> Unready {
    Arc::new(move || {
        let (store, engine) = (store.clone(), engine.clone());
        Box::pin(async move {
            let (store, engine) = tokio::join!(store.ping(), engine.ping());
            let parts = [("store", store.is_err()), ("engine", engine.is_err())];
            parts.into_iter().filter(|(_, silent)| *silent).map(|(part, _)| part).collect()
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

/// Held as long as the server runs; two servers in one data folder would give
/// each other's jobs up as lost.
fn lock_data_dir(settings: &Settings) -> anyhow::Result<File> {
    let path = settings.data_dir.join("lock");
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            anyhow::bail!("another server works in the data folder {}", settings.data_dir.display())
        }
        Err(std::fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| path.display().to_string())
        }
    }
}

fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("KOZMIC_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,sqlx=warn"));
    // Standard error, so that standard output stays free for a command's answer.
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr);
    let _ = subscriber.try_init();
}

/// A line for whoever started the server.
#[allow(clippy::print_stderr, reason = "start-up lines are for the person at the terminal")]
fn line(text: &str) {
    eprintln!("kozmic: {text}");
}
