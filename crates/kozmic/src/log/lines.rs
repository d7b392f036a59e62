//! Lines of a part of a log.

use super::index::{Chunk, LINE_LIMIT};

/// One line, without its newline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// At most the first 64 KiB.
    pub bytes: &'a [u8],
    /// Bytes after those.
    pub cut: u64,
}

/// The lines of a chunk, with their numbers.
#[derive(Debug)]
pub(super) struct LinesOf<'a> {
    rest: &'a [u8],
    number: u64,
    /// Bytes of the last line that were not read, its newline among them.
    hidden: u64,
    ends_line: bool,
}

impl<'a> LinesOf<'a> {
    /// Of what was read of the chunk. Its last byte, read or not, is a newline, unless
    /// the log's last line has none.
    pub(super) fn new(chunk: &Chunk, bytes: &'a [u8], ends_line: bool) -> Self {
        let hidden = (chunk.end - chunk.mark.offset).saturating_sub(bytes.len() as u64);
        Self { rest: bytes, number: chunk.mark.line, hidden, ends_line }
    }
}

impl<'a> Iterator for LinesOf<'a> {
    type Item = (u64, Line<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, hidden) = match memchr::memchr(b'\n', self.rest) {
            Some(newline) => {
                let line = &self.rest[..newline];
                self.rest = &self.rest[newline + 1..];
                (line, 0)
            }
            None => {
                let newline = u64::from(self.ends_line && self.hidden > 0);
                (std::mem::take(&mut self.rest), self.hidden - newline)
            }
        };
        let number = self.number;
        self.number += 1;
        let kept = line.len().min(LINE_LIMIT);
        let cut = (line.len() - kept) as u64 + hidden;
        Some((number, Line { bytes: &line[..kept], cut }))
    }
}
