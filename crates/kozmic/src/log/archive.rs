//! A finished log as one object, of which any part can be read alone.
//!
//! It is a file of the Zstandard format (RFC 8878), so that `zstd -dc` gives the log
//! also without Kozmic: frames of 256 KiB of the log each, with checksums, then a
//! skippable frame. That one holds the index and the sizes of the frames, compressed,
//! and at its end a footer of fixed size:
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | bytes of the log |
//! | 8 | newlines in it |
//! | 8 | bytes after the last newline |
//! | 32 | SHA-256 of it |
//! | 4 | bytes of the index as it stands before the footer |
//! | 4 | bytes of the index, not compressed |
//! | 32 | SHA-256 of the index as it stands there and of the footer up to here |
//! | 8 | `kozlog1\n` |
//!
//! Numbers have their lowest byte first.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt as _;

use aws_lc_rs::digest;

use super::LogError;
use super::index::{Index, decode, encode, put, take};
use super::indexer::Indexer;

/// Bytes of the log in one frame; only the last has less.
pub(super) const BLOCK: u64 = 256 * 1024;
/// zstd's default: more costs much time and gives little.
const LEVEL: i32 = 3;
/// RFC 8878, 3.1.2: one of sixteen magic numbers of frames that are skipped.
const SKIPPABLE: u32 = 0x184D_2A5B;
const FOOTER: usize = 8 + 8 + 8 + 32 + 4 + 4 + 32 + 8;
const MAGIC: &[u8; 8] = b"kozlog1\n";
/// Bytes of an index; the log's limit keeps it far below.
const INDEX: usize = 256 << 20;
/// Bytes at the object's end in which most indexes are.
pub(super) const TAIL: u64 = 256 * 1024;

/// What is known of an archived log, in memory.
#[derive(Debug)]
pub(super) struct Contents {
    /// Bytes of the log.
    pub(super) length: u64,
    /// Its newlines.
    pub(super) complete: u64,
    /// Bytes after the last one.
    pub(super) rest: u64,
    pub(super) digest: [u8; 32],
    pub(super) index: Index,
    /// Where the frame of each block begins, and where the last one ends.
    pub(super) frames: Vec<u64>,
}

impl Contents {
    /// About so many bytes in memory.
    pub(super) fn weight(&self) -> usize {
        self.index.weight() + self.frames.len() * 8 + 256
    }

    /// The blocks that hold these bytes of the log.
    pub(super) fn blocks(&self, from: u64, to: u64) -> std::ops::Range<usize> {
        let count = self.frames.len() - 1;
        let at = |offset: u64| usize::try_from(offset / BLOCK).unwrap_or(count).min(count);
        if from >= to { 0..0 } else { at(from)..(at(to - 1) + 1).min(count) }
    }
}

/// Writes a log's archive; what is known of the log from elsewhere (its times) is in
/// the index.
pub(super) fn write(
    log: &File,
    length: u64,
    mut index: Index,
    into: &mut File,
) -> io::Result<Contents> {
    let mut out = BufWriter::new(into);
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    compressor.include_checksum(true)?;
    compressor.include_contentsize(true)?;
    index.cut_bytes(length);
    let mut indexer = Indexer::at(&super::index::Mark::first());
    let mut digest = digest::Context::new(&digest::SHA256);
    let mut block = vec![0; usize::try_from(BLOCK).unwrap_or(usize::MAX)];
    let (mut frames, mut at, mut written) = (vec![0], 0, 0);
    while at < length {
        let wanted = usize::try_from(BLOCK.min(length - at)).unwrap_or(usize::MAX);
        log.read_exact_at(&mut block[..wanted], at)?;
        let bytes = &block[..wanted];
        digest.update(bytes);
        indexer.feed(bytes, None, &mut |record| index.note(record));
        let frame = compressor.compress(bytes)?;
        out.write_all(&frame)?;
        written += frame.len() as u64;
        frames.push(written);
        at += wanted as u64;
    }
    let (complete, rest) = (indexer.line - 1, indexer.offset - indexer.line_start);
    index.cut_lines(complete, rest > 0);
    let mut contents = Contents { length, complete, rest, digest: [0; 32], index, frames };
    contents.digest.copy_from_slice(digest.finish().as_ref());
    out.write_all(&last_frame(&contents)?)?;
    out.flush()?;
    Ok(contents)
}

