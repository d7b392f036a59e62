//! A work tree that somebody sends to be tried: packed on their machine, checked while it
//! comes, kept as an object, unpacked for the job.
//!
//! It is a tar of files and symbolic links only, compressed by Zstandard. Modes are
//! git's: executable or not. A link stays what it is, and nothing is written or read
//! through one.

mod entries;
mod keep;
mod pack;

use std::io;

use crate::model::readable_bytes;
use crate::objects::ObjectError;

pub use keep::{Kept, keep, unpack};
pub use pack::{Packable, pack};

/// What a tree may have.
#[derive(Debug, Clone, Copy)]
pub struct TreeLimits {
    /// Bytes of its files, unpacked.
    pub bytes: u64,
    pub files: usize,
}

impl Default for TreeLimits {
    fn default() -> Self {
        Self { bytes: 1 << 30, files: 200_000 }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    #[error(
        "the tree has more than {}, or more than {} files; commit less of it, or add what is \
         large to .gitignore", readable_bytes(.0.bytes), .0.files
    )]
    TooLarge(TreeLimits),
    /// What was sent is no such tree.
    #[error("the tree can't be taken: {0}")]
    Malformed(String),
    #[error("nothing more of the tree came for {0} s")]
    Stalled(u64),
    #[error("the tree did not come whole: {0}")]
    Cut(io::Error),
    #[error("{path}: {source}")]
    Disk { path: String, source: io::Error },
    #[error(transparent)]
    Objects(#[from] ObjectError),
}

type Result<T> = std::result::Result<T, TreeError>;
