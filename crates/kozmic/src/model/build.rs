//! What is built: a commit on a ref, and what asked for it.

use std::fmt;
use std::str::FromStr;

use super::{Fork, Invalid};

/// A full commit id: 40 (SHA-1) or 64 (SHA-256) lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CommitSha(String);

impl CommitSha {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first seven digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..7]
    }

    /// Whether this is git's "no commit": GitHub sends it as `after` when a
    /// branch was deleted.
    pub fn is_null(&self) -> bool {
        self.0.bytes().all(|b| b == b'0')
    }
}

impl fmt::Display for CommitSha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for CommitSha {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if hex && matches!(text.len(), 40 | 64) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::new(format!("`{text}` is not a full commit id")))
        }
    }
}

/// The ref a commit was found on, kept in full (`refs/heads/main`), so that a
/// branch of ours, a tag and a fork's pull request (`refs/pull/7/head`) can
/// never be taken for one another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GitRef(String);

impl GitRef {
    pub fn branch(name: &str) -> Result<Self, Invalid> {
        format!("refs/heads/{name}").parse()
    }

    /// The ref under which GitHub keeps the head of a pull request, also one
    /// from a fork ("Checking out pull requests locally" in its documentation).
    pub fn pull_request(number: i64) -> Self {
        Self(format!("refs/pull/{number}/head"))
    }

    pub fn as_full(&self) -> &str {
        &self.0
    }

    pub fn tag(name: &str) -> Result<Self, Invalid> {
        format!("refs/tags/{name}").parse()
    }

    /// The branch's name, when it is a branch of the project itself.
    pub fn branch_name(&self) -> Option<&str> {
        self.0.strip_prefix("refs/heads/")
    }

    /// The tag's name, when it is one.
    pub fn tag_name(&self) -> Option<&str> {
        self.0.strip_prefix("refs/tags/")
    }

    /// What a person or a badge URL writes: a branch's name or a full ref.
    pub fn from_short(text: &str) -> Result<Self, Invalid> {
        if text.starts_with("refs/") { text.parse() } else { Self::branch(text) }
    }
}

/// A branch by its name, anything else in full.
impl fmt::Display for GitRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.branch_name() {
            // A branch may itself be called "refs/…"; then only the full form is clear.
            Some(name) if !name.starts_with("refs/") => f.write_str(name),
            _ => f.write_str(&self.0),
        }
    }
}

impl FromStr for GitRef {
    type Err = Invalid;

    /// Checks the rules of git-check-ref-format(1), because the text becomes an
    /// argument of git and part of a path inside its repository.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new(format!("`{text}` is not the full name of a git ref"));
        let forbidden = |c: char| {
            c.is_ascii_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\')
        };
        let lacks_dots = !text.contains("..") && !text.contains("@{");
        let parts_are_fine = text.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with('.')
                && !part.ends_with('.')
                // git refuses this very suffix, in this case only.
                && part.strip_suffix(".lock").is_none()
        });
        if text.starts_with("refs/")
            && text.matches('/').count() >= 2
            && text.len() <= 1024
            && !text.chars().any(forbidden)
            && lacks_dots
            && parts_are_fine
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(invalid())
        }
    }
}

/// Where a branch, a tag or a pull request stands at GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The full name; a pull request's is `refs/pull/7/head`, wherever it comes from.
    pub name: String,
    /// None when it is gone.
    pub sha: Option<CommitSha>,
}

/// What asked for a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trigger {
    Push,
    PullRequest,
    Release,
    /// Found by comparing with GitHub: the delivery never came.
    Reconciliation,
    Manual,
    Cron,
    /// A dirty tree sent by a person; reported to nobody.
    Try,
}

impl Trigger {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::PullRequest => "pull_request",
            Self::Release => "release",
            Self::Reconciliation => "reconciliation",
            Self::Manual => "manual",
            Self::Cron => "cron",
            Self::Try => "try",
        }
    }
}

impl FromStr for Trigger {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        [
            Self::Push,
            Self::PullRequest,
            Self::Release,
            Self::Reconciliation,
            Self::Manual,
            Self::Cron,
            Self::Try,
        ]
        .into_iter()
        .find(|trigger| trigger.as_str() == text)
        .ok_or_else(|| Invalid::new(format!("`{text}` is not a trigger")))
    }
}

/// What people know of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    pub sha: CommitSha,
    pub author: String,
    pub message: String,
}

/// The pull request a build belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    pub number: i64,
    pub title: String,
    pub author: String,
    /// GitHub's id of the author; none when the account is gone.
    pub author_id: Option<i64>,
    /// Where the head lies, when that is another repository, or one that is gone.
    pub fork: Option<Fork>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fork_s_main_is_never_ours() {
        let ours = GitRef::branch("main").unwrap();
        let theirs = GitRef::pull_request(7);
        assert_ne!(ours, theirs);
        assert_eq!(theirs.to_string(), "refs/pull/7/head");
        let impostor = GitRef::branch("refs/pull/7/head").unwrap();
        assert_ne!(impostor, theirs);
        assert_ne!(impostor.to_string(), theirs.to_string());
    }

    #[test]
    fn what_is_displayed_is_read_back() {
        for full in ["refs/heads/main", "refs/heads/a/b", "refs/tags/v1", "refs/heads/refs/tags/v1"]
        {
            let git_ref: GitRef = full.parse().unwrap();
            assert_eq!(GitRef::from_short(&git_ref.to_string()).unwrap(), git_ref);
        }
    }

    #[test]
    fn refs_that_git_would_refuse_are_refused() {
        for wrong in [
            "main",
            "refs/heads",
            "refs/heads/",
            "refs/heads/a..b",
            "refs/heads/.a",
            "refs/heads/a.lock",
            "refs/heads/a b",
            "refs/heads/a\n",
            "refs//x",
            "refs/heads/a:b",
            "refs/heads/@{x}",
            "--upload-pack=x",
            "refs/heads/a\\b",
        ] {
            assert!(wrong.parse::<GitRef>().is_err(), "{wrong:?} must be refused");
        }
        assert!("refs/heads/ünï/çode-1.2".parse::<GitRef>().is_ok());
    }

    #[test]
    fn commit_ids_are_full() {
        assert!("0".repeat(40).parse::<CommitSha>().unwrap().is_null());
        for wrong in ["abc", &"g".repeat(40), &"A".repeat(40), "", &"a".repeat(41)] {
            assert!(wrong.parse::<CommitSha>().is_err(), "{wrong:?} must be refused");
        }
    }
}
