//! The index of a log that grows: a file beside the log's, appended as the log is. The
//! log is the truth. What the index says beyond it is dropped, what it misses is found
//! by reading the log; only times are known nowhere else. So it is never synced.
//!
//! After a header come frames: four bytes length, four bytes of a digest, records.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;

use super::index::{Encoder, Index, decode, encode};
use super::indexer::Indexer;
use crate::model::Timestamp;

/// Of this form of the file; with another one, the log is read.
const HEADER: &[u8] = b"kozidx1\n";
/// Bytes of a frame's records; what claims to have more is no frame.
const FRAME: usize = 64 << 20;
/// Bytes of a log that are read at a time.
const BLOCK: usize = 256 * 1024;

pub(super) fn path_of(log: &Path) -> PathBuf {
    log.with_extension("idx")
}

fn frame(records: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(records.len() + 8);
    bytes.extend(u32::try_from(records.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend(check(records));
    bytes.extend(records);
    bytes
}

fn check(records: &[u8]) -> [u8; 4] {
    let digest = digest::digest(&digest::SHA256, records);
    let mut check = [0; 4];
    check.copy_from_slice(&digest.as_ref()[..4]);
    check
}

/// The writer's side.
#[derive(Debug)]
pub(super) struct Sidecar {
    path: PathBuf,
    /// None: it could not be written; readers read the log.
    file: Option<File>,
    indexer: Indexer,
}

impl Sidecar {
    /// Of a log that has so many bytes: those of an earlier attempt, or of a server that
    /// was killed. The index is brought up to them.
    pub(super) fn open(log: &Path, file: &File, length: u64) -> io::Result<Self> {
        let path = path_of(log);
        let mut index = Index::default();
        if length > 0
            && let Some(mut frames) = Frames::open(log)
        {
            frames.read(&mut index)?;
        }
        let indexer = catch_up(&mut index, file, length)?;
        // Written anew, so that nothing stands in it after what is torn.
        let new = path.with_extension("idx.new");
        let mut bytes = HEADER.to_vec();
        let records = encode(&index);
        if !records.is_empty() {
            bytes.extend(frame(&records));
        }
        std::fs::write(&new, bytes)?;
        std::fs::rename(&new, &path)?;
        let file = OpenOptions::new().append(true).open(&path)?;
        Ok(Self { path, file: Some(file), indexer })
    }

    /// The log has these bytes more.
    pub(super) fn wrote(&mut self, bytes: &[u8], at: Timestamp) {
        let Some(file) = &mut self.file else { return };
        let mut records = Encoder::default();
        self.indexer.feed(bytes, Some(at), &mut |record| records.push(&record));
        if records.is_empty() {
            return;
        }
        // In one piece, as readers may look at any moment.
        if let Err(error) = file.write_all(&frame(&records.finish())) {
            tracing::warn!(path = %self.path.display(), %error, "a log goes on without its index");
            self.file = None;
        }
    }
}

/// Drops what the index says beyond the log, and adds what it misses.
pub(super) fn catch_up(index: &mut Index, log: &File, length: u64) -> io::Result<Indexer> {
    index.cut_bytes(length);
    let mut indexer = Indexer::at(index.last_mark());
    scan(&mut indexer, log, length, index)?;
    index.cut_lines(indexer.line - 1, indexer.offset > indexer.line_start);
    Ok(indexer)
}

/// Goes on to that length of the log.
pub(super) fn scan(
    indexer: &mut Indexer,
    log: &File,
    length: u64,
    index: &mut Index,
) -> io::Result<()> {
    let rest = length.saturating_sub(indexer.offset);
    let mut block = vec![0; usize::try_from(rest).unwrap_or(BLOCK).min(BLOCK)];
    while indexer.offset < length {
        let wanted = usize::try_from(length - indexer.offset).unwrap_or(BLOCK).min(BLOCK);
        let read = log.read_at(&mut block[..wanted], indexer.offset)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        indexer.feed(&block[..read], None, &mut |record| index.note(record));
    }
    Ok(())
}

/// The readers' side: frames as they come.
#[derive(Debug)]
pub(super) struct Frames {
    path: PathBuf,
    file: File,
    /// Of the file; the writer puts another one in its place when it begins.
    inode: u64,
    at: u64,
    /// What follows is no frame, and never will be.
    is_torn: bool,
}

impl Frames {
    /// None: there is no index that can be read.
    pub(super) fn open(log: &Path) -> Option<Self> {
        Self::of(&path_of(log))
    }

    fn of(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        let mut header = [0; HEADER.len()];
        file.read_exact_at(&mut header, 0).ok()?;
        let inode = file.metadata().ok()?.ino();
        let (path, at) = (path.to_owned(), HEADER.len() as u64);
        (header == HEADER).then_some(Self { path, file, inode, at, is_torn: false })
    }

    /// Takes the frames that have come since.
    pub(super) fn read(&mut self, index: &mut Index) -> io::Result<()> {
        if std::fs::metadata(&self.path).is_ok_and(|file| file.ino() != self.inode)
            && let Some(new) = Self::of(&self.path)
        {
            *self = new;
        }
        while !self.is_torn {
            let mut head = [0; 8];
            let end = self.file.metadata()?.len();
            if end < self.at + 8 {
                break;
            }
            let rest = end - self.at - 8;
            self.file.read_exact_at(&mut head, self.at)?;
            let [a, b, c, d, check_of @ ..] = head;
            let length = u32::from_le_bytes([a, b, c, d]);
            if length as usize > FRAME {
                self.is_torn = true;
                break;
            }
            if u64::from(length) > rest {
                break;
            }
            let mut records = vec![0; length as usize];
            self.file.read_exact_at(&mut records, self.at + 8)?;
            if check(&records) != check_of || decode(&records, index).is_none() {
                self.is_torn = true;
                break;
            }
            self.at += 8 + u64::from(length);
        }
        Ok(())
    }
}
