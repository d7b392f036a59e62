//! A disk that is soon full.

use std::path::{Path, PathBuf};

use super::as_root;

/// A small file system of its own, gone when it is dropped.
pub struct TinyDisk(PathBuf);

impl TinyDisk {
    pub fn mount(path: &Path, size: &str) -> Self {
        std::fs::create_dir(path).unwrap();
        let size = format!("size={size},mode=0777");
        let mount = ["mount", "-t", "tmpfs", "-o", &size, "tmpfs", path.to_str().unwrap()];
        let mounted = as_root(&mount).status().unwrap();
        assert!(mounted.success(), "mounting a file system needs root, or sudo without a password");
        Self(path.to_owned())
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        // Lazily: a file of the server's may still be open.
        let unmounted = as_root(&["umount", "--lazy", self.0.to_str().unwrap()]).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}
