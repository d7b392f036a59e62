//! A tree on its way: from a request into an object, and from there onto a disk.

use std::fs;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc;

use super::entries::{self, Sent, Sum};
use super::pack::on_disk;
use super::{Result, TreeError, TreeLimits};
use crate::objects::Objects;

/// Who sends nothing for so long is gone.
const PATIENCE: Duration = Duration::from_mins(1);
/// Pieces on the way from the network to whoever reads them.
const WAITING: usize = 8;

/// What was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Of the object.
    pub bytes: u64,
    pub files: usize,
}

/// Keeps a tree as an object, once all of it was looked at; else nothing is kept.
pub async fn keep(
    objects: &Objects,
    key: &str,
    mut stream: impl Stream<Item = io::Result<Bytes>> + Unpin,
    limits: TreeLimits,
) -> Result<Kept> {
    let mut upload = objects.upload(key)?;
    let (sender, reader) = pieces();
    let checked = tokio::task::spawn_blocking(move || {
        entries::read(BufReader::new(reader), limits, |_, sent| {
            if let Sent::File { content, .. } = sent {
                io::copy(content, &mut io::sink()).map_err(TreeError::Cut)?;
            }
            Ok(())
        })
    });
    let mut bytes = 0_u64;
    let sent = async {
        loop {
            let next = tokio::time::timeout(PATIENCE, stream.next());
            let Ok(next) = next.await else { return Err(TreeError::Stalled(PATIENCE.as_secs())) };
            let Some(piece) = next else { return Ok(()) };
            let piece = piece.map_err(TreeError::Cut)?;
            bytes += piece.len() as u64;
            // Packed it is not larger, but for what packing adds to what can't be packed.
            if bytes > limits.bytes + (limits.bytes >> 6) + (64 << 20) {
                return Err(TreeError::TooLarge(limits));
            }
            upload.write(piece.clone()).await?;
            // Whoever checks it has seen enough.
            if sender.send(Ok(piece)).await.is_err() {
                return Ok(());
            }
        }
    };
    let sent = sent.await;
    // Its reader learns that this is all, or that it is not.
    if let Err(error) = &sent {
        let _ = sender.send(Err(io::Error::other(error.to_string()))).await;
    }
    drop(sender);
    let checked =
        checked.await.unwrap_or_else(|panicked| Err(TreeError::Cut(io::Error::other(panicked))));
    match sent.and(checked) {
        Ok(Sum { files, .. }) => {
            upload.finish().await?;
            Ok(Kept { bytes, files })
        }
        Err(error) => {
            if let Err(left) = upload.abort().await {
                tracing::warn!(%left, "a part of a tree may be left");
            }
            Err(error)
        }
    }
}

/// Unpacks a kept tree into an empty folder.
pub async fn unpack(objects: &Objects, key: &str, folder: &Path, limits: TreeLimits) -> Result<()> {
    let mut stream = objects.stream(key, 0).await?;
    let (sender, reader) = pieces();
    let folder = folder.to_owned();
    let written = tokio::task::spawn_blocking(move || {
        let written =
            entries::read(BufReader::new(reader), limits, |path, sent| write(&folder, path, sent));
        written.map(drop)
    });
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(io::Error::other);
        if sender.send(piece).await.is_err() {
            break;
        }
    }
    drop(sender);
    written.await.unwrap_or_else(|panicked| Err(TreeError::Cut(io::Error::other(panicked))))
}

/// No path is below another that is no folder, so no link is gone through.
fn write(folder: &Path, path: &Path, sent: Sent<'_>) -> Result<()> {
    let at: PathBuf = folder.join(path);
    if let Some(parent) = at.parent() {
        fs::create_dir_all(parent).map_err(on_disk(parent))?;
    }
    match sent {
        Sent::File { size, is_executable, content } => {
            let permissions = if is_executable { 0o755 } else { 0o644 };
            let made =
                fs::OpenOptions::new().write(true).create_new(true).mode(permissions).open(&at);
            let mut file = made.map_err(on_disk(&at))?;
            let copied = io::copy(content, &mut file).map_err(on_disk(&at))?;
            if copied < size {
                return Err(TreeError::Cut(io::ErrorKind::UnexpectedEof.into()));
            }
            Ok(())
        }
        Sent::Link(target) => symlink(target, &at).map_err(on_disk(&at)),
    }
}

/// The two ends of what goes from an asynchronous stream to a thread that reads.
fn pieces() -> (mpsc::Sender<io::Result<Bytes>>, Pieces) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (sender, Pieces { receiver, piece: Bytes::new() })
}

struct Pieces {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let read = self.piece.len().min(buffer.len());
        buffer[..read].copy_from_slice(&self.piece[..read]);
        self.piece.advance(read);
        Ok(read)
    }
}
