//! One job's log for all who watch it while it grows: read and rendered once, each piece
//! ready to be sent. Who is behind what is kept here reads the file at their own pace, so
//! that a slow viewer costs nobody anything.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::App;
use super::tail::Tail;
use crate::log::{LogError, Progress};
use crate::model::JobUuid;

/// Bytes of messages that are kept for each job that is watched.
const KEPT: usize = 1024 * 1024;
/// Between two pieces. What is written meanwhile goes with the second one.
const PAUSE: Duration = Duration::from_millis(2);
/// For each viewer the pause is longer by so much: all of them have to be sent a piece
/// before the next one is due.
const PAUSE_PER_VIEWER: Duration = Duration::from_micros(50);
/// The longest pause, however many watch.
const LONGEST_PAUSE: Duration = Duration::from_millis(150);
/// A line that lacks its end for so long is shown without it, and again after so long.
const UNFINISHED: Duration = Duration::from_millis(50);
/// A job may end in another process.
const LOOK_EVERY: Duration = Duration::from_secs(20);

/// The feeds of the jobs that are watched now. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Feeds(Arc<Mutex<HashMap<JobUuid, Weak<Feed>>>>);

/// Goes on as long as somebody holds it.
#[derive(Debug)]
pub(super) struct Feed {
    shown: watch::Sender<Shown>,
    _task: AbortOnDropHandle<()>,
}

/// Some lines in a row, as a message for a socket.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) first: u64,
    /// The number of the line that follows.
    pub(super) next: u64,
    pub(super) message: Utf8Bytes,
}

/// What of a log was rendered last.
#[derive(Debug)]
pub(super) struct Shown {
    pieces: VecDeque<Piece>,
    size: usize,
    /// The number of the line that comes next; those before it are in the file.
    next: u64,
    /// The line that comes next, as far as it is written.
    unfinished: Option<Utf8Bytes>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Growing,
    /// No line comes any more.
    Over,
    /// The file can't be read.
    Failed,
}

/// What a viewer does next.
#[derive(Debug)]
pub(super) enum Step {
    Send(Piece),
    /// Its next lines, up to this one, are not here: read them from the file.
    Read(u64),
    /// It has all lines. This is the one under way.
    Wait(Option<Utf8Bytes>),
    Over,
    Failed,
}

impl Feeds {
    /// The job's feed; it begins with its first viewer.
    pub(super) fn join(&self, app: &App, job: JobUuid) -> Arc<Feed> {
        let mut feeds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        feeds.retain(|_, feed| feed.strong_count() > 0);
        let living = feeds.get(&job).and_then(Weak::upgrade);
        if let Some(feed) = living.filter(|feed| feed.shown.borrow().state == State::Growing) {
            return feed;
        }
        let shown = watch::Sender::new(Shown::default());
        let (app, to) = (app.clone(), shown.clone());
        let task = tokio::spawn(async move {
            if let Err(error) = follow(&app, job, &to).await {
                tracing::warn!(%job, %error, "a log can't be followed");
                to.send_modify(|shown| shown.state = State::Failed);
            }
        });
        let feed = Arc::new(Feed { shown, _task: AbortOnDropHandle::new(task) });
        feeds.insert(job, Arc::downgrade(&feed));
        feed
    }
}

impl Feed {
    pub(super) fn shown(&self) -> watch::Receiver<Shown> {
        self.shown.subscribe()
    }
}

impl Default for Shown {
    fn default() -> Self {
        let pieces = VecDeque::new();
        Self { pieces, size: 0, next: 1, unfinished: None, state: State::Growing }
    }
}

impl Shown {
    /// What follows for a viewer who has all lines before `line`.
    pub(super) fn after(&self, line: u64) -> Step {
        if line < self.next {
            // The first piece that begins there or later.
            let at = self.pieces.partition_point(|piece| piece.first < line);
            return match self.pieces.get(at) {
                Some(piece) if piece.first == line => Step::Send(piece.clone()),
                Some(piece) => Step::Read(piece.first),
                None => Step::Read(self.next),
            };
        }
        match self.state {
            State::Growing => Step::Wait(self.unfinished.clone().filter(|_| line == self.next)),
            State::Over => Step::Over,
            State::Failed => Step::Failed,
        }
    }

    fn push(&mut self, piece: Piece) {
        self.unfinished = None;
        self.next = piece.next;
        self.size += piece.message.len();
        self.pieces.push_back(piece);
        while self.size > KEPT
            && let Some(oldest) = self.pieces.pop_front()
        {
            self.size -= oldest.message.len();
        }
    }
}

