//! Git LFS: files of which the repository has pointers, and the server the contents. They are
//! put in the place of their pointers in a checkout; git's own objects, and so the tree that
//! tracked files are looked up in, stay as they are.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::git::{Failed, Git};
use super::ssh::Keys;
use super::{Result, SourceError, Wanted, on_disk, programs};
use crate::model::readable_bytes;

/// Bytes of a pointer (Git LFS Specification, "The Pointer": less than 1,024).
const LONGEST: u64 = 1023;
/// "v1" of it, and what it was called before.
const VERSIONS: [&str; 2] =
    ["version https://git-lfs.github.com/spec/v1", "version https://hawser.github.com/spec/v1"];
/// Paths given to one run of git.
const AT_ONCE: usize = 500;
/// Characters of what git-lfs said.
const SAID: usize = 500;
/// Lets git see contents as the pointers that they are in a commit, where there is a git-lfs.
pub(super) const AS_POINTERS: [&str; 2] = ["-c", "filter.lfs.process=git-lfs filter-process"];

/// What stands in a file's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pointer {
    /// Below the checkout.
    path: PathBuf,
    oid: String,
    size: u64,
}

impl Pointer {
    fn parse(path: &Path, text: &str) -> Option<Self> {
        let mut lines = text.lines();
        VERSIONS.contains(&lines.next()?).then_some(())?;
        let (mut oid, mut size) = (None, None);
        for line in lines {
            match line.split_once(' ')? {
                ("oid", value) => oid = value.strip_prefix("sha256:"),
                ("size", value) => size = value.parse().ok(),
                // What an extension made of the contents only that extension can undo.
                _ => return None,
            }
        }
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let oid = oid.filter(|oid| oid.len() == 64 && oid.bytes().all(is_digit))?;
        Some(Self { path: path.to_owned(), oid: oid.to_owned(), size: size? })
    }

    /// Where git-lfs keeps the contents.
    fn object(&self, storage: &Path) -> PathBuf {
        storage.join("objects").join(&self.oid[..2]).join(&self.oid[2..4]).join(&self.oid)
    }

    fn is_kept(&self, storage: &Path) -> bool {
        self.object(storage).metadata().is_ok_and(|found| found.len() == self.size)
    }
}

/// Puts the contents in the place of all pointers of a checkout and its submodules. What the
/// mirror does not have is fetched into it, by `hold` only one at a time.
pub(super) async fn check_out(
    (mirror, folders): (&Path, &[PathBuf]),
    keys: &Keys,
    wanted: &Wanted,
    limit: u64,
    hold: impl Future<Output = tokio::sync::OwnedMutexGuard<()>>,
) -> Result<()> {
    let mut trees = Vec::new();
    for folder in folders {
        trees.push((folder, pointers(folder).await?));
    }
    let all = trees.iter().flat_map(|(_, pointers)| pointers);
    let bytes = all.fold(0_u64, |sum, pointer| sum.saturating_add(pointer.size));
    if bytes > limit {
        let (bytes, limit) = (readable_bytes(bytes), readable_bytes(limit));
        return Err(SourceError::LargeFiles { bytes, limit });
    }
    let storage = mirror.join("lfs");
    let lacks = |of: &[Pointer]| of.iter().any(|pointer| !pointer.is_kept(&storage));
    if trees.iter().any(|(_, pointers)| lacks(pointers)) {
        let _held = hold.await;
        for (folder, pointers) in &trees {
            if lacks(pointers) {
                fetch((mirror, folder), keys, wanted, pointers).await?;
            }
        }
    }
    for (folder, pointers) in trees {
        put(folder, &storage, pointers).await?;
    }
    Ok(())
}

/// As [`check_out`], of what lies in a work tree on this machine.
pub(super) async fn copy(tree: &Path, checkout: &Path) -> Result<()> {
    // What git-lfs has kept of the copy's own files, to make pointers of them.
    let _ = tokio::fs::remove_dir_all(checkout.join(".git/lfs")).await;
    let pointers = pointers(checkout).await?;
    if pointers.is_empty() {
        return Ok(());
    }
    let asked = Git::in_folder(tree).args(["rev-parse", "--git-common-dir"]).run().await?;
    // It is a work tree.
    let git = asked.unwrap_or_default();
    let storage = tree.join(git.trim_end_matches('\n')).join("lfs");
    if let Some(missing) = pointers.iter().find(|pointer| !pointer.is_kept(&storage)) {
        return Err(SourceError::NotPulled {
            path: tree.join(&missing.path).display().to_string(),
        });
    }
    put(checkout, &storage, pointers).await
}

/// The files of a checkout that are pointers, as its attributes say.
async fn pointers(checkout: &Path) -> Result<Vec<Pointer>> {
    let arguments = ["ls-files", "-z", "--", ":(attr:filter=lfs)"];
    let listed = Git::in_folder(checkout).args(arguments).run_bytes().await?;
    let failed = |failed: Failed| SourceError::LargeFile {
        path: checkout.display().to_string(),
        problem: failed.problem(),
    };
    let listed = listed.map_err(failed)?;
    let mut found = Vec::new();
    for name in listed.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let path = Path::new(std::ffi::OsStr::from_bytes(name));
        let at = checkout.join(path);
        let is_small = at.symlink_metadata().is_ok_and(|it| it.is_file() && it.len() <= LONGEST);
        if is_small {
            let text = tokio::fs::read(&at).await.map_err(on_disk(&at))?;
            found.extend(Pointer::parse(path, &String::from_utf8_lossy(&text)));
        }
    }
    Ok(found)
}

