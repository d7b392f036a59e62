//! Artifacts: the files of a folder, on their way to where they are kept.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use bytes::Bytes;
use futures_util::Stream;
use tokio::io::AsyncWriteExt as _;

use super::FilesError;
use super::archive::{Archive, Kind};
use super::names::shown;
use crate::model::{Artifact, readable_bytes};
use crate::objects::{ObjectError, Objects, Upload};

/// Notes of one job.
const NOTES: usize = 20;
/// Read beyond the limit, to look whether something smaller follows.
const BEYOND: u64 = 64 << 20;

/// What is kept of one job at the most; the rest is left out with a note.
#[derive(Debug, Clone, Copy)]
pub struct ArtifactLimits {
    /// Bytes of all files.
    pub bytes: u64,
    pub files: usize,
}

/// Where the files go.
#[derive(Debug, Clone)]
pub enum Shelf {
    /// Objects `PREFIX/0`, `PREFIX/1` and so on: a name that was chosen by a script is no
    /// key of the storage.
    Objects { objects: Objects, prefix: String },
    /// Files of this folder, under their own names; what is there is replaced.
    Folder(PathBuf),
}

/// What was taken.
#[derive(Debug, Default)]
pub struct Kept {
    pub artifacts: Vec<Artifact>,
    pub notes: Vec<String>,
    unnoted: usize,
}

impl Kept {
    fn note(&mut self, note: String) {
        if self.notes.len() < NOTES { self.notes.push(note) } else { self.unnoted += 1 }
    }
}

