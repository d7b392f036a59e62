//! What connects this process with the others of its installation, and what only one of
//! them does at a time.

use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::broadcast::error::RecvError;

use super::now;
use super::role::Role;
use crate::config::Settings;
use crate::log::Elsewhere;
use crate::rates::{PerMinute, Rates};
use crate::relay::Relay;
use crate::shutdown::Shutdown;
use crate::store::Store;

/// Made-up codes of sign-ins that one address has asked of GitHub in a minute: a part of what is
/// asked for all (`web/exchanges`).
const CODES: u32 = 20;
const BY_WEB: &str = "changed-by-web";
const BY_WORKER: &str = "changed-by-worker";
/// Changes are told together that are no further apart.
const TOGETHER: Duration = Duration::from_millis(50);
/// Whoever has a turn keeps it so long without asking again.
const TURN: Duration = Duration::from_mins(1);

/// None: this process is alone.
pub(super) struct Between(Option<(Relay, Elsewhere)>);

impl Between {
    pub(super) fn new(settings: &Settings, instance: &str, name: &str) -> anyhow::Result<Self> {
        let Some(url) = &settings.machines.redis_url else { return Ok(Self(None)) };
        let relay = Relay::new(url, instance, name)?;
        let elsewhere = Elsewhere::new(&settings.data_dir, relay.clone());
        let elsewhere = elsewhere.context("the copies of other processes' logs")?;
        Ok(Self(Some((relay, elsewhere))))
    }

    pub(super) fn relay(&self) -> Option<&Relay> {
        self.0.as_ref().map(|(relay, _)| relay)
    }

    /// How often who may ask, by all processes together.
    pub(super) fn rates(&self, settings: &Settings) -> Rates {
        let limits = &settings.limits;
        let rates = PerMinute {
            sign_in: limits.sign_in,
            code: limits.sign_in.map(|_| CODES),
            api: limits.api,
            stranger: limits.stranger,
            delivery: limits.stranger,
        };
        Rates::new(rates, self.relay().cloned())
    }

    pub(super) fn logs(&self) -> Option<Elsewhere> {
        self.0.as_ref().map(|(_, elsewhere)| elsewhere.clone())
    }
}

/// Tells other processes at once what they would find by themselves some seconds later: web
/// processes tell workers of jobs, and workers tell them of their changes. What somebody
/// hears and tells again goes the other way, and ends there.
pub(super) async fn pass_word(relay: Relay, store: Store, role: Role, shutdown: Shutdown) {
    let (mut builds, mut leases) = (store.builds_changed(), store.leases_changed());
    let mut heard = relay.heard();
    let hear = async {
        loop {
            match heard.recv().await {
                Ok(what) if *what == *BY_WEB && role.is_worker() => store.web_changed(),
                Ok(what) if *what == *BY_WORKER && role == Role::Web => store.worker_changed(),
                Err(RecvError::Closed) => return,
                // Who misses something looks again soon.
                Ok(_) | Err(RecvError::Lagged(_)) => {}
            }
        }
    };
    let tell = async {
        loop {
            let is_open = tokio::select! {
                changed = builds.changed() => changed.is_ok(),
                changed = leases.changed(), if role == Role::Web => changed.is_ok(),
            };
            if !is_open {
                return;
            }
            for (word, is_told) in [(BY_WEB, role.is_web()), (BY_WORKER, role.is_worker())] {
                if is_told && let Err(error) = relay.tell(word).await {
                    tracing::debug!(%error, "others find by themselves that something changed");
                }
            }
            // What follows soon is told with it.
            tokio::time::sleep(TOGETHER).await;
        }
    };
    tokio::select! {
        () = shutdown.requested() => {}
        () = hear => {}
        () = tell => {}
    }
}

/// Runs `task` as long as it is this process's turn, until shutdown, which ends the task
/// as well.
pub(super) async fn in_turn<F: Future<Output = ()>>(
    store: Store,
    (what, name): (&'static str, String),
    shutdown: Shutdown,
    task: impl Fn() -> F,
) {
    let has_turn = async || match store.has_turn(what, &name, now().plus(TURN), now()).await {
        Ok(has_turn) => has_turn,
        Err(error) => {
            tracing::warn!(%error, what, "whose turn it is can't be told");
            false
        }
    };
    loop {
        if has_turn().await {
            let running = task();
            tokio::pin!(running);
            loop {
                tokio::select! {
                    () = &mut running => return,
                    () = tokio::time::sleep(TURN / 3) => if !has_turn().await { break },
                }
            }
        }
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(TURN / 3) => {}
        }
    }
}
