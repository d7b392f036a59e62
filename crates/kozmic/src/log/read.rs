//! Reads logs, also while they grow.

use std::io::{self, SeekFrom};
use std::path::Path;

use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

/// Bytes read at a time.
const BLOCK: usize = 64 * 1024;
/// Bytes of one line that are kept; a script may write a gigabyte without an end.
const LINE_LIMIT: usize = 64 * 1024;

/// The log's file, at a byte; none when nothing was ever written.
pub async fn open(path: &Path, from: u64) -> io::Result<Option<File>> {
    match File::open(path).await {
        Ok(mut file) => {
            file.seek(SeekFrom::Start(from)).await?;
            Ok(Some(file))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// How many lines a log has so far, an unfinished last one included.
pub async fn count_lines(path: &Path) -> io::Result<u64> {
    let Some(mut file) = open(path, 0).await? else { return Ok(0) };
    let mut block = vec![0; BLOCK];
    let (mut count, mut last) = (0, b'\n');
    loop {
        let read = file.read(&mut block).await?;
        if read == 0 {
            return Ok(count + u64::from(last != b'\n'));
        }
        count += memchr::memchr_iter(b'\n', &block[..read]).count() as u64;
        last = block[read - 1];
    }
}

/// One line, without its newline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// At most the first 64 KiB.
    pub bytes: &'a [u8],
    /// Bytes after those.
    pub cut: u64,
}

/// A log as lines, numbered from 1. A line ends at its newline; what follows
/// the last newline is a line only when the log is over.
#[derive(Debug)]
pub struct Lines {
    file: File,
    block: Vec<u8>,
    /// Where the next line begins in the block, and where the block ends.
    at: usize,
    end: usize,
    /// What is known of the line under way from earlier blocks.
    line: Vec<u8>,
    cut: u64,
    /// The line was given out; the next one begins.
    given: bool,
}

impl Lines {
    pub fn new(file: File) -> Self {
        Self { file, block: vec![0; BLOCK], at: 0, end: 0, line: Vec::new(), cut: 0, given: false }
    }

    /// The next complete line; none at the end of what is written so far.
    pub async fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        if std::mem::take(&mut self.given) {
            self.line.clear();
            self.cut = 0;
        }
        loop {
            let rest = &self.block[self.at..self.end];
            let newline = memchr::memchr(b'\n', rest);
            let part = &rest[..newline.unwrap_or(rest.len())];
            let kept = part.len().min(LINE_LIMIT - self.line.len());
            self.line.extend_from_slice(&part[..kept]);
            self.cut += (part.len() - kept) as u64;
            if let Some(newline) = newline {
                self.at += newline + 1;
                self.given = true;
                return Ok(Some(self.under_way()));
            }
            (self.at, self.end) = (0, 0);
            self.end = self.file.read(&mut self.block).await?;
            if self.end == 0 {
                return Ok(None);
            }
        }
    }

    /// What follows the last newline: the last line of a log that is over.
    pub fn rest(&self) -> Option<Line<'_>> {
        let is_empty = self.given || (self.line.is_empty() && self.cut == 0);
        (!is_empty).then(|| self.under_way())
    }

    fn under_way(&self) -> Line<'_> {
        Line { bytes: &self.line, cut: self.cut }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    async fn lines(file: &tempfile::NamedTempFile) -> Lines {
        Lines::new(open(file.path(), 0).await.unwrap().unwrap())
    }

    #[tokio::test]
    async fn lines_come_whole_however_they_are_written() {
        let mut written = tempfile::NamedTempFile::new().unwrap();
        let long = "x".repeat(BLOCK - 10);
        let mut lines = lines(&written).await;
        assert_eq!(lines.next().await.unwrap(), None);
        assert_eq!(lines.rest(), None);
        write!(written, "a\n\n{long}").unwrap();
        assert_eq!(lines.next().await.unwrap().unwrap().bytes, b"a");
        assert_eq!(lines.next().await.unwrap().unwrap().bytes, b"");
        assert_eq!(lines.next().await.unwrap(), None);
        write!(written, "y\nrest").unwrap();
        let line = lines.next().await.unwrap().unwrap();
        assert_eq!((line.bytes.len(), line.cut), (long.len() + 1, 0));
        assert_eq!(lines.next().await.unwrap(), None);
        assert_eq!(lines.rest().unwrap().bytes, b"rest");
        writeln!(written, " of it").unwrap();
        assert_eq!(lines.next().await.unwrap().unwrap().bytes, b"rest of it");
        assert_eq!(lines.rest(), None);
        assert_eq!(count_lines(written.path()).await.unwrap(), 4);
    }

    #[tokio::test]
    async fn a_line_without_end_takes_no_memory() {
        let mut written = tempfile::NamedTempFile::new().unwrap();
        write!(written, "{}\nnext", "x".repeat(10 * LINE_LIMIT)).unwrap();
        let mut lines = lines(&written).await;
        let line = lines.next().await.unwrap().unwrap();
        assert_eq!((line.bytes.len(), line.cut), (LINE_LIMIT, 9 * LINE_LIMIT as u64));
        assert!(lines.line.capacity() <= 2 * LINE_LIMIT);
        assert_eq!(lines.next().await.unwrap(), None);
        assert_eq!(lines.rest().unwrap(), Line { bytes: b"next", cut: 0 });
        assert_eq!(count_lines(written.path()).await.unwrap(), 2);
    }
}
