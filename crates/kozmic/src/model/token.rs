//! API tokens as people make them.

use std::fmt;
use std::str::FromStr;

use super::{Invalid, parse_days};

/// What a token may be used for. Never more than what its user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TokenScope {
    /// Whatever members may see.
    Read,
    #[default]
    Write,
}

impl TokenScope {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

impl fmt::Display for TokenScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TokenScope {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        [Self::Read, Self::Write]
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| Invalid::new("the scope of a token is read or write"))
    }
}

/// A token that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSpec {
    /// To know it again.
    pub name: String,
    pub scope: TokenScope,
    /// None: it does not expire.
    pub days: Option<i64>,
}

impl TokenSpec {
    /// `days` is a number from 1, `off` or nothing: it does not expire.
    pub fn parse(name: &str, scope: &str, days: &str) -> Result<Self, Invalid> {
        let name = name.trim();
        if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
            return Err(Invalid::new("a token's name must have 1 to 100 characters on one line"));
        }
        let days =
            parse_days(days).map_err(|problem| Invalid::new(format!("its time {problem}")))?;
        Ok(Self { name: name.to_owned(), scope: scope.parse()?, days: days.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_say_what_is_right() {
        let long = "x".repeat(101);
        for (name, scope, days, said) in [
            ("", "read", "", "1 to 100 characters"),
            (long.as_str(), "read", "", "1 to 100 characters"),
            ("a\nb", "read", "", "on one line"),
            ("ci", "all", "", "read or write"),
            ("ci", "read", "0", "its time must be a number of days from 1"),
            ("ci", "read", "soon", "its time must be a number of days"),
        ] {
            let problem = TokenSpec::parse(name, scope, days).unwrap_err().to_string();
            assert!(problem.contains(said), "{problem}");
        }
        let token = TokenSpec::parse(" laptop ", "read", "90").unwrap();
        assert_eq!(
            (token.name.as_str(), token.scope, token.days),
            ("laptop", TokenScope::Read, Some(90))
        );
        assert_eq!(TokenSpec::parse("ci", "write", "").unwrap().days, None);
    }
}
