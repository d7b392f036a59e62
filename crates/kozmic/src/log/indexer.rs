//! Makes a log's index from its bytes, however they come.

use super::Line;
use super::ansi::Renderer;
use super::fold;
use super::index::{CHUNK, LINE_LIMIT, Mark, Record};
use crate::model::Timestamp;

/// Times of one chunk that are kept to the millisecond.
const EXACT_TIMES: u32 = 64;
/// From then on, milliseconds within which lines have the time of the first of them. A
/// script that prints without a pause for hours so adds no more than 50 times a second.
const GRAIN: i64 = 20;

/// Goes over a log once.
#[derive(Debug)]
pub(super) struct Indexer {
    /// Bytes so far.
    pub(super) offset: u64,
    /// The number of the line under way.
    pub(super) line: u64,
    /// Where it begins.
    pub(super) line_start: u64,
    /// What is known of it from earlier bytes, and is not cut.
    begun: Vec<u8>,
    /// Where the last mark is.
    mark: u64,
    renderer: Renderer,
    time: Option<Timestamp>,
    times: u32,
}

impl Indexer {
    /// At a line that begins there.
    pub(super) fn at(mark: &Mark) -> Self {
        Self {
            offset: mark.offset,
            line: mark.line,
            line_start: mark.offset,
            begun: Vec::new(),
            mark: mark.offset,
            renderer: Renderer::resume(&mark.state),
            time: None,
            times: 0,
        }
    }

    /// Takes the next bytes, which were written then; with no time, none is noted.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        at: Option<Timestamp>,
        note: &mut impl FnMut(Record),
    ) {
        let mut rest = bytes;
        while let Some(newline) = memchr::memchr(b'\n', rest) {
            self.begin(at, note);
            self.end(&rest[..newline], note);
            self.offset += newline as u64 + 1;
            self.line_start = self.offset;
            self.line += 1;
            rest = &rest[newline + 1..];
        }
        if !rest.is_empty() {
            self.begin(at, note);
            let kept = rest.len().min(LINE_LIMIT - self.begun.len());
            self.begun.extend_from_slice(&rest[..kept]);
            self.offset += rest.len() as u64;
        }
    }

    fn begin(&mut self, at: Option<Timestamp>, note: &mut impl FnMut(Record)) {
        if self.offset != self.line_start {
            return;
        }
        if self.offset - self.mark >= CHUNK {
            let state = self.renderer.state().into();
            note(Record::Mark(Mark { line: self.line, offset: self.offset, state }));
            self.mark = self.offset;
            self.times = 0;
        }
        let Some(at) = at else { return };
        let grain = if self.times < EXACT_TIMES { 1 } else { GRAIN };
        // A clock that went back is noted as well.
        if self.time.is_none_or(|last| (at.0 - last.0).abs() >= grain) {
            note(Record::Time(self.line, at));
            self.time = Some(at);
            self.times += 1;
        }
    }

    fn end(&mut self, part: &[u8], note: &mut impl FnMut(Record)) {
        if self.begun.is_empty() {
            self.look_at(&part[..part.len().min(LINE_LIMIT)], note);
        } else {
            let mut line = std::mem::take(&mut self.begun);
            let kept = part.len().min(LINE_LIMIT - line.len());
            line.extend_from_slice(&part[..kept]);
            self.look_at(&line, note);
            line.clear();
            line.shrink_to(4 * 1024);
            self.begun = line;
        }
    }

    fn look_at(&mut self, line: &[u8], note: &mut impl FnMut(Record)) {
        if let Some(fold) = fold::of_line(self.line, line) {
            note(Record::Fold(fold));
        }
        self.renderer.skip(Line { bytes: line, cut: 0 });
    }
}
