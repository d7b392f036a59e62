//! Where a log's lines lie: a mark every so many bytes, when lines began, and what
//! folds. It is small beside the log, and the log alone is enough to make it again, but
//! for the times.

use super::fold::{Fold, FoldKind};
use crate::model::Timestamp;

/// A mark is made at the first line that begins so many bytes after the last one. So
/// all lines between two marks begin within so many bytes; only the last may be longer.
pub(super) const CHUNK: u64 = 64 * 1024;
/// Bytes of one line that are kept for pages; a script may write a gigabyte without an
/// end.
pub(super) const LINE_LIMIT: usize = 64 * 1024;
/// Folds of one log; what comes after them does not fold.
const FOLDS: usize = 20_000;

/// A line that reading can begin at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) line: u64,
    pub(super) offset: u64,
    /// The renderer's, before the line.
    pub(super) state: Box<[u8]>,
}

impl Mark {
    /// The first line's, which is kept nowhere.
    pub(super) fn first() -> Self {
        Self { line: 1, offset: 0, state: Box::default() }
    }
}

/// One thing that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    Mark(Mark),
    /// This line and those after it began then.
    Time(u64, Timestamp),
    Fold(Fold),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Index {
    /// Never empty.
    pub(super) marks: Vec<Mark>,
    /// By line.
    pub(super) times: Vec<(u64, Timestamp)>,
    pub(super) folds: Vec<Fold>,
}

impl Default for Index {
    fn default() -> Self {
        Self { marks: vec![Mark::first()], times: Vec::new(), folds: Vec::new() }
    }
}

/// Lines between two marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) mark: Mark,
    /// The offset of the next mark, or the log's end.
    pub(super) end: u64,
}

impl Index {
    /// What is not later than what is known is known already.
    pub(super) fn note(&mut self, record: Record) {
        match record {
            Record::Mark(mark) => {
                if mark.offset > self.last_mark().offset && mark.line > self.last_mark().line {
                    self.marks.push(mark);
                }
            }
            Record::Time(line, at) => {
                if self.times.last().is_none_or(|(last, _)| line > *last) {
                    self.times.push((line, at));
                }
            }
            Record::Fold(fold) => {
                let is_later = self.folds.last().is_none_or(|last| fold.line > last.line);
                if is_later && self.folds.len() < FOLDS {
                    self.folds.push(fold);
                }
            }
        }
    }

    pub(super) fn last_mark(&self) -> &Mark {
        &self.marks[self.marks.len() - 1]
    }

    /// Forgets what lies beyond the log: its last bytes were lost, the index was not.
    pub(super) fn cut_bytes(&mut self, length: u64) {
        let kept = self.marks.partition_point(|mark| mark.offset < length).max(1);
        self.marks.truncate(kept);
    }

    /// As [`Index::cut_bytes`], by the lines that are complete and the one under way: it has
    /// begun, so its time stands; whether it folds is told by its end.
    pub(super) fn cut_lines(&mut self, complete: u64, is_under_way: bool) {
        let begun = complete + u64::from(is_under_way);
        self.times.truncate(self.times.partition_point(|(line, _)| *line <= begun));
        self.folds.truncate(self.folds.partition_point(|fold| fold.line <= complete));
    }

    /// The chunks that hold so many lines from this one on; at most `bytes` of them, but
    /// one at least.
    pub(super) fn chunks(&self, from: u64, count: u64, length: u64, bytes: u64) -> Vec<Chunk> {
        let first = self.marks.partition_point(|mark| mark.line <= from).max(1) - 1;
        let mut chunks: Vec<Chunk> = Vec::new();
        let mut taken = 0;
        for (at, mark) in self.marks.iter().enumerate().skip(first) {
            // The index may know more by now than who asks.
            let end = self.marks.get(at + 1).map_or(length, |next| next.offset.min(length));
            if mark.line >= from.saturating_add(count) || mark.offset >= length {
                break;
            }
            taken += shown(mark.offset, end);
            if !chunks.is_empty() && taken > bytes {
                break;
            }
            chunks.push(Chunk { mark: mark.clone(), end });
        }
        chunks
    }

