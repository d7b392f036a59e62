//! What was sent, entry by entry. Neither names nor sizes nor kinds are trusted, and
//! memory is bounded whatever they are.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::{self, BufRead, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use tar::EntryType;

use super::{Result, TreeError, TreeLimits};

/// Bytes of a path or of a link's target (Linux, PATH_MAX).
const PATH_MAX: u64 = 4_096;
/// Bytes of all paths.
const ALL_PATHS: usize = 64 << 20;
/// What a decompressor may remember: 8 MiB, as a power of 2.
const WINDOW: u32 = 23;
/// Headers before an entry's own, and its own.
const HEADERS: usize = 3;
/// Bytes that may follow the archive's end, which tar fills up.
const FILL: u64 = 64 << 10;

/// One file or link.
pub(super) enum Sent<'a> {
    File { size: u64, is_executable: bool, content: &'a mut dyn Read },
    Link(PathBuf),
}

/// How much was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sum {
    pub(super) bytes: u64,
    pub(super) files: usize,
}

/// Hands each entry to `take`, with its path below the root.
pub(super) fn read(
    packed: impl BufRead,
    limits: TreeLimits,
    mut take: impl FnMut(&Path, Sent<'_>) -> Result<()>,
) -> Result<Sum> {
    let mut decoder = zstd::Decoder::with_buffer(packed).map_err(TreeError::Cut)?;
    decoder.window_log_max(WINDOW).map_err(TreeError::Cut)?;
    let mut archive = tar::Archive::new(decoder);
    let (mut sum, mut known) = (Sum::default(), Known::default());
    let (mut long_path, mut long_target) = (None, None);
    let entries = archive.entries().map_err(TreeError::Cut)?.raw(true);
    for (index, entry) in entries.enumerate() {
        let mut entry = entry.map_err(broken)?;
        if index >= limits.files.saturating_mul(HEADERS) {
            return Err(TreeError::TooLarge(limits));
        }
        let kind = entry.header().entry_type();
        match kind {
            EntryType::GNULongName => {
                long_path = Some(long(&mut entry)?);
                continue;
            }
            EntryType::GNULongLink => {
                long_target = Some(long(&mut entry)?);
                continue;
            }
            _ => {}
        }
        let path = long_path.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        let target = long_target.take();
        let path = known.take(&path)?;
        sum.files += 1;
        sum.bytes = sum.bytes.saturating_add(entry.size());
        if sum.files > limits.files || sum.bytes > limits.bytes {
            return Err(TreeError::TooLarge(limits));
        }
        match kind {
            EntryType::Regular => {
                let mode = entry.header().mode().map_err(broken)?;
                let (size, is_executable) = (entry.size(), mode & 0o100 != 0);
                let content: &mut dyn Read = &mut entry;
                take(&path, Sent::File { size, is_executable, content })?;
            }
            EntryType::Symlink => {
                let short = || entry.link_name_bytes().map(std::borrow::Cow::into_owned);
                let target = target.or_else(short).unwrap_or_default();
                if target.is_empty() || target.contains(&0) {
                    return Err(malformed(&path, "is a link to nothing"));
                }
                take(&path, Sent::Link(OsStr::from_bytes(&target).into()))?;
            }
            _ => return Err(malformed(&path, "is neither a file nor a symbolic link")),
        }
    }
    // The stream must end as well, and not be cut off.
    let mut rest = archive.into_inner().take(FILL + 1);
    if io::copy(&mut rest, &mut io::sink()).map_err(broken)? > FILL {
        return Err(TreeError::Malformed("something follows its end".into()));
    }
    Ok(sum)
}

/// A header's text, which its NUL ends.
fn long(entry: &mut impl Read) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    entry.by_ref().take(PATH_MAX + 1).read_to_end(&mut text).map_err(broken)?;
    if text.len() as u64 > PATH_MAX {
        return Err(TreeError::Malformed(format!("a path has more than {PATH_MAX} bytes")));
    }
    if text.last() == Some(&0) {
        text.pop();
    }
    Ok(text)
}

/// The paths so far: none comes twice, or lies below one that is no folder.
#[derive(Default)]
struct Known {
    files: HashSet<PathBuf>,
    folders: HashSet<PathBuf>,
    bytes: usize,
}

impl Known {
    fn take(&mut self, path: &[u8]) -> Result<PathBuf> {
        let path: PathBuf = Path::new(OsStr::from_bytes(path)).into();
        let bytes = path.as_os_str().as_bytes();
        let is_git = |part: &OsStr| part.as_bytes().eq_ignore_ascii_case(b".git");
        let is_inside =
            path.components().all(|part| matches!(part, Component::Normal(name) if !is_git(name)));
        // As git writes it: nothing between two slashes, none at an end.
        let is_plain = path.components().map(|part| part.as_os_str().len() + 1).sum::<usize>()
            == bytes.len() + 1;
        if bytes.is_empty() || bytes.contains(&0) || !is_inside || !is_plain {
            return Err(malformed(&path, "is no path of a file in a work tree"));
        }
        self.bytes += bytes.len();
        if self.bytes > ALL_PATHS {
            return Err(TreeError::Malformed("its paths are too long".into()));
        }
        let parents: Vec<&Path> =
            path.ancestors().skip(1).filter(|it| *it != Path::new("")).collect();
        let clashes =
            self.folders.contains(&path) || parents.iter().any(|it| self.files.contains(*it));
        if clashes || !self.files.insert(path.clone()) {
            return Err(malformed(&path, "is there twice, or lies in what is no folder"));
        }
        for parent in parents {
            if !self.folders.insert(parent.to_owned()) {
                break;
            }
        }
        Ok(path)
    }
}

