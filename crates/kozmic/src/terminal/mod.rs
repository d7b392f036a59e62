//! Where somebody who wants to look into what is left of a failed job meets the worker
//! whose engine has it. What passes between them are bytes and few words, so that the
//! two may be in different processes (`between`).
//!
//! Every way is bounded: who does not read holds up nobody but themselves.

mod between;

use std::io;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::model::{JobId, Timestamp};

pub use between::{Find, between};

/// Wishes that nobody has taken up yet.
const ASKS: usize = 16;
/// Pieces that may wait, each way.
const PIECES: usize = 16;

/// A terminal's size in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub columns: u16,
    pub rows: u16,
}

/// What goes to a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    Bytes(Bytes),
    Resize(Window),
    /// No more of it comes.
    End,
}

/// What comes of a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    Bytes(Bytes),
    /// It ended by itself, with this code. The last there is.
    Exit(i64),
    /// It was ended, for this reason: a sentence. The last there is.
    Over(String),
}

/// Why somebody can't look into a job: a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// A shell that was opened. Who drops it ends the shell.
#[derive(Debug)]
pub struct Shell {
    /// Until when what is left of the job is kept.
    pub until: Timestamp,
    pub input: mpsc::Sender<Input>,
    pub output: mpsc::Receiver<Output>,
}

/// An image on its way. Who drops it ends that.
#[derive(Debug)]
pub struct Image {
    /// At the engine that it comes from.
    pub id: String,
    /// About so many bytes will come.
    pub size: u64,
    /// A tar as `docker save` makes it.
    pub bytes: mpsc::Receiver<io::Result<Bytes>>,
}

/// Somebody wants a shell.
#[derive(Debug)]
pub struct ShellAsk {
    pub job: JobId,
    /// The login of who asks, who may do so.
    pub by: String,
    /// None: pipes instead of a terminal.
    pub window: Option<Window>,
    pub input: mpsc::Receiver<Input>,
    pub output: mpsc::Sender<Output>,
    /// Until when what is left is kept.
    pub opened: oneshot::Sender<Result<Timestamp, Refusal>>,
}

/// Somebody wants an image.
#[derive(Debug)]
pub struct ImageAsk {
    pub job: JobId,
    /// The login of who asks, who may do so.
    pub by: String,
    pub bytes: mpsc::Sender<io::Result<Bytes>>,
    /// Its id and size.
    pub begun: oneshot::Sender<Result<(String, u64), Refusal>>,
}

#[derive(Debug)]
pub enum Ask {
    Shell(ShellAsk),
    Image(ImageAsk),
}

/// Those who ask have this. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Terminals(mpsc::Sender<Ask>);

/// The worker has this.
#[derive(Debug)]
pub struct Asks(mpsc::Receiver<Ask>);

pub fn terminals() -> (Terminals, Asks) {
    let (sender, receiver) = mpsc::channel(ASKS);
    (Terminals(sender), Asks(receiver))
}

impl Asks {
    /// The next wish; none when nobody is left who could have one.
    pub async fn next(&mut self) -> Option<Ask> {
        self.0.recv().await
    }
}

impl Terminals {
    /// Opens a shell in what is left of a job.
    pub async fn shell(
        &self,
        job: JobId,
        by: &str,
        window: Option<Window>,
    ) -> Result<Shell, Refusal> {
        let (input, from_client) = mpsc::channel(PIECES);
        let (to_client, output) = mpsc::channel(PIECES);
        let (opened, answer) = oneshot::channel();
        let (by, input_of_shell) = (by.to_owned(), from_client);
        let ask = ShellAsk { job, by, window, input: input_of_shell, output: to_client, opened };
        let until = self.ask(Ask::Shell(ask), answer).await?;
        Ok(Shell { until, input, output })
    }

    /// Has an image made of what is left of a job, and sent.
    pub async fn image(&self, job: JobId, by: &str) -> Result<Image, Refusal> {
        let (bytes, received) = mpsc::channel(PIECES);
        let (begun, answer) = oneshot::channel();
        let ask = ImageAsk { job, by: by.to_owned(), bytes, begun };
        let (id, size) = self.ask(Ask::Image(ask), answer).await?;
        Ok(Image { id, size, bytes: received })
    }

    async fn ask<T>(
        &self,
        ask: Ask,
        answer: oneshot::Receiver<Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        let nobody = || Refusal("No worker of this server answers; try again in a moment.".into());
        self.0.send(ask).await.map_err(|_| nobody())?;
        answer.await.map_err(|_| nobody())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_asks_gets_what_the_worker_answers() {
        let (terminals, mut asks) = terminals();
        let worker = tokio::spawn(async move {
            let Some(Ask::Shell(ask)) = asks.next().await else { panic!("no shell is asked for") };
            assert_eq!((ask.job, ask.by.as_str(), ask.window), (JobId(7), "ada", None));
            ask.opened.send(Ok(Timestamp(42))).unwrap();
            let mut input = ask.input;
            let Some(Input::Bytes(bytes)) = input.recv().await else { panic!("no input") };
            ask.output.send(Output::Bytes(bytes)).await.unwrap();
            // Who is gone is noticed.
            assert_eq!(input.recv().await, None);
        });
        let mut shell = terminals.shell(JobId(7), "ada", None).await.unwrap();
        assert_eq!(shell.until, Timestamp(42));
        shell.input.send(Input::Bytes("ls\n".into())).await.unwrap();
        assert_eq!(shell.output.recv().await, Some(Output::Bytes("ls\n".into())));
        drop(shell);
        worker.await.unwrap();
    }

    #[tokio::test]
    async fn where_no_worker_is_nobody_waits() {
        let (terminals, asks) = terminals();
        drop(asks);
        let refused = terminals.image(JobId(7), "ada").await.unwrap_err();
        assert!(refused.to_string().contains("No worker"), "{refused}");
    }
}