/// Those of the commit that is checked out in a folder, from where that came from. In the mirror,
/// which has no files: a commit's own `.lfsconfig` leads nowhere.
async fn fetch(
    (mirror, folder): (&Path, &Path),
    keys: &Keys,
    wanted: &Wanted,
    of: &[Pointer],
) -> Result<()> {
    if programs::git_lfs().await.is_err() {
        let path = of.first().map(|pointer| pointer.path.display().to_string());
        return Err(SourceError::NoLfs { path: path.unwrap_or_default(), count: of.len() });
    }
    let session = keys.session(wanted)?;
    let ask = async |arguments: &[&str]| {
        let told = Git::in_folder(folder).args(arguments).run().await?;
        let told = told.map_err(|failed| SourceError::LargeFile {
            path: folder.display().to_string(),
            problem: failed.problem(),
        })?;
        Ok::<_, SourceError>(told.trim_end_matches('\n').to_owned())
    };
    let url = ask(&["config", "--get", "remote.origin.url"]).await?;
    let sha = ask(&["rev-parse", "HEAD"]).await?;
    let objects = ask(&["rev-parse", "--path-format=absolute", "--git-path", "objects"]).await?;
    let fetched = Git::in_folder(mirror)
        .objects(Path::new(&objects))
        .with_key(session.as_ref())
        .trusting(keys.authorities())
        .args(["-c", &format!("remote.origin.url={url}"), "lfs", "fetch", "origin", &sha])
        .run()
        .await?;
    let failed = |problem: String| SourceError::LfsFetch { url: url.clone(), problem };
    fetched.map_err(|it| failed(said(&it)))?;
    let storage = mirror.join("lfs");
    match of.iter().find(|pointer| !pointer.is_kept(&storage)) {
        Some(missing) => Err(failed(format!("{} is not there", missing.path.display()))),
        None => Ok(()),
    }
}

/// Without what stands behind a `?`: where objects lie is told with a signature that opens it.
fn said(failed: &Failed) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in failed.stderr.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line
            .split(' ')
            .map(|word| if word.contains("://") { until_query(word) } else { word })
            .collect();
        let line = words.join(" ");
        if !line.starts_with("Downloading LFS objects") && !lines.contains(&line) {
            lines.push(line);
        }
    }
    let all = lines.join("; ");
    if all.is_empty() { "git-lfs gave no reason".into() } else { all.chars().take(SAID).collect() }
}

fn until_query(url: &str) -> &str {
    url.split('?').next().unwrap_or(url)
}

/// Copies, or where the file system can, shares the bytes. What git knows of the files is still
/// their pointers: it is told to take them for unchanged.
async fn put(checkout: &Path, storage: &Path, pointers: Vec<Pointer>) -> Result<()> {
    let paths: BTreeSet<PathBuf> = pointers.iter().map(|pointer| pointer.path.clone()).collect();
    let (folder, storage) = (checkout.to_owned(), storage.to_owned());
    let copied = tokio::task::spawn_blocking(move || {
        for pointer in pointers {
            let to = folder.join(&pointer.path);
            let copy = || {
                let mode = to.metadata()?.permissions();
                std::fs::copy(pointer.object(&storage), &to)?;
                std::fs::set_permissions(&to, mode)
            };
            copy().map_err(on_disk(&to))?;
        }
        Ok(())
    });
    copied.await.map_err(|error| SourceError::Git(std::io::Error::other(error)))??;
    let paths: Vec<PathBuf> = paths.into_iter().collect();
    for some in paths.chunks(AT_ONCE) {
        let marked = Git::in_folder(checkout)
            .args(["update-index", "--assume-unchanged", "--"])
            .args(some)
            .run()
            .await?;
        let failed = |failed: Failed| SourceError::LargeFile {
            path: some.first().map(|path| path.display().to_string()).unwrap_or_default(),
            problem: failed.problem(),
        };
        marked.map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Pointer> {
        Pointer::parse(Path::new("a"), text)
    }

    #[test]
    fn a_pointer_is_what_the_specification_says() {
        let oid = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";
        let text =
            format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 12345\n");
        let pointer = parse(&text).unwrap();
        assert_eq!((pointer.oid.as_str(), pointer.size), (oid, 12345));
        let object = pointer.object(Path::new("/s"));
        assert_eq!(object, Path::new("/s/objects/4d/7a").join(oid));
        for wrong in [
            "",
            "version https://git-lfs.github.com/spec/v1\n",
            &text.replace("spec/v1", "spec/v9"),
            &text.replace("sha256:4d", "sha256:../"),
            &text.replace("12345", "-1"),
            &text.replace("oid", "ext-0-foo sha256:00\noid"),
            &text.replace(oid, &oid.to_uppercase()),
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn no_signature_is_told() {
        let stderr = "Downloading LFS objects: 0% (0/1)\n\
                      LFS: Client error: https://s3.example.org/x?X-Amz-Signature=hush\n\
                      error: failed to fetch some objects\n"
            .to_owned();
        let told = said(&Failed { stderr });
        assert_eq!(
            told,
            "LFS: Client error: https://s3.example.org/x; error: failed to fetch some objects"
        );
    }
}
