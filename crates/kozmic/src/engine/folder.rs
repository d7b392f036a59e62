//! Cache folders: named volumes that outlive the containers that have them.

use std::collections::HashMap;

use bollard::errors::Error as ApiError;
use bollard::models::{
    ContainerCreateBody, HostConfig, Mount, MountType, MountVolumeOptions, VolumeCreateRequest,
};
use bollard::query_parameters::{
    InspectContainerOptions, ListContainersOptionsBuilder, StartContainerOptions,
    WaitContainerOptionsBuilder,
};
use futures_util::StreamExt as _;

use super::container::own_volume;
use super::{Container, Engine, Labels, Result, Step, label};

/// The label of a cache folder's volume: whose it is, in words.
const FOLDER: &str = "kozmic.folder";
/// And its project.
const PROJECT: &str = "kozmic.folder.project";
/// Where folders are measured.
const MEASURED: &str = "/kozmic-folders";

/// A cache folder's volume here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderVolume {
    pub name: String,
    pub project: String,
    pub bytes: u64,
}

/// A folder that a container is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderMount {
    /// None: one that is removed with the container.
    pub volume: Option<String>,
    /// Absolute.
    pub path: String,
}

impl FolderMount {
    pub(super) fn mount(&self, labels: &HashMap<String, String>) -> Mount {
        match &self.volume {
            Some(volume) => mount_of(volume, &self.path),
            None => own_volume(&self.path, labels),
        }
    }
}

/// What the image has there is not copied into it: a new folder is empty.
fn mount_of(volume: &str, path: &str) -> Mount {
    Mount {
        source: Some(volume.to_owned()),
        target: Some(path.to_owned()),
        typ: Some(MountType::VOLUME),
        volume_options: Some(MountVolumeOptions { no_copy: Some(true), ..Default::default() }),
        ..Default::default()
    }
}

impl Engine {
    /// Makes the volume of a cache folder where it is not there; `whose` is for people.
    pub async fn ensure_folder(&self, volume: &str, project: &str, whose: &str) -> Result<()> {
        let labels = [
            (label::INSTANCE.to_owned(), self.instance.clone()),
            (FOLDER.to_owned(), whose.to_owned()),
            (PROJECT.to_owned(), project.to_owned()),
        ];
        match self.docker.inspect_volume(volume).await {
            Ok(_) => return Ok(()),
            Err(ApiError::DockerResponseServerError { status_code: 404, .. }) => {}
            Err(error) => return Err(self.failed("look for a cache folder", error)),
        }
        let request = VolumeCreateRequest {
            name: Some(volume.to_owned()),
            labels: Some(labels.into()),
            ..Default::default()
        };
        let created = self.docker.create_volume(request).await;
        created.map(drop).map_err(|e| self.failed("make a cache folder", e))
    }

    /// Whether a container has this volume, also one that does not run.
    pub async fn is_volume_used(&self, volume: &str) -> Result<bool> {
        let filters = HashMap::from([("volume", vec![volume])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let listed = self.docker.list_containers(Some(options)).await;
        Ok(!listed.map_err(|e| self.failed("list containers", e))?.is_empty())
    }

    /// The bytes that these volumes take, in their order: told by du(1) in another
    /// container of the same image, or by the engine where the image has none.
    pub async fn volume_bytes(
        &self,
        of: &Container<'_>,
        labels: &Labels,
        volumes: &[String],
    ) -> Result<Vec<u64>> {
        let labels = Labels { step: Step::Probe, ..labels.clone() };
        let inspected = self.docker.inspect_container(of.id(), None::<InspectContainerOptions>);
        let image = inspected.await.map_err(|e| self.failed("inspect a container", e))?.image;
        let at = |number: usize| format!("{MEASURED}/{number}");
        let mounts = volumes.iter().enumerate().map(|(number, volume)| Mount {
            read_only: Some(true),
            ..mount_of(volume, &at(number))
        });
        let container = self
            .create_from(ContainerCreateBody {
                image,
                // Of whomever its files are.
                user: Some("0".into()),
                entrypoint: Some(vec!["/bin/sh".into(), "-c".into()]),
                cmd: Some(vec![format!("cd {MEASURED} && du -sk *")]),
                labels: Some(labels.to_map(&self.instance)),
                host_config: Some(HostConfig {
                    network_mode: Some("none".into()),
                    log_config: Some(self.product.log_config()),
                    mounts: Some(mounts.collect()),
                    ..Default::default()
                }),
                ..Default::default()
            })
            .await?;
        let started = self.docker.start_container(container.id(), None::<StartContainerOptions>);
        started.await.map_err(|e| self.failed("measure cache folders", e))?;
        let options = WaitContainerOptionsBuilder::new().condition("not-running").build();
        self.docker.wait_container(container.id(), Some(options)).next().await;
        let said = container.written(1 << 20).await?;
        container.remove().await?;
        let told = told_by_du(&String::from_utf8_lossy(&said), volumes.len());
        if let Some(bytes) = told {
            return Ok(bytes);
        }
        let sizes = self.volume_sizes().await;
        Ok(volumes.iter().map(|volume| sizes.get(volume).copied().unwrap_or(0)).collect())
    }
}

/// Of a cache folder, whose labels these are.
pub(super) fn project(labels: &HashMap<String, String>) -> Option<String> {
    labels.get(PROJECT).cloned()
}

/// Lines of kibibytes and a folder's number. None when one is missing.
fn told_by_du(said: &str, count: usize) -> Option<Vec<u64>> {
    let of = |number: usize| {
        said.lines().find_map(|line| {
            let (size, folder) = line.split_once(char::is_whitespace)?;
            let size = size.parse::<u64>().ok()?.checked_mul(1024)?;
            (folder.trim() == number.to_string()).then_some(size)
        })
    };
    (0..count).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn du_tells_of_all_folders_or_of_none() {
        assert_eq!(told_by_du("4\t0\n1024\t1\n", 2), Some(vec![4_096, 1 << 20]));
        assert_eq!(told_by_du("4\t0\n", 2), None);
        assert_eq!(told_by_du("du: x\n4\t0\nsh: du: not found\n", 1), Some(vec![4_096]));
        assert_eq!(told_by_du("/bin/sh: du: not found\n", 1), None);
    }
}
