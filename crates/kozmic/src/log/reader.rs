//! Reads a log at any of its lines, live or archived, without reading what is before.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::Stream;

use super::archive::BLOCK;
use super::find::{Found, Query};
use super::fold::{self, Section};
use super::index::{Chunk, shown};
use super::lines::LinesOf;
use super::stored::{Extent, Stored, blocking};
use super::{LogError, Renderer};
use crate::model::Timestamp;

/// Lines that [`Reader::rows`] gives at the most.
pub const ROWS: usize = 2_000;
/// Bytes of the log that are read for them; long lines make them fewer.
const ROW_BYTES: u64 = 4 << 20;
/// Lines that one search finds at the most.
pub const MATCHES: usize = 1_000;
/// A search that took so long says how far it came.
const FIND_TIME: Duration = Duration::from_secs(1);
/// Bytes of the log that are searched at a time.
const FIND_BYTES: u64 = 4 << 20;
/// Bytes of the log that are delivered at a time.
const DELIVERED: u64 = BLOCK;

/// A line as a page shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// From 1.
    pub number: u64,
    /// When its first byte was written; exact to 20 ms where a script prints without a
    /// pause. None: it is not known.
    pub at: Option<Timestamp>,
    /// By [`Renderer`].
    pub html: String,
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reader {
    stored: Stored,
    extent: Extent,
    is_finished: bool,
}

impl Reader {
    pub(super) async fn new(stored: Stored) -> Result<Self, LogError> {
        let is_finished = matches!(stored, Stored::Kept(_));
        let mut reader = Self { stored, extent: Extent::default(), is_finished };
        reader.refresh().await?;
        Ok(reader)
    }

    /// Takes in what was written since the last look. What gives rows, matches or
    /// sections does it by itself.
    pub async fn refresh(&mut self) -> Result<(), LogError> {
        self.extent = match &self.stored {
            Stored::Kept(kept) => kept.extent(),
            Stored::Live(live) => {
                let live = live.clone();
                blocking(move || live.refresh()).await?
            }
        };
        Ok(())
    }

    /// To be told by who knows that the job is over: an unfinished last line is a line
    /// then. An archived log is over in any case.
    pub fn ended(&mut self) {
        self.is_finished = true;
    }

    /// Complete lines so far; the unfinished last one counts when the log is over.
    pub fn line_count(&self) -> u64 {
        self.extent.complete + u64::from(self.extent.has_rest && self.is_finished)
    }

    pub fn byte_length(&self) -> u64 {
        self.extent.length
    }

    pub fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// The lines from this one on: so many, or fewer at the log's end, where they are
    /// long, and beyond [`ROWS`]. Only none when there is none.
    pub async fn rows(&mut self, from: u64, count: usize) -> Result<Vec<Row>, LogError> {
        self.refresh().await?;
        self.rows_to(from, count, self.line_count()).await
    }

    /// The line under way: what follows the last newline of a log that is not over.
    pub async fn unfinished(&mut self) -> Result<Option<Row>, LogError> {
        self.refresh().await?;
        if self.is_finished || !self.extent.has_rest {
            return Ok(None);
        }
        let number = self.extent.complete + 1;
        Ok(self.rows_to(number, 1, number).await?.pop())
    }

    async fn rows_to(&self, from: u64, count: usize, last: u64) -> Result<Vec<Row>, LogError> {
        let from = from.max(1);
        let count = (count.min(ROWS) as u64).min(last.saturating_add(1).saturating_sub(from));
        if count == 0 {
            return Ok(Vec::new());
        }
        let (chunks, times) = self.stored.index(|index| {
            (index.chunks(from, count, self.extent.length, ROW_BYTES), index.times(from, count))
        });
        let mut rows = Vec::new();
        let Some(first) = chunks.first() else { return Ok(rows) };
        let mut renderer = Renderer::resume(&first.mark.state);
        for (chunk, bytes) in chunks.iter().zip(self.read(&chunks).await?) {
            for (number, line) in self.lines_of(chunk, &bytes) {
                if number < from {
                    renderer.skip(line);
                } else if number < from + count {
                    let html = renderer.line(line);
                    rows.push(Row { number, at: times.of(number), html });
                } else {
                    break;
                }
            }
        }
        Ok(rows)
    }

    /// Lines that match, from this one on. Only the first 64 KiB of a line are looked
    /// at, as pages show no more.
    pub async fn find(&mut self, query: &Query, from: u64) -> Result<Found, LogError> {
        self.find_some(query, from, MATCHES).await
    }

