//! A shell in the container of a failed job, through a web socket; and that container
//! as an image.
//!
//! Bytes of the shell are binary messages, both ways. Everything else is a text message
//! with JSON. From the server: `{"type":"open","until":TIME}` first, and
//! `{"type":"exit","code":N}` or `{"type":"over","reason":SENTENCE}` last. From the
//! client: `{"type":"resize","columns":N,"rows":N}`, and `{"type":"end"}` after its last
//! byte. `?columns=…&rows=…` asks for a terminal; without them the shell has pipes.

use std::time::Duration;

use axum::body::Body;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{interval, timeout};
use tokio_stream::wrappers::ReceiverStream;
use utoipa::IntoParams;

use super::problem::Problem;
use crate::model::{Action, JobId};
use crate::terminal::{Input, Output, Refusal, Shell, Window};
use crate::web::access;
use crate::web::visitor::{Account, Acting};

/// A client that says nothing is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(20);
/// One that says nothing, not even that, or takes nothing for so long is gone.
const SILENCE: Duration = Duration::from_mins(10);
/// Bytes of one message of a client.
const MESSAGE: usize = 1 << 20;

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::conflict(refusal.0)
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// The terminal's width; without both there are pipes.
    columns: Option<u16>,
    /// The terminal's height.
    rows: Option<u16>,
}

pub(super) async fn open(
    Acting(app): Acting,
    account: Account,
    Path(job): Path<i64>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    if !access::is_same_origin(&headers) {
        return Err(Problem::forbidden("This shell is not for pages of other sites."));
    }
    let upgrade = upgrade.map_err(|rejection| {
        Problem::bad_request(format!("This is a web socket (`kozmic shell {job}`): {rejection}."))
    })?;
    let window = wanted.columns.zip(wanted.rows).map(|(columns, rows)| Window { columns, rows });
    let shell = app.terminals.shell(JobId(job), &account.login, window).await?;
    app.store.job_looked_into(Action::ShellOpened, JobId(job)).await?;
    let upgrade = upgrade.max_message_size(MESSAGE).max_frame_size(MESSAGE);
    Ok(upgrade.on_upgrade(move |socket| async move {
        if let Err(error) = attend(socket, shell).await {
            tracing::debug!(job, %error, "the client of a shell is gone");
        }
    }))
}

/// Until either side is gone. What is dropped then ends the other.
async fn attend(socket: WebSocket, shell: Shell) -> anyhow::Result<()> {
    let (to_client, from_client) = socket.split();
    let Shell { until, input, output } = shell;
    tokio::select! {
        given = give(output, to_client, until.to_string()) => given,
        taken = take(from_client, input) => taken,
    }
}

/// What the shell writes, until it ends.
async fn give(
    mut output: mpsc::Receiver<Output>,
    mut to_client: SplitSink<WebSocket, Message>,
    until: String,
) -> anyhow::Result<()> {
    let mut send = async |message: Message| -> anyhow::Result<()> {
        Ok(timeout(SILENCE, to_client.send(message)).await??)
    };
    send(Message::Text(json!({"type": "open", "until": until}).to_string().into())).await?;
    let mut ping = interval(PING_EVERY);
    loop {
        let last = tokio::select! {
            piece = output.recv() => match piece {
                Some(Output::Bytes(bytes)) => {
                    send(Message::Binary(bytes)).await?;
                    continue;
                }
                Some(Output::Exit(code)) => json!({"type": "exit", "code": code}),
                Some(Output::Over(reason)) => json!({"type": "over", "reason": reason}),
                None => json!({"type": "over", "reason": "The shell's worker is gone."}),
            },
            _ = ping.tick() => {
                send(Message::Ping(Bytes::new())).await?;
                continue;
            }
        };
        send(Message::Text(last.to_string().into())).await?;
        return send(Message::Close(None)).await;
    }
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Control {
    Resize { columns: u16, rows: u16 },
    End,
}

/// What the client writes, until it is gone.
async fn take(
    mut from_client: SplitStream<WebSocket>,
    input: mpsc::Sender<Input>,
) -> anyhow::Result<()> {
    // How long a shell takes nothing is its own affair, and says nothing of the client.
    while let Some(message) = timeout(SILENCE, from_client.next()).await? {
        let piece = match message? {
            Message::Binary(bytes) => Input::Bytes(bytes),
            Message::Text(text) => match serde_json::from_str(&text) {
                Ok(Control::Resize { columns, rows }) => Input::Resize(Window { columns, rows }),
                Ok(Control::End) => Input::End,
                Err(error) => anyhow::bail!("it says what nobody understands: {error}"),
            },
            Message::Close(_) => return Ok(()),
            Message::Ping(_) | Message::Pong(_) => continue,
        };
        if input.send(piece).await.is_err() {
            // The shell's last words are on their way.
            return std::future::pending().await;
        }
    }
    Ok(())
}

/// The container as an image, packed as `docker save` does. The head tells its id and
/// about how many bytes come.
pub(super) async fn image(
    Acting(app): Acting,
    account: Account,
    Path(job): Path<i64>,
) -> Result<Response, Problem> {
    let image = app.terminals.image(JobId(job), &account.login).await?;
    app.store.job_looked_into(Action::ContainerPulled, JobId(job)).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/x-tar".to_owned()),
        (HeaderName::from_static("x-kozmic-image"), image.id),
        (HeaderName::from_static("x-kozmic-image-size"), image.size.to_string()),
    ];
    Ok((headers, Body::from_stream(ReceiverStream::new(image.bytes))).into_response())
}
