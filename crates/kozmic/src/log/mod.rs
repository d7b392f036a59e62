//! The bytes of a run: appended to a file, followed while it grows, kept, and
//! rendered as a terminal would show them; secrets are hidden before.
//!
//! Readers never hold up the writer: it writes to the file and tells the bus
//! how long the file is; each reader reads the file at its own pace.

mod ansi;
mod bus;
mod live;
mod mask;
mod read;
mod sink;

use std::path::{Path, PathBuf};

pub use ansi::{Renderer, style_sheet};
pub use bus::{Bus, Follower, Progress};
pub use live::LiveLog;
pub use mask::{Masked, Masks, SHORTEST, Stream, TooMany, lines_too_short};
pub use read::{Line, Lines, count_lines, open};
pub use sink::{Sink, Streams};

use crate::model::JobUuid;

/// Where a job's log lies.
#[derive(Debug, Clone)]
pub struct LogFolder(PathBuf);

impl LogFolder {
    pub fn new(data_dir: &Path) -> Self {
        Self(data_dir.join("logs"))
    }

    /// The folder of all logs; made when it is needed.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// In 256 folders, so that none gets too large to list.
    pub fn path(&self, job: JobUuid) -> PathBuf {
        let name = job.to_string();
        self.0.join(&name[..2]).join(format!("{name}.log"))
    }
}
