//! Reads logs, also while they grow.

use std::io::{self, SeekFrom};
use std::path::Path;

use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

/// Bytes read at a time.
const BLOCK: usize = 64 * 1024;

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

/// A log as lines, numbered from 1. A line ends at its newline; what follows
/// the last newline is a line only when the log is over.
#[derive(Debug)]
pub struct Lines {
    file: File,
    buffer: Vec<u8>,
    /// Bytes of the buffer that were given out.
    taken: usize,
}

impl Lines {
    pub fn new(file: File) -> Self {
        Self { file, buffer: Vec::new(), taken: 0 }
    }

    /// The next complete line, without its newline; none at the end of what is
    /// written so far.
    pub async fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let mut searched = self.taken;
        loop {
            if let Some(at) = self.buffer[searched..].iter().position(|byte| *byte == b'\n') {
                let (start, end) = (self.taken, searched + at);
                self.taken = end + 1;
                return Ok(Some(&self.buffer[start..end]));
            }
            self.buffer.drain(..self.taken);
            self.taken = 0;
            searched = self.buffer.len();
            self.buffer.resize(searched + BLOCK, 0);
            let read = self.file.read(&mut self.buffer[searched..]).await;
            self.buffer.truncate(searched + *read.as_ref().unwrap_or(&0));
            if read? == 0 {
                return Ok(None);
            }
        }
    }

    /// What follows the last newline: the last line of a log that is over.
    pub fn rest(&self) -> &[u8] {
        &self.buffer[self.taken..]
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[tokio::test]
    async fn lines_come_whole_however_they_are_written() {
        let mut written = tempfile::NamedTempFile::new().unwrap();
        let long = "x".repeat(3 * BLOCK);
        let mut lines = Lines::new(open(written.path(), 0).await.unwrap().unwrap());
        assert_eq!(lines.next().await.unwrap(), None);
        write!(written, "a\n\n{long}").unwrap();
        assert_eq!(lines.next().await.unwrap(), Some(b"a".as_slice()));
        assert_eq!(lines.next().await.unwrap(), Some(b"".as_slice()));
        assert_eq!(lines.next().await.unwrap(), None);
        write!(written, "y\nrest").unwrap();
        assert_eq!(lines.next().await.unwrap().unwrap().len(), long.len() + 1);
        assert_eq!(lines.next().await.unwrap(), None);
        assert_eq!(lines.rest(), b"rest");
    }
}
