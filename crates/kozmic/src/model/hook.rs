//! What a hook is made of.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{HookOptions, Invalid};

/// A hook as a person writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookSpec {
    /// Unique within the project.
    pub title: String,
    pub image: DockerImage,
    pub install_script: Option<Script>,
    pub tracked: Vec<TrackedPath>,
    pub build_script: Script,
    pub options: HookOptions,
}

impl HookSpec {
    /// The titles of its jobs in a build.
    pub fn job_titles(&self) -> Vec<String> {
        match self.options.variants.as_slice() {
            [] => vec![self.title.clone()],
            variants => variants.iter().map(|variant| variant.title(&self.title)).collect(),
        }
    }

    /// Titles name the job's status on GitHub (`Kozmic-CI/<title>`).
    pub fn parse_title(text: &str) -> Result<String, Invalid> {
        let title = text.trim();
        if title.is_empty() || title.chars().count() > 100 || title.chars().any(char::is_control) {
            return Err(Invalid::new("a hook's title must have 1 to 100 characters on one line"));
        }
        Ok(title.to_owned())
    }
}

/// A reference to an image: `[registry[:port]/]path[:tag][@digest]`, as the
/// distribution project's reference grammar has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DockerImage(String);

impl DockerImage {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DockerImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for DockerImage {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<DockerImage> for String {
    fn from(image: DockerImage) -> Self {
        image.0
    }
}

impl FromStr for DockerImage {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        let invalid = || {
            Invalid::new(format!(
                "`{text}` is not the name of a Docker image; write it as name:tag"
            ))
        };
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        // A colon after the last slash starts the tag; one before it, a port.
        let path_start = name.rfind('/').map_or(0, |slash| slash + 1);
        let (path, tag) = match name[path_start..].find(':') {
            Some(colon) => (&name[..path_start + colon], Some(&name[path_start + colon + 1..])),
            None => (name, None),
        };
        let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        let part_is_fine = |(index, part): (usize, &str)| {
            let (host, port) = match part.split_once(':') {
                Some((host, port)) if index == 0 => (host, Some(port)),
                Some(_) => return false,
                None => (part, None),
            };
            !host.is_empty()
                && host.bytes().all(word)
                && host.as_bytes()[0].is_ascii_alphanumeric()
                && (index == 0 || !host.bytes().any(|b| b.is_ascii_uppercase()))
                && port.is_none_or(|p| p.parse::<u16>().is_ok())
        };
        let path_is_fine = path.split('/').enumerate().all(part_is_fine)
            && (path.contains('/') || !path.bytes().any(|b| b.is_ascii_uppercase()));
        let tag_is_fine = tag.is_none_or(|tag| {
            (1..=128).contains(&tag.len())
                && tag.bytes().all(word)
                && !matches!(tag.as_bytes()[0], b'.' | b'-')
        });
        let digest_is_fine = digest.is_none_or(|digest| {
            digest
                .strip_prefix("sha256:")
                .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
        });
        if path_is_fine && tag_is_fine && digest_is_fine && text.len() <= 255 {
            Ok(Self(text.to_owned()))
        } else {
            Err(invalid())
        }
    }
}

/// The text of an install or build script. Line ends are LF, and no byte order mark hides
/// the shebang, which decides what runs it; `/bin/sh` where it has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script(String);

impl Script {
    /// The largest script that is taken: 1 MiB.
    pub const LIMIT: usize = 1 << 20;

    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}').is_empty() {
            return Err(Invalid::new("the script is empty"));
        }
        if text.len() > Self::LIMIT {
            return Err(Invalid::new(format!(
                "the script is {} bytes long; at most {} are taken",
                text.len(),
                Self::LIMIT
            )));
        }
        if text.contains('\0') {
            return Err(Invalid::new("the script holds a NUL byte; it must be a text"));
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Ok(Self(text.replace("\r\n", "\n").replace('\r', "\n")))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a variable's name stands anywhere in it, as a word.
    pub fn names(&self, variable: &str) -> bool {
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        self.0.split(|c| !is_of_name(c)).any(|word| word == variable)
    }

    /// The interpreter that the shebang names, without its arguments.
    pub fn interpreter(&self) -> Option<&str> {
        self.0.lines().next()?.strip_prefix("#!")?.split_whitespace().next()
    }
}

/// A path inside the repository, normalised: relative, no `.` or `..`, no
/// doubled or trailing slash. Case counts, as in git.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackedPath(String);

impl TrackedPath {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TrackedPath {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        if text.starts_with('/') {
            return Err(Invalid::new(format!(
                "tracked path `{text}` must be relative to the repository's root"
            )));
        }
        if text.chars().any(char::is_control) {
            return Err(Invalid::new(format!("tracked path {text:?} holds a control character")));
        }
        let mut parts: Vec<&str> = Vec::new();
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    if parts.pop().is_none() {
                        return Err(Invalid::new(format!(
                            "tracked path `{text}` leads out of the repository"
                        )));
                    }
                }
                name => parts.push(name),
            }
        }
        if parts.is_empty() {
            return Err(Invalid::new(format!("tracked path `{text}` names no file")));
        }
        Ok(Self(parts.join("/")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_follow_the_reference_grammar() {
        let digest = format!("debian@sha256:{}", "a".repeat(64));
        for right in [
            "debian",
            "debian:12",
            "kozmic/debian:bookworm",
            "127.0.0.1:5000/a/b:c",
            digest.as_str(),
            "ghcr.io/o/i",
        ] {
            assert!(right.parse::<DockerImage>().is_ok(), "{right:?} must be taken");
        }
        for wrong in
            ["", "a b", "Debian", "debian:", "a/b:c/d:e", "a//b", "-x", "x@sha256:1", "a;rm"]
        {
            assert!(wrong.parse::<DockerImage>().is_err(), "{wrong:?} must be refused");
        }
    }

    #[test]
    fn tracked_paths_are_normalised() {
        let path = |text: &str| text.parse::<TrackedPath>().map(|p| p.0);
        assert_eq!(path("./a/../b").unwrap(), "b");
        assert_eq!(path("a//b/").unwrap(), "a/b");
        assert_ne!(path("A").unwrap(), path("a").unwrap());
        for wrong in ["", ".", "..", "a/../..", "/etc/passwd", "a\nb"] {
            assert!(path(wrong).is_err(), "{wrong:?} must be refused");
        }
    }

    #[test]
    fn scripts_get_unix_line_ends() {
        let script = Script::parse("#!/bin/bash -e\r\necho\r\n").unwrap();
        assert_eq!(script.as_str(), "#!/bin/bash -e\necho\n");
        assert_eq!(script.interpreter(), Some("/bin/bash"));
        assert_eq!(Script::parse("echo").unwrap().interpreter(), None);
        let script = Script::parse("pip install x==${VERSION}\nA=$PYTHONPATH").unwrap();
        assert!(script.names("VERSION") && !script.names("PYTHON") && !script.names("VER"));
        assert!(Script::parse(" \n").is_err());
        assert!(Script::parse("a\0b").is_err());
    }
}
