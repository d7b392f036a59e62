//! Encryption at rest: AES-256-GCM under KOZMIC_SECRET_KEY.
//!
//! A sealed value is `1 | key id (4) | nonce (12) | ciphertext and tag`. The
//! place where it is kept (table, row, column) is authenticated with it, so a
//! value moved to another row does not open.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{digest, rand};
use secrecy::{ExposeSecret as _, SecretString};

const VERSION: u8 = 1;
const KEY_ID_LEN: usize = 4;
const HEADER_LEN: usize = 1 + KEY_ID_LEN + NONCE_LEN;

#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error(
        "{place} was sealed with another secret key (its id is {found}, ours is {ours}); \
         set KOZMIC_SECRET_KEY to the key it was sealed with"
    )]
    OtherKey { place: String, found: String, ours: String },
    #[error("{0} can't be opened: it is damaged, or was moved from another place")]
    Damaged(String),
    #[error("the secret key has {0} characters; it needs at least 32")]
    ShortKey(usize),
    #[error("the secret key file {path}: {source}")]
    KeyFile { path: String, source: std::io::Error },
    #[error("the system gave no random bytes")]
    NoRandomness,
}

/// Seals and opens values. Its `Debug` shows the key's id only.
pub struct Seal {
    key: RandomizedNonceKey,
    key_id: [u8; KEY_ID_LEN],
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Seal(key {})", hex::encode(self.key_id))
    }
}

impl Seal {
    /// From the text of the setting: any text of 32 characters or more; its
    /// SHA-256 is the key, the digest of that begins with the key's id.
    pub fn from_text(text: &SecretString) -> Result<Self, SealError> {
        let text = text.expose_secret().trim();
        if text.chars().count() < 32 {
            return Err(SealError::ShortKey(text.chars().count()));
        }
        let bytes = digest::digest(&digest::SHA256, text.as_bytes());
        let mut key_id = [0; KEY_ID_LEN];
        key_id.copy_from_slice(
            &digest::digest(&digest::SHA256, bytes.as_ref()).as_ref()[..KEY_ID_LEN],
        );
        let key = RandomizedNonceKey::new(&AES_256_GCM, bytes.as_ref())
            .map_err(|_| SealError::NoRandomness)?;
        Ok(Self { key, key_id })
    }

    /// What every value that is sealed with the key begins with, as hex digits. It tells
    /// keys apart, and nothing of the key.
    pub fn key_id(&self) -> String {
        hex::encode(self.key_id)
    }

    /// The id of the key that a value is sealed with; none when it is no sealed value.
    pub fn key_id_of(sealed: &[u8]) -> Option<String> {
        let header = sealed.first_chunk::<HEADER_LEN>()?;
        (header[0] == VERSION).then(|| hex::encode(&header[1..=KEY_ID_LEN]))
    }

    /// `place` is `table:row:column`.
    pub fn seal(&self, place: &str, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut body = plain.to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(place.as_bytes()), &mut body)
            .map_err(|_| SealError::NoRandomness)?;
        let mut sealed = Vec::with_capacity(HEADER_LEN + body.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&self.key_id);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.append(&mut body);
        Ok(sealed)
    }

    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let damaged = || SealError::Damaged(place.to_owned());
        let (header, body) = sealed.split_at_checked(HEADER_LEN).ok_or_else(damaged)?;
        if header[0] != VERSION {
            return Err(damaged());
        }
        let (key_id, nonce) = header[1..].split_at(KEY_ID_LEN);
        if key_id != self.key_id {
            return Err(SealError::OtherKey {
                place: place.to_owned(),
                found: hex::encode(key_id),
                ours: hex::encode(self.key_id),
            });
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| damaged())?;
        let mut body = body.to_vec();
        self.key
            .open_in_place(nonce, Aad::from(place.as_bytes()), &mut body)
            .map(|plain| plain.to_vec())
            .map_err(|_| damaged())
    }

    /// As [`Seal::open`], for texts.
    pub fn open_text(&self, place: &str, sealed: &[u8]) -> Result<SecretString, SealError> {
        String::from_utf8(self.open(place, sealed)?)
            .map(SecretString::from)
            .map_err(|_| SealError::Damaged(place.to_owned()))
    }
}

