//! The tailer: streams a job's log to a web socket. First what is there, from
//! line `?from=` on, then what is written, then `finished`.

use std::time::Duration;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::Deserialize;

use super::error::PageError;
use super::jobs::line_html;
use super::{App, access};
use crate::log::{Progress, Reader};
use crate::model::JobUuid;

/// A message holds about this much HTML at the most.
const MESSAGE_SIZE: usize = 64 * 1024;
/// Lines read at a time.
const ROWS: usize = 200;
/// A client that says nothing is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(20);
/// A client that takes nothing for so long is cut off; it may resume.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
pub(super) struct Resume {
    /// The first line that is wanted; the first of all when missing.
    from: Option<u64>,
}

pub(super) async fn tail(
    State(app): State<App>,
    Path(uuid): Path<String>,
    Query(resume): Query<Resume>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Result<Response, PageError> {
    if !access::is_same_origin(&headers) {
        return Err(PageError::Forbidden("This log is not for pages of other sites.".into()));
    }
    let missing = || PageError::no_such("job");
    let uuid: JobUuid = uuid.parse().map_err(|_| missing())?;
    app.store.job_by_uuid(uuid).await?.ok_or_else(missing)?;
    let from = resume.from.unwrap_or(1).max(1);
    // The client has nothing to say; what it says is bounded.
    Ok(upgrade.max_message_size(4096).on_upgrade(move |socket| async move {
        if let Err(error) = stream(app, uuid, from, socket).await {
            tracing::debug!(job = %uuid, %error, "a tailer ended early");
        }
    }))
}

async fn stream(app: App, uuid: JobUuid, from: u64, mut socket: WebSocket) -> anyhow::Result<()> {
    let mut follower = app.bus.follow(uuid);
    // Asked after following, so that its end is not missed in between.
    let mut is_over = app.is_over(uuid).await;
    let mut tail = Tail { reader: None, next: from };
    loop {
        is_over |= *follower.borrow_and_update() == Progress::Finished;
        if tail.reader.is_none() {
            tail.reader = app.logs.reader(uuid).await?;
        }
        while let Some(content) = tail.read(is_over).await? {
            send(&mut socket, &serde_json::json!({"type": "message", "content": content})).await?;
        }
        if is_over {
            send(&mut socket, &serde_json::json!({"type": "status", "content": "finished"}))
                .await?;
            tokio::time::timeout(SEND_TIMEOUT, socket.send(Message::Close(None))).await??;
            return Ok(());
        }
        tokio::select! {
            changed = follower.changed() => is_over |= changed.is_err(),
            () = app.shutdown.requested() => return Ok(()),
            () = tokio::time::sleep(PING_EVERY) => {
                // A job may end in another process, or before any worker had it.
                is_over |= app.is_over(uuid).await;
                tokio::time::timeout(SEND_TIMEOUT, socket.send(Message::Ping(Bytes::new()))).await??;
            }
            // Pongs and closes; a closed socket ends the loop.
            heard = socket.next() => match heard {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(()),
                Some(Ok(_)) => {}
            },
        }
    }
}

async fn send(socket: &mut WebSocket, message: &serde_json::Value) -> anyhow::Result<()> {
    tokio::time::timeout(SEND_TIMEOUT, socket.send(Message::text(message.to_string()))).await??;
    Ok(())
}

struct Tail {
    reader: Option<Reader>,
    /// The line that is read next.
    next: u64,
}

impl Tail {
    /// The HTML of the next lines; none when nothing more is written yet.
    async fn read(&mut self, is_over: bool) -> anyhow::Result<Option<String>> {
        let Some(reader) = &mut self.reader else { return Ok(None) };
        if is_over {
            reader.ended();
        }
        let mut html = String::new();
        while html.len() < MESSAGE_SIZE {
            let rows = reader.rows(self.next, ROWS).await?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                html.push_str(&line_html(row.number, &row.html));
                self.next = row.number + 1;
            }
        }
        Ok((!html.is_empty()).then_some(html))
    }
}
