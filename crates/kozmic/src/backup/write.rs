//! Writing a backup.

use std::io::Write;

use aws_lc_rs::digest;
use serde::Serialize;
use tar::Header;

use super::{
    BLOCK, BackupError, FORMAT, HEAD, Head, MANIFEST, Manifest, Result, SUMS, SUMS_AT_ONCE,
};
use crate::model::Timestamp;

/// zstd's default; archived logs are packed already.
const LEVEL: i32 = 3;

/// Writes entry after entry. Nothing is a backup before [`Writer::finish`].
pub struct Writer<W: Write> {
    out: zstd::Encoder<'static, W>,
    /// For people.
    file: String,
    kozmic: String,
    /// Of the entry under way.
    name: String,
    left: u64,
    padding: usize,
    digest: digest::Context,
    /// Of the entries since the last ones were written.
    sums: String,
    unwritten: usize,
    written: u32,
    all_sums: digest::Context,
    entries: u64,
    bytes: u64,
}

impl<W: Write> Writer<W> {
    pub fn new(out: W, file: &str, head: &Head) -> Result<Self> {
        let packed = zstd::Encoder::new(out, LEVEL).and_then(|mut out| {
            out.include_checksum(true)?;
            Ok(out)
        });
        let mut writer = Self {
            out: packed.map_err(failed(file))?,
            file: file.to_owned(),
            kozmic: head.kozmic.clone(),
            name: String::new(),
            left: 0,
            padding: 0,
            digest: digest::Context::new(&digest::SHA256),
            sums: String::new(),
            unwritten: 0,
            written: 0,
            all_sums: digest::Context::new(&digest::SHA256),
            entries: 0,
            bytes: 0,
        };
        writer.whole(HEAD, &json(head))?;
        Ok(writer)
    }

    /// An entry of so many bytes comes.
    pub fn begin(&mut self, name: &str, size: u64) -> Result<()> {
        self.header(name, size)?;
        name.clone_into(&mut self.name);
        self.digest = digest::Context::new(&digest::SHA256);
        self.left = size;
        self.entries += 1;
        self.bytes += size;
        Ok(())
    }

    /// Some of its bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self.left.checked_sub(bytes.len() as u64) {
            Some(left) => self.left = left,
            None => return Err(self.wrong("it has more bytes than it had")),
        }
        self.digest.update(bytes);
        self.put(bytes)
    }

    /// All of its bytes were written.
    pub fn end(&mut self) -> Result<()> {
        if self.left > 0 {
            return Err(self.wrong("it has fewer bytes than it had"));
        }
        self.pad()?;
        let digest = self.digest.clone().finish();
        self.sums.extend([&hex::encode(digest), "  ", &self.name, "\n"]);
        self.unwritten += 1;
        if self.unwritten == SUMS_AT_ONCE { self.put_sums() } else { Ok(()) }
    }

    /// An entry that is in memory.
    pub fn whole(&mut self, name: &str, content: &[u8]) -> Result<()> {
        self.begin(name, content.len() as u64)?;
        self.write(content)?;
        self.end()
    }

    /// The end, with what there is to tell of it; gives back what was written to.
    pub fn finish(mut self, contents: impl Serialize) -> Result<W> {
        if self.unwritten > 0 {
            self.put_sums()?;
        }
        let manifest = json(&Manifest {
            format: FORMAT,
            kozmic: self.kozmic.clone(),
            entries: self.entries,
            bytes: self.bytes,
            sums: hex::encode(self.all_sums.clone().finish()),
            contents,
        });
        self.put_entry(MANIFEST, &manifest)?;
        // Two empty blocks are a tar's end.
        self.put(&[0; 2 * BLOCK])?;
        let Self { out, file, .. } = self;
        let mut out = out.finish().map_err(failed(&file))?;
        out.flush().map_err(failed(&file))?;
        Ok(out)
    }

    fn put_sums(&mut self) -> Result<()> {
        let sums = std::mem::take(&mut self.sums);
        self.all_sums.update(sums.as_bytes());
        self.written += 1;
        self.unwritten = 0;
        self.put_entry(&format!("{SUMS}{:06}", self.written), sums.as_bytes())
    }

    /// One that is in no sums.
    fn put_entry(&mut self, name: &str, content: &[u8]) -> Result<()> {
        self.header(name, content.len() as u64)?;
        self.put(content)?;
        self.pad()
    }

    fn header(&mut self, name: &str, size: u64) -> Result<()> {
        let mut header = Header::new_ustar();
        header.set_path(name).map_err(failed(&self.file))?;
        header.set_size(size);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(Timestamp::now().0 / 1000).unwrap_or(0));
        header.set_cksum();
        self.padding = padding(size);
        self.put(header.as_bytes())
    }

    fn pad(&mut self) -> Result<()> {
        let padding = std::mem::take(&mut self.padding);
        self.put(&[0; BLOCK][..padding])
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(failed(&self.file))
    }

    fn wrong(&self, what: &str) -> BackupError {
        failed(&self.file)(std::io::Error::other(format!("of {}: {what}", self.name)))
    }
}

/// Bytes that fill the last block.
pub(super) fn padding(size: u64) -> usize {
    let beyond = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    (BLOCK - beyond) % BLOCK
}

fn json(of: &impl Serialize) -> Vec<u8> {
    // What is written here has no maps with keys that JSON does not know.
    let mut text = serde_json::to_vec_pretty(of).unwrap_or_default();
    text.push(b'\n');
    text
}

fn failed(file: &str) -> impl Fn(std::io::Error) -> BackupError {
    move |source| BackupError::File { file: file.to_owned(), doing: "written", source }
}
