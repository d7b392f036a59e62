//! The log of a running job: every byte in order, on disk before anyone sees it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::sidecar::Sidecar;
use super::{Bus, LogFolder, Progress, Sink};
use crate::model::{JobUuid, Timestamp};

/// What was shown is on the disk after this time at the latest.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// Appends to a job's log and tells the bus. One writer per job.
#[derive(Debug)]
pub struct LiveLog {
    file: File,
    index: Sidecar,
    length: u64,
    ends_line: bool,
    dirty: bool,
    synced_at: Instant,
    told: watch::Sender<Progress>,
}

impl LiveLog {
    /// Opens the job's log at its end: a later attempt goes on in the same log.
    pub fn open(folder: &LogFolder, job: JobUuid, bus: &Bus) -> io::Result<Self> {
        let path = folder.path(job);
        let parent = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent)?;
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
        // The folder's entry must survive a power cut as well as the content.
        File::open(parent)?.sync_all()?;
        let length = file.metadata()?.len();
        let mut last = [b'\n'];
        if length > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        let index = Sidecar::open(&path, &file, length)?;
        Ok(Self {
            file,
            index,
            length,
            ends_line: last == *b"\n",
            dirty: false,
            synced_at: Instant::now(),
            told: bus.writer(job, length),
        })
    }

    /// Everything so far survives a power cut.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.dirty {
            // A slow disk must not hold up what else runs on this thread.
            let file = &self.file;
            tokio::task::block_in_place(|| file.sync_data())?;
            self.dirty = false;
        }
        self.synced_at = Instant::now();
        Ok(())
    }

    /// A note that is the log's last line; not once more where it stands already.
    pub fn note_at_end(&mut self, text: &str) -> io::Result<()> {
        let line = format!("[kozmic] {text}\n");
        let start = self.length.saturating_sub(line.len() as u64);
        self.file.seek(SeekFrom::Start(start))?;
        let mut last = Vec::new();
        self.file.read_to_end(&mut last)?;
        if last == line.as_bytes() { Ok(()) } else { self.note(text) }
    }
}

impl Sink for LiveLog {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(last) = bytes.last() else { return Ok(()) };
        self.file.write_all(bytes)?;
        self.index.wrote(bytes, Timestamp::now());
        self.ends_line = *last == b'\n';
        self.length += bytes.len() as u64;
        self.dirty = true;
        self.told.send_replace(Progress::Written(self.length));
        self.sync_when_due()
    }

    /// On a line of its own.
    fn note(&mut self, text: &str) -> io::Result<()> {
        let break_line = if self.ends_line { "" } else { "\n" };
        self.append(format!("{break_line}[kozmic] {text}\n").as_bytes())
    }

    fn length(&self) -> u64 {
        self.length
    }

    fn sync_when_due(&mut self) -> io::Result<()> {
        if self.dirty && self.synced_at.elapsed() >= SYNC_EVERY { self.sync() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_stand_on_lines_of_their_own_and_attempts_follow_one_another() {
        let folder = tempfile::tempdir().unwrap();
        let (folder, job, bus) = (LogFolder::new(folder.path()), JobUuid::random(), Bus::default());
        let mut log = LiveLog::open(&folder, job, &bus).unwrap();
        log.append(b"no newline").unwrap();
        log.note("stalled").unwrap();
        drop(log);
        let mut log = LiveLog::open(&folder, job, &bus).unwrap();
        log.note("again").unwrap();
        log.append(b"x").unwrap();
        drop(log);
        LiveLog::open(&folder, job, &bus).unwrap().note_at_end("end").unwrap();
        // Whoever comes after a crash says the same.
        LiveLog::open(&folder, job, &bus).unwrap().note_at_end("end").unwrap();
        let text = std::fs::read_to_string(folder.path(job)).unwrap();
        assert_eq!(text, "no newline\n[kozmic] stalled\n[kozmic] again\nx\n[kozmic] end\n");
    }
}
