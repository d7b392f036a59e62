//! Where a job's output goes: into the log of a server, or onto a terminal.

use std::io::{self, Write};

/// Takes what a job's scripts write, in order.
pub trait Sink: Send {
    /// What a container wrote.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// A line of Kozmic's own.
    fn note(&mut self, text: &str) -> io::Result<()>;

    /// Bytes so far.
    fn length(&self) -> u64;

    /// To be called once a second while nothing is written.
    fn sync_when_due(&mut self) -> io::Result<()>;

    /// A container's output has ended: nothing of it is held back any more.
    fn settle(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// A container's output, `written` bytes of which are in the log, is read again:
    /// from which of its bytes on it is to be given. The first ones are known then, and
    /// do not count.
    fn goes_on_from(&mut self, written: u64) -> u64 {
        written
    }
}

/// Output of scripts to one writer, notes to another: a terminal's two streams.
#[derive(Debug)]
pub struct Streams<O, N> {
    output: O,
    notes: N,
    length: u64,
    ends_line: bool,
}

impl<O: Write + Send, N: Write + Send> Streams<O, N> {
    pub fn new(output: O, notes: N) -> Self {
        Self { output, notes, length: 0, ends_line: true }
    }
}

impl<O: Write + Send, N: Write + Send> Sink for Streams<O, N> {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.length += bytes.len() as u64;
        self.ends_line = bytes.last().map_or(self.ends_line, |last| *last == b'\n');
        self.output.write_all(bytes)?;
        self.output.flush()
    }

    fn note(&mut self, text: &str) -> io::Result<()> {
        let break_line = if self.ends_line { "" } else { "\n" };
        self.ends_line = true;
        // In one piece, whoever else writes to a terminal.
        self.notes.write_all(format!("{break_line}kozmic: {text}\n").as_bytes())?;
        self.notes.flush()
    }

    fn length(&self) -> u64 {
        self.length
    }

    fn sync_when_due(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_stand_apart_from_the_output() {
        let (mut output, mut notes) = (Vec::new(), Vec::new());
        let mut sink = Streams::new(&mut output, &mut notes);
        sink.append(b"no newline").unwrap();
        sink.note("stalled").unwrap();
        assert_eq!(sink.length(), 10);
        assert_eq!(output, b"no newline");
        assert_eq!(notes, b"\nkozmic: stalled\n");
    }
}
