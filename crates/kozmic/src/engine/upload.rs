//! A tree on its way into a container: packed as a tar while it is sent, with
//! the owner that the script runs as.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;

/// Bytes packed before they are sent, and chunks that may wait.
const CHUNK: usize = 256 * 1024;
const CHUNKS_WAITING: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pub uid: u64,
    pub gid: u64,
}

/// Entries in the order in which they are unpacked. Paths are relative to `/`. Files
/// may hold secrets, so its `Debug` shows none of them.
pub struct Upload {
    owner: Owner,
    entries: Vec<Entry>,
    /// Folders within folders; none: as many as there are.
    depth: Option<usize>,
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upload({} entries)", self.entries.len())
    }
}

enum Entry {
    Folder(String),
    File { path: String, content: Vec<u8>, mode: u32 },
    Tree { path: String, from: PathBuf },
}

impl Upload {
    pub fn new(owner: Owner) -> Self {
        Self { owner, entries: Vec::new(), depth: None }
    }

    #[must_use]
    pub fn folder(mut self, path: &str) -> Self {
        self.entries.push(Entry::Folder(path.to_owned()));
        self
    }

    #[must_use]
    pub fn file(mut self, path: &str, content: impl Into<Vec<u8>>, mode: u32) -> Self {
        self.entries.push(Entry::File { path: path.to_owned(), content: content.into(), mode });
        self
    }

    /// All that lies below `from`: files, folders and symbolic links (which are
    /// not followed), with their modes and times.
    #[must_use]
    pub fn tree(mut self, path: &str, from: &Path) -> Self {
        self.entries.push(Entry::Tree { path: path.to_owned(), from: from.to_owned() });
        self
    }

    /// Refuses a tree that goes deeper than this.
    #[must_use]
    pub(super) fn no_deeper_than(mut self, depth: Option<usize>) -> Self {
        self.depth = depth;
        self
    }

    /// The packed bytes, and the task that packs them on another thread.
    pub(super) fn into_stream(self) -> (ReceiverStream<Bytes>, JoinHandle<io::Result<()>>) {
        let (sender, receiver) = mpsc::channel(CHUNKS_WAITING);
        let packing = tokio::task::spawn_blocking(move || {
            let output = BufWriter::with_capacity(CHUNK, ChannelWriter(sender));
            self.pack(output)?.flush()
        });
        (ReceiverStream::new(receiver), packing)
    }

    fn pack<W: Write>(&self, output: W) -> io::Result<W> {
        let mut archive = tar::Builder::new(output);
        for entry in &self.entries {
            match entry {
                Entry::Folder(path) => {
                    let mut header = self.header(tar::EntryType::Directory, 0o755, 0, 0);
                    archive.append_data(&mut header, path, io::empty())?;
                }
                Entry::File { path, content, mode } => {
                    let mut header =
                        self.header(tar::EntryType::Regular, *mode, content.len() as u64, 0);
                    archive.append_data(&mut header, path, content.as_slice())?;
                }
                Entry::Tree { path, from } => {
                    self.pack_tree(&mut archive, Path::new(path), from)?;
                }
            }
        }
        archive.into_inner()
    }

    /// Walks with a list of its own: the depth of a tree is for strangers to
    /// choose, that of a thread's stack is not.
    fn pack_tree<W: Write>(
        &self,
        archive: &mut tar::Builder<W>,
        path: &Path,
        from: &Path,
    ) -> io::Result<()> {
        let mut waiting = vec![(path.to_owned(), from.to_owned())];
        while let Some((path, from)) = waiting.pop() {
            if let Some(depth) = self.depth.filter(|depth| path.components().count() > *depth) {
                return Err(io::Error::other(format!(
                    "its folders lie deeper than the {depth} levels that this engine can unpack"
                )));
            }
            let packed = self.pack_one(archive, &path, &from, &mut waiting);
            packed.map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", from.display()))
            })?;
        }
        Ok(())
    }

    fn pack_one<W: Write>(
        &self,
        archive: &mut tar::Builder<W>,
        path: &Path,
        from: &Path,
        waiting: &mut Vec<(PathBuf, PathBuf)>,
    ) -> io::Result<()> {
        let metadata = fs::symlink_metadata(from)?;
        let kind = metadata.file_type();
        let mode = metadata.mode() & 0o7777;
        let mtime = u64::try_from(metadata.mtime()).unwrap_or(0);
        if kind.is_dir() {
            let mut header = self.header(tar::EntryType::Directory, mode, 0, mtime);
            archive.append_data(&mut header, path, io::empty())?;
            for child in fs::read_dir(from)? {
                let child = child?;
                waiting.push((path.join(child.file_name()), child.path()));
            }
        } else if kind.is_file() {
            let mut header = self.header(tar::EntryType::Regular, mode, metadata.len(), mtime);
            archive.append_data(&mut header, path, File::open(from)?)?;
        } else if kind.is_symlink() {
            let mut header = self.header(tar::EntryType::Symlink, 0o777, 0, mtime);
            archive.append_link(&mut header, path, fs::read_link(from)?)?;
        }
        // Sockets, pipes and devices are no part of a commit.
        Ok(())
    }

    fn header(&self, kind: tar::EntryType, mode: u32, size: u64, mtime: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_mtime(mtime);
        header.set_uid(self.owner.uid);
        header.set_gid(self.owner.gid);
        header
    }
}

/// Hands each written block to the request's body; fails when that is gone.
struct ChannelWriter(mpsc::Sender<Bytes>);

impl Write for ChannelWriter {
    fn write(&mut self, block: &[u8]) -> io::Result<usize> {
        self.0
            .blocking_send(Bytes::copy_from_slice(block))
            .map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the engine stopped reading"))?;
        Ok(block.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_tree_that_is_too_deep_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b/c")).unwrap();
        let upload = |depth| {
            Upload::new(Owner { uid: 0, gid: 0 })
                .tree("kozmic/src", folder.path())
                .no_deeper_than(Some(depth))
                .pack(Vec::new())
        };
        assert!(upload(5).is_ok());
        assert!(upload(4).unwrap_err().to_string().contains("deeper than the 4 levels"));
    }

    #[test]
    fn a_tree_keeps_modes_links_and_long_names_and_gets_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let deep = "n".repeat(120);
        fs::create_dir(folder.path().join(&deep)).unwrap();
        fs::write(folder.path().join(&deep).join("run"), "x").unwrap();
        fs::set_permissions(
            folder.path().join(&deep).join("run"),
            fs::Permissions::from_mode(0o750),
        )
        .unwrap();
        symlink("/etc/passwd", folder.path().join("link")).unwrap();
        let upload = Upload::new(Owner { uid: 1000, gid: 70 })
            .folder("kozmic/")
            .file("kozmic/script", "#!/bin/sh\n", 0o755)
            .tree("kozmic/src", folder.path());
        let packed = upload.pack(Vec::new()).unwrap();
        let mut seen = std::collections::BTreeMap::new();
        for entry in tar::Archive::new(packed.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            let header = entry.header().clone();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (1000, 70), "{path}");
            let link = entry.link_name().unwrap().map(|link| link.to_string_lossy().into_owned());
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            seen.insert(path, (header.mode().unwrap(), link, content));
        }
        assert_eq!(seen["kozmic/script"], (0o755, None, "#!/bin/sh\n".into()));
        assert_eq!(seen[&format!("kozmic/src/{deep}/run")], (0o750, None, "x".into()));
        assert_eq!(seen["kozmic/src/link"].1.as_deref(), Some("/etc/passwd"));
    }
}
