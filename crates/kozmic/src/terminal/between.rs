//! The way from those who ask in one process to the worker in another. Each piece is a
//! question that is answered when the other side has room for it, so that who does not
//! read holds up nobody else, and nothing is lost or doubled.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::{Ask, Asks, ImageAsk, Input, Output, PIECES, Refusal, ShellAsk, Terminals, Window};
use crate::model::{JobId, JobUuid, Timestamp};
use crate::relay::{Question, Relay};
use crate::shutdown::Shutdown;

const KIND: &str = "terminal";
/// The other side has so long to make room before it is asked again.
const ROOM: Duration = Duration::from_secs(2);
/// The other side is gone when it takes nothing for so long.
const GONE: Duration = Duration::from_secs(30);
/// A worker that has nothing to say says that it is there.
const PING: Duration = Duration::from_secs(20);
/// One that does not say so is gone.
const SILENCE: Duration = Duration::from_secs(90);

/// Tells which worker has what is left of a job; none when no worker ever had it.
pub type Find = Arc<dyn Fn(JobId) -> BoxFuture<'static, Option<String>> + Send + Sync>;

#[derive(Debug, Serialize, Deserialize)]
struct Opening {
    job: i64,
    by: String,
    /// Columns and rows.
    window: Option<(u16, u16)>,
    is_image: bool,
}

/// What passes: a word or some, and bytes.
type Piece = (String, Bytes);

#[derive(Debug)]
struct Inbox {
    sender: mpsc::Sender<Piece>,
    /// The number of the last piece.
    last: u64,
}

/// Cheap to clone.
#[derive(Debug, Clone)]
struct Wire {
    relay: Relay,
    inboxes: Arc<Mutex<HashMap<String, Inbox>>>,
}

/// One end of a session.
struct End {
    wire: Wire,
    session: String,
    other: String,
    sent: u64,
}

impl Drop for End {
    fn drop(&mut self) {
        self.wire.lock().remove(&self.session);
    }
}

/// Passes what is asked in this process on to the worker that `find` names, in whichever
/// process that is, and lets those who ask elsewhere meet the worker of this one, if it
/// has one. Until shutdown.
pub async fn between(
    relay: Relay,
    here: Option<Terminals>,
    mut asks: Asks,
    find: Find,
    shutdown: Shutdown,
) {
    let wire = Wire { relay, inboxes: Arc::default() };
    let take = wire.clone().take(here);
    let pass = async {
        while let Some(ask) = asks.next().await {
            tokio::spawn(wire.clone().pass(ask, find.clone()));
        }
        // Nobody asks here.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = shutdown.requested() => {}
        () = take => {}
        () = pass => {}
    }
}

impl Wire {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Inbox>> {
        self.inboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, session: &str, other: &str) -> (End, mpsc::Receiver<Piece>) {
        let (sender, receiver) = mpsc::channel(PIECES);
        self.lock().insert(session.to_owned(), Inbox { sender, last: 0 });
        let (session, other) = (session.to_owned(), other.to_owned());
        (End { wire: self.clone(), session, other, sent: 0 }, receiver)
    }

    /// Takes the pieces that come for this process.
    async fn take(self, terminals: Option<Terminals>) {
        let mut questions = self.relay.questions(KIND);
        while let Some(question) = questions.recv().await {
            tokio::spawn(self.clone().take_one(question, terminals.clone()));
        }
    }

    async fn take_one(self, question: Question, terminals: Option<Terminals>) {
        let answer = match parse(&question.body) {
            Some((session, number, words, body)) => {
                if let Some(terminals) = terminals.filter(|_| words == "open" && number == 1) {
                    self.begin(&session, question.from(), &body, terminals);
                    "taken"
                } else {
                    self.put(&session, number, words, body).await
                }
            }
            None => "gone",
        };
        if let Err(error) = question.answer(answer.as_bytes()).await {
            tracing::debug!(%error, "a piece of a shell is not acknowledged");
        }
    }

