//! What became of an install step, and what is known of cached images that are not
//! there any more.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{CacheId, Invalid, Timestamp};

/// Where the image of an install step came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstallOutcome {
    /// A cached image of the same inputs.
    Found,
    /// The install script, which ran.
    Made,
    /// The install script runs still, or did not come to its end.
    Unfinished,
}

impl InstallOutcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Made => "made",
            Self::Unfinished => "unfinished",
        }
    }
}

impl fmt::Display for InstallOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for InstallOutcome {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        [Self::Found, Self::Made, Self::Unfinished]
            .into_iter()
            .find(|outcome| outcome.as_str() == text)
            .ok_or_else(|| Invalid::new(format!("an install step can't be `{text}`")))
    }
}

/// One job's install step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallStep {
    pub cache_id: String,
    pub outcome: InstallOutcome,
    /// Why it was so, a part of a sentence.
    pub because: String,
    /// The cache id of the older image that the install script started from.
    pub started_from: Option<String>,
    /// When the image was made.
    pub made_at: Option<Timestamp>,
    /// How long making it took: what using it saves.
    pub took: Option<Duration>,
}

/// Where an install script starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstallFrom {
    /// From the hook's image.
    #[default]
    Base,
    /// From the cached image whose inputs are nearest to those that are needed.
    Nearest,
}

impl InstallFrom {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Nearest => "nearest",
        }
    }

    pub(super) fn written(self) -> Option<String> {
        (self != Self::default()).then(|| self.as_str().to_owned())
    }

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl FromStr for InstallFrom {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        [Self::Base, Self::Nearest]
            .into_iter()
            .find(|from| from.as_str() == text)
            .ok_or_else(|| Invalid::new("write base or nearest"))
    }
}

/// What is known of a project's cached images beside the engine that holds them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KnownImages {
    /// By cache id, the number of the build that made it last, and when.
    pub made: Vec<(String, i64, Timestamp)>,
    pub dropped: Vec<DroppedImage>,
}

/// A cached image that a person dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DroppedImage {
    pub cache_id: String,
    pub by: String,
    pub at: Timestamp,
}

impl KnownImages {
    /// Who dropped the image of this cache id that was made then.
    pub fn dropped(&self, id: &str, made: Timestamp) -> Option<&DroppedImage> {
        self.dropped.iter().find(|dropped| dropped.cache_id == id && made <= dropped.at)
    }

    /// Which build made the image of these inputs last, and when.
    pub fn made(&self, id: &CacheId) -> Option<(i64, Timestamp)> {
        let found = self.made.iter().find(|(made, _, _)| made == id.as_str());
        found.map(|(_, build, at)| (*build, *at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_made_after_the_drop_is_another_one() {
        let dropped = DroppedImage { cache_id: "a".into(), by: "octo".into(), at: Timestamp(5) };
        let known = KnownImages { dropped: vec![dropped], ..Default::default() };
        assert!(known.dropped("a", Timestamp(5)).is_some());
        assert!(known.dropped("a", Timestamp(6)).is_none());
        assert!(known.dropped("b", Timestamp(1)).is_none());
    }
}
