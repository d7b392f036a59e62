//! Authorities of one's own, whose certificates are trusted beside the system's.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{ConfigError, Values};

const NAME: &str = "KOZMIC_CA_FILE";
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Cheap to clone; by default nobody beside the system's.
#[derive(Debug, Clone, Default)]
pub struct Trust(Option<Arc<Authorities>>);

#[derive(Debug)]
struct Authorities {
    /// Absolute.
    file: PathBuf,
    pem: String,
    count: usize,
}

impl Trust {
    pub(super) fn read(values: &Values) -> Result<Self, ConfigError> {
        values.text(NAME).map_or_else(|| Ok(Self::default()), |file| Self::in_file(&file))
    }

    /// For commands that need none of the other settings.
    pub fn of_environment() -> Result<Self, ConfigError> {
        let given = std::env::var(NAME).ok().filter(|file| !file.is_empty());
        given.map_or_else(|| Ok(Self::default()), |file| Self::in_file(&file))
    }

    fn in_file(file: &str) -> Result<Self, ConfigError> {
        let malformed =
            |problem: String| ConfigError::Malformed { name: NAME, value: file.into(), problem };
        let unreadable =
            |error: std::io::Error| malformed(format!("the file can't be read: {error}"));
        let bytes = std::fs::read(file).map_err(unreadable)?;
        let text = String::from_utf8_lossy(&bytes);
        let found = certificates(&text).ok_or_else(|| {
            let what = "must be a file with certificates in PEM, and each of them whole";
            malformed(format!("{what} ({BEGIN} …)"))
        })?;
        let file = std::path::absolute(file).map_err(unreadable)?;
        Ok(Self(Some(Arc::new(Authorities { file, pem: found.concat(), count: found.len() }))))
    }

    /// Their certificates, in PEM.
    pub fn pem(&self) -> Option<&str> {
        self.0.as_ref().map(|own| own.pem.as_str())
    }

    /// The file with them, and how many they are.
    pub fn file(&self) -> Option<(&Path, usize)> {
        self.0.as_ref().map(|own| (own.file.as_path(), own.count))
    }
}

/// Each certificate of a file, without what stands around it: a key would be none of anybody's
/// business. None: there is none, or one is broken.
fn certificates(text: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    for piece in text.split(BEGIN).skip(1) {
        let (body, _) = piece.split_once(END)?;
        let body: String = body.split_whitespace().collect();
        STANDARD.decode(&body).ok().filter(|der| !der.is_empty())?;
        found.push(format!("{BEGIN}\n{body}\n{END}\n"));
    }
    (!found.is_empty()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_certificates_are_taken_and_nothing_beside_them() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            Trust::in_file(path)
        };
        let one = format!("{BEGIN}\nAAAA\nBBBB\n{END}\n");
        let key = "-----BEGIN PRIVATE KEY-----\nhush\n-----END PRIVATE KEY-----\n";
        let trust = read(&format!("# ours\n{one}{key}{one}")).unwrap();
        assert_eq!(trust.file().unwrap().1, 2);
        assert!(!trust.pem().unwrap().contains("hush"));
        for wrong in ["", key, "no PEM", &format!("{BEGIN}\nAAAA\n"), &format!("{BEGIN}\n!\n{END}")]
        {
            let problem = read(wrong).unwrap_err().to_string();
            assert!(problem.contains(NAME) && problem.contains("in PEM"), "{problem}");
            assert!(!problem.contains("hush"), "{problem}");
        }
        let problem = Trust::in_file("/none").unwrap_err().to_string();
        assert!(problem.contains("/none") && problem.contains("can't be read"), "{problem}");
    }
}
