//! What Kozmic has on disks, as a plain account for pages and programs.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// What takes room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskKind {
    CachedImage,
    PulledImage,
    Container,
    Volume,
    FailedImage,
    CacheFolder,
    Mirror,
    Checkout,
    Log,
    Artifact,
    Tree,
    Database,
}

impl DiskKind {
    /// For programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CachedImage => "cached_image",
            Self::PulledImage => "pulled_image",
            Self::Container => "container",
            Self::Volume => "volume",
            Self::FailedImage => "failed_image",
            Self::CacheFolder => "cache_folder",
            Self::Mirror => "mirror",
            Self::Checkout => "checkout",
            Self::Log => "log",
            Self::Artifact => "artifact",
            Self::Tree => "tree",
            Self::Database => "database",
        }
    }

    /// For people, as a plural.
    pub fn plural(self) -> &'static str {
        match self {
            Self::CachedImage => "cached images",
            Self::PulledImage => "pulled images",
            Self::Container => "containers",
            Self::Volume => "volumes",
            Self::FailedImage => "images of failed jobs",
            Self::CacheFolder => "cache folders",
            Self::Mirror => "mirrors",
            Self::Checkout => "checkouts",
            Self::Log => "logs",
            Self::Artifact => "artifacts",
            Self::Tree => "trees to try",
            Self::Database => "database",
        }
    }

    /// For people, one of them.
    pub fn singular(self) -> &'static str {
        match self {
            Self::FailedImage => return "image of a failed job",
            Self::Tree => return "tree to try",
            _ => {}
        }
        let plural = self.plural();
        plural.strip_suffix('s').unwrap_or(plural)
    }
}

/// All of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskUse {
    pub kind: DiskKind,
    pub count: u64,
    pub bytes: u64,
}

/// A file system that Kozmic writes to. Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSystem {
    /// What lies on it, in words: "the data folder", "the engine".
    pub holds: Vec<Cow<'static, str>>,
    /// A folder on it.
    pub path: String,
    pub total: u64,
    /// As far as Kozmic may use it.
    pub free: u64,
    /// Jobs start only while so much is free.
    pub reserve: u64,
}

impl FileSystem {
    /// Bytes that are missing for a job to start.
    pub fn short_of(&self) -> u64 {
        self.reserve.saturating_sub(self.free)
    }
}

/// What this installation has on its disks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskAccount {
    pub uses: Vec<DiskUse>,
    /// Sum of the uses, in bytes.
    pub used: u64,
    /// Bytes that may be used; none: as much as there is.
    pub budget: Option<u64>,
    pub file_systems: Vec<FileSystem>,
}

impl DiskAccount {
    /// Bytes used beyond the budget.
    pub fn beyond_budget(&self) -> u64 {
        self.budget.map_or(0, |budget| self.used.saturating_sub(budget))
    }
}

/// An image that was pulled, under the name of a hook's image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PulledImage {
    pub name: String,
    pub id: String,
    /// What the name stood for before, at this engine.
    pub replaced: Option<String>,
}

/// Bytes for people: "512 B", "1.5 MiB", "20 GiB".
pub fn readable_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let power = (bytes.ilog2() / 10).min(5);
    #[allow(clippy::cast_precision_loss, reason = "two digits are shown")]
    let value = bytes as f64 / 1024_f64.powi(power.cast_signed());
    let unit = UNITS[power as usize - 1];
    if value < 9.95 && value.fract() != 0.0 {
        format!("{value:.1} {unit}")
    } else {
        format!("{value:.0} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_well() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1_536, "1.5 KiB"),
            (20 << 30, "20 GiB"),
            (3 << 20, "3 MiB"),
            (u64::MAX, "16384 PiB"),
        ] {
            assert_eq!(readable_bytes(bytes), text);
        }
    }
}
