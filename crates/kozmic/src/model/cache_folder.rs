//! Folders of a hook's build script that outlive its jobs: what a compiler or a package
//! manager has fetched and made, for the next job to find.

use std::fmt;
use std::ops::Deref;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use super::{Invalid, parse_bytes};

/// Cache folders of one hook.
const MOST: usize = 10;
/// Where a folder of the kernel or of Kozmic's own is.
const TAKEN: [&str; 4] = ["/kozmic", "/proc", "/sys", "/dev"];

/// A folder that outlives jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheFolder {
    pub name: FolderName,
    /// Where the build script finds it; absolute.
    pub path: String,
    /// Bytes; none: the installation's limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// Small letters, digits and hyphens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FolderName(String);

impl FolderName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FolderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for FolderName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=63).contains(&text.len()) && text.bytes().all(is_word) && !text.starts_with('-') {
            return Ok(Self(text.to_owned()));
        }
        Err(Invalid::new(format!(
            "`{text}` is not the name of a cache folder; write small letters, digits and hyphens, \
             63 at the most"
        )))
    }
}

impl TryFrom<String> for FolderName {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<FolderName> for String {
    fn from(name: FolderName) -> Self {
        name.0
    }
}

impl CacheFolder {
    /// The volume that it is in for jobs on the checkout at `dir` that no server carries
    /// out; those at the same time have other numbers.
    pub fn local_volume(&self, dir: &str, number: u32) -> String {
        let whose = format!("{dir}\0{}\0{number}", self.name);
        let digest = digest::digest(&digest::SHA256, whose.as_bytes());
        format!("kozmic-folder-{}", hex::encode(&digest.as_ref()[..16]))
    }
}

impl std::str::FromStr for CacheFolder {
    type Err = Invalid;

    /// `NAME: /PATH`, or `NAME: /PATH LIMIT`.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = || Invalid::new("write it as NAME: /PATH, or as NAME: /PATH 2G with a limit");
        let (name, rest) = text.split_once(':').ok_or_else(wrong)?;
        let mut words = rest.split_whitespace();
        let path = parse_path(words.next().ok_or_else(wrong)?)?;
        let limit = words.next().map(parse_bytes).transpose()?;
        match (words.next(), limit) {
            (None, None | Some(1..)) => Ok(Self { name: name.trim().parse()?, path, limit }),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for CacheFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.path)?;
        match self.limit {
            Some(limit) => write!(f, " {limit}"),
            None => Ok(()),
        }
    }
}

impl Deref for CacheFolders {
    type Target = [CacheFolder];

    fn deref(&self) -> &[CacheFolder] {
        &self.0
    }
}

fn parse_path(text: &str) -> Result<String, Invalid> {
    let path = text.trim_end_matches('/');
    let parts = || path.split('/').skip(1);
    let is_plain = path.starts_with('/')
        && path.len() <= 1_000
        && !path.contains(|c: char| c.is_control() || c == ',')
        && parts().all(|part| !matches!(part, "" | "." | ".."));
    if !is_plain {
        return Err(Invalid::new(format!(
            "`{text}` is not the path of a cache folder; it must be absolute, without `.`, `..`, \
             blanks and commas, and not the root"
        )));
    }
    let is_in = |taken: &&str| {
        path.strip_prefix(*taken).is_some_and(|rest| matches!(rest.as_bytes(), [] | [b'/', ..]))
    };
    if let Some(taken) = TAKEN.iter().find(|taken| is_in(taken)) {
        return Err(Invalid::new(format!(
            "`{text}` can't be a cache folder, since it is in {taken}; choose another one, and tell \
             the tool by its own variable, like CARGO_TARGET_DIR"
        )));
    }
    Ok(path.to_owned())
}

/// A hook's cache folders, in the order in which it names them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CacheFolders(Vec<CacheFolder>);

impl CacheFolders {
    pub const NAME: &str = "cache-folder";

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One more, as a person writes it.
    pub fn add(&mut self, text: &str) -> Result<(), Invalid> {
        let folder: CacheFolder = text.parse()?;
        if self.0.len() == MOST {
            return Err(Invalid::new(format!("a hook has {MOST} cache folders at the most")));
        }
        let other = self.0.iter().find(|other| {
            let (one, two) = (format!("{}/", folder.path), format!("{}/", other.path));
            other.name == folder.name || one.starts_with(&two) || two.starts_with(&one)
        });
        match other {
            Some(other) if other.name == folder.name => {
                Err(Invalid::new(format!("the cache folder {} was given before", folder.name)))
            }
            Some(other) => Err(Invalid::new(format!(
                "the cache folders {} and {} lie within one another",
                other.name, folder.name
            ))),
            None => {
                self.0.push(folder);
                Ok(())
            }
        }
    }

    /// As [`CacheFolders::add`] takes them.
    pub(super) fn written(&self) -> Vec<(&'static str, String)> {
        self.0.iter().map(|folder| (Self::NAME, folder.to_string())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_read_back_as_they_were_written() {
        let mut folders = CacheFolders::default();
        folders.add("cargo: /home/kozmic/.cargo/").unwrap();
        folders.add("ccache:/var/cache/ccache  2G").unwrap();
        assert_eq!(folders.0[0].path, "/home/kozmic/.cargo");
        assert_eq!((folders.0[0].limit, folders.0[1].limit), (None, Some(2 << 30)));
        let mut again = CacheFolders::default();
        for (_, value) in folders.written() {
            again.add(&value).unwrap();
        }
        assert_eq!(again, folders);
        let json = serde_json::to_string(&folders).unwrap();
        assert_eq!(serde_json::from_str::<CacheFolders>(&json).unwrap(), folders);
    }

    #[test]
    fn mistakes_say_what_is_right() {
        let mut folders = CacheFolders::default();
        folders.add("one: /a/b").unwrap();
        for text in [
            "two",
            "two: b",
            "two: /",
            "two: /a/../b",
            "two: /a//b",
            "Two: /c",
            "two: /c many",
            "two: /c 0",
            "two: /c 1G more",
            "two: /kozmic",
            "two: /kozmic/src/target",
            "two: /proc/x",
            "one: /c",
            "two: /a",
            "two: /a/b/c",
            "two: /a/b",
            ": /c",
            "two: /c,d",
        ] {
            assert!(folders.add(text).is_err(), "{text}");
        }
        folders.add("two: /kozmic2").unwrap();
    }
}
