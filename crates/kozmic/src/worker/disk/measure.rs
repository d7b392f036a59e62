//! Sizes of folders and file systems, as the system tells them.

use std::collections::HashSet;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use walkdir::WalkDir;

/// The unit of a file's blocks, whatever the file system's own is (stat(2)).
const BLOCK: u64 = 512;

/// Files below a path and what all of it takes on the disk, as du(1) counts it. What
/// vanishes meanwhile, or isn't there, is nothing.
pub(super) fn files_and_bytes(path: &Path) -> (u64, u64) {
    some_and_bytes(path, |_| true)
}

/// As [`files_and_bytes`], but only the files with such names are counted.
pub(super) fn some_and_bytes(path: &Path, is_counted: impl Fn(&str) -> bool) -> (u64, u64) {
    let (mut files, mut bytes) = (0, 0);
    let mut linked = HashSet::new();
    for entry in WalkDir::new(path).into_iter().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_file() {
            files += u64::from(entry.file_name().to_str().is_some_and(&is_counted));
            if metadata.nlink() > 1 && !linked.insert((metadata.dev(), metadata.ino())) {
                continue;
            }
        }
        bytes += metadata.blocks() * BLOCK;
    }
    (files, bytes)
}

/// The size of a file system, and what may be used of it.
pub(super) struct Space {
    pub(super) device: u64,
    pub(super) total: u64,
    pub(super) free: u64,
}

pub(super) fn space(path: &Path) -> io::Result<Space> {
    let device = std::fs::metadata(path)?.dev();
    let found = rustix::fs::statvfs(path)?;
    Ok(Space {
        device,
        total: found.f_blocks * found.f_frsize,
        // Without what is kept for root.
        free: found.f_bavail * found.f_frsize,
    })
}
