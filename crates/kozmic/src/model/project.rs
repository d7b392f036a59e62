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
}
