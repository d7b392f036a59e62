//! Logs that other processes write. Who has one tells by Redis that it is there, streams
//! its latest pieces, and gives any part of it that is asked for; who wants to read one
//! makes a copy of it on this disk, which grows as the log does. So readers read a file
//! here as well, and what a stream does not hold any more, or Redis lost, is asked for.
//!
//! A copy is of no worth by itself: all of them are removed when a process starts.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::stored::blocking;
use super::{Follower, LogError, LogFolder, Progress};
use crate::model::JobUuid;
use crate::relay::{Piece, Place, Question, Relay, RelayError};
use crate::shutdown::Shutdown;

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

/// What is here of a log that another process has.
#[derive(Debug, Default)]
struct Copy {
    /// None: nothing yet.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    /// Who has the log.
    node: String,
    path: PathBuf,
    file: File,
    length: u64,
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
    pub(super) fn folder(&self) -> &Path {
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
        let Some((job, from)) = read_part(asked) else { return Ok(Bytes::new()) };
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
    pub(super) fn over(&self, job: JobUuid) {
        let relay = self.0.relay.clone();
        tokio::spawn(async move {
            if let Err(error) = relay.tell(&over(job)).await {
                tracing::debug!(%job, %error, "others will find by themselves that a job is over");
            }
        });
    }

    /// Streams what is written here, until that ends or a later attempt is elsewhere.
    pub(super) fn stream(&self, job: JobUuid, attempt: i64, written: Follower) {
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

    /// Tells how far a log of another process is, which is copied as it grows, until the
    /// job is over or nobody wants to know it any more.
    pub(super) fn follow(&self, job: JobUuid, told: watch::Sender<Progress>) {
        let elsewhere = self.clone();
        tokio::spawn(async move {
            let mut is_copied = false;
            let last = tokio::select! {
                last = elsewhere.follow_all(job, &told, &mut is_copied) => {
                    last.unwrap_or_else(|error| {
                        tracing::warn!(%job, %error, "a log of another process can't be followed");
                        Progress::Unheard
                    })
                }
                // Nothing is written as far as anybody here knows.
                () = told.closed() => Progress::Waiting,
            };
            told.send_if_modified(|progress| {
                let is_ours = is_copied || matches!(progress, Progress::Waiting);
                let changes = is_ours && *progress != Progress::Finished && *progress != last;
                if changes {
                    *progress = last;
                }
                changes
            });
        });
    }

    async fn follow_all(
        &self,
        job: JobUuid,
        told: &watch::Sender<Progress>,
        is_copied: &mut bool,
    ) -> Result<Progress, LogError> {
        let relay = &self.0.relay;
        let mut heard = relay.heard();
        let mut node: Option<String> = None;
        while *told.borrow() != Progress::Finished {
            let place = relay.log_place(job).await?;
            let Some(place) = place.filter(|place| place.node != relay.node()) else {
                *is_copied = false;
                tokio::select! {
                    is_over = hears(&mut heard, job) => if is_over { return Ok(Progress::Finished) },
                    () = sleep(LOOK) => {}
                }
                continue;
            };
            *is_copied = true;
            // Its worker was lost, and another one has begun another log: who reads this one
            // has to begin anew.
            if node.get_or_insert_with(|| place.node.clone()) != &place.node {
                return Ok(Progress::Unheard);
            }
            let mut pieces = relay.log_pieces(job, place.attempt).await?;
            if let Some(length) = self.bring_from(job, &place).await?.map(|it| it.1) {
                tell(told, length);
            }
            let mut looked = Instant::now();
            loop {
                tokio::select! {
                    is_over = hears(&mut heard, job) => {
                        if is_over { return Ok(Progress::Finished) }
                        break;
                    }
                    new = pieces.next(LOOK) => {
                        if let Some(length) = self.take(job, &place, &new?).await? {
                            tell(told, length);
                        }
                    }
                }
                if looked.elapsed() >= LOOK {
                    looked = Instant::now();
                    let now = relay.log_place(job).await?;
                    // None: Redis forgot it, or it is being archived.
                    if now.is_some_and(|now| now != place) || *told.borrow() == Progress::Finished {
                        break;
                    }
                }
            }
        }
        Ok(Progress::Finished)
    }

    /// Adds pieces of a stream to the copy; how long it is then, if it grew.
    async fn take(
        &self,
        job: JobUuid,
        place: &Place,
        pieces: &[Piece],
    ) -> Result<Option<u64>, LogError> {
        let copy = self.copy(job);
        let mut copy = copy.lock().await;
        let mut length = None;
        for piece in pieces {
            let open = self.opened(job, place, &mut copy)?;
            if piece.at > open.length {
                // It is not in the stream any more, or never was.
                if !self.fill(job, place, &mut copy).await? {
                    return Ok(None);
                }
            }
            let open = self.opened(job, place, &mut copy)?;
            let known = usize::try_from(open.length - piece.at.min(open.length));
            let new = piece.bytes.get(known.unwrap_or(usize::MAX)..).unwrap_or_default();
            if !new.is_empty() && piece.at <= open.length {
                open.append(new)?;
                length = Some(open.length);
            }
        }
        Ok(length)
    }

    /// A copy of all that is written so far; none when no other process has the log.
    pub(super) async fn bring(&self, job: JobUuid) -> Result<Option<PathBuf>, LogError> {
        let place = self.0.relay.log_place(job).await?;
        match place.filter(|place| place.node != self.0.relay.node()) {
            Some(place) => Ok(self.bring_from(job, &place).await?.map(|it| it.0)),
            None => Ok(None),
        }
    }

    async fn bring_from(
        &self,
        job: JobUuid,
        place: &Place,
    ) -> Result<Option<(PathBuf, u64)>, LogError> {
        let copy = self.copy(job);
        let mut copy = copy.lock().await;
        if !self.fill(job, place, &mut copy).await? {
            return Ok(None);
        }
        Ok(copy.open.as_ref().map(|open| (open.path.clone(), open.length)))
    }

    /// Asks for what the copy lacks. False: the log is not there any more.
    async fn fill(&self, job: JobUuid, place: &Place, copy: &mut Copy) -> Result<bool, LogError> {
        loop {
            let from = self.opened(job, place, copy)?.length;
            let mut answer = self.0.relay.ask(&place.node, PART, &part(job, from)).await?;
            if answer.len() < 8 {
                return Ok(false);
            }
            let length = answer.get_u64();
            let open = self.opened(job, place, copy)?;
            open.append(&answer)?;
            if open.length >= length {
                return Ok(true);
            }
            if answer.is_empty() {
                let nothing = RelayError::NoAnswer(place.node.clone());
                return Err(nothing.into());
            }
        }
    }

    fn opened<'a>(
        &self,
        job: JobUuid,
        place: &Place,
        copy: &'a mut Copy,
    ) -> Result<&'a mut Open, LogError> {
        // Another worker's log of the same job is another log.
        if copy.open.as_ref().is_some_and(|open| open.node != place.node) {
            copy.open = None;
        }
        match &mut copy.open {
            Some(open) => Ok(open),
            none => {
                let path = self.0.copies.join(format!("{job}.{}.log", place.node));
                let file = File::create(&path).map_err(LogError::file(&path))?;
                let node = place.node.clone();
                Ok(none.insert(Open { node, path, file, length: 0 }))
            }
        }
    }