    async fn put(&self, session: &str, number: u64, words: String, body: Bytes) -> &'static str {
        let sender = {
            let inboxes = self.lock();
            let Some(inbox) = inboxes.get(session) else { return "gone" };
            if number <= inbox.last {
                return "taken";
            }
            inbox.sender.clone()
        };
        match timeout(ROOM, sender.reserve()).await {
            Err(_) => "busy",
            Ok(Err(_)) => "gone",
            Ok(Ok(place)) => {
                let mut inboxes = self.lock();
                let Some(inbox) = inboxes.get_mut(session) else { return "gone" };
                // The same one may have come twice.
                if number > inbox.last {
                    inbox.last = number;
                    place.send((words, body));
                }
                "taken"
            }
        }
    }

    /// Somebody in another process asks; once, however often the piece comes.
    fn begin(&self, session: &str, from: &str, body: &Bytes, terminals: Terminals) {
        if self.lock().contains_key(session) {
            return;
        }
        let Ok(opening) = serde_json::from_slice::<Opening>(body) else { return };
        let (end, inbox) = self.end(session, from);
        if let Some(inbox) = self.lock().get_mut(session) {
            inbox.last = 1;
        }
        tokio::spawn(async move {
            if opening.is_image {
                end.give_image(opening, inbox, &terminals).await;
            } else {
                end.give_shell(opening, inbox, &terminals).await;
            }
        });
    }

    async fn pass(self, ask: Ask, find: Find) {
        let session = JobUuid::random().to_string();
        let (job, by, window, is_image) = match &ask {
            Ask::Shell(ask) => (ask.job, ask.by.clone(), ask.window, false),
            Ask::Image(ask) => (ask.job, ask.by.clone(), None, true),
        };
        let Some(worker) = find(job).await else {
            return ask.refuse(format!("No worker ever had job {job}, so nothing is left of it."));
        };
        let (mut end, mut inbox) = self.end(&session, &worker);
        let window = window.map(|window| (window.columns, window.rows));
        let opening = Opening { job: job.0, by, window, is_image };
        let body = serde_json::to_vec(&opening).unwrap_or_default();
        let away = format!("The worker that has the container of job {job} can't be reached now.");
        if !end.send("open", &body).await {
            return ask.refuse(away);
        }
        let opened = loop {
            match timeout(SILENCE, inbox.recv()).await {
                Ok(Some((words, _))) if words == "ping" => {}
                Ok(Some(opened)) => break opened,
                _ => return ask.refuse(away),
            }
        };
        let (words, body) = opened;
        let mut words = words.split(' ');
        let sentence = || String::from_utf8_lossy(&body).into_owned();
        match (ask, words.next(), words.next(), words.next()) {
            (Ask::Shell(ask), Some("opened"), Some(until), _) => {
                let until = Timestamp(until.parse().unwrap_or_default());
                let ShellAsk { input, output, opened, .. } = ask;
                if opened.send(Ok(until)).is_ok() {
                    end.pass_shell(inbox, input, output).await;
                }
            }
            (Ask::Image(ask), Some("image"), Some(id), Some(size)) => {
                let size = size.parse().unwrap_or_default();
                if ask.begun.send(Ok((id.to_owned(), size))).is_ok() {
                    pass_image(inbox, ask.bytes).await;
                }
            }
            (ask, _, _, _) => ask.refuse(sentence()),
        }
    }
}

impl End {
    /// False when the other side is gone.
    async fn send(&mut self, words: &str, body: &[u8]) -> bool {
        self.sent += 1;
        let mut message = format!("{} {} {words}\n", self.session, self.sent).into_bytes();
        message.extend(body);
        let mut taken = Instant::now();
        while taken.elapsed() < GONE {
            match self.wire.relay.ask(&self.other, KIND, &message).await {
                Ok(answer) if answer == "taken" => return true,
                Ok(answer) if answer == "gone" => return false,
                // It is there, and slow.
                Ok(_) => taken = Instant::now(),
                Err(_) => sleep(Duration::from_millis(500)).await,
            }
        }
        false
    }

    /// Nothing follows, so it does not matter whether it arrives.
    async fn last(&mut self, words: &str, body: &[u8]) {
        let _ = self.send(words, body).await;
    }

    async fn give_shell(
        mut self,
        opening: Opening,
        mut inbox: mpsc::Receiver<Piece>,
        terminals: &Terminals,
    ) {
        let window = opening.window.map(|(columns, rows)| Window { columns, rows });
        let opened = terminals.shell(JobId(opening.job), &opening.by, window);
        let Some(opened) = self.while_it_opens(opened).await else { return };
        let mut shell = match opened {
            Ok(shell) => shell,
            Err(Refusal(sentence)) => return self.last("refused", sentence.as_bytes()).await,
        };
        if !self.send(&format!("opened {}", shell.until.0), b"").await {
            return;
        }
        let input = shell.input;
        let taking = async {
            while let Some((words, bytes)) = inbox.recv().await {
                let piece = match words.split(' ').collect::<Vec<_>>().as_slice() {
                    ["bytes"] => Input::Bytes(bytes),
                    ["resize", columns, rows] => match (columns.parse(), rows.parse()) {
                        (Ok(columns), Ok(rows)) => Input::Resize(Window { columns, rows }),
                        _ => continue,
                    },
                    ["end"] => Input::End,
                    _ => return,
                };
                if input.send(piece).await.is_err() {
                    // It goes on with what it writes.
                    return std::future::pending().await;
                }
            }
        };
        let giving = async {
            loop {
                let is_there = match timeout(PING, shell.output.recv()).await {
                    Err(_) => self.send("ping", b"").await,
                    Ok(Some(Output::Bytes(bytes))) => self.send("bytes", &bytes).await,
                    Ok(Some(Output::Exit(code))) => {
                        return self.last(&format!("exit {code}"), b"").await;
                    }
                    Ok(Some(Output::Over(why))) => {
                        return self.last("over", why.as_bytes()).await;
                    }
                    Ok(None) => return,
                };
                if !is_there {
                    return;
                }
            }
        };
        tokio::select! {
            () = taking => {}
            () = giving => {}
        }
    }

