//! What a backup is as a file: written and read entry by entry, in one go, with little
//! memory however large it is.
//!
//! It is a tar, packed by Zstandard, so that `zstd -dc FILE | tar -x` unpacks it also without
//! Kozmic. Its entries, in this order:
//!
//! | entry | what |
//! | --- | --- |
//! | `kozmic-backup.json` | the [`Head`] |
//! | any others | what is kept, as their writer names them |
//! | `sums/000001` and so on | among them: names and digests as `sha256sum` writes them, each of the entries since the last one |
//! | `manifest.json` | the [`Manifest`]; without it the file was cut off |

mod read;
mod write;

use serde::{Deserialize, Serialize};

pub use read::{Entry, Reader};
pub use write::Writer;

/// The format of this file; another one is not read.
pub const FORMAT: u32 = 1;
const HEAD: &str = "kozmic-backup.json";
const SUMS: &str = "sums/";
const MANIFEST: &str = "manifest.json";
/// Digests in one entry of `sums/`.
const SUMS_AT_ONCE: usize = 4096;
/// tar's unit.
const BLOCK: usize = 512;
/// Bytes of an entry that is read as a whole.
const WHOLE: u64 = 1 << 30;

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{0} is no backup of Kozmic's")]
    NoBackup(String),
    #[error(
        "{file} has the format {format}, and this Kozmic reads {FORMAT}; take the Kozmic that made \
         it, {kozmic}"
    )]
    OtherFormat { file: String, format: u32, kozmic: String },
    #[error("{file} is damaged: {what}; take another backup")]
    Damaged { file: String, what: String },
    #[error("{file} can't be {doing}: {source}")]
    File { file: String, doing: &'static str, source: std::io::Error },
}

type Result<T> = std::result::Result<T, BackupError>;

/// What must be known before the rest makes sense.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub format: u32,
    /// The version that made it.
    pub kozmic: String,
    /// RFC 3339.
    pub made_at: String,
    /// The number of the last migration of the database that it was made of.
    pub schema: i64,
    /// The id of the key that secrets are sealed with.
    pub key_id: String,
    /// Whether that key is in the backup.
    pub with_key: bool,
}

/// What was written, told at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest<C> {
    pub format: u32,
    pub kozmic: String,
    /// Entries before the manifest, those of `sums/` apart.
    pub entries: u64,
    /// Bytes of all of them, not packed.
    pub bytes: u64,
    /// SHA-256 over all that `sums/` holds.
    pub sums: String,
    /// What its writer tells of them.
    pub contents: C,
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};

    use super::*;

    fn head() -> Head {
        Head {
            format: FORMAT,
            kozmic: "0.1.0".into(),
            made_at: "2026-11-28T19:00:00Z".into(),
            schema: 26,
            key_id: "01020304".into(),
            with_key: false,
        }
    }

    /// So many that there are several entries of `sums/`.
    fn written(head: &Head, entries: usize) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), "it", head).unwrap();
        for index in 0..entries {
            writer
                .whole(&format!("objects/artifacts/{index}"), index.to_string().as_bytes())
                .unwrap();
        }
        writer.begin("large", 3000).unwrap();
        writer.write(&[7; 1000]).unwrap();
        writer.write(&[8; 2000]).unwrap();
        writer.end().unwrap();
        writer.finish("words").unwrap()
    }

    type Content = (String, Vec<u8>);

    fn read(file: &[u8]) -> Result<(Head, Vec<Content>, Manifest<String>)> {
        let mut reader = Reader::open(Cursor::new(file.to_vec()), "it")?;
        let mut entries = Vec::new();
        while let Some(entry) = reader.next_entry()? {
            let content = reader.whole()?;
            assert_eq!(content.len() as u64, entry.size);
            entries.push((entry.name, content));
        }
        let head = reader.head().clone();
        Ok((head, entries, reader.finish()?))
    }

    #[test]
    fn what_was_written_is_read() {
        let (read_head, entries, manifest) = read(&written(&head(), 10_000)).unwrap();
        assert_eq!(read_head, head());
        assert_eq!(entries.len(), 10_001);
        assert_eq!(entries[4097], ("objects/artifacts/4097".to_owned(), b"4097".to_vec()));
        assert_eq!(entries[10_000].1, [[7; 1000].as_slice(), &[8; 2000]].concat());
        assert_eq!(manifest.entries, 10_002);
        assert_eq!(manifest.contents, "words");
    }

    #[test]
    fn what_is_skipped_is_checked_as_well() {
        let mut reader = Reader::open(Cursor::new(written(&head(), 9)), "it").unwrap();
        while reader.next_entry().unwrap().is_some() {}
        reader.finish::<String>().unwrap();
    }

    #[test]
    fn other_programs_unpack_it() {
        let folder = tempfile::tempdir().unwrap();
        let unpacked = zstd::decode_all(Cursor::new(written(&head(), 5000))).unwrap();
        tar::Archive::new(Cursor::new(unpacked)).unpack(folder.path()).unwrap();
        for sums in ["000001", "000002"] {
            let mut check = std::process::Command::new("sha256sum");
            let sums = folder.path().join("sums").join(sums);
            let checked = check.args(["--check", "--strict", "--quiet"]).arg(sums);
            let checked = checked.current_dir(folder.path()).output().unwrap();
            assert!(checked.status.success(), "{checked:?}");
        }
    }

    #[test]
    fn a_file_that_was_cut_off_is_refused_wherever() {
        let file = written(&head(), 40);
        for length in 0..file.len() {
            assert!(read(&file[..length]).is_err(), "{length} of {}", file.len());
        }
    }

    #[test]
    fn a_changed_bit_is_found_wherever() {
        let file = written(&head(), 40);
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 4;
            // Some bits of a packed file mean nothing.
            if let Ok(read) = read(&changed) {
                assert_eq!(read, self::read(&file).unwrap(), "byte {at}");
            }
        }
    }

    /// As somebody would who changes what is in it and packs it again.
    #[test]
    fn entries_are_what_the_sums_say() {
        let packed = |of: &[u8]| zstd::encode_all(Cursor::new(of), 1).unwrap();
        let plain = zstd::decode_all(Cursor::new(written(&head(), 40))).unwrap();
        let at = plain.windows(3).position(|three| three == [8; 3]).unwrap();
        let mut changed = plain.clone();
        changed[at] = 9;
        let error = read(&packed(&changed)).unwrap_err().to_string();
        assert_eq!(error, "it is damaged: the digest of `large` is another; take another backup");
        let mut more = packed(&plain);
        more.extend(b"more");
        assert!(read(&more).is_err());
    }

    #[test]
    fn other_files_and_formats_are_named_as_such() {
        assert!(matches!(read(b"no such thing"), Err(BackupError::NoBackup(_))));
        let mut packed = zstd::Encoder::new(Vec::new(), 1).unwrap();
        packed.write_all(&[1; 2048]).unwrap();
        assert!(matches!(read(&packed.finish().unwrap()), Err(BackupError::NoBackup(_))));
        let other = Head { format: 2, kozmic: "9.0.0".into(), ..head() };
        let error = read(&written(&other, 1)).unwrap_err().to_string();
        assert_eq!(
            error,
            "it has the format 2, and this Kozmic reads 1; take the Kozmic that made it, 9.0.0"
        );
    }
}