    /// When the lines from this one on began, as many as are wanted.
    pub(super) fn times(&self, from: u64, count: u64) -> Times {
        let first = self.times.partition_point(|(line, _)| *line <= from).saturating_sub(1);
        let end = from.saturating_add(count);
        let times = self.times[first..].iter().take_while(|(line, _)| *line < end);
        Times(times.copied().collect())
    }

    /// About so many bytes in memory.
    pub(super) fn weight(&self) -> usize {
        let folds: usize = self.folds.iter().map(|fold| fold.title.len() + 64).sum();
        self.marks.len() * 64 + self.times.len() * 16 + folds
    }
}

/// Bytes of a chunk that are ever looked at.
pub(super) fn shown(from: u64, end: u64) -> u64 {
    (end - from).min(CHUNK + LINE_LIMIT as u64)
}

/// When some lines began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Times(Vec<(u64, Timestamp)>);

impl Times {
    /// None: it is not known.
    pub(super) fn of(&self, line: u64) -> Option<Timestamp> {
        let known = self.0.partition_point(|(at, _)| *at <= line);
        self.0.get(known.checked_sub(1)?).map(|(_, at)| *at)
    }
}

/// Records one after the other, lines and times as differences.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    bytes: Vec<u8>,
    line: u64,
    at: i64,
}

impl Encoder {
    pub(super) fn push(&mut self, record: &Record) {
        let kind = match record {
            Record::Mark(_) => 1,
            Record::Time(..) => 2,
            Record::Fold(fold) => 3 + fold.kind as u64,
        };
        let line = match record {
            Record::Mark(mark) => mark.line,
            Record::Time(line, _) => *line,
            Record::Fold(fold) => fold.line,
        };
        put(&mut self.bytes, kind);
        put(&mut self.bytes, line.wrapping_sub(self.line));
        self.line = line;
        match record {
            Record::Mark(mark) => {
                put(&mut self.bytes, mark.offset);
                put_bytes(&mut self.bytes, &mark.state);
            }
            Record::Time(_, at) => {
                // A clock may go back.
                let step = at.0.wrapping_sub(self.at);
                put(&mut self.bytes, ((step << 1) ^ (step >> 63)).cast_unsigned());
                self.at = at.0;
            }
            Record::Fold(fold) => put_bytes(&mut self.bytes, fold.title.as_bytes()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// The records of an index in the order of their lines, as one encoding.
pub(super) fn encode(index: &Index) -> Vec<u8> {
    let mut encoder = Encoder::default();
    let (mut times, mut folds) = (index.times.iter().peekable(), index.folds.iter().peekable());
    let mut before = |line: u64, encoder: &mut Encoder| {
        while let Some((at, time)) = times.next_if(|(at, _)| *at < line) {
            encoder.push(&Record::Time(*at, *time));
        }
        while let Some(fold) = folds.next_if(|fold| fold.line < line) {
            encoder.push(&Record::Fold(fold.clone()));
        }
    };
    for mark in &index.marks[1..] {
        before(mark.line, &mut encoder);
        encoder.push(&Record::Mark(mark.clone()));
    }
    before(u64::MAX, &mut encoder);
    encoder.finish()
}

/// None: these are no records.
pub(super) fn decode(mut bytes: &[u8], index: &mut Index) -> Option<()> {
    let (mut line, mut at) = (0_u64, 0_i64);
    while !bytes.is_empty() {
        let kind = take(&mut bytes)?;
        line = line.wrapping_add(take(&mut bytes)?);
        index.note(match kind {
            1 => {
                let offset = take(&mut bytes)?;
                Record::Mark(Mark { line, offset, state: take_bytes(&mut bytes)?.into() })
            }
            2 => {
                let step = take(&mut bytes)?;
                at = at.wrapping_add((step >> 1).cast_signed() ^ -(step & 1).cast_signed());
                Record::Time(line, Timestamp(at))
            }
            kind => {
                let kind = FoldKind::of(kind.checked_sub(3)?)?;
                let title = String::from_utf8_lossy(take_bytes(&mut bytes)?).into_owned();
                Record::Fold(Fold { line, kind, title })
            }
        });
    }
    Some(())
}

/// A number as LEB128.
pub(super) fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push((number & 0x7f) as u8);
}

pub(super) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn put_bytes(bytes: &mut Vec<u8>, more: &[u8]) {
    put(bytes, more.len() as u64);
    bytes.extend_from_slice(more);
}

fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take(bytes)?).ok()?;
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}
