//! Copies of logs that other processes write, as they grow.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use bytes::Buf as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::super::{LogError, Progress};
use super::{Elsewhere, LOOK, PART, begun, over, part};
use crate::model::JobUuid;
use crate::relay::{Piece, Place, RelayError};

/// What is here of a log that another process has.
#[derive(Debug, Default)]
pub(super) struct Copy {
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
    /// Tells how far a log of another process is, which is copied as it grows, until the
    /// job is over or nobody wants to know it any more.
    pub(in crate::log) fn follow(&self, job: JobUuid, told: watch::Sender<Progress>) {
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
    pub(in crate::log) async fn bring(&self, job: JobUuid) -> Result<Option<PathBuf>, LogError> {
        let place = self.0.relay.log_place(job).await?;
        match place.filter(|place| place.node != self.0.relay.node()) {
            Some(place) => Ok(self.bring_from(job, &place).await?.map(|it| it.0)),
            None => Ok(None),
        }
    }

    /// As [`Elsewhere::bring`], from a process that no place was told of.
    pub(in crate::log) async fn bring_of(
        &self,
        job: JobUuid,
        node: &str,
    ) -> Result<Option<PathBuf>, LogError> {
        if node == self.0.relay.node() {
            return Ok(None);
        }
        let place = Place { attempt: 0, node: node.to_owned() };
        Ok(self.bring_from(job, &place).await?.map(|it| it.0))
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
            nothing => {
                let path = self.0.copies.join(format!("{job}.{}.log", place.node));
                let file = File::create(&path).map_err(LogError::file(&path))?;
                let node = place.node.clone();
                Ok(nothing.insert(Open { node, path, file, length: 0 }))
            }
        }
    }

    /// The log was archived: its copy is not needed any more.
    pub(in crate::log) fn forget(&self, job: JobUuid) {
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
