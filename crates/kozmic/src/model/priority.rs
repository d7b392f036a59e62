//! Which of a project's jobs go before which.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Invalid, Timestamp};

/// How urgent the jobs of a hook are beside others of its project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    High,
    #[default]
    Normal,
    Low,
}

/// What lies between two priorities: a job goes before those of the next lower priority that
/// were made up to so many milliseconds before it. So none waits for ever, however many of a
/// higher priority come.
const HEAD_START: i64 = 60 * 60 * 1_000;

impl Priority {
    pub const NAME: &str = "priority";

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }

    /// Where a job made then stands among those of its project: less goes first.
    pub fn rank(self, made_at: Timestamp) -> i64 {
        match self {
            Self::High => made_at.0.saturating_sub(HEAD_START),
            Self::Normal => made_at.0,
            Self::Low => made_at.0.saturating_add(HEAD_START),
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Priority {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        [Self::High, Self::Normal, Self::Low]
            .into_iter()
            .find(|priority| priority.as_str() == text)
            .ok_or_else(|| Invalid::new("write high, normal or low"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_one_goes_first_by_an_hour_and_no_more() {
        let (hour, at) = (HEAD_START, |at| Timestamp(at));
        assert!(Priority::High.rank(at(hour)) <= Priority::Normal.rank(at(0)));
        assert!(Priority::High.rank(at(hour + 1)) > Priority::Normal.rank(at(0)));
        assert!(Priority::Normal.rank(at(hour - 1)) < Priority::Low.rank(at(0)));
        assert!(Priority::High.rank(at(2 * hour + 1)) > Priority::Low.rank(at(0)));
    }
}
