//! The tailer: streams a job's log to a web socket. First what is there, from
//! line `?from=` on, then what is written, then `finished`. With `?partial=1` the
//! line under way is sent as well, again and again until it has its end. Who gives `?log=`
//! with what they were told is told which log it is: a job whose worker was lost begins
//! another one elsewhere, of which they have no line (`restart`).

use std::time::Duration;

use aws_lc_rs::digest;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::Deserialize;

use super::error::PageError;
use super::feed::{Step, message};
use super::tail::Tail;
use super::words::problems::{self, Thing};
use super::{App, access};
use crate::model::JobUuid;
use crate::store::Job;
use crate::telemetry::count::Viewer as Viewed;

/// A client that says nothing is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(20);
/// A client that takes nothing for so long is cut off; it may resume.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes that are read at a time: a client has nothing to say but that it is there.
const READ_BUFFER: usize = 1024;

#[derive(Deserialize)]
pub(super) struct Resume {
    /// The first line that is wanted; the first of all when missing.
    from: Option<u64>,
    /// Whether the line under way is wanted, too.
    partial: Option<String>,
    /// Which log the lines before that are of, empty when none is known.
    log: Option<String>,
}

pub(super) async fn tail(
    State(app): State<App>,
    Path(uuid): Path<String>,
    Query(resume): Query<Resume>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response, PageError> {
    if !access::is_same_origin(&headers) {
        return Err(PageError::Forbidden(problems::LOG_OTHER_SITE.into()));
    }
    let missing = || PageError::no_such(Thing::Job);
    let uuid: JobUuid = uuid.parse().map_err(|_| missing())?;
    app.store.job_by_uuid(uuid).await?.ok_or_else(missing)?;
    let viewer = Viewer {
        uuid,
        log: resume.log,
        next: resume.from.unwrap_or(1).max(1),
        wants_unfinished: resume.partial.is_some_and(|value| value != "0"),
    };
    // The client has nothing to say; what it says is bounded.
    let upgrade = upgrade.max_message_size(4096).read_buffer_size(READ_BUFFER);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let _counted = Viewed::of("log");
        if let Err(error) = viewer.stream(&app, socket).await {
            tracing::debug!(job = %uuid, %error, "a tailer ended early");
        }
    }))
}

/// Tells logs of one job from each other, without the name of who has them.
pub(super) fn log_id(job: &Job) -> String {
    let of = format!("{} {}", job.uuid, job.worker.as_deref().unwrap_or_default());
    let digest = digest::digest(&digest::SHA256, of.as_bytes());
    hex::encode(&digest.as_ref()[..8])
}

struct Viewer {
    uuid: JobUuid,
    /// Which log its lines are of, until that was compared; none when it need not be.
    log: Option<String>,
    /// The number of the line that it lacks.
    next: u64,
    wants_unfinished: bool,
}

impl Viewer {
    async fn stream(mut self, app: &App, mut socket: WebSocket) -> anyhow::Result<()> {
        if app.is_over(self.uuid).await {
            if !self.has_its_log(app, &mut socket).await? {
                return Ok(());
            }
            self.send_all(app, &mut socket).await?;
        } else if !self.follow(app, &mut socket).await? {
            return Ok(());
        }
        let finished = serde_json::json!({"type": "status", "content": "finished"});
        send(&mut socket, finished.to_string().into()).await?;
        tokio::time::timeout(SEND_TIMEOUT, socket.send(Message::Close(None))).await??;
        Ok(())
    }

    /// Tells which log it is. False: the lines that the viewer has are of another one, which
    /// it is told, too.
    async fn has_its_log(&mut self, app: &App, socket: &mut WebSocket) -> anyhow::Result<bool> {
        let Some(known) = self.log.take() else { return Ok(true) };
        // Its project was deleted: nothing more comes.
        let Some(job) = app.store.job_by_uuid(self.uuid).await? else { return Ok(false) };
        let log = log_id(&job);
        let is_same = self.next == 1 || known.is_empty() || known == log;
        let told = if is_same {
            serde_json::json!({"type": "log", "content": log})
        } else {
            serde_json::json!({"type": "restart"})
        };
        send(socket, told.to_string().into()).await?;
        Ok(is_same)
    }

    /// The rest of a log that is over.
    async fn send_all(&mut self, app: &App, socket: &mut WebSocket) -> anyhow::Result<()> {
        let mut tail = Tail::new(&app.logs, self.uuid, self.next);
        tail.ended(app.log_holder(self.uuid).await?);
        while let Some((_, html)) = tail.read(u64::MAX).await? {
            send(socket, message(&html)).await?;
        }
        Ok(())
    }

    /// A log that grows, until it is over; false when the viewer is to go before that.
    async fn follow(&mut self, app: &App, socket: &mut WebSocket) -> anyhow::Result<bool> {
        let feed = app.feeds.join(app, self.uuid);
        let mut shown = feed.shown();
        // While it is behind, its own reading of the file.
        let mut behind: Option<Tail> = None;
        let mut unfinished_sent = None;
        loop {
            let step = shown.borrow_and_update().after(self.next);
            // Not before there is something: who waits may wait for another worker.
            if let Step::Send(_) | Step::Read(_) | Step::Over = step
                && !self.has_its_log(app, socket).await?
            {
                return Ok(false);
            }
            match step {
                Step::Send(piece) => {
                    behind = None;
                    send(socket, piece.message).await?;
                    self.next = piece.next;
                    continue;
                }
                Step::Read(until) => {
                    let next = self.next;
                    let tail = behind.get_or_insert_with(|| Tail::new(&app.logs, self.uuid, next));
                    let Some((_, html)) = tail.read(until).await? else {
                        anyhow::bail!("the log lacks lines before {until}");
                    };
                    self.next = tail.next();
                    send(socket, message(&html)).await?;
                    continue;
                }
                Step::Over => return Ok(true),
                Step::Failed => return Ok(false),
                Step::Wait(unfinished) => {
                    behind = None;
                    let wanted = unfinished.filter(|_| self.wants_unfinished);
                    if let Some(text) = wanted.filter(|text| Some(text) != unfinished_sent.as_ref())
                    {
                        send(socket, text.clone()).await?;
                        unfinished_sent = Some(text);
                        continue;
                    }
                }
            }
            tokio::select! {
                changed = shown.changed() => changed?,
                () = app.shutdown.requested() => return Ok(false),
                () = tokio::time::sleep(PING_EVERY) => {
                    tokio::time::timeout(SEND_TIMEOUT, socket.send(Message::Ping(Bytes::new())))
                        .await??;
                }
                // Pongs and closes; a closed socket ends the loop.
                heard = socket.next() => match heard {
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(false),
                    Some(Ok(_)) => {}
                },
            }
        }
    }
}

async fn send(socket: &mut WebSocket, text: Utf8Bytes) -> anyhow::Result<()> {
    tokio::time::timeout(SEND_TIMEOUT, socket.send(Message::Text(text))).await??;
    Ok(())
}
