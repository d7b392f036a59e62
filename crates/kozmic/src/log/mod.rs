//! The bytes of a run: appended to a file, followed while it grows, kept, and
//! rendered as a terminal would show them; secrets are hidden before.
//!
//! Readers never hold up the writer: it writes to the file and tells the bus
//! how long the file is; each reader reads the file at its own pace.
//!
//! ```text
//! live (a file) ── sidecar (its index, beside it) ─┐
//!      │ the job is over                           ├─► stored ─► reader: rows, find, sections, bytes
//! archive (one object, with its index) ────────────┘
//! ```
//!
//! Where several processes work together, one has a log, and the others copy it as it
//! grows (`elsewhere`): for readers it is a file of this disk as well.

mod ansi;
mod archive;
mod bus;
mod elsewhere;
mod error;
mod find;
mod fold;
mod growing;
mod index;
mod indexer;
mod lines;
mod live;
mod logs;
mod mask;
mod plain;
mod reader;
mod sidecar;
mod sink;
mod stored;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use ansi::{Renderer, style_sheet};
pub use bus::{Bus, Follower, Progress};
pub use elsewhere::Elsewhere;
pub use error::LogError;
pub use find::{Found, Match, Query, QueryError};
pub use fold::Section;
pub use growing::Growing;
pub use lines::Line;
pub use live::LiveLog;
pub use logs::{Archived, Logs};
pub use mask::{Masked, Masks, SHORTEST, Stream, TooMany, lines_too_short};
pub use plain::Plain;
pub use reader::{MATCHES, ROWS, Reader, Row};
pub use sink::{Sink, Streams};

use crate::model::JobUuid;

/// Where live logs lie.
#[derive(Debug, Clone)]
pub struct LogFolder(PathBuf);

impl LogFolder {
    pub fn new(data_dir: &Path) -> Self {
        Self(data_dir.join("logs"))
    }

    /// The folder of all of them; made when it is needed.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// In 256 folders, so that none gets too large to list.
    pub fn path(&self, job: JobUuid) -> PathBuf {
        let name = job.to_string();
        self.0.join(&name[..2]).join(format!("{name}.log"))
    }
}
