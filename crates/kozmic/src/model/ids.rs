//! Identifiers. Each table's key is a type of its own, so that a job's id can't
//! be handed over where a build's is meant.

use std::fmt;
use std::str::FromStr;

use super::Invalid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// Key of a user (not GitHub's id).
    UserId
);
id!(
    /// Key of a project (not the id of the GitHub repository).
    ProjectId
);
id!(
    /// Key of a hook; part of the URL that GitHub calls.
    HookId
);
id!(
    /// Key of a build; its *number* counts within the project instead.
    BuildId
);
id!(
    /// Key of a job.
    JobId
);
id!(
    /// Key of a session; says nothing about its cookie.
    SessionId
);
id!(
    /// Key of an API token; says nothing about the token itself.
    TokenId
);

/// Names a job everywhere outside the store: container labels, log files, the
/// tailer's URL. The original calls it the task uuid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobUuid(uuid::Uuid);

impl JobUuid {
    /// A new random one (version 4, RFC 9562).
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4())
    }
}

impl fmt::Display for JobUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for JobUuid {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        uuid::Uuid::try_parse(text)
            .map(Self)
            .map_err(|_| Invalid::new(format!("`{text}` is not a job uuid")))
    }
}
