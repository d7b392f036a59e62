//! The parts of a job that people wait for.

use std::fmt;
use std::str::FromStr;

use super::Invalid;

/// Fetch and image are looked after at the same time, and services beside these and the
/// install script; all others follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Until a worker takes it.
    Queue,
    /// The commit onto the worker's disk.
    Fetch,
    /// Looking for the hook's image, and pulling it.
    Image,
    /// The image with what the install script leaves: found, or made.
    Install,
    /// The hook's services, from the look for their images until all are ready.
    Services,
    /// The build script, from making its container to its end.
    Build,
    /// What the script left: tests and artifacts, read and kept.
    Collect,
}

impl Phase {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Fetch => "fetch",
            Self::Image => "image",
            Self::Install => "install",
            Self::Services => "services",
            Self::Build => "build",
            Self::Collect => "collect",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Phase {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let all = [
            Self::Queue,
            Self::Fetch,
            Self::Image,
            Self::Install,
            Self::Services,
            Self::Build,
            Self::Collect,
        ];
        let named = all.into_iter().find(|phase| phase.as_str() == text);
        named.ok_or_else(|| Invalid::new(format!("`{text}` is not a phase of a job")))
    }
}
