//! Cache folders of a job: where its build script has them, and how large they are when it
//! has ended.

use crate::engine::{Container, Engine, EngineError, FolderMount, Labels, Step};
use crate::model::{CacheFolder, JobUuid, readable_bytes};

/// A cache folder as a job has it.
#[derive(Debug, Clone)]
pub struct Folder {
    pub folder: CacheFolder,
    /// None: one for this job only.
    pub volume: Option<String>,
    pub project: String,
    /// The project, the hook and whose jobs it is for, in words.
    pub whose: String,
    /// Bytes.
    pub limit: u64,
    /// What is in it, in words.
    pub found: String,
}

impl Folder {
    pub(super) fn told(&self) -> String {
        format!("the cache folder {} is at {}: {}", self.folder.name, self.folder.path, self.found)
    }

    pub(super) async fn ensure(&self, engine: &Engine) -> Result<(), EngineError> {
        match &self.volume {
            Some(volume) => engine.ensure_folder(volume, &self.project, &self.whose).await,
            None => Ok(()),
        }
    }

    pub(super) fn mount(&self) -> FolderMount {
        FolderMount { volume: self.volume.clone(), path: self.folder.path.clone() }
    }

    /// What is to be the script's own, relative to `/`: the folder, and what lies between
    /// it and the home, which the engine would make as root's.
    pub(super) fn owned(&self, home: Option<&str>) -> Vec<String> {
        let path = self.folder.path.trim_start_matches('/');
        let home = home.map_or("", |home| home.trim_matches('/'));
        let below = path.strip_prefix(home).filter(|_| !home.is_empty());
        let mut owned = vec![path.to_owned()];
        if let Some(rest) = below.and_then(|rest| rest.strip_prefix('/')) {
            let ends = rest.match_indices('/').map(|(at, _)| path.len() - rest.len() + at);
            owned.splice(0..0, ends.map(|end| path[..end].to_owned()));
        }
        owned
    }
}

/// A folder after its job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    pub volume: String,
    /// None: it can't be told.
    pub bytes: Option<u64>,
    /// Why it is not kept, for the log.
    pub too_large: Option<String>,
}

/// How large the folders of a job are, whose build script ran in this container.
pub async fn measure(
    engine: &Engine,
    (job, attempt): (JobUuid, i64),
    container: &Container<'_>,
    folders: &[Folder],
) -> Vec<Measured> {
    let kept = || folders.iter().filter_map(|it| Some((it, it.volume.clone()?)));
    let volumes: Vec<String> = kept().map(|(_, volume)| volume).collect();
    if volumes.is_empty() {
        return Vec::new();
    }
    let labels = Labels { job, attempt, step: Step::Probe, log_offset: 0 };
    let bytes = match engine.volume_bytes(container, &labels, &volumes).await {
        Ok(bytes) => bytes.into_iter().map(Some).collect(),
        Err(error) => {
            tracing::warn!(%job, %error, "cache folders could not be measured");
            vec![None; volumes.len()]
        }
    };
    let measured = kept().zip(bytes).map(|((folder, volume), bytes)| Measured {
        too_large: bytes.filter(|bytes| *bytes > folder.limit).map(|bytes| {
            format!(
                "the cache folder {} is not kept: it has {}, and may have {}; the next job begins \
                 with an empty one",
                folder.folder.name,
                readable_bytes(bytes),
                readable_bytes(folder.limit)
            )
        }),
        volume,
        bytes,
    });
    measured.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_between_home_and_cache_are_the_script_s_own() {
        let of = |path: &str| Folder {
            folder: format!("x: {path}").parse().unwrap(),
            volume: None,
            project: String::new(),
            whose: String::new(),
            limit: 0,
            found: String::new(),
        };
        let home = Some("/home/kozmic");
        assert_eq!(
            of("/home/kozmic/.cache/a/b").owned(home),
            ["home/kozmic/.cache", "home/kozmic/.cache/a", "home/kozmic/.cache/a/b"]
        );
        assert_eq!(of("/home/kozmic/.cargo").owned(home), ["home/kozmic/.cargo"]);
        assert_eq!(of("/home/kozmic2/a/b").owned(home), ["home/kozmic2/a/b"]);
        assert_eq!(of("/var/cache/x").owned(home), ["var/cache/x"]);
        assert_eq!(of("/var/cache/x").owned(Some("/")), ["var/cache/x"]);
        assert_eq!(of("/var/cache/x").owned(None), ["var/cache/x"]);
    }
}
