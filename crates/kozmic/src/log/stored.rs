//! The bytes of one log and its index, wherever they lie.

use std::fs::File;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use lru::LruCache;

use super::LogError;
use super::archive::{self, Contents, TAIL};
use super::index::{Index, Mark};
use super::indexer::Indexer;
use super::sidecar::{Frames, catch_up, scan};
use crate::objects::Objects;

/// Blocks of an archived log that are kept unpacked: who scrolls asks for them again.
const BLOCKS: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// What is known of a log at a moment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Extent {
    /// Bytes.
    pub(super) length: u64,
    /// Lines with their newline.
    pub(super) complete: u64,
    /// Bytes come after the last newline.
    pub(super) has_rest: bool,
}

/// A log that grows, or did until a moment ago: a file. All its readers share it.
#[derive(Debug)]
pub(super) struct Live {
    path: PathBuf,
    file: File,
    growing: Mutex<Growing>,
}

#[derive(Debug)]
struct Growing {
    index: Index,
    indexer: Indexer,
    frames: Option<Frames>,
}

impl Live {
    pub(super) fn open(path: &Path) -> std::io::Result<Self> {
        let file = File::open(path)?;
        let (index, indexer) = (Index::default(), Indexer::at(&Mark::first()));
        let growing = Growing { index, indexer, frames: Frames::open(path) };
        Ok(Self { path: path.to_owned(), file, growing: Mutex::new(growing) })
    }

    /// Takes in what was written since. It reads, so not on a thread that others need.
    pub(super) fn refresh(&self) -> Result<Extent, LogError> {
        let failed = LogError::file(&self.path);
        let mut growing = self.lock();
        let Growing { index, indexer, frames } = &mut *growing;
        if let Some(frames) = frames {
            frames.read(index).map_err(&failed)?;
        }
        // Asked after the frames: none of them is beyond it.
        let length = self.file.metadata().map_err(&failed)?.len();
        if indexer.offset == 0 {
            *indexer = catch_up(index, &self.file, length).map_err(&failed)?;
        }
        if index.last_mark().offset > indexer.offset {
            *indexer = Indexer::at(index.last_mark());
        }
        scan(indexer, &self.file, length, index).map_err(&failed)?;
        Ok(Extent {
            length: indexer.offset,
            complete: indexer.line - 1,
            has_rest: indexer.offset > indexer.line_start,
        })
    }

    fn read(&self, from: u64, to: u64) -> Result<Bytes, LogError> {
        let mut bytes = vec![0; usize::try_from(to.saturating_sub(from)).unwrap_or(0)];
        self.file.read_exact_at(&mut bytes, from).map_err(LogError::file(&self.path))?;
        Ok(bytes.into())
    }

    fn lock(&self) -> MutexGuard<'_, Growing> {
        self.growing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A finished log among the objects. All its readers share it.
#[derive(Debug)]
pub(super) struct Kept {
    objects: Objects,
    key: String,
    /// For people.
    place: String,
    pub(super) contents: Contents,
    unpacked: Mutex<LruCache<usize, Bytes>>,
}

impl Kept {
    pub(super) async fn open(objects: &Objects, key: &str) -> Result<Self, LogError> {
        let place = format!("{key} in {}", objects.place());
        let (mut tail, size) = objects.tail(key, TAIL).await?;
        let needed = archive::needed(&tail, &place)?;
        if needed > tail.len() as u64 {
            if needed > size {
                return Err(LogError::damaged(&place, "its beginning is missing"));
            }
            tail = objects.get(key, size - needed..size).await?;
        }
        let contents = archive::read(&tail, &place)?;
        if contents.frames.last().is_none_or(|end| *end > size) {
            return Err(LogError::damaged(&place, "a part of it is missing"));
        }
        let unpacked = Mutex::new(LruCache::new(BLOCKS));
        Ok(Self { objects: objects.clone(), key: key.to_owned(), place, contents, unpacked })
    }

    pub(super) fn extent(&self) -> Extent {
        let Contents { length, complete, rest, .. } = self.contents;
        Extent { length, complete, has_rest: rest > 0 }
    }

    async fn read(self: &Arc<Self>, from: u64, to: u64) -> Result<Bytes, LogError> {
        let blocks = self.contents.blocks(from, to);
        let begin = blocks.start as u64 * archive::BLOCK;
        let known: Option<Vec<Bytes>> = {
            let mut unpacked = self.lock();
            blocks.clone().map(|block| unpacked.get(&block).cloned()).collect()
        };
        let parts = match known {
            Some(parts) => parts,
            None => self.unpack(blocks).await?,
        };
        let within = |offset: u64| usize::try_from(offset - begin).unwrap_or(usize::MAX);
        if let [part] = parts.as_slice() {
            return Ok(part.slice(within(from)..within(to)));
        }
        let mut bytes = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
        for part in &parts {
            bytes.extend_from_slice(part);
        }
        Ok(bytes.freeze().slice(within(from)..within(to)))
    }

    async fn unpack(
        self: &Arc<Self>,
        blocks: std::ops::Range<usize>,
    ) -> Result<Vec<Bytes>, LogError> {
        let frames = &self.contents.frames;
        let begin = frames[blocks.start];
        let packed = self.objects.get(&self.key, begin..frames[blocks.end]).await?;
        if packed.len() as u64 != frames[blocks.end] - begin {
            return Err(LogError::damaged(&self.place, "a part of it is missing"));
        }
        let kept = self.clone();
        blocking(move || {
            let Contents { frames, .. } = &kept.contents;
            let mut parts = Vec::with_capacity(blocks.len());
            for block in blocks.clone() {
                let at = |frame: u64| usize::try_from(frame - begin).unwrap_or(usize::MAX);
                let frame = &packed[at(frames[block])..at(frames[block + 1])];
                let bytes = archive::unpack(frame, block, &kept.contents, &kept.place)?;
                parts.push(Bytes::from(bytes));
            }
            // Whoever reads it from end to end asks for nothing twice.
            if parts.len() <= BLOCKS.get() {
                let mut unpacked = kept.lock();
                for (block, part) in blocks.zip(&parts) {
                    unpacked.put(block, part.clone());
                }
            }
            Ok(parts)
        })
        .await
    }

    /// About so many bytes in memory, at the most.
    pub(super) fn weight(&self) -> usize {
        self.contents.weight() + BLOCKS.get() * usize::try_from(archive::BLOCK).unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<usize, Bytes>> {
        self.unpacked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Clone)]
pub(super) enum Stored {
    Live(Arc<Live>),
    Kept(Arc<Kept>),
}

impl Stored {
    pub(super) fn index<T>(&self, of: impl FnOnce(&Index) -> T) -> T {
        match self {
            Self::Live(live) => of(&live.lock().index),
            Self::Kept(kept) => of(&kept.contents.index),
        }
    }

    /// A line is not where the index has it.
    pub(super) fn makes_no_sense(&self, line: u64) -> LogError {
        let place = match self {
            Self::Live(log) => log.path.display().to_string(),
            Self::Kept(kept) => kept.place.clone(),
        };
        LogError::damaged(&place, format!("its index does not lead to line {line}"))
    }

    /// Bytes that are there.
    pub(super) async fn read(&self, from: u64, to: u64) -> Result<Bytes, LogError> {
        match self {
            Self::Live(live) => {
                let live = live.clone();
                blocking(move || live.read(from, to)).await
            }
            Self::Kept(kept) => kept.read(from, to).await,
        }
    }
}

/// On a thread that may wait.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|failed| {
        Err(LogError::File { path: "a log".into(), source: std::io::Error::other(failed) })
    })
}
