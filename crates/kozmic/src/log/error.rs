//! What keeps a log from being read.

use std::path::Path;

use crate::objects::ObjectError;
use crate::relay::RelayError;

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("{path}: {source}")]
    File { path: String, source: std::io::Error },
    #[error(transparent)]
    Objects(#[from] ObjectError),
    /// Another process has it.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// Said in the place of the log, or of what is missing of it.
    #[error("the log {place} is damaged: {what}")]
    Damaged { place: String, what: String },
}

impl LogError {
    /// Said in the place of the log: without paths and addresses of the server's.
    pub fn in_place(&self) -> String {
        match self {
            Self::Damaged { what, .. } => format!("The log is damaged: {what}."),
            Self::Relay(_) => {
                "The log is with a worker that can't be reached now; try again in a moment.".into()
            }
            _ => {
                "The log can't be read now; the administrator finds the reason in the server's log."
                    .into()
            }
        }
    }

    /// A log of another process can't be followed now.
    pub fn unheard() -> Self {
        Self::Relay(RelayError::NoAnswer("the worker that has the log".into()))
    }

    pub(super) fn file(path: &Path) -> impl Fn(std::io::Error) -> Self {
        move |source| Self::File { path: path.display().to_string(), source }
    }

    pub(super) fn damaged(place: &str, what: impl Into<String>) -> Self {
        Self::Damaged { place: place.to_owned(), what: what.into() }
    }
}
