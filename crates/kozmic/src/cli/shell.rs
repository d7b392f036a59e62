//! `kozmic shell`: a shell in the container of a failed job, from anywhere.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use futures_util::{SinkExt as _, StreamExt as _};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use serde::Deserialize;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::server::Server;

/// The server says that it is there three times as often.
const SILENCE: Duration = Duration::from_mins(1);
/// Bytes of input that are sent at once.
const PIECE: usize = 8 * 1024;

#[derive(Debug, Args)]
pub(super) struct Command {
    #[command(flatten)]
    server: Server,
    /// The job's number: the last one in the address of its page
    job: i64,
}

/// What the server says beside the shell's bytes.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Told {
    Open { until: String },
    Exit { code: i64 },
    Over { reason: String },
}

/// The terminal hands on every key, until this is dropped.
struct Raw(Termios);

impl Raw {
    fn begin() -> rustix::io::Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Nobody is left who could be told.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Ends with the shell's own code.
pub(super) async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let Command { server, job } = command;
    let has_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let size = has_terminal.then(window).transpose()?;
    let query =
        size.map_or_else(String::new, |(columns, rows)| format!("?columns={columns}&rows={rows}"));
    let socket = server.socket(&format!("jobs/{job}/shell{query}")).await?;
    let raw = has_terminal.then(Raw::begin).transpose().context("the terminal")?;
    let (to_shell, from_shell) = socket.split();
    let (mut terminate, mut hang_up) =
        (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    let ended = tokio::select! {
        ended = receive(from_shell, job, has_terminal) => ended,
        sent = send(to_shell, has_terminal) => match sent {
            // The shell's end tells why it takes no more.
            Err(error) => Err(error),
            Ok(never) => match never {},
        },
        _ = terminate.recv() => Ok(128 + 15),
        _ = hang_up.recv() => Ok(128 + 1),
    };
    // Before anything is said.
    drop(raw);
    Ok(ExitCode::from(ended?))
}

fn window() -> anyhow::Result<(u16, u16)> {
    let size = tcgetwinsize(std::io::stdout()).context("the terminal's size")?;
    Ok((size.ws_col.max(1), size.ws_row.max(1)))
}

type Receiving = futures_util::stream::SplitStream<super::server::Socket>;
type Sending = futures_util::stream::SplitSink<super::server::Socket, Message>;

/// What the shell writes goes to standard output; its code, in eight bits.
async fn receive(mut from_shell: Receiving, job: i64, says: bool) -> anyhow::Result<u8> {
    let mut output = std::io::stdout();
    loop {
        let message = tokio::time::timeout(SILENCE, from_shell.next())
            .await
            .context("the server does not answer any more")?
            .context("the connection to the server ended before the shell did")?
            .context("the connection to the server broke")?;
        match message {
            Message::Binary(bytes) => {
                tokio::task::block_in_place(|| {
                    output.write_all(&bytes).and_then(|()| output.flush())
                })
                .context("what the shell writes can't be shown")?;
            }
            Message::Text(text) => match serde_json::from_str(&text)? {
                Told::Open { until } if says => tell(&format!(
                    "the container of job {job}, kept until {until}; `exit` leaves it"
                )),
                Told::Open { .. } => {}
                Told::Exit { code } => return Ok(u8::try_from(code & 0xff).unwrap_or(1)),
                Told::Over { reason } => bail!("{reason}"),
            },
            _ => {}
        }
    }
}

/// In a terminal that is raw already.
#[allow(clippy::print_stderr, reason = "a line for the person at the terminal")]
fn tell(text: &str) {
    eprint!("kozmic: {text}\r\n");
}

/// Standard input, and the terminal's size whenever it changes.
async fn send(
    mut to_shell: Sending,
    has_terminal: bool,
) -> anyhow::Result<std::convert::Infallible> {
    let (sender, mut input) = mpsc::channel(4);
    // A thread of its own: nothing can end a read of standard input, and who leaves must
    // not wait for one more key.
    std::thread::spawn(move || read_input(&sender));
    let mut resized = signal(SignalKind::window_change())?;
    let mut is_over = false;
    loop {
        let message = tokio::select! {
            piece = input.recv(), if !is_over => match piece {
                Some(bytes) => Message::Binary(bytes),
                None => {
                    is_over = true;
                    Message::Text(json!({"type": "end"}).to_string().into())
                }
            },
            Some(()) = resized.recv(), if has_terminal => {
                let (columns, rows) = window()?;
                let size = json!({"type": "resize", "columns": columns, "rows": rows});
                Message::Text(size.to_string().into())
            }
            else => std::future::pending().await,
        };
        if to_shell.send(message).await.is_err() {
            // Why is heard on the other way.
            std::future::pending::<()>().await;
        }
    }
}

fn read_input(sender: &mpsc::Sender<Bytes>) {
    let mut input = std::io::stdin();
    let mut piece = [0; PIECE];
    loop {
        match input.read(&mut piece) {
            Ok(0) => return,
            Ok(length) => {
                if sender.blocking_send(Bytes::copy_from_slice(&piece[..length])).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
