//! What a server consists of, beside what it answers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use super::line;
use crate::cli::between::in_turn;
use crate::config::Settings;
use crate::engine::Engine;
use crate::github::Client;
use crate::intake::{self, Reconciler};
use crate::report::{self, Notifier};
use crate::shutdown::Shutdown;
use crate::store::{Store, sqlite_file};
use crate::upkeep::{self, Upkeep};
use crate::web::Unready;
use crate::worker::{BeforeFetch, Disk};

/// How long a fetch waits for GitHub to tell of the deploy key.
const KEY_TIME: Duration = Duration::from_secs(10);

/// What runs in the background. None of them ends by itself, but for a worker that is asked
/// to; without one of them the others are no server.
pub(super) struct Parts {
    pub(super) shutdown: Shutdown,
    pub(super) running: FuturesUnordered<BoxFuture<'static, anyhow::Result<()>>>,
}

impl Parts {
    pub(super) fn new(shutdown: &Shutdown) -> Self {
        Self { shutdown: shutdown.clone(), running: FuturesUnordered::new() }
    }

    pub(super) fn add(
        &mut self,
        what: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let task = self.shutdown.spawn(task);
        self.running.push(Box::pin(async move { task.await.context(what) }));
    }
}

/// What one of several processes does at a time: it compares with GitHub, and sends mails.
pub(super) fn in_turns(
    parts: &mut Parts,
    settings: &Settings,
    (upkeep, notifier): (&Upkeep, Notifier),
    name: &str,
) {
    let shutdown = parts.shutdown.clone();
    let (store, interval) = (upkeep.store.clone(), settings.sync_interval);
    let reconciler = reconciler(settings, &store, &upkeep.github);
    let audit = upkeep::keep_audit(store.clone(), settings.keep_audit, shutdown.clone());
    parts.add("the audit log", audit);
    let (stop, upkeep) = (shutdown.clone(), upkeep.clone());
    let keep_up = move || upkeep::run(upkeep.clone(), interval, stop.clone());
    let stop = shutdown.clone();
    let reconcile = move || intake::reconcile(reconciler.clone(), stop.clone());
    let stop = shutdown.clone();
    let notify = move || report::notify(notifier.clone(), stop.clone());
    if sqlite_file(&settings.database_url).is_some() {
        parts.add("the upkeep", keep_up());
        parts.add("the reconciliation", reconcile());
        parts.add("mails and webhooks", notify());
        return;
    }
    let whose = |what| (what, name.to_owned());
    let task = in_turn(store.clone(), whose("upkeep"), shutdown.clone(), keep_up);
    parts.add("the upkeep", task);
    let task = in_turn(store.clone(), whose("reconciliation"), shutdown.clone(), reconcile);
    parts.add("the reconciliation", task);
    let task = in_turn(store, whose("notices"), shutdown, notify);
    parts.add("mails and webhooks", task);
}

/// The jobs of a worker that was asked to stop have so long.
pub(super) async fn drained(drain: Shutdown, limit: Duration, shutdown: Shutdown) {
    let over = async {
        drain.requested().await;
        tokio::time::sleep(limit).await;
    };
    tokio::select! {
        () = shutdown.requested() => {}
        () = over => {
            line("the time is over: scripts that run go on, and are attended to after the next start");
            shutdown.request();
        }
    }
}

fn reconciler(settings: &Settings, store: &Store, github: &Client) -> Reconciler {
    let interval = settings.reconcile_interval;
    Reconciler { store: store.clone(), github: github.clone(), interval }
}

/// A private project's deploy key is looked after before it is needed. One that can't
/// be looked after now may work all the same.
pub(super) fn ensure_key(upkeep: Upkeep) -> BeforeFetch {
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

/// What `/readyz` asks. Not Redis: without it a process still does most of what it is for.
pub(super) fn unready(store: Store, engine: Option<Arc<Engine>>, disk: Option<Disk>) -> Unready {
    Arc::new(move || {
        let (store, engine) = (store.clone(), engine.clone());
        let disk = disk.clone();
        Box::pin(async move {
            let engine = async {
                match &engine {
                    Some(engine) => engine.ping().await.is_err(),
                    None => false,
                }
            };
            let (store, engine) = tokio::join!(store.ping(), engine);
            let parts = [
                ("no answer from the store", store.is_err()),
                ("no answer from the engine", engine),
                ("no room on the disk", disk.is_some_and(|disk| disk.refusal().is_some())),
            ];
            parts.into_iter().filter(|(_, is_so)| *is_so).map(|(words, _)| words).collect()
        })
    })
}
