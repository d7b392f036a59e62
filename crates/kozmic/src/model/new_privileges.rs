//! Whether a job's scripts may become another user.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Invalid;

/// In which containers of a job the kernel gives nobody more privileges than they have
/// (`no_new_privs`, see prctl(2)): neither sudo nor any other program is started as root by
/// somebody who is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoNewPrivileges {
    /// Images promise sudo, and scripts use it.
    #[default]
    No,
    /// That of the build script, and those of shells in it.
    Build,
    /// That of the install script as well.
    Yes,
}

impl NoNewPrivileges {
    pub const NAME: &str = "no-new-privileges";

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub fn holds_for_install(self) -> bool {
        self == Self::Yes
    }

    pub fn holds_for_build(self) -> bool {
        self != Self::No
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Build => "build",
            Self::Yes => "yes",
        }
    }
}

impl fmt::Display for NoNewPrivileges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for NoNewPrivileges {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        [Self::No, Self::Build, Self::Yes]
            .into_iter()
            .find(|choice| choice.as_str() == text)
            .ok_or_else(|| Invalid::new("write yes, build (for the build script alone) or no"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_script_is_never_freer_than_the_install_script() {
        let holds = |text: &str| {
            let choice: NoNewPrivileges = text.parse().unwrap();
            assert_eq!(choice.to_string(), text);
            (choice.holds_for_install(), choice.holds_for_build())
        };
        assert_eq!(
            [holds("no"), holds("build"), holds("yes")],
            [(false, false), (false, true), (true, true)]
        );
        assert!("install".parse::<NoNewPrivileges>().is_err());
    }
}
