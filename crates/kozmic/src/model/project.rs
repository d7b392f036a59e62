//! Repositories that may become, or are, projects.

use std::fmt;
use std::str::FromStr;

use super::Invalid;

/// `owner/name` of a repository, in the characters that GitHub allows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FullName {
    owner: String,
    name: String,
}

impl FullName {
    pub fn owner(&self) -> &str {
        &self.owner
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl FromStr for FullName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let allowed = |part: &str| {
            !part.is_empty()
                && part.len() <= 100
                && part != "."
                && part != ".."
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        match text.split_once('/') {
            Some((owner, name)) if allowed(owner) && allowed(name) => {
                Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
            }
            _ => Err(Invalid::new(format!(
                "`{text}` is not the full name of a repository; write it as owner/name"
            ))),
        }
    }
}

/// What GitHub says of a repository, as far as a project keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteRepository {
    pub gh_id: i64,
    pub full_name: FullName,
    pub ssh_clone_url: String,
    pub https_clone_url: String,
    pub default_branch: String,
    pub is_public: bool,
}

/// How many jobs of a project run at once; none: as many as the workers take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtOnce(pub Option<i64>);

impl AtOnce {
    const MOST: i64 = 10_000;
}

impl fmt::Display for AtOnce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(limit) => write!(f, "{limit}"),
            None => f.write_str("as many as there are workers for"),
        }
    }
}

/// A number from 1, or `off` or nothing for no limit.
impl FromStr for AtOnce {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.trim() {
            "" | "off" => Ok(Self(None)),
            text => match text.parse() {
                Ok(limit) if (1..=Self::MOST).contains(&limit) => Ok(Self(Some(limit))),
                _ => Err(Invalid::new(format!(
                    "must be a number of jobs from 1 to {}, or off",
                    Self::MOST
                ))),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_names_are_owner_slash_name() {
        let name: FullName = "rust-lang/rust.vim".parse().unwrap();
        assert_eq!((name.owner(), name.name()), ("rust-lang", "rust.vim"));
        for wrong in ["", "rust", "/x", "x/", "a/b/c", "a/..", "a b/c", "a/b?x"] {
            assert!(wrong.parse::<FullName>().is_err(), "{wrong:?} must be refused");
        }
    }
    #[test]
    fn a_limit_is_a_number_or_off() {
        assert_eq!("2".parse::<AtOnce>().unwrap(), AtOnce(Some(2)));
        assert_eq!("off".parse::<AtOnce>().unwrap(), AtOnce(None));
        assert_eq!(" ".parse::<AtOnce>().unwrap(), AtOnce(None));
        for wrong in ["0", "-1", "1.5", "many", "10001"] {
            assert!(wrong.parse::<AtOnce>().is_err(), "{wrong}");
        }
    }
}