fn malformed(path: &Path, problem: &str) -> TreeError {
    // Whatever it is called, in one line and not too long.
    let shown: String = path.display().to_string().escape_debug().take(200).collect();
    TreeError::Malformed(format!("`{shown}` {problem}"))
}

fn broken(error: io::Error) -> TreeError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => TreeError::Cut(error),
        _ => TreeError::Malformed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: TreeLimits = TreeLimits { bytes: 1_000, files: 10 };

    fn packed(make: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        make(&mut builder);
        zstd::encode_all(builder.into_inner().unwrap().as_slice(), 1).unwrap()
    }

    /// One entry with the name just as it is, which the builder would refuse.
    fn entry(builder: &mut tar::Builder<Vec<u8>>, name: &str, kind: EntryType, size: usize) {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(size as u64);
        header.set_mode(0o4755);
        if kind == EntryType::Symlink {
            header.set_link_name_literal("/etc").unwrap();
        }
        header.set_cksum();
        builder.append(&header, vec![b'x'; size].as_slice()).unwrap();
    }

    fn names(packed: &[u8]) -> Result<Vec<String>> {
        let mut names = Vec::new();
        read(packed, LIMITS, |path, sent| {
            if let Sent::File { size, content, .. } = sent {
                assert_eq!(io::copy(content, &mut io::sink()).unwrap(), size);
            }
            names.push(path.display().to_string());
            Ok(())
        })?;
        Ok(names)
    }

    #[test]
    fn files_and_links_are_taken_with_names_of_any_length() {
        let long = format!("{}/file", "folder/".repeat(30).trim_end_matches('/'));
        let sent = packed(|tar| {
            entry(tar, "a", EntryType::Regular, 5);
            entry(tar, "link", EntryType::Symlink, 0);
            let mut header = tar::Header::new_gnu();
            header.set_size(0);
            header.set_mode(0o644);
            tar.append_data(&mut header, &long, io::empty()).unwrap();
        });
        assert_eq!(names(&sent).unwrap(), ["a", "link", long.as_str()]);
    }

    #[test]
    fn what_is_no_path_of_a_work_tree_is_refused() {
        for name in
            ["../a", "/etc/passwd", "a/../../b", ".git/config", "a/.GIT/x", "./a", "a//b", "a/"]
        {
            let sent = packed(|tar| entry(tar, name, EntryType::Regular, 1));
            let error = names(&sent).unwrap_err().to_string();
            assert!(error.contains("is no path of a file"), "{name}: {error}");
        }
    }

    #[test]
    fn what_would_go_through_a_link_or_replace_something_is_refused() {
        for (first, second) in [("link", "link/a"), ("link", "link"), ("a/b", "a")] {
            let sent = packed(|tar| {
                entry(tar, first, EntryType::Symlink, 0);
                entry(tar, second, EntryType::Regular, 1);
            });
            let error = names(&sent).unwrap_err().to_string();
            assert!(error.contains("twice"), "{first}, {second}: {error}");
        }
    }

    #[test]
    fn devices_and_hard_links_are_refused() {
        for kind in [
            EntryType::Char,
            EntryType::Block,
            EntryType::Fifo,
            EntryType::Link,
            EntryType::XHeader,
        ] {
            let sent = packed(|tar| entry(tar, "a", kind, 0));
            let error = names(&sent).unwrap_err().to_string();
            assert!(error.contains("neither a file nor"), "{kind:?}: {error}");
        }
    }

    #[test]
    fn sizes_and_numbers_are_bounded_and_a_cut_is_noticed() {
        let large = packed(|tar| entry(tar, "a", EntryType::Regular, 1_001));
        assert!(matches!(names(&large), Err(TreeError::TooLarge(_))));
        let many = packed(|tar| {
            for index in 0..11 {
                entry(tar, &format!("a{index}"), EntryType::Regular, 0);
            }
        });
        assert!(matches!(names(&many), Err(TreeError::TooLarge(_))));
        let long = packed(|tar| entry(tar, "x", EntryType::GNULongName, 5_000));
        assert!(names(&long).unwrap_err().to_string().contains("more than 4096 bytes"));
        let whole = packed(|tar| entry(tar, "a", EntryType::Regular, 900));
        assert!(names(&whole[..whole.len() - 4]).is_err());
        assert!(names(b"no archive").is_err());
        let more = [
            packed(|tar| entry(tar, "a", EntryType::Regular, 1)),
            zstd::encode_all(&vec![0; 100_000][..], 1).unwrap(),
        ];
        assert!(names(&more.concat()).unwrap_err().to_string().contains("something follows"));
    }
}
