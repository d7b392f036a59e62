//! Reading a backup, and checking all of it.

use std::collections::VecDeque;
use std::io::{self, BufReader, ErrorKind, Read};

use aws_lc_rs::digest;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use tar::{EntryType, Header};

use super::write::padding;
use super::{
    BLOCK, BackupError, FORMAT, HEAD, Head, MANIFEST, Manifest, Result, SUMS, SUMS_AT_ONCE, WHOLE,
};

/// Bytes that are given at once.
const CHUNK: u64 = 1 << 20;

/// An entry whose content comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub size: u64,
}

/// Reads entry after entry. What was read counts only once [`Reader::finish`] has said that
/// all of it is as it was written.
pub struct Reader<R: Read> {
    from: zstd::Decoder<'static, BufReader<R>>,
    /// For people.
    file: String,
    head: Head,
    /// Of the entry under way.
    entry: Option<Entry>,
    left: u64,
    digest: digest::Context,
    /// Of the entries since the last ones were read, with their names.
    unchecked: VecDeque<(String, String)>,
    all_sums: digest::Context,
    entries: u64,
    bytes: u64,
    manifest: Option<Vec<u8>>,
}

impl<R: Read> Reader<R> {
    /// Reads the head.
    pub fn open(from: R, file: &str) -> Result<Self> {
        let from = zstd::Decoder::new(from).map_err(|source| failed(file, source))?;
        let mut reader = Self {
            from,
            file: file.to_owned(),
            head: Head {
                format: 0,
                kozmic: String::new(),
                made_at: String::new(),
                schema: 0,
                key_id: String::new(),
                with_key: false,
            },
            entry: None,
            left: 0,
            digest: digest::Context::new(&digest::SHA256),
            unchecked: VecDeque::new(),
            all_sums: digest::Context::new(&digest::SHA256),
            entries: 0,
            bytes: 0,
            manifest: None,
        };
        let no_backup = || BackupError::NoBackup(file.to_owned());
        match reader.next_entry() {
            Ok(Some(entry)) if entry.name == HEAD => {}
            Err(error @ BackupError::File { .. }) => return Err(error),
            _ => return Err(no_backup()),
        }
        let text = reader.whole()?;
        let head: serde_json::Value = serde_json::from_slice(&text).map_err(|_| no_backup())?;
        // First the format: the rest may be another's.
        let format = head["format"].as_u64().and_then(|format| u32::try_from(format).ok());
        let format = format.ok_or_else(no_backup)?;
        if format != FORMAT {
            let kozmic = head["kozmic"].as_str().unwrap_or("a newer one").to_owned();
            return Err(BackupError::OtherFormat { file: file.to_owned(), format, kozmic });
        }
        reader.head = serde_json::from_value(head).map_err(|_| no_backup())?;
        Ok(reader)
    }

    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The next entry; what was not read of the one before is skipped, and checked. None at
    /// the end.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        while self.chunk()?.is_some() {}
        if self.manifest.is_some() {
            return Ok(None);
        }
        loop {
            let entry = self.header()?;
            self.left = entry.size;
            if entry.name == MANIFEST {
                self.manifest = Some(self.take_all(&entry)?);
                self.end()?;
                return Ok(None);
            }
            if entry.name.starts_with(SUMS) {
                let sums = self.take_all(&entry)?;
                self.compare(&sums)?;
                continue;
            }
            self.digest = digest::Context::new(&digest::SHA256);
            self.entries += 1;
            self.bytes += entry.size;
            self.entry = Some(entry.clone());
            return Ok(Some(entry));
        }
    }

    /// Some more of the entry's content; none at its end.
    pub fn chunk(&mut self) -> Result<Option<Bytes>> {
        let Some(entry) = &self.entry else { return Ok(None) };
        if self.left == 0 {
            let padding = padding(entry.size);
            let Some(entry) = self.entry.take() else { return Ok(None) };
            self.exactly(padding)?;
            let digest = hex::encode(self.digest.clone().finish());
            if self.unchecked.len() == SUMS_AT_ONCE {
                return Err(self.damaged("digests are missing"));
            }
            self.unchecked.push_back((digest, entry.name));
            return Ok(None);
        }
        let size = usize::try_from(self.left.min(CHUNK)).unwrap_or(BLOCK);
        let bytes = self.exactly(size)?;
        self.left -= size as u64;
        self.digest.update(&bytes);
        Ok(Some(bytes.into()))
    }

    /// All of the entry's content.
    pub fn whole(&mut self) -> Result<Vec<u8>> {
        if self.left > WHOLE {
            return Err(self.damaged("an entry is too large"));
        }
        let mut content = Vec::new();
        while let Some(bytes) = self.chunk()? {
            content.extend(bytes);
        }
        Ok(content)
    }

    /// Reads what is left; what its writer told of all that was read.
    pub fn finish<C: DeserializeOwned>(mut self) -> Result<Manifest<C>> {
        while self.next_entry()?.is_some() {}
        let manifest = self.manifest.take().unwrap_or_default();
        let manifest: Manifest<C> = serde_json::from_slice(&manifest)
            .map_err(|error| self.damaged(format!("its manifest makes no sense: {error}")))?;
        let sums = hex::encode(self.all_sums.clone().finish());
        if !self.unchecked.is_empty()
            || (self.entries, self.bytes, &sums)
                != (manifest.entries, manifest.bytes, &manifest.sums)
        {
            return Err(self.damaged("it is not what its manifest says"));
        }
        Ok(manifest)
    }

    fn header(&mut self) -> Result<Entry> {
        let block = self.exactly(BLOCK)?;
        let mut header = Header::new_ustar();
        header.as_mut_bytes().copy_from_slice(&block);
        let found = header.clone();
        header.set_cksum();
        let is_whole =
            found.cksum().ok() == header.cksum().ok() && found.entry_type() == EntryType::Regular;
        let path = found.path().ok().and_then(|path| path.to_str().map(str::to_owned));
        match (path, found.size()) {
            (Some(name), Ok(size)) if is_whole => Ok(Entry { name, size }),
            _ => Err(self.damaged("the beginning of an entry makes no sense")),
        }
    }

    /// The content of an entry that is not given out.
    fn take_all(&mut self, entry: &Entry) -> Result<Vec<u8>> {
        if entry.size > WHOLE {
            return Err(self.damaged("an entry is too large"));
        }
        self.left = 0;
        let content = self.exactly(usize::try_from(entry.size).unwrap_or(0))?;
        self.exactly(padding(entry.size))?;
        Ok(content)
    }

    /// Compares what was read with what it should have been.
    fn compare(&mut self, sums: &[u8]) -> Result<()> {
        self.all_sums.update(sums);
        let sums = String::from_utf8_lossy(sums).into_owned();
        for line in sums.lines() {
            let Some((digest, name)) = self.unchecked.pop_front() else {
                return Err(self.damaged("an entry is missing"));
            };
            if line != format!("{digest}  {name}") {
                return Err(self.damaged(format!("the digest of `{name}` is another")));
            }
        }
        Ok(())
    }

    /// After the manifest there is nothing; packed data has a checksum at its end.
    fn end(&mut self) -> Result<()> {
        let end = self.exactly(2 * BLOCK)?;
        let mut more = [0];
        let read = self.from.read(&mut more).map_err(|error| self.unpacked(error))?;
        if read > 0 || end.iter().any(|byte| *byte != 0) {
            return Err(self.damaged("something follows its end"));
        }
        Ok(())
    }

    fn exactly(&mut self, size: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // Memory for what is there, and not for what a damaged header says.
        let read = self.from.by_ref().take(size as u64).read_to_end(&mut bytes);
        match read {
            Ok(read) if read == size => Ok(bytes),
            Ok(_) => Err(self.damaged("it was cut off")),
            Err(error) => Err(self.unpacked(error)),
        }
    }

    fn unpacked(&self, error: io::Error) -> BackupError {
        match error.kind() {
            ErrorKind::UnexpectedEof => self.damaged("it was cut off"),
            // What zstd finds wrong is of this kind, errors of the system have a number.
            ErrorKind::Other if error.raw_os_error().is_none() => {
                self.damaged(format!("it can't be unpacked ({error})"))
            }
            _ => failed(&self.file, error),
        }
    }

    fn damaged(&self, what: impl Into<String>) -> BackupError {
        BackupError::Damaged { file: self.file.clone(), what: what.into() }
    }
}

fn failed(file: &str, source: io::Error) -> BackupError {
    BackupError::File { file: file.to_owned(), doing: "read", source }
}
