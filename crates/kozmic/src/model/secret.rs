//! What scripts are given and nobody is shown.

use std::fmt;
use std::str::FromStr;

use secrecy::{ExposeSecret as _, SecretString};

use super::{Invalid, parse_own_variable};

/// Names that mean something to the shell that starts a script, to the loader of its
/// programs, or can't be set there: bash refuses some, and ends.
const TAKEN: [&str; 22] = [
    "BASHOPTS",
    "BASH_ENV",
    "BASH_VERSINFO",
    "CDPATH",
    "ENV",
    "EUID",
    "GLOBIGNORE",
    "HOME",
    "IFS",
    "LANG",
    "OLDPWD",
    "OPTARG",
    "OPTIND",
    "PATH",
    "POSIXLY_CORRECT",
    "PPID",
    "PS4",
    "PWD",
    "SHELLOPTS",
    "TERM",
    "UID",
    "_",
];

/// The environment variable in which scripts find a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(String);

impl SecretName {
    /// Characters, at the most.
    pub const LIMIT: usize = 100;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SecretName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let name = text.trim();
        if name.len() > Self::LIMIT {
            return Err(Invalid::new(format!(
                "a secret's name has at most {} characters",
                Self::LIMIT
            )));
        }
        if name.contains('=') {
            return Err(Invalid::new("a secret's name holds no `=`"));
        }
        parse_own_variable(&format!("{name}="))?;
        if TAKEN.contains(&name) || name.starts_with("LD_") {
            return Err(Invalid::new(format!(
                "the variable {name} is needed to start scripts; choose another name"
            )));
        }
        Ok(Self(name.to_owned()))
    }
}

/// What a secret holds; its `Debug` shows none of it.
#[derive(Debug, Clone)]
pub struct SecretValue(SecretString);

impl SecretValue {
    /// Bytes, at the most: 64 KiB. Linux gives a program no variable beyond 128 KiB
    /// (execve(2), MAX_ARG_STRLEN).
    pub const LIMIT: usize = 64 << 10;

    /// The errors tell nothing of the value but its size.
    pub fn parse(text: String) -> Result<Self, Invalid> {
        let value = SecretString::from(text);
        let text = value.expose_secret();
        if text.is_empty() {
            return Err(Invalid::new("the value is empty"));
        }
        if text.len() > Self::LIMIT {
            return Err(Invalid::new(format!(
                "the value has {} bytes; at most {} are taken",
                text.len(),
                Self::LIMIT
            )));
        }
        if text.contains('\0') {
            return Err(Invalid::new(
                "the value holds a NUL byte, which no variable can; encode it, as base64 does",
            ));
        }
        Ok(Self(value))
    }

    /// As [`SecretValue::parse`], from a file or a pipe.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, Invalid> {
        let text = String::from_utf8(bytes).map_err(|_| {
            Invalid::new("the value is no text in UTF-8; encode it, as base64 does")
        })?;
        Self::parse(text)
    }

    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_variables_that_scripts_can_be_given() {
        for right in ["TOKEN", " TOKEN ", "a_1", "CIRCLE", "PATHS"] {
            assert!(right.parse::<SecretName>().is_ok(), "{right:?} must be taken");
        }
        let long = "A".repeat(101);
        for wrong in
            ["", "1A", "A-B", "A=B", "A B", "KOZMIC_X", "CI", "PATH", "LD_PRELOAD", "UID", &long]
        {
            assert!(wrong.parse::<SecretName>().is_err(), "{wrong:?} must be refused");
        }
    }

    #[test]
    fn values_are_bounded_and_never_told() {
        assert!(SecretValue::parse("x".repeat(64 << 10)).is_ok());
        let refused = [
            SecretValue::parse("hush".repeat(20_000)),
            SecretValue::parse("hush\0".into()),
            SecretValue::from_bytes(b"hush\xff".to_vec()),
            SecretValue::parse(String::new()),
        ];
        for refused in refused {
            assert!(!refused.unwrap_err().to_string().contains("hush"));
        }
        let value = SecretValue::parse("hush".into()).unwrap();
        assert!(!format!("{value:?}").contains("hush"));
    }
}
