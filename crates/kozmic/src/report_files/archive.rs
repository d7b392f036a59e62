//! A folder of a container as it comes from the engine: a tar (POSIX.1-2001 pax, with
//! GNU's long names), read entry by entry while it arrives.

use std::collections::VecDeque;
use std::io;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};

use super::FilesError;
use super::names::path;

const BLOCK: usize = 512;
/// Bytes of a header that tells of the next one: names, times, attributes.
const EXTENSION: u64 = 1 << 20;
/// What stands in the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    /// Of this kind, and never taken.
    Other(&'static str),
}

#[derive(Debug)]
pub(super) struct Entry {
    /// Below the folder, empty for itself; or its name as it may be shown, and what is
    /// wrong with it.
    pub(super) path: Result<String, (String, &'static str)>,
    pub(super) kind: Kind,
    /// Bytes of content that follow.
    pub(super) size: u64,
}

/// Reads at most `limit` bytes in all.
pub(super) struct Archive<S> {
    stream: S,
    waiting: VecDeque<Bytes>,
    /// Of the entry's content, and of what fills its last block.
    content: u64,
    padding: u64,
    read: u64,
    limit: u64,
}

/// The next entry's, from headers before its own.
#[derive(Default)]
struct Extension {
    path: Option<Vec<u8>>,
    size: Option<u64>,
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Archive<S> {
    pub(super) fn new(stream: S, limit: u64) -> Self {
        Self { stream, waiting: VecDeque::new(), content: 0, padding: 0, read: 0, limit }
    }

    /// Whether more was to come than may be read.
    pub(super) fn is_exhausted(&self) -> bool {
        self.read >= self.limit
    }

    /// The next entry; what was not read of the one before is skipped. None at the end,
    /// or when no more may be read.
    pub(super) async fn next(&mut self) -> Result<Option<Entry>, FilesError> {
        let mut extension = Extension::default();
        loop {
            while self.chunk().await?.is_some() {}
            if self.is_exhausted() {
                return Ok(None);
            }
            let Some(header) = self.block().await? else { return Ok(None) };
            // Two of them are the end.
            if header.iter().all(|byte| *byte == 0) {
                return Ok(None);
            }
            check(&header)?;
            let size = number(&header[124..136]).ok_or(FilesError::Malformed("a size"))?;
            match header[156] {
                b'L' => {
                    let mut path = self.whole(size).await?;
                    path.truncate(path.iter().position(|byte| *byte == 0).unwrap_or(path.len()));
                    extension.path = Some(path);
                }
                // The target of a link, and what holds for all entries.
                b'K' | b'g' => drop(self.whole(size).await?),
                b'x' => read_pax(&self.whole(size).await?, &mut extension)?,
                kind => {
                    let kind = kind_of(kind);
                    let size = extension.size.unwrap_or(size);
                    // A link has none, whatever it says.
                    let size = if kind == Kind::File { size } else { 0 };
                    self.expect(size);
                    let name = extension.path.take().unwrap_or_else(|| name_of(&header));
                    return Ok(Some(Entry { path: path(&name), kind, size }));
                }
            }
        }
    }

    /// More of the entry's content; none at its end, or when no more may be read.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, FilesError> {
        while self.content + self.padding > 0 && !self.is_exhausted() {
            let mut bytes = self.fill().await?.ok_or(FilesError::Malformed("it ends too early"))?;
            let wanted = if self.content > 0 { self.content } else { self.padding };
            let wanted = usize::try_from(wanted).unwrap_or(usize::MAX).min(bytes.len());
            let taken = bytes.split_to(wanted);
            if !bytes.is_empty() {
                self.waiting.push_front(bytes);
            }
            self.read += wanted as u64;
            if self.content > 0 {
                self.content -= wanted as u64;
                return Ok(Some(taken));
            }
            self.padding -= wanted as u64;
        }
        Ok(None)
    }

    fn expect(&mut self, size: u64) {
        self.content = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    }

    /// The content of a header that tells of the next one.
    async fn whole(&mut self, size: u64) -> Result<Vec<u8>, FilesError> {
        if size > EXTENSION {
            return Err(FilesError::Malformed("a header of a megabyte or more"));
        }
        self.expect(size);
        let mut all = Vec::new();
        while let Some(bytes) = self.chunk().await? {
            all.extend_from_slice(&bytes);
        }
        Ok(all)
    }

    async fn block(&mut self) -> Result<Option<[u8; BLOCK]>, FilesError> {
        let (mut block, mut length) = ([0; BLOCK], 0);
        while length < BLOCK {
            let Some(mut bytes) = self.fill().await? else {
                return match length {
                    0 => Ok(None),
                    _ => Err(FilesError::Malformed("it ends too early")),
                };
            };
            let taken = bytes.split_to(bytes.len().min(BLOCK - length));
            block[length..length + taken.len()].copy_from_slice(&taken);
            length += taken.len();
            if !bytes.is_empty() {
                self.waiting.push_front(bytes);
            }
        }
        self.read += BLOCK as u64;
        Ok(Some(block))
    }

