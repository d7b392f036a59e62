//! The name of this process among those of an installation. It is kept in the data folder,
//! which one process at a time works in, so that whoever is started there again is known
//! as the same: their leases, their logs and their containers are their own.

use std::path::Path;

use anyhow::Context as _;

use crate::seal;

/// A host's name may be longer than anybody wants to read.
const HOST: usize = 40;

/// The name that the data folder has; made up where it has none.
pub(super) fn name(data_dir: &Path) -> anyhow::Result<String> {
    let path = data_dir.join("node");
    let problem = || format!("{} can't be read or written", path.display());
    match std::fs::read_to_string(&path) {
        Ok(name) if is_name(name.trim()) => return Ok(name.trim().to_owned()),
        // A machine that went down while it was written.
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(problem),
    }
    let random = seal::random_hex()?;
    let name = format!("{}-{:.8}", host(), random);
    std::fs::write(&path, format!("{name}\n")).with_context(problem)?;
    Ok(name)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Two machines may have the same.
fn host() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host
        .trim()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(HOST)
        .collect();
    if host.is_empty() { "host".into() } else { host }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_keeps_its_name_and_each_has_another() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = name(one.path()).unwrap();
        assert!(is_name(&first), "{first}");
        assert_eq!(name(one.path()).unwrap(), first);
        assert_ne!(name(other.path()).unwrap(), first);
        std::fs::write(one.path().join("node"), "").unwrap();
        assert!(is_name(&name(one.path()).unwrap()));
    }
}