    /// As [`find`](Self::find), but ends at so many matches.
    pub async fn find_some(
        &mut self,
        query: &Query,
        from: u64,
        most: usize,
    ) -> Result<Found, LogError> {
        let most = most.clamp(1, MATCHES);
        self.refresh().await?;
        let begin = Instant::now();
        let last = self.line_count();
        let mut line = from.max(1);
        let mut matches = Vec::new();
        while line <= last {
            if begin.elapsed() > FIND_TIME || matches.len() == most {
                return Ok(Found { matches, looked_to: line - 1, next: Some(line) });
            }
            let chunks = self
                .stored
                .index(|index| index.chunks(line, u64::MAX, self.extent.length, FIND_BYTES));
            if chunks.is_empty() {
                break;
            }
            let parts = self.read(&chunks).await?;
            let (query, reader) = (query.clone(), self.clone());
            let before = line;
            (matches, line) = blocking(move || {
                let first = line;
                for (chunk, bytes) in chunks.iter().zip(&parts) {
                    for (number, text) in reader.lines_of(chunk, bytes) {
                        if number < first || number > last {
                            continue;
                        }
                        if matches.len() == most {
                            return Ok((matches, line));
                        }
                        matches.extend(query.find(number, text.bytes));
                        line = number + 1;
                    }
                }
                Ok((matches, line))
            })
            .await?;
            if line == before {
                return Err(self.stored.makes_no_sense(line));
            }
        }
        Ok(Found { matches, looked_to: last, next: None })
    }

    /// What folds, by line.
    pub async fn sections(&mut self) -> Result<Vec<Section>, LogError> {
        self.refresh().await?;
        Ok(self.stored.index(|index| fold::sections(&index.folds, self.line_count())))
    }

    /// The next bytes from this one on, as they were written; none at the end of what is
    /// written so far.
    pub async fn bytes_at(&mut self, from: u64) -> Result<Bytes, LogError> {
        if from >= self.extent.length {
            self.refresh().await?;
        }
        // What is damaged of an archive so stays apart from what is not.
        let to = self.extent.length.min((from / DELIVERED + 1) * DELIVERED);
        if from >= to { Ok(Bytes::new()) } else { self.stored.read(from, to).await }
    }

    /// All bytes from this one on, as they were written, up to the end of what is written
    /// when it is reached. Where an archive is damaged, a line says so in their place.
    pub fn bytes(self, from: u64) -> impl Stream<Item = Result<Bytes, LogError>> + Send {
        futures_util::stream::try_unfold((self, from), |(mut reader, from)| async move {
            let (bytes, next) = match reader.bytes_at(from).await {
                Ok(bytes) if bytes.is_empty() => return Ok(None),
                Ok(bytes) => (bytes.clone(), from + bytes.len() as u64),
                Err(LogError::Damaged { place, what }) => {
                    tracing::error!(place, what, "a log is damaged");
                    let note = format!("\n[kozmic] the log is damaged: {what}\n");
                    (note.into(), (from / DELIVERED + 1) * DELIVERED)
                }
                Err(error) => return Err(error),
            };
            Ok(Some((bytes, (reader, next))))
        })
    }

    /// What is shown of each chunk: all of it, but for the rest of a long last line.
    async fn read(&self, chunks: &[Chunk]) -> Result<Vec<Bytes>, LogError> {
        let mut parts = Vec::with_capacity(chunks.len());
        // Those that follow one another without a gap are read at once.
        let is_whole =
            |chunk: &Chunk| shown(chunk.mark.offset, chunk.end) == chunk.end - chunk.mark.offset;
        for group in chunks.chunk_by(|chunk, _| is_whole(chunk)) {
            let [first, .., last] = group else {
                let chunk = &group[0];
                let end = chunk.mark.offset + shown(chunk.mark.offset, chunk.end);
                parts.push(self.stored.read(chunk.mark.offset, end).await?);
                continue;
            };
            let end = last.mark.offset + shown(last.mark.offset, last.end);
            let bytes = self.stored.read(first.mark.offset, end).await?;
            parts.extend(group.iter().map(|chunk| {
                let at = |offset: u64| {
                    usize::try_from(offset.min(end) - first.mark.offset).unwrap_or(usize::MAX)
                };
                bytes.slice(at(chunk.mark.offset)..at(chunk.end))
            }));
        }
        Ok(parts)
    }

    fn lines_of<'a>(&self, chunk: &Chunk, bytes: &'a [u8]) -> LinesOf<'a> {
        let is_last = chunk.end == self.extent.length;
        LinesOf::new(chunk, bytes, !(is_last && self.extent.has_rest))
    }
}
