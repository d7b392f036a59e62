//! What changes, told to the pages that show it, by one web socket of each page. A page is
//! told which projects have changed, of those that its visitor may see, and asks for itself
//! again. One task looks for changes, as long as anybody listens: when this process has made
//! one, and now and then because another process may have.
//!
//! A web socket and not server-sent events: browsers open six connections to a server at the
//! most over HTTP/1.1 (developer.mozilla.org, `EventSource`), and a seventh tab would wait
//! for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::error::PageError;
use super::visitor::Visitor;
use super::words::problems;
use super::{App, access};
use crate::model::{ProjectId, Timestamp};
use crate::store::{Listed, Store, StoreError, Work};
use crate::telemetry::count::Viewer;

/// Between two looks; what changes meanwhile is told together.
const PAUSE: Duration = Duration::from_millis(250);
/// Another process may have changed something.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Jobs that ended so long before a look are not overlooked, whatever the pause.
const LOOK_BACK: Duration = Duration::from_mins(1);
/// A page that listens is told no more often.
const TOLD_EVERY: Duration = Duration::from_millis(500);
/// Changes that a slow listener may be behind; it is told that all may have changed then.
const BEHIND: usize = 64;
/// A page that says nothing is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(20);
/// A page that takes nothing for so long is cut off.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// Then the page connects again, and is asked again who it is.
const LIFETIME: Duration = Duration::from_mins(15);

/// The watch that is kept now, if any. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Live(Arc<Mutex<Weak<Watch>>>);

/// The projects that have changed; none: any may have.
type Changed = Option<Arc<[ProjectId]>>;

/// Goes on as long as somebody holds it.
#[derive(Debug)]
struct Watch {
    told: broadcast::Sender<Changed>,
    _task: AbortOnDropHandle<()>,
}

impl Live {
    /// The watch; it begins with who listens first.
    fn join(&self, app: &App) -> Arc<Watch> {
        let mut watch = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watch) = watch.upgrade() {
            return watch;
        }
        let told = broadcast::Sender::new(BEHIND);
        let woken = app.store.builds_changed();
        let task = tokio::spawn(look(app.store.clone(), woken, told.clone()));
        let new = Arc::new(Watch { told, _task: AbortOnDropHandle::new(task) });
        *watch = Arc::downgrade(&new);
        new
    }
}

async fn look(store: Store, mut woken: watch::Receiver<u64>, told: broadcast::Sender<Changed>) {
    let mut seen: Option<BTreeMap<ProjectId, Work>> = None;
    loop {
        let began = Instant::now();
        if seen.is_some() {
            woken.borrow_and_update();
        }
        match store.work_under_way(Timestamp::now().minus(LOOK_BACK)).await {
            Ok(work) => {
                let changed = match &seen {
                    Some(before) => changed(before, &work),
                    // Whether it was there when the first listener came is not known.
                    None => woken.has_changed().is_ok_and(|is| is).then_some(None),
                };
                if let Some(changed) = changed {
                    // Nobody may listen just now.
                    let _ = told.send(changed);
                }
                seen = Some(work);
            }
            Err(error) => tracing::warn!(%error, "changes can't be looked for"),
        }
        sleep_until(began + PAUSE).await;
        tokio::select! {
            changed = woken.changed() => if changed.is_err() { return },
            () = sleep(LOOK_EVERY) => {}
        }
    }
}

/// None when nothing has.
fn changed(before: &BTreeMap<ProjectId, Work>, now: &BTreeMap<ProjectId, Work>) -> Option<Changed> {
    let of = |work: &BTreeMap<ProjectId, Work>, id: &ProjectId| {
        work.get(id).copied().unwrap_or_default()
    };
    let all: BTreeSet<ProjectId> = before.keys().chain(now.keys()).copied().collect();
    let changed: Vec<ProjectId> =
        all.into_iter().filter(|id| of(now, id).has_changed(of(before, id))).collect();
    (!changed.is_empty()).then(|| Some(changed.into()))
}

#[derive(Deserialize)]
pub(super) struct Since {
    /// What the page was made from, as [`version`] gave it.
    since: Option<String>,
}

/// Another one when something may have changed that a page shows.
pub(super) fn version(app: &App) -> String {
    format!("{}.{}", std::process::id(), *app.store.builds_changed().borrow())
}

pub(super) async fn live(
    State(app): State<App>,
    visitor: Visitor,
    Query(Since { since }): Query<Since>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response, PageError> {
    if !access::is_same_origin(&headers) {
        return Err(PageError::Forbidden(problems::OTHER_SITE.into()));
    }
    // A page has nothing to say; what it says is bounded.
    let upgrade = upgrade.max_message_size(4096).read_buffer_size(1024);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let _counted = Viewer::of("page");
        if let Err(error) = tell(&app, visitor.projects(), since, socket).await {
            tracing::debug!(%error, "a page went away");
        }
    }))
}

async fn tell(
    app: &App,
    of: Listed,
    since: Option<String>,
    mut socket: WebSocket,
) -> anyhow::Result<()> {
    let watch = app.live.join(app);
    let mut told = watch.told.subscribe();
    // Compared after listening, so that nothing is missed in between.
    if since.is_some_and(|since| since != version(app)) {
        send(&mut socket, message(None)).await?;
    }
    let end = Instant::now() + LIFETIME;
    loop {
        tokio::select! {
            changed = told.recv() => {
                let message = match changed {
                    Ok(Some(changed)) => seen_by(app, of, &changed).await?,
                    Ok(None) | Err(RecvError::Lagged(_)) => Some(message(None)),
                    Err(RecvError::Closed) => return Ok(()),
                };
                if let Some(message) = message {
                    send(&mut socket, message).await?;
                    sleep(TOLD_EVERY).await;
                }
            }
            () = app.shutdown.requested() => return Ok(()),
            () = sleep_until(end) => {
                tokio::time::timeout(SEND_TIMEOUT, socket.send(Message::Close(None))).await??;
                return Ok(());
            }
            () = sleep(PING_EVERY) => {
                tokio::time::timeout(SEND_TIMEOUT, socket.send(Message::Ping(Bytes::new())))
                    .await??;
            }
            // Pongs and closes; a closed socket ends the loop.
            heard = socket.next() => match heard {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(()),
                Some(Ok(_)) => {}
            },
        }
    }
}

/// What is told of these to who may see some of them.
async fn seen_by(
    app: &App,
    of: Listed,
    changed: &[ProjectId],
) -> Result<Option<Utf8Bytes>, StoreError> {
    let seen = app.store.listed_among(of, changed).await?;
    Ok((!seen.is_empty()).then(|| message(Some(&seen))))
}

/// These projects have changed; none: any may have.
fn message(projects: Option<&[ProjectId]>) -> Utf8Bytes {
    serde_json::json!({"type": "changed", "projects": projects}).to_string().into()
}

async fn send(socket: &mut WebSocket, text: Utf8Bytes) -> anyhow::Result<()> {
    tokio::time::timeout(SEND_TIMEOUT, socket.send(Message::Text(text))).await??;
    Ok(())
}
