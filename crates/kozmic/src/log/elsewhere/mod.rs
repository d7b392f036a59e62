//! Logs that other processes write. Who has one tells by Redis that it is there, streams
//! its latest pieces, and gives any part of it that is asked for; who wants to read one
//! makes a copy of it on this disk, which grows as the log does. So readers read a file
//! here as well, and what a stream does not hold any more, or Redis lost, is asked for.
//!
//! A copy is of no worth by itself: all of them are removed when a process starts.

mod copies;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::time::{Instant, sleep};

use super::stored::blocking;
use super::{Follower, LogError, LogFolder, Progress};
use crate::model::JobUuid;
use crate::relay::{Piece, Question, Relay};
use crate::shutdown::Shutdown;
use copies::Copy;

/// The kind of question by which a part of a log is asked for.
const PART: &str = "log";
/// Bytes of a log that are asked for at a time.
const PART_BYTES: u32 = 1 << 20;
/// Bytes of a piece of a stream.
const PIECE_BYTES: usize = 64 * 1024;
/// Who is behind by more leaves out what the stream would not hold anyway.
const STREAM_BYTES: u64 = 4 << 20;
/// Between two rounds of pieces: what is written meanwhile goes together.
const PAUSE: Duration = Duration::from_millis(5);
/// That a log is here is said again.
const SAY_AGAIN: Duration = Duration::from_secs(30);
/// Where a log is, is looked up again.
const LOOK: Duration = Duration::from_secs(2);
/// Before Redis is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Elsewhere(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    relay: Relay,
    /// Of the logs that are written here.
    folder: LogFolder,
    /// Of the copies.
    copies: PathBuf,
    of_jobs: Mutex<HashMap<JobUuid, Arc<tokio::sync::Mutex<Copy>>>>,
}

impl Elsewhere {
    pub fn new(data_dir: &Path, relay: Relay) -> io::Result<Self> {
        let copies = data_dir.join("log-copies");
        match std::fs::remove_dir_all(&copies) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        std::fs::create_dir_all(&copies)?;
        let folder = LogFolder::new(data_dir);
        Ok(Self(Arc::new(Inner { relay, folder, copies, of_jobs: Mutex::default() })))
    }

    /// Where the copies lie.
    pub(in crate::log) fn folder(&self) -> &Path {
        &self.0.copies
    }

    /// Gives others the parts of the logs here that they ask for, until shutdown.
    pub async fn answer(self, shutdown: Shutdown) {
        let mut questions = self.0.relay.questions(PART);
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                question = questions.recv() => match question {
                    None => return,
                    Some(question) => drop(tokio::spawn(self.clone().give(question))),
                },
            }
        }
    }

    async fn give(self, question: Question) {
        let body = match self.part(question.body.clone()).await {
            Ok(body) => body,
            Err(error) => return tracing::warn!(%error, "a part of a log can't be given"),
        };
        if let Err(error) = question.answer(&body).await {
            tracing::debug!(%error, "who asked for a part of a log does not get it");
        }
    }

    /// The length of the log, and bytes of it; nothing when it is not here.
    async fn part(&self, asked: Bytes) -> Result<Bytes, LogError> {
        let Some((job, from)) = read_part(&asked) else { return Ok(Bytes::new()) };
        let path = self.0.folder.path(job);
        blocking(move || {
            let failed = LogError::file(&path);
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Bytes::new()),
                Err(error) => return Err(failed(error)),
            };
            let length = file.metadata().map_err(&failed)?.len();
            let count = length.saturating_sub(from).min(u64::from(PART_BYTES));
            let mut bytes = vec![0; usize::try_from(count).unwrap_or(0)];
            file.read_exact_at(&mut bytes, from.min(length)).map_err(&failed)?;
            let mut body = BytesMut::with_capacity(bytes.len() + 8);
            body.put_u64(length);
            body.put_slice(&bytes);
            Ok(body.freeze())
        })
        .await
    }

    /// A log is here that will not grow any more, and is not archived yet.
    pub async fn is_here(&self, job: JobUuid, attempt: i64) {
        if let Err(error) = self.0.relay.log_is_here(job, attempt).await {
            tracing::debug!(%job, %error, "others do not know that a log is here");
        }
    }

    /// It was archived, or removed.
    pub async fn is_gone(&self, job: JobUuid) {
        if let Err(error) = self.0.relay.log_is_gone(job).await {
            tracing::debug!(%job, %error, "others do not know that a log is here no more");
        }
    }

    /// The job is over, for those who follow its log in other processes.
    pub(in crate::log) fn over(&self, job: JobUuid) {
        let relay = self.0.relay.clone();
        tokio::spawn(async move {
            if let Err(error) = relay.tell(&over(job)).await {
                tracing::debug!(%job, %error, "others will find by themselves that a job is over");
            }
        });
    }

    /// Streams what is written here, until that ends or a later attempt is elsewhere.
    pub(in crate::log) fn stream(&self, job: JobUuid, attempt: i64, written: Follower) {
        let elsewhere = self.clone();
        tokio::spawn(async move { elsewhere.stream_all(job, attempt, written).await });
    }

    async fn stream_all(&self, job: JobUuid, attempt: i64, mut written: Follower) {
        let Progress::Written(mut sent) = *written.borrow_and_update() else { return };
        let mut said: Option<Instant> = None;
        loop {
            if said.is_none_or(|at| at.elapsed() >= SAY_AGAIN) {
                match self.0.relay.log_is_here(job, attempt).await {
                    Ok(false) => return,
                    Ok(true) => {
                        if said.replace(Instant::now()).is_none() {
                            let _ = self.0.relay.tell(&begun(job)).await;
                        }
                    }
                    Err(_) => {
                        sleep(AGAIN).await;
                        if written.has_changed().is_err() {
                            return;
                        }
                        continue;
                    }
                }
            }
            let Progress::Written(length) = *written.borrow_and_update() else { return };
            if let Err(error) = self.stream_to(job, attempt, &mut sent, length).await {
                tracing::debug!(%job, %error, "a log is not streamed for now");
                sleep(AGAIN).await;
                continue;
            }
            tokio::select! {
                changed = written.changed() => if changed.is_err() { return },
                () = sleep(SAY_AGAIN) => {}
            }
            sleep(PAUSE).await;
        }
    }

    async fn stream_to(
        &self,
        job: JobUuid,
        attempt: i64,
        sent: &mut u64,
        length: u64,
    ) -> Result<(), LogError> {
        *sent = (*sent).max(length.saturating_sub(STREAM_BYTES));
        while *sent < length {
            let (path, at) = (self.0.folder.path(job), *sent);
            let count = usize::try_from(length - at).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            let bytes = blocking(move || {
                let mut bytes = vec![0; count];
                let file = File::open(&path).map_err(LogError::file(&path))?;
                file.read_exact_at(&mut bytes, at).map_err(LogError::file(&path))?;
                Ok(bytes)
            });
            let piece = Piece { at, bytes: bytes.await?.into() };
            self.0.relay.log_grew(job, attempt, &piece).await?;
            *sent += piece.bytes.len() as u64;
        }
        Ok(())
    }
}

fn begun(job: JobUuid) -> String {
    format!("log-begun {job}")
}

fn over(job: JobUuid) -> String {
    format!("job-over {job}")
}

fn part(job: JobUuid, from: u64) -> Vec<u8> {
    format!("{job} {from}").into_bytes()
}

fn read_part(asked: &Bytes) -> Option<(JobUuid, u64)> {
    let (job, from) = std::str::from_utf8(asked).ok()?.split_once(' ')?;
    Some((job.parse().ok()?, from.parse().ok()?))
}