    async fn give_image(
        mut self,
        opening: Opening,
        _inbox: mpsc::Receiver<Piece>,
        terminals: &Terminals,
    ) {
        let made = terminals.image(JobId(opening.job), &opening.by);
        let Some(made) = self.while_it_opens(made).await else { return };
        let mut image = match made {
            Ok(image) => image,
            Err(Refusal(sentence)) => return self.last("refused", sentence.as_bytes()).await,
        };
        if !self.send(&format!("image {} {}", image.id, image.size), b"").await {
            return;
        }
        while let Some(bytes) = image.bytes.recv().await {
            let is_there = match bytes {
                Ok(bytes) => self.send("bytes", &bytes).await,
                Err(error) => return self.last("broken", error.to_string().as_bytes()).await,
            };
            if !is_there {
                return;
            }
        }
        self.send("whole", b"").await;
    }

    /// Says meanwhile that this side is there; none when the other one is not.
    async fn while_it_opens<T>(&mut self, opening: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(opening);
        loop {
            match timeout(PING, &mut opening).await {
                Ok(opened) => return Some(opened),
                Err(_) if !self.send("ping", b"").await => return None,
                Err(_) => {}
            }
        }
    }

    async fn pass_shell(
        mut self,
        mut inbox: mpsc::Receiver<Piece>,
        mut input: mpsc::Receiver<Input>,
        output: mpsc::Sender<Output>,
    ) {
        let taking = async {
            while let Some(piece) = input.recv().await {
                let is_there = match piece {
                    Input::Bytes(bytes) => self.send("bytes", &bytes).await,
                    Input::Resize(window) => {
                        self.send(&format!("resize {} {}", window.columns, window.rows), b"").await
                    }
                    Input::End => self.send("end", b"").await,
                };
                if !is_there {
                    return;
                }
            }
            // Whoever was at it is gone.
            self.send("close", b"").await;
        };
        let giving = async {
            loop {
                let Ok(Some((words, bytes))) = timeout(SILENCE, inbox.recv()).await else { break };
                let sent = match words.split(' ').collect::<Vec<_>>().as_slice() {
                    ["ping"] => continue,
                    ["bytes"] => output.send(Output::Bytes(bytes)).await,
                    ["exit", code] => {
                        let code = code.parse().unwrap_or(-1);
                        return drop(output.send(Output::Exit(code)).await);
                    }
                    ["over"] => {
                        let why = String::from_utf8_lossy(&bytes).into_owned();
                        return drop(output.send(Output::Over(why)).await);
                    }
                    _ => break,
                };
                if sent.is_err() {
                    return;
                }
            }
            let _ = output.send(Output::Over("The shell's worker is gone.".into())).await;
        };
        tokio::select! {
            () = taking => {}
            () = giving => {}
        }
    }
}

async fn pass_image(mut inbox: mpsc::Receiver<Piece>, to: mpsc::Sender<io::Result<Bytes>>) {
    loop {
        let broken = match timeout(SILENCE, inbox.recv()).await {
            Ok(Some((words, bytes))) => match words.as_str() {
                "ping" => continue,
                "whole" => return,
                "bytes" => match to.send(Ok(bytes)).await {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                _ => String::from_utf8_lossy(&bytes).into_owned(),
            },
            _ => "the worker is gone".into(),
        };
        return drop(to.send(Err(io::Error::other(broken))).await);
    }
}

impl Ask {
    fn refuse(self, sentence: String) {
        let refusal = Refusal(sentence);
        match self {
            Self::Shell(ShellAsk { opened, .. }) => drop(opened.send(Err(refusal))),
            Self::Image(ImageAsk { begun, .. }) => drop(begun.send(Err(refusal))),
        }
    }
}

/// Session, number, words, bytes.
fn parse(message: &Bytes) -> Option<(String, u64, String, Bytes)> {
    let end = message.iter().position(|byte| *byte == b'\n')?;
    let head = std::str::from_utf8(&message[..end]).ok()?;
    let mut parts = head.splitn(3, ' ');
    let (session, number, words) = (parts.next()?, parts.next()?, parts.next()?);
    Some((session.to_owned(), number.parse().ok()?, words.to_owned(), message.slice(end + 1..)))
}