    /// The log was archived: its copy is not needed any more.
    pub(super) fn forget(&self, job: JobUuid) {
        let copy = self.0.of_jobs.lock().unwrap_or_else(PoisonError::into_inner).remove(&job);
        // One that is in use stays until the next start.
        let Some(Ok(copy)) = copy.as_ref().map(|copy| copy.try_lock()) else { return };
        if let Some(open) = &copy.open {
            let _ = std::fs::remove_file(&open.path);
        }
    }

    fn copy(&self, job: JobUuid) -> Arc<tokio::sync::Mutex<Copy>> {
        let mut copies = self.0.of_jobs.lock().unwrap_or_else(PoisonError::into_inner);
        copies.entry(job).or_default().clone()
    }
}

impl Open {
    fn append(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        self.file.write_all(bytes).map_err(LogError::file(&self.path))?;
        self.length += bytes.len() as u64;
        Ok(())
    }
}

/// What is over stays so.
fn tell(told: &watch::Sender<Progress>, length: u64) {
    told.send_if_modified(|progress| {
        let new = Progress::Written(length);
        let changes = *progress != Progress::Finished && *progress != new;
        if changes {
            *progress = new;
        }
        changes
    });
}

/// Returns when another process tells of this job: whether it is over.
async fn hears(heard: &mut tokio::sync::broadcast::Receiver<Arc<str>>, job: JobUuid) -> bool {
    use tokio::sync::broadcast::error::RecvError;
    let (begun, over) = (begun(job), over(job));
    loop {
        match heard.recv().await {
            Ok(what) if *what == *over => return true,
            Ok(what) if *what == *begun => return false,
            // Something was missed: look.
            Err(RecvError::Lagged(_)) => return false,
            Ok(_) => {}
            Err(RecvError::Closed) => return std::future::pending().await,
        }
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

fn read_part(asked: Bytes) -> Option<(JobUuid, u64)> {
    let (job, from) = std::str::from_utf8(&asked).ok()?.split_once(' ')?;
    Some((job.parse().ok()?, from.parse().ok()?))
}