/// The key in a file; none when there is no such file.
pub fn read_key(path: &Path) -> Result<Option<SecretString>, SealError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.into())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(in_file(path)(error)),
    }
}

/// Writes a key to a file of mode 0600 that must not be there yet. It is on the disk when
/// this returns: what is sealed with it afterwards can be opened again.
pub fn write_key(path: &Path, key: &SecretString) -> Result<(), SealError> {
    let write = || {
        let mut new = std::fs::OpenOptions::new();
        let mut file = new.write(true).create_new(true).mode(0o600).open(path)?;
        writeln!(file, "{}", key.expose_secret().trim())?;
        file.sync_all()?;
        sync_folder(path)
    };
    write().map_err(in_file(path))
}

/// Puts the key of one file in the place of another's.
pub fn replace_key(new: &Path, old: &Path) -> Result<(), SealError> {
    std::fs::rename(new, old).and_then(|()| sync_folder(old)).map_err(in_file(old))
}

/// A name that is not on the disk yet is lost with the power, whatever its file holds.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn in_file(path: &Path) -> impl Fn(std::io::Error) -> SealError {
    move |source| SealError::KeyFile { path: path.display().to_string(), source }
}

/// 32 random bytes as 64 hex digits: a key, or a webhook's secret.
pub fn random_hex() -> Result<String, SealError> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| SealError::NoRandomness)?;
    Ok(hex::encode(bytes))
}

/// SHA-256, 32 bytes.
pub fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}

/// SHA-256 as 64 hex digits: how a token is kept that must be known again.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(text: &str) -> Seal {
        Seal::from_text(&text.repeat(32).into()).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_in_its_place_only() {
        let seal = seal("k");
        let sealed = seal.seal("hooks:1:secret", b"abc").unwrap();
        assert_eq!(seal.open("hooks:1:secret", &sealed).unwrap(), b"abc");
        assert!(matches!(seal.open("hooks:2:secret", &sealed), Err(SealError::Damaged(_))));
    }

    #[test]
    fn every_bit_is_authenticated() {
        let seal = seal("k");
        let sealed = seal.seal("p", b"abc").unwrap();
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(seal.open("p", &changed).is_err(), "byte {index}");
        }
        assert!(seal.open("p", b"").is_err());
    }

    #[test]
    fn another_key_is_named_as_such() {
        let sealed = seal("k").seal("p", b"abc").unwrap();
        let error = seal("l").open("p", &sealed).unwrap_err();
        assert!(matches!(error, SealError::OtherKey { .. }), "{error}");
    }

    #[test]
    fn a_key_file_is_private_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret-key");
        assert!(read_key(&path).unwrap().is_none());
        write_key(&path, &"first".into()).unwrap();
        assert!(write_key(&path, &"second".into()).is_err(), "none is written over");
        assert_eq!(read_key(&path).unwrap().unwrap().expose_secret(), "first\n");
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
        assert_eq!(mode & 0o777, 0o600);
        let new = folder.path().join("new");
        write_key(&new, &"second".into()).unwrap();
        replace_key(&new, &path).unwrap();
        assert_eq!(read_key(&path).unwrap().unwrap().expose_secret(), "second\n");
        assert!(read_key(&new).unwrap().is_none());
    }

    #[test]
    fn a_value_tells_which_key_it_was_sealed_with() {
        let seal = seal("k");
        let sealed = seal.seal("p", b"abc").unwrap();
        assert_eq!(Seal::key_id_of(&sealed), Some(seal.key_id()));
        assert_eq!(Seal::key_id_of(b"no sealed value, but long enough"), None);
        assert_eq!(Seal::key_id_of(b""), None);
    }

    #[test]
    fn debug_shows_no_key() {
        let text = format!("{:?}", seal("k"));
        assert!(text.len() < 30 && text.starts_with("Seal(key "), "{text}");
    }
}
