//! A log that secrets are hidden from before it gets anything.

use std::io;

use super::{Masks, Stream};
use crate::log::Sink;

/// Stands before a log. It may hold back the last bytes, as long as they may be the
/// beginning of a secret; whoever goes on with the log later gets them again.
pub struct Masked<S> {
    inner: S,
    masks: Masks,
    stream: Stream,
    /// Between one write and the next; here, so that it is not made each time.
    sure: Vec<u8>,
    /// Of what comes out next, so many bytes are in the log already.
    to_skip: u64,
    /// Something was taken since the last end of an output.
    goes_on: bool,
}

impl<S: Sink> Masked<S> {
    pub fn new(inner: S, masks: Masks) -> Self {
        let stream = Stream::new(masks.clone());
        Self { inner, masks, stream, sure: Vec::new(), to_skip: 0, goes_on: false }
    }

    /// The log behind it.
    pub fn inner(&mut self) -> &mut S {
        &mut self.inner
    }

    fn write(&mut self) -> io::Result<()> {
        let known = self.to_skip.min(self.sure.len() as u64);
        self.to_skip -= known;
        let new = &self.sure[usize::try_from(known).unwrap_or(usize::MAX)..];
        let written = if new.is_empty() { Ok(()) } else { self.inner.append(new) };
        self.sure.clear();
        written
    }
}

impl<S: Sink> Sink for Masked<S> {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.masks.is_empty() {
            return self.inner.append(bytes);
        }
        self.goes_on = true;
        self.stream.push(bytes, &mut self.sure);
        self.write()
    }

    fn note(&mut self, text: &str) -> io::Result<()> {
        self.settle()?;
        self.inner.note(&self.masks.hide_text(text))
    }

    /// With what is held back.
    fn length(&self) -> u64 {
        let held = self.stream.held() as u64;
        self.inner.length() + held.saturating_sub(self.to_skip)
    }

    fn sync_when_due(&mut self) -> io::Result<()> {
        self.inner.sync_when_due()
    }

    fn settle(&mut self) -> io::Result<()> {
        self.stream.finish(&mut self.sure);
        self.goes_on = false;
        let written = self.write();
        self.to_skip = 0;
        written.and_then(|()| self.inner.settle())
    }

    fn goes_on_from(&mut self, written: u64) -> u64 {
        if self.masks.is_empty() || self.goes_on {
            return written;
        }
        // Whether the next byte is part of a secret depends on those before it.
        self.to_skip = written.min(Masks::REACH);
        written - self.to_skip
    }
}