/// Why keeping ended before its time; what was kept before stays kept.
#[derive(Debug, thiserror::Error)]
enum ShelfError {
    #[error(transparent)]
    Objects(#[from] ObjectError),
    #[error(transparent)]
    Folder(#[from] io::Error),
    #[error(transparent)]
    Files(#[from] FilesError),
}

/// Keeps the files of a folder that comes as a tar.
pub async fn keep_artifacts(
    folder: impl Stream<Item = io::Result<Bytes>> + Unpin,
    limits: ArtifactLimits,
    shelf: &Shelf,
) -> Kept {
    let mut kept = Kept::default();
    let mut archive = Archive::new(folder, limits.bytes.saturating_add(BEYOND));
    if let Err(error) = keep_all(&mut archive, limits, shelf, &mut kept).await {
        kept.note(format!("artifacts: what follows was not kept: {error}"));
    }
    if archive.is_exhausted() {
        kept.note("artifacts: /kozmic/artifacts holds too much; its rest was not kept".into());
    }
    if kept.unnoted > 0 {
        let unnoted = kept.unnoted;
        kept.notes.push(format!("artifacts: and {unnoted} more of the like"));
    }
    kept
}

async fn keep_all(
    archive: &mut Archive<impl Stream<Item = io::Result<Bytes>> + Unpin>,
    limits: ArtifactLimits,
    shelf: &Shelf,
    kept: &mut Kept,
) -> Result<(), ShelfError> {
    let (mut room, mut seen) = (limits.bytes, HashSet::new());
    while let Some(entry) = archive.next().await? {
        let path = match (entry.path, entry.kind) {
            (Ok(path), Kind::Folder) if path.is_empty() => continue,
            (Ok(path), _) if path.is_empty() => {
                let sentence = "artifacts: /kozmic/artifacts is no folder any more";
                kept.note(sentence.into());
                return Ok(());
            }
            (_, Kind::Folder) => continue,
            (Ok(path), Kind::File) => path,
            (Ok(path), Kind::Other(what)) => {
                kept.note(format!("artifacts: {}: it is {what}, which is not kept", shown(&path)));
                continue;
            }
            (Err((path, problem)), _) => {
                kept.note(format!("artifacts: {path}: {problem}; it was not kept"));
                continue;
            }
        };
        if entry.size > room {
            let (size, limit) = (readable_bytes(entry.size), readable_bytes(limits.bytes));
            let path = shown(&path);
            kept.note(format!(
                "artifacts: {path}: with its {size} they are more than {limit}; it was not kept"
            ));
            continue;
        }
        if kept.artifacts.len() >= limits.files {
            kept.note(format!(
                "artifacts: {}: it and what follows was not kept: {} files are the most",
                shown(&path),
                limits.files
            ));
            return Ok(());
        }
        // No folder has two, but a tar may.
        if !seen.insert(path.clone()) {
            continue;
        }
        room -= entry.size;
        let artifact = keep_one(archive, path, entry.size, shelf, kept.artifacts.len()).await?;
        kept.artifacts.push(artifact);
    }
    Ok(())
}

async fn keep_one(
    archive: &mut Archive<impl Stream<Item = io::Result<Bytes>> + Unpin>,
    path: String,
    size: u64,
    shelf: &Shelf,
    index: usize,
) -> Result<Artifact, ShelfError> {
    let mut hasher = digest::Context::new(&digest::SHA256);
    let (mut place, object) = Place::open(shelf, &path, index).await?;
    let mut written = 0;
    let copied = async {
        while let Some(bytes) = archive.chunk().await? {
            hasher.update(&bytes);
            written += bytes.len() as u64;
            place.write(bytes).await?;
        }
        if written < size {
            return Err(FilesError::Malformed("a file ends too early").into());
        }
        Ok::<_, ShelfError>(())
    }
    .await;
    if let Err(error) = copied {
        place.abort().await;
        return Err(error);
    }
    place.finish().await?;
    Ok(Artifact { path, size, sha256: hex::encode(hasher.finish()), object })
}

/// A file that is being kept.
enum Place {
    Object(Upload),
    File { file: tokio::fs::File, path: PathBuf },
}

impl Place {
    async fn open(shelf: &Shelf, path: &str, index: usize) -> Result<(Self, String), ShelfError> {
        match shelf {
            Shelf::Objects { objects, prefix } => {
                let object = format!("{prefix}/{index}");
                Ok((Self::Object(objects.upload(&object)?), object))
            }
            Shelf::Folder(folder) => {
                let file = create_below(folder, path).await?;
                Ok((Self::File { file, path: folder.join(path) }, path.to_owned()))
            }
        }
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), ShelfError> {
        match self {
            Self::Object(upload) => upload.write(bytes).await?,
            Self::File { file, .. } => file.write_all(&bytes).await?,
        }
        Ok(())
    }

    async fn finish(self) -> Result<(), ShelfError> {
        match self {
            Self::Object(upload) => upload.finish().await?,
            Self::File { mut file, .. } => file.flush().await?,
        }
        Ok(())
    }

    /// Nothing of it is listed anyway.
    async fn abort(self) {
        let aborted = match self {
            Self::Object(upload) => upload.abort().await.map_err(ShelfError::from),
            Self::File { path, .. } => tokio::fs::remove_file(path).await.map_err(ShelfError::from),
        };
        if let Err(error) = aborted {
            tracing::warn!(%error, "what came of an artifact stays");
        }
    }
}

/// A new file below a folder. What is there of this name is removed first, and a link
/// on the way is an error: a file may not be written through either.
pub async fn create_below(folder: &Path, path: &str) -> io::Result<tokio::fs::File> {
    tokio::fs::create_dir_all(folder).await?;
    let mut place = folder.to_owned();
    let parts: Vec<&str> = path.split('/').collect();
    for (index, part) in parts.iter().enumerate() {
        if matches!(*part, "" | "." | "..") || part.contains('\0') {
            return Err(io::Error::other(format!("{} leads elsewhere", shown(path))));
        }
        place.push(part);
        let found = tokio::fs::symlink_metadata(&place).await;
        match found {
            Ok(found) if index + 1 < parts.len() && found.is_dir() => {}
            Ok(found) if index + 1 == parts.len() && !found.is_dir() => {
                tokio::fs::remove_file(&place).await?;
            }
            Ok(_) => {
                return Err(io::Error::other(format!("{} is in the way", place.display())));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if index + 1 < parts.len() {
                    tokio::fs::create_dir(&place).await?;
                }
            }
            Err(error) => return Err(error),
        }
    }
    tokio::fs::OpenOptions::new().write(true).create_new(true).open(&place).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report_files::archive::tests::{entry, in_chunks, packed};

    const LIMITS: ArtifactLimits = ArtifactLimits { bytes: 1_000, files: 3 };

    async fn kept(tar: &[u8], limits: ArtifactLimits) -> (Kept, Objects, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::in_folder(&folder.path().join("objects")).unwrap();
        let shelf = Shelf::Objects { objects: objects.clone(), prefix: "artifacts/1/u/1".into() };
        let kept = keep_artifacts(in_chunks(tar, 700), limits, &shelf).await;
        (kept, objects, folder)
    }

    #[tokio::test]
    async fn files_are_kept_with_size_and_digest() {
        let (kept, objects, _folder) =
            kept(&packed(&[("a b/ü", b"abc"), ("empty", b"")]), LIMITS).await;
        assert_eq!(kept.notes, Vec::<String>::new());
        let abc = &kept.artifacts[0];
        assert_eq!((&*abc.path, abc.size, &*abc.object), ("a b/ü", 3, "artifacts/1/u/1/0"));
        // FIPS 180-4's own example.
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(abc.sha256, digest);
        assert_eq!(objects.get(&abc.object, 0..9).await.unwrap(), "abc");
        assert_eq!(kept.artifacts[1].size, 0);
    }

    #[tokio::test]
    async fn limits_and_hostile_entries_are_noted() {
        let mut tar = packed(&[("large", &[7; 900]), ("larger", &[7; 200]), ("small", b"x")]);
        tar.truncate(tar.len() - 1024);
        for name in ["artifacts/../../up", "/abs"] {
            tar.extend(entry(name.as_bytes(), b'0', b"x"));
        }
        for kind in *b"1236" {
            tar.extend(entry(b"artifacts/other", kind, b""));
        }
        tar.extend(entry(b"artifacts/\xff", b'0', b"x"));
        tar.extend(entry(b"artifacts/small", b'0', b"again"));
        let (kept, ..) = self::kept(&tar, LIMITS).await;
        let paths: Vec<&str> = kept.artifacts.iter().map(|it| &*it.path).collect();
        assert_eq!(paths, ["large", "small"]);
        for said in [
            "larger: with its 200 B",
            "leads elsewhere",
            "absolute",
            "a hard link",
            "a symbolic link",
            "a device",
            "a pipe",
            "not UTF-8",
        ] {
            assert!(kept.notes.iter().any(|note| note.contains(said)), "{said}: {:?}", kept.notes);
        }
        let many: Vec<(String, &[u8])> = (0..9).map(|n| (n.to_string(), &b"x"[..])).collect();
        let many: Vec<(&str, &[u8])> = many.iter().map(|(name, it)| (&**name, *it)).collect();
        let (kept, ..) = self::kept(&packed(&many), LIMITS).await;
        assert_eq!((kept.artifacts.len(), kept.notes.len()), (3, 1), "{:?}", kept.notes);
    }

    #[tokio::test]
    async fn what_is_cut_off_is_not_kept() {
        let tar = packed(&[("whole", b"x"), ("cut", &[7; 600])]);
        let (kept, objects, _folder) = kept(&tar[..3_000], LIMITS).await;
        assert_eq!(kept.artifacts.len(), 1);
        assert!(kept.notes[0].contains("ends too early"), "{:?}", kept.notes);
        assert_eq!(objects.size("artifacts/1/u/1/1").await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_folder_is_never_left() {
        let folder = tempfile::tempdir().unwrap();
        let (out, outside) = (folder.path().join("out"), folder.path().join("outside"));
        std::fs::create_dir_all(&out).unwrap();
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::write(outside.join("f"), "old").unwrap();
        std::os::unix::fs::symlink(&outside, out.join("link")).unwrap();
        std::os::unix::fs::symlink(outside.join("f"), out.join("f")).unwrap();
        let shelf = Shelf::Folder(out.clone());
        let tar = packed(&[("f", b"new")]);
        let kept = keep_artifacts(in_chunks(&tar, 100), LIMITS, &shelf).await;
        assert_eq!(kept.artifacts.len(), 1, "{:?}", kept.notes);
        assert_eq!(std::fs::read(out.join("f")).unwrap(), b"new");
        assert_eq!(std::fs::read(outside.join("f")).unwrap(), b"old", "not through the link");
        let tar = packed(&[("link/g", b"new")]);
        let kept = keep_artifacts(in_chunks(&tar, 100), LIMITS, &shelf).await;
        assert!(kept.notes[0].contains("in the way"), "{:?}", kept.notes);
        assert!(!outside.join("g").exists());
    }
}