    /// Some bytes; none at the end.
    async fn fill(&mut self) -> Result<Option<Bytes>, FilesError> {
        loop {
            let bytes = match self.waiting.pop_front() {
                Some(bytes) => bytes,
                None => match self.stream.next().await {
                    Some(bytes) => bytes?,
                    None => return Ok(None),
                },
            };
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
    }
}

/// The sum of a header's bytes, its own field counted as blanks.
fn check(header: &[u8; BLOCK]) -> Result<(), FilesError> {
    let told = number(&header[148..156]).ok_or(FilesError::Malformed("a checksum"))?;
    let sum = |range: std::ops::Range<usize>| -> u64 {
        header[range].iter().copied().map(u64::from).sum()
    };
    let is = sum(0..148) + 8 * u64::from(b' ') + sum(156..BLOCK);
    if told == is { Ok(()) } else { Err(FilesError::Malformed("a checksum that is wrong")) }
}

/// Octal digits, or GNU's binary form.
fn number(field: &[u8]) -> Option<u64> {
    if field.first()? & 0x80 != 0 {
        let (first, rest) = field.split_first()?;
        return rest.iter().try_fold(u64::from(first & 0x7f), |value, byte| {
            value.checked_mul(256)?.checked_add(u64::from(*byte))
        });
    }
    let text = std::str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

fn kind_of(flag: u8) -> Kind {
    match flag {
        b'0' | b'7' | 0 => Kind::File,
        b'5' => Kind::Folder,
        b'1' => Kind::Other("a hard link"),
        b'2' => Kind::Other("a symbolic link"),
        b'3' | b'4' => Kind::Other("a device"),
        b'6' => Kind::Other("a pipe"),
        _ => Kind::Other("no plain file"),
    }
}

fn name_of(header: &[u8; BLOCK]) -> Vec<u8> {
    let field = |bytes: &[u8]| bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
    let (name, prefix) = (field(&header[..100]), field(&header[345..500]));
    // GNU has times where POSIX has a prefix.
    if &header[257..263] != b"ustar\0" || prefix.is_empty() {
        return name;
    }
    [prefix, name].join(&b'/')
}

/// `LENGTH KEY=VALUE\n`, again and again.
fn read_pax(mut records: &[u8], extension: &mut Extension) -> Result<(), FilesError> {
    let wrong = || FilesError::Malformed("a pax header");
    while !records.is_empty() {
        let blank = records.iter().position(|byte| *byte == b' ').ok_or_else(wrong)?;
        let length = std::str::from_utf8(&records[..blank]).ok().and_then(|text| text.parse().ok());
        let length: usize = length.ok_or_else(wrong)?;
        if length <= blank + 1 || length > records.len() || records[length - 1] != b'\n' {
            return Err(wrong());
        }
        let record = &records[blank + 1..length - 1];
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(wrong)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        match key {
            b"path" => extension.path = Some(value.to_vec()),
            b"size" => {
                let size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                extension.size = Some(size.ok_or_else(wrong)?);
            }
            _ => {}
        }
        records = &records[length..];
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use futures_util::stream;
    use proptest::prelude::*;

    use super::*;

    pub(in crate::report_files) fn in_chunks(
        bytes: &[u8],
        size: usize,
    ) -> impl Stream<Item = io::Result<Bytes>> + Unpin + use<> {
        let chunks: Vec<_> =
            bytes.chunks(size.max(1)).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        stream::iter(chunks)
    }

    /// A tar by another hand, with a folder `artifacts` around it.
    pub(in crate::report_files) fn packed(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        let mut folder = tar::Header::new_gnu();
        folder.set_entry_type(tar::EntryType::Directory);
        folder.set_size(0);
        archive.append_data(&mut folder, "artifacts/", io::empty()).unwrap();
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, format!("artifacts/{path}"), *content).unwrap();
        }
        archive.into_inner().unwrap()
    }

    /// One entry with a name that no packer would write.
    pub(in crate::report_files) fn entry(name: &[u8], kind: u8, content: &[u8]) -> Vec<u8> {
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        header.as_mut_bytes()[156] = kind;
        header.set_size(content.len() as u64);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes
    }

    type Found = (Result<String, &'static str>, Kind, Vec<u8>);

    async fn all(bytes: &[u8], chunk: usize, limit: u64) -> Result<Vec<Found>, FilesError> {
        let mut archive = Archive::new(in_chunks(bytes, chunk), limit);
        let mut found = Vec::new();
        while let Some(entry) = archive.next().await? {
            let mut content = Vec::new();
            while let Some(bytes) = archive.chunk().await? {
                content.extend_from_slice(&bytes);
            }
            found.push((entry.path.map_err(|(_, what)| what), entry.kind, content));
        }
        Ok(found)
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    proptest! {
        #[test]
        fn what_another_hand_packed_is_read(
            files in proptest::collection::btree_map(
                "[a-zä]{1,80}(/[a-z ]{1,150}){0,3}",
                proptest::collection::vec(any::<u8>(), 0..2_000), 0..6),
            chunk in 1_usize..2_000,
        ) {
            let files: Vec<(&str, &[u8])> =
                files.iter().map(|(path, content)| (path.as_str(), content.as_slice())).collect();
            let found = block_on(all(&packed(&files), chunk, u64::MAX)).unwrap();
            prop_assert_eq!(found.len(), files.len() + 1);
            prop_assert_eq!(&found[0], &(Ok(String::new()), Kind::Folder, vec![]));
            for ((path, content), found) in files.iter().zip(&found[1..]) {
                prop_assert_eq!(found, &(Ok((*path).to_owned()), Kind::File, content.to_vec()));
            }
        }

        #[test]
        fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..3_000), chunk in 1_usize..700) {
            let _ = block_on(all(&bytes, chunk, 1 << 20));
        }

        #[test]
        fn a_tar_with_a_wrong_byte_does_no_harm(at in 0_usize..2_048, byte in any::<u8>()) {
            let mut bytes = packed(&[("a", b"x"), (&"long/".repeat(40), b"y")]);
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = block_on(all(&bytes, 512, 1 << 20));
        }
    }

    #[tokio::test]
    async fn hostile_names_and_kinds_are_told_apart() {
        let mut bytes = Vec::new();
        for name in ["artifacts/../../etc/passwd", "/etc/passwd", "artifacts//x", "artifacts/./x"] {
            bytes.extend(entry(name.as_bytes(), b'0', b"hello"));
        }
        bytes.extend(entry(b"artifacts/a\nb", b'0', b""));
        bytes.extend(entry("artifacts/\u{202e}gpj.exe".as_bytes(), b'0', b""));
        bytes.extend(entry(b"artifacts/\xff", b'0', b"x"));
        bytes.extend(entry(b"artifacts/deep".as_slice(), b'2', b""));
        bytes.extend(entry(b"artifacts/hard", b'1', b""));
        bytes.extend(entry(b"artifacts/dev", b'3', b""));
        bytes.extend(entry(b"artifacts/pipe", b'6', b""));
        bytes.extend(entry(b"artifacts/ok", b'0', b"ok"));
        let found = all(&bytes, 100, u64::MAX).await.unwrap();
        let names: Vec<_> = found.iter().map(|(path, ..)| path.clone()).collect();
        let elsewhere = Err("its name leads elsewhere");
        let control = Err("its name has control characters");
        assert_eq!(
            names[..4],
            [elsewhere.clone(), Err("its name is absolute"), elsewhere.clone(), elsewhere]
        );
        assert_eq!(names[4..7], [control.clone(), control, Err("its name is not UTF-8")]);
        let kinds: Vec<_> = found[7..].iter().map(|(_, kind, _)| *kind).collect();
        let other = Kind::Other;
        assert_eq!(
            kinds,
            [
                other("a symbolic link"),
                other("a hard link"),
                other("a device"),
                other("a pipe"),
                Kind::File
            ]
        );
        assert_eq!(found.last().unwrap().2, b"ok");
    }

    #[tokio::test]
    async fn a_header_does_not_fill_the_memory() {
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes()[156] = b'L';
        header.set_size(1 << 40);
        header.set_cksum();
        assert!(matches!(
            all(header.as_bytes(), 512, u64::MAX).await,
            Err(FilesError::Malformed(_))
        ));
    }

    #[tokio::test]
    async fn no_more_is_read_than_may_be() {
        let bytes = packed(&[("a", &vec![7; 100_000]), ("b", b"x")]);
        let found = all(&bytes, 1_000, 10_000).await.unwrap();
        assert_eq!(found.len(), 2, "the folder and what there is of the first file");
        assert!(found[1].2.len() < 12_000);
    }

    #[tokio::test]
    async fn a_large_size_stands_in_a_pax_header() {
        let pax = b"22 size=100000000000\n";
        let mut bytes = entry(b"pax", b'x', pax);
        bytes.extend(entry(b"artifacts/big", b'0', b""));
        let mut archive = Archive::new(in_chunks(&bytes, 512), 1 << 20);
        assert!(archive.next().await.is_err(), "the length of the record is wrong");
        let pax = b"21 size=100000000000\n";
        let mut bytes = entry(b"pax", b'x', pax);
        bytes.extend(entry(b"artifacts/big", b'0', b""));
        let mut archive = Archive::new(in_chunks(&bytes, 512), 1 << 20);
        assert_eq!(archive.next().await.unwrap().unwrap().size, 100_000_000_000);
    }
}
