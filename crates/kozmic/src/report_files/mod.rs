//! What a script left behind: read, limited, kept. It comes as the engine sends a
//! folder, a tar, and nothing of it is trusted: neither names nor sizes nor contents.

mod archive;
mod artifacts;
mod junit;
mod names;
mod reports;
mod text;

use std::io;

pub use artifacts::{ArtifactLimits, Kept, Shelf, create_below, keep_artifacts};
pub use reports::{Hide, ReportLimits, Reports, read_report, read_reports};

#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The connection to the engine, most often.
    #[error("{0}")]
    Read(#[from] io::Error),
    #[error("what the container engine sent of the folder is no tar: {0}")]
    Malformed(&'static str),
}
