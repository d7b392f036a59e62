//! Pull requests from forks: what a project does with them, and who agreed.

use std::fmt;
use std::str::FromStr;

use super::{Invalid, Timestamp};

/// What becomes of a pull request from a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForkPolicy {
    /// Built like any other.
    Build,
    /// Its jobs wait until a manager agrees.
    #[default]
    Ask,
    /// Not built.
    Never,
}

impl ForkPolicy {
    pub const ALL: [Self; 3] = [Self::Build, Self::Ask, Self::Never];

    /// What becomes of the pull requests.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Build => "are built",
            Self::Ask => "wait for a manager's approval",
            Self::Never => "are not built",
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Ask => "ask",
            Self::Never => "never",
        }
    }
}

impl fmt::Display for ForkPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ForkPolicy {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|policy| policy.as_str() == text)
            .ok_or_else(|| Invalid::new("write build, ask or never"))
    }
}

/// The repository that a pull request comes from, when it is another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    /// Whose account it is in; the author's where GitHub does not say it any more.
    pub owner: String,
    /// GitHub's id of that account.
    pub owner_id: Option<i64>,
}

/// Whether a manager must agree before the jobs of a build run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    NotNeeded,
    Awaited,
    Given { by: String, at: Timestamp },
}

impl Approval {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NotNeeded => "not_needed",
            Self::Awaited => "awaited",
            Self::Given { .. } => "given",
        }
    }
}