fn last_frame(contents: &Contents) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    put(&mut plain, contents.frames.len() as u64 - 1);
    for frame in contents.frames.windows(2) {
        put(&mut plain, frame[1] - frame[0]);
    }
    plain.extend(encode(&contents.index));
    let index = zstd::bulk::compress(&plain, LEVEL)?;
    let too_large = |_| io::Error::other("the index is too large");
    let mut frame = SKIPPABLE.to_le_bytes().to_vec();
    frame.extend(u32::try_from(index.len() + FOOTER).map_err(too_large)?.to_le_bytes());
    let begin = frame.len();
    frame.extend(&index);
    frame.extend(contents.length.to_le_bytes());
    frame.extend(contents.complete.to_le_bytes());
    frame.extend(contents.rest.to_le_bytes());
    frame.extend(contents.digest);
    frame.extend(u32::try_from(index.len()).map_err(too_large)?.to_le_bytes());
    frame.extend(u32::try_from(plain.len()).map_err(too_large)?.to_le_bytes());
    let digest = digest::digest(&digest::SHA256, &frame[begin..]);
    frame.extend(digest.as_ref());
    frame.extend(MAGIC);
    Ok(frame)
}

/// How many bytes at the object's end must be read, as its last ones say.
pub(super) fn needed(tail: &[u8], place: &str) -> Result<u64, LogError> {
    let footer = footer(tail, place)?;
    Ok(u64::from(number(&footer[56..60])) + FOOTER as u64)
}

/// What the object's last bytes tell; they begin with the index at the latest.
pub(super) fn read(tail: &[u8], place: &str) -> Result<Contents, LogError> {
    let damaged = |what: &str| LogError::damaged(place, what);
    let footer = footer(tail, place)?;
    let length = number(&footer[56..60]) as usize;
    let plain = number(&footer[60..64]) as usize;
    let begin = tail
        .len()
        .checked_sub(FOOTER + length)
        .ok_or_else(|| damaged("its index is not there as a whole"))?;
    let signed = &tail[begin..tail.len() - MAGIC.len() - 32];
    if digest::digest(&digest::SHA256, signed).as_ref() != &footer[64..96] {
        return Err(damaged("its index has a wrong checksum"));
    }
    if plain > INDEX {
        return Err(damaged("its index is too large"));
    }
    let plain = zstd::bulk::decompress(&signed[..length], plain)
        .map_err(|_| damaged("its index can't be unpacked"))?;
    let (mut frames, mut index) = (vec![0], Index::default());
    let mut rest = plain.as_slice();
    let log = long(&footer[..8]);
    let wrong = || damaged("its index makes no sense");
    let count = take(&mut rest).filter(|count| *count == log.div_ceil(BLOCK)).ok_or_else(wrong)?;
    for _ in 0..count {
        let size = take(&mut rest).ok_or_else(wrong)?;
        let begin: u64 = frames[frames.len() - 1];
        frames.push(begin.checked_add(size).ok_or_else(wrong)?);
    }
    decode(rest, &mut index).ok_or_else(wrong)?;
    let mut contents = Contents {
        length: log,
        complete: long(&footer[8..16]),
        rest: long(&footer[16..24]),
        digest: [0; 32],
        index,
        frames,
    };
    contents.digest.copy_from_slice(&footer[24..56]);
    Ok(contents)
}

fn footer<'a>(tail: &'a [u8], place: &str) -> Result<&'a [u8], LogError> {
    match tail.len().checked_sub(FOOTER) {
        Some(begin) if tail.ends_with(MAGIC) => Ok(&tail[begin..]),
        _ => Err(LogError::damaged(place, "its end is missing")),
    }
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().unwrap_or_default())
}

fn long(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().unwrap_or_default())
}

/// The bytes of one block.
pub(super) fn unpack(
    frame: &[u8],
    block: usize,
    contents: &Contents,
    place: &str,
) -> Result<Vec<u8>, LogError> {
    let from = block as u64 * BLOCK;
    let size = usize::try_from(BLOCK.min(contents.length - from)).unwrap_or(usize::MAX);
    let bytes = zstd::bulk::decompress(frame, size);
    bytes.ok().filter(|bytes| bytes.len() == size).ok_or_else(|| {
        let to = from + size as u64;
        LogError::damaged(place, format!("what was kept of its bytes {from} to {to} is not whole"))
    })
}