async fn follow(app: &App, job: JobUuid, shown: &watch::Sender<Shown>) -> Result<(), LogError> {
    let mut follower = app.bus.follow(job);
    // Asked after following, so that its end is not missed in between.
    let mut is_over = app.is_over(job).await;
    // What was there before anybody watched, each viewer reads by itself.
    let mut tail = Tail::at_end(&app.logs, job).await?;
    shown.send_modify(|shown| shown.next = tail.next());
    let (mut seen, mut unfinished_due) = (Progress::Waiting, None);
    loop {
        let progress = *follower.borrow_and_update();
        is_over |= progress == Progress::Finished;
        if progress == Progress::Unheard && !is_over {
            // Its viewers come again, as when the server is away.
            shown.send_modify(|shown| shown.state = State::Failed);
            return Ok(());
        }
        if is_over {
            tail.ended(app.log_holder(job).await?);
        }
        let began = Instant::now();
        while let Some((first, html)) = tail.read(u64::MAX).await? {
            let piece = Piece { first, next: tail.next(), message: message(&html) };
            shown.send_modify(|shown| shown.push(piece));
            unfinished_due = None;
        }
        if is_over {
            shown.send_modify(|shown| shown.state = State::Over);
            return Ok(());
        }
        if progress != seen {
            unfinished_due.get_or_insert(began + UNFINISHED);
        }
        if unfinished_due.is_some_and(|due| due <= began) {
            unfinished_due = None;
            show_unfinished(&mut tail, shown).await?;
        }
        seen = progress;
        sleep_until(began + pause(shown.receiver_count())).await;
        let due = unfinished_due.unwrap_or_else(|| Instant::now() + LOOK_EVERY);
        tokio::select! {
            changed = follower.changed() => is_over |= changed.is_err(),
            () = sleep_until(due), if unfinished_due.is_some() => {}
            () = sleep(LOOK_EVERY) => is_over |= app.is_over(job).await,
        }
    }
}

async fn show_unfinished(tail: &mut Tail, shown: &watch::Sender<Shown>) -> Result<(), LogError> {
    let line = tail.unfinished().await?;
    // Not when it, and more, was written since: then its piece comes next.
    let line = line.filter(|(number, _)| *number == tail.next());
    let text = line.map(|(number, html)| unfinished(number, &html));
    shown.send_if_modified(|shown| {
        let is_new = text.is_some() && shown.unfinished != text;
        if is_new {
            shown.unfinished = text;
        }
        is_new
    });
    Ok(())
}

fn pause(viewers: usize) -> Duration {
    let viewers = u32::try_from(viewers).unwrap_or(u32::MAX);
    PAUSE.saturating_add(PAUSE_PER_VIEWER.saturating_mul(viewers)).min(LONGEST_PAUSE)
}

/// The HTML of the next lines.
pub(super) fn message(html: &str) -> Utf8Bytes {
    serde_json::json!({"type": "message", "content": html}).to_string().into()
}

/// The HTML of a line as far as it is written; the next message replaces it.
fn unfinished(line: u64, html: &str) -> Utf8Bytes {
    serde_json::json!({"type": "partial", "line": line, "content": html}).to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(first: u64, next: u64, size: usize) -> Piece {
        Piece { first, next, message: "x".repeat(size).into() }
    }

    fn told(step: &Step) -> String {
        match step {
            Step::Send(piece) => format!("send {} to {}", piece.first, piece.next),
            Step::Read(until) => format!("read until {until}"),
            Step::Wait(unfinished) => format!("wait {unfinished:?}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn who_is_behind_reads_and_who_has_caught_up_is_sent_to() {
        let mut shown = Shown { next: 11, ..Shown::default() };
        assert_eq!(told(&shown.after(1)), "read until 11");
        assert_eq!(told(&shown.after(11)), "wait None");
        assert_eq!(told(&shown.after(30)), "wait None");
        shown.push(piece(11, 15, 9));
        shown.push(piece(15, 16, 9));
        assert_eq!(told(&shown.after(1)), "read until 11");
        assert_eq!(told(&shown.after(11)), "send 11 to 15");
        // Not the whole piece again: what it has of it, it has.
        assert_eq!(told(&shown.after(13)), "read until 15");
        assert_eq!(told(&shown.after(15)), "send 15 to 16");
        shown.unfinished = Some("begun".into());
        assert!(matches!(shown.after(16), Step::Wait(Some(text)) if text.as_str() == "begun"));
        assert_eq!(told(&shown.after(17)), "wait None");
        shown.push(piece(16, 18, 9));
        assert_eq!(told(&shown.after(18)), "wait None");
        shown.state = State::Over;
        assert_eq!(told(&shown.after(16)), "send 16 to 18");
        assert_eq!(told(&shown.after(18)), "Over");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut shown = Shown::default();
        for first in 1..=100 {
            shown.push(piece(first, first + 1, KEPT / 10));
        }
        assert_eq!((shown.pieces.len(), shown.size), (10, KEPT / 10 * 10));
        assert_eq!(told(&shown.after(90)), "read until 91");
        // One that is larger than all that is kept is read from the file as well.
        shown.push(piece(101, 102, KEPT + 1));
        assert_eq!(shown.size, 0);
        assert_eq!(told(&shown.after(101)), "read until 102");
    }

    #[test]
    fn many_viewers_are_sent_to_less_often() {
        assert_eq!(pause(1), Duration::from_micros(2_050));
        assert_eq!(pause(1_000), Duration::from_millis(52));
        assert_eq!(pause(usize::MAX), LONGEST_PAUSE);
    }
}
