//! A tree of this machine, packed.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{Result, TreeError, TreeLimits};
use crate::model::readable_bytes;

/// Fast, and small enough.
const LEVEL: i32 = 3;
/// The largest files that a refusal names.
const NAMED: usize = 5;

/// The files and links of a tree, by their paths below its root.
#[derive(Debug, Clone)]
pub struct Packable {
    root: PathBuf,
    items: Vec<Item>,
}

#[derive(Debug, Clone)]
struct Item {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    File { bytes: u64, is_executable: bool },
    Link(PathBuf),
}

impl Packable {
    /// What is at these paths; what is not there any more, or is neither a file nor a
    /// link, is left out.
    pub fn look(root: &Path, paths: impl IntoIterator<Item = PathBuf>) -> Result<Self> {
        let mut items = Vec::new();
        for path in paths {
            let at = root.join(&path);
            let Ok(found) = fs::symlink_metadata(&at) else { continue };
            let kind = if found.is_symlink() {
                Kind::Link(fs::read_link(&at).map_err(on_disk(&at))?)
            } else if found.is_file() {
                let is_executable = found.permissions().mode() & 0o100 != 0;
                Kind::File { bytes: found.len(), is_executable }
            } else {
                continue;
            };
            items.push(Item { path, kind });
        }
        Ok(Self { root: root.to_owned(), items })
    }

    pub fn files(&self) -> usize {
        self.items.len()
    }

    pub fn bytes(&self) -> u64 {
        self.items.iter().map(Item::bytes).sum()
    }

    /// Why it is not to be sent: a sentence that names the largest files.
    pub fn too_large(&self, limits: TreeLimits) -> Option<String> {
        if self.bytes() <= limits.bytes && self.files() <= limits.files {
            return None;
        }
        let mut largest: Vec<&Item> = self.items.iter().collect();
        largest.sort_by_key(|item| std::cmp::Reverse(item.bytes()));
        let named: Vec<String> = largest
            .into_iter()
            .take(NAMED)
            .map(|item| format!("{} ({})", item.path.display(), readable_bytes(item.bytes())))
            .collect();
        Some(format!(
            "the tree has {} in {} files; at most {} in {} files are sent. The largest: {}. What \
             is in .gitignore is left out",
            readable_bytes(self.bytes()),
            self.files(),
            readable_bytes(limits.bytes),
            limits.files,
            named.join(", ")
        ))
    }
}

impl Item {
    fn bytes(&self) -> u64 {
        match self.kind {
            Kind::File { bytes, .. } => bytes,
            Kind::Link(_) => 0,
        }
    }
}

/// Writes the tree. Fails when a file changes its size meanwhile.
pub fn pack(tree: &Packable, out: impl Write) -> Result<()> {
    let encoder = zstd::Encoder::new(out, LEVEL).map_err(TreeError::Cut)?;
    let mut archive = tar::Builder::new(encoder);
    for Item { path, kind } in &tree.items {
        let at = tree.root.join(path);
        let mut header = tar::Header::new_gnu();
        header.set_mtime(0);
        match kind {
            Kind::File { bytes, is_executable } => {
                header.set_size(*bytes);
                header.set_mode(if *is_executable { 0o755 } else { 0o644 });
                let file = File::open(&at).map_err(on_disk(&at))?;
                let content = Exactly { file, left: *bytes };
                archive.append_data(&mut header, path, content).map_err(on_disk(&at))?;
            }
            Kind::Link(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                header.set_mode(0o777);
                archive.append_link(&mut header, path, target).map_err(on_disk(&at))?;
            }
        }
    }
    let encoder = archive.into_inner().map_err(TreeError::Cut)?;
    encoder.finish().and_then(|mut out| out.flush()).map_err(TreeError::Cut)
}

/// A file of which so many bytes were promised.
struct Exactly {
    file: File,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read(&mut buffer[..most])?;
        if read == 0 && most > 0 {
            return Err(io::Error::other("it became shorter while it was read"));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

pub(super) fn on_disk(path: &Path) -> impl FnOnce(io::Error) -> TreeError {
    let path = path.display().to_string();
    move |source| TreeError::Disk { path, source }
}
