//! Deploy keys: SSH keys that open one repository each.

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;

use super::Invalid;

/// The types GitHub takes.
/// Follows <https://docs.github.com/authentication/troubleshooting-ssh/error-key-is-invalid>.
const TYPES: &[&str] = &[
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

#[derive(Debug, Clone)]
pub(crate) struct DeployKey {
    pub(crate) id: u64,
    pub(crate) repository: u64,
    pub(crate) title: String,
    /// Type and base64; GitHub drops the comment.
    pub(crate) key: String,
    pub(crate) read_only: bool,
    pub(crate) added_by: String,
    pub(crate) created_at: Timestamp,
}

#[derive(Default)]
pub(crate) struct DeployKeys {
    list: Vec<DeployKey>,
}

impl DeployKeys {
    /// A key is in use once in the whole of GitHub.
    pub(crate) fn add(&mut self, mut key: DeployKey) -> Result<DeployKey, Invalid> {
        let invalid =
            |message: &str| Invalid::field("PublicKey", "key", "custom").with_message(message);
        key.key = without_comment(&key.key).ok_or_else(|| {
            invalid("key is invalid. You must supply a key in OpenSSH public key format")
        })?;
        if self.list.iter().any(|known| known.key == key.key) {
            return Err(invalid("key is already in use"));
        }
        self.list.push(key.clone());
        Ok(key)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &DeployKey> {
        self.list.iter()
    }

    /// Those of one repository, oldest first.
    pub(crate) fn of(&self, repository: u64) -> impl Iterator<Item = &DeployKey> {
        self.list.iter().filter(move |key| key.repository == repository)
    }

    /// The repository is gone.
    pub(crate) fn forget(&mut self, repository: u64) {
        self.list.retain(|key| key.repository != repository);
    }

    pub(crate) fn remove(&mut self, id: u64) {
        self.list.retain(|key| key.id != id);
    }
}

/// Type and base64 of a public key in OpenSSH's format. What is encoded begins with the type
/// once more (RFC 4253, section 6.6).
fn without_comment(text: &str) -> Option<String> {
    let mut words = text.split_whitespace();
    let (kind, body) = (words.next()?, words.next()?);
    let bytes = STANDARD.decode(body).ok()?;
    let (length, rest) = bytes.split_first_chunk()?;
    let named = rest.get(..u32::from_be_bytes(*length) as usize)?;
    (TYPES.contains(&kind) && named == kind.as_bytes()).then(|| format!("{kind} {body}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_comment_is_dropped_and_a_broken_key_refused() {
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
        assert_eq!(without_comment(&format!("{key} a comment\n")).as_deref(), Some(key));
        for wrong in [
            "",
            "ssh-ed25519",
            "ssh-ed25519 AAAA",
            "ssh-ed25519 !",
            &key.replace("ssh-ed", "ssh-dsa"),
        ] {
            assert_eq!(without_comment(wrong), None, "{wrong}");
        }
        assert_eq!(without_comment(&key.replacen("ssh-ed25519", "ssh-rsa", 1)), None);
    }
}
