//! The lines of a log as HTML, in their order, from any of them on.

use super::jobs::line_html;
use crate::log::{Growing, LogError, Logs};
use crate::model::JobUuid;

/// Bytes of HTML given at a time, about.
const PIECE: usize = 32 * 1024;
/// Lines read at a time.
const ROWS: usize = 200;

/// Reads a log at its own pace.
pub(super) struct Tail {
    log: Growing,
    next: u64,
}

impl Tail {
    pub(super) fn new(logs: &Logs, job: JobUuid, from: u64) -> Self {
        Self { log: Growing::new(logs, job), next: from }
    }

    /// At the end of what is written so far.
    pub(super) async fn at_end(logs: &Logs, job: JobUuid) -> Result<Self, LogError> {
        let mut tail = Self::new(logs, job, 1);
        tail.next += tail.log.reader().await?.map_or(0, |reader| reader.line_count());
        Ok(tail)
    }

    /// The number of the line that comes next.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// As [`Growing::ended`].
    pub(super) fn ended(&mut self, worker: Option<String>) {
        self.log.ended(worker);
    }

    /// Some of the next lines before `until`, and the number of the first; none when no
    /// more are written yet.
    pub(super) async fn read(&mut self, until: u64) -> Result<Option<(u64, String)>, LogError> {
        let first = self.next;
        let Some(reader) = self.log.reader().await? else { return Ok(None) };
        let (mut html, mut next) = (String::new(), first);
        while html.len() < PIECE && next < until {
            let count = usize::try_from(until - next).unwrap_or(ROWS).min(ROWS);
            let rows = reader.rows(next, count).await?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                html.push_str(&line_html(row.number, &row.html));
                next = row.number + 1;
            }
        }
        self.next = next;
        Ok((next > first).then_some((first, html)))
    }

    /// The line under way as far as it is written; it is given out again when it is whole.
    pub(super) async fn unfinished(&mut self) -> Result<Option<(u64, String)>, LogError> {
        let Some(reader) = self.log.reader().await? else { return Ok(None) };
        let row = reader.unfinished().await?;
        Ok(row.map(|row| (row.number, line_html(row.number, &row.html))))
    }
}
