//! What this installation has at the engine, and how large it is.

use std::collections::{HashMap, HashSet};
use std::sync::PoisonError;

use bollard::errors::Error as ApiError;
use bollard::models::ImageSummary;
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListImagesOptionsBuilder, ListVolumesOptionsBuilder,
    RemoveImageOptionsBuilder, RemoveVolumeOptionsBuilder,
};
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;

use super::cached::{SCOPE, cached_name};
use super::folder::FolderVolume;
use super::layers::{Layered, own_bytes};
use super::{Engine, EngineError, FailedImage, Result, label};
use crate::model::{JobUuid, PulledImage, Timestamp};

/// Images that are inspected at the same time.
const AT_ONCE: usize = 8;
/// From the next version on the engine answers `/system/df` in another form.
const LAST_MINOR_VERSION: usize = 51;

/// An image of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedImage {
    pub id: String,
    /// Of a cached image, unless somebody took it; empty for one that was pulled.
    pub name: String,
    pub scope: String,
    /// Bytes of it that no image before it in the account has.
    pub bytes: u64,
    /// When it was tagged last.
    pub used: Timestamp,
    /// How many names it has.
    pub names: usize,
    /// A container or another image needs it.
    pub is_needed: bool,
}

/// A container or volume of a job's attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfJob {
    pub name: String,
    pub job: JobUuid,
    pub attempt: i64,
    pub bytes: u64,
}

/// What this installation has at the engine.
#[derive(Debug, Clone, Default)]
pub struct EngineUsage {
    pub cached: Vec<UsedImage>,
    /// Of those that were asked for.
    pub pulled: Vec<UsedImage>,
    pub containers: Vec<OfJob>,
    pub volumes: Vec<OfJob>,
    /// Of containers that are kept.
    pub failed: Vec<FailedImage>,
    pub folders: Vec<FolderVolume>,
}

/// The part of `/system/df` that nothing else tells. Podman leaves out much of it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DataUsage {
    #[serde(default)]
    volumes: Option<Vec<VolumeUsage>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VolumeUsage {
    name: String,
    #[serde(default)]
    usage_data: Option<VolumeSize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VolumeSize {
    #[serde(default)]
    size: i64,
}

/// What an image's inspection tells of it.
struct Inspected {
    image: ImageSummary,
    names: Vec<String>,
    digests: Vec<String>,
    layers: Vec<String>,
    tagged: Option<Timestamp>,
}

impl Engine {
    /// Names the engine among those that an installation works with.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The folder where the engine keeps its data, where that is on this machine.
    pub fn local_root(&self) -> Option<&std::path::Path> {
        self.root.as_deref().filter(|root| self.host.starts_with("unix://") && root.is_dir())
    }

    /// Resolves when an image was pulled or kept since this was called last.
    pub async fn images_changed(&self) {
        self.images.changed.notified().await;
    }

    pub(super) fn note_pulled(&self, image: PulledImage) {
        self.images.pulled.lock().unwrap_or_else(PoisonError::into_inner).push(image);
        self.images.changed.notify_one();
    }

    /// The images that were pulled since this was called last.
    pub fn take_pulled(&self) -> Vec<PulledImage> {
        std::mem::take(&mut *self.images.pulled.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts what is ours; `pulled` are the ids of the images that Kozmic pulled.
    /// It costs the engine seconds when it has much.
    pub async fn usage(&self, pulled: &HashSet<String>) -> Result<EngineUsage> {
        let used_by_containers = self.images_of_containers().await?;
        let mut images = self.inspected_images().await?;
        // Those below others first; layers of images that are not ours are not ours.
        let is_ours = |it: &Inspected| pulled.contains(&it.image.id) || self.is_cached(it);
        images.sort_by_key(|it| (is_ours(it), it.layers.len(), it.image.id.clone()));
        let mut layered = Vec::with_capacity(images.len());
        for it in &images {
            let size = u64::try_from(it.image.size).unwrap_or(0);
            let layer_sizes = if is_ours(it) { self.layer_sizes(it).await } else { None };
            layered.push(Layered { layers: it.layers.clone(), size, layer_sizes });
        }
        let bytes = own_bytes(&layered);
        let mut usage = EngineUsage::default();
        for (at, it) in images.iter().enumerate().filter(|(_, it)| is_ours(it)) {
            let is_base = images.iter().any(|other| {
                other.layers.len() > it.layers.len() && other.layers.starts_with(&it.layers)
            });
            let name = it.names.iter().find_map(|name| cached_name(name));
            let is_cached = self.is_cached(it);
            let image = UsedImage {
                id: it.image.id.clone(),
                name: name.filter(|_| is_cached).unwrap_or_default().to_owned(),
                scope: it.image.labels.get(SCOPE).cloned().unwrap_or_default(),
                bytes: bytes[at],
                used: it.tagged.unwrap_or(Timestamp(it.image.created * 1000)),
                names: it.names.len(),
                is_needed: is_base || used_by_containers.contains(&it.image.id),
            };
            if is_cached { usage.cached.push(image) } else { usage.pulled.push(image) }
        }
        usage.containers = self.containers_of_jobs().await?;
        (usage.volumes, usage.folders) = self.volumes(true).await?;
        usage.failed = self.kept_images().await?;
        Ok(usage)
    }

    fn is_cached(&self, it: &Inspected) -> bool {
        let labels = &it.image.labels;
        labels.get(label::INSTANCE) == Some(&self.instance)
            && labels.contains_key(SCOPE)
            && (it.names.iter().any(|name| cached_name(name).is_some())
                || (it.names.is_empty() && it.digests.is_empty()))
    }

    /// The ids of the images that these names stand for here.
    pub async fn image_ids(&self, names: &[String]) -> Result<HashSet<String>> {
        let mut ids = HashSet::new();
        for name in names {
            ids.extend(self.image_id(name).await?);
        }
        Ok(ids)
    }

    pub(super) async fn image_id(&self, name: &str) -> Result<Option<String>> {
        match self.docker.inspect_image(name).await {
            Ok(found) => Ok(found.id),
            Err(ApiError::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(self.failed("look for an image", error)),
        }
    }

    /// What was pulled, by its name if that is still its own. False when a
    /// container, an image or another name needs it.
    pub async fn remove_pulled(&self, id: &str, name: &str) -> Result<bool> {
        let is_named = self.image_id(name).await?.as_deref() == Some(id);
        self.remove_image(if is_named { name } else { id }).await
    }

    /// By id or name. False when a container, or another image, uses it.
    pub async fn remove_image(&self, what: &str) -> Result<bool> {
        let options = RemoveImageOptionsBuilder::new().build();
        match self.docker.remove_image(what, Some(options), None).await {
            Ok(_) | Err(ApiError::DockerResponseServerError { status_code: 404, .. }) => Ok(true),
            Err(ApiError::DockerResponseServerError { status_code: 409, .. }) => Ok(false),
            Err(error) => Err(self.failed("remove an image", error)),
        }
    }

    /// The volumes of jobs, without their sizes.
    pub async fn volumes_of_jobs(&self) -> Result<Vec<OfJob>> {
        Ok(self.volumes(false).await?.0)
    }

    /// The cache folders, without their sizes.
    pub async fn folders(&self) -> Result<Vec<FolderVolume>> {
        Ok(self.volumes(false).await?.1)
    }

    /// Those of jobs and the cache folders; their sizes, which cost the engine a walk
    /// through all volumes, are 0 where they are not asked for or not told.
    async fn volumes(&self, with_sizes: bool) -> Result<(Vec<OfJob>, Vec<FolderVolume>)> {
        let filters = label::of_instance(&self.instance);
        let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
        let listed = self.docker.list_volumes(Some(options)).await;
        let listed = listed.map_err(|e| self.failed("list volumes", e))?.volumes;
        let sizes = if with_sizes && listed.as_ref().is_some_and(|listed| !listed.is_empty()) {
            self.volume_sizes().await
        } else {
            HashMap::new()
        };
        let (mut of_jobs, mut folders) = (Vec::new(), Vec::new());
        for volume in listed.unwrap_or_default() {
            let (name, labels) = (volume.name, Some(&volume.labels));
            let bytes = sizes.get(&name).copied().unwrap_or(0);
            if let Some((job, attempt)) = label::job(labels).zip(label::attempt(labels)) {
                of_jobs.push(OfJob { name, job, attempt, bytes });
            } else if let Some(project) = super::folder::project(&volume.labels) {
                folders.push(FolderVolume { name, project, bytes });
            }
        }
        Ok((of_jobs, folders))
    }

    /// False when a container uses it.
    pub async fn remove_volume(&self, name: &str) -> Result<bool> {
        let options = RemoveVolumeOptionsBuilder::new().build();
        match self.docker.remove_volume(name, Some(options)).await {
            Ok(()) | Err(ApiError::DockerResponseServerError { status_code: 404, .. }) => Ok(true),
            Err(ApiError::DockerResponseServerError { status_code: 409, .. }) => Ok(false),
            Err(error) => Err(self.failed("remove a volume", error)),
        }
    }

    /// The containers of jobs, with the bytes that each has written beside its image.
    async fn containers_of_jobs(&self) -> Result<Vec<OfJob>> {
        let filters = label::of_instance(&self.instance);
        let options =
            ListContainersOptionsBuilder::new().all(true).size(true).filters(&filters).build();
        let listed = self.docker.list_containers(Some(options)).await;
        let listed = listed.map_err(|e| self.failed("list containers", e))?;
        let of_job = |container: bollard::models::ContainerSummary| {
            Some(OfJob {
                job: label::job(container.labels.as_ref())?,
                attempt: label::attempt(container.labels.as_ref())?,
                bytes: container.size_rw.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0),
                name: container.id?,
            })
        };
        Ok(listed.into_iter().filter_map(of_job).collect())
    }

    async fn images_of_containers(&self) -> Result<HashSet<String>> {
        let options = ListContainersOptionsBuilder::new().all(true).build();
        let listed = self.docker.list_containers(Some(options)).await;
        let listed = listed.map_err(|e| self.failed("list containers", e))?;
        Ok(listed.into_iter().filter_map(|container| container.image_id).collect())
    }

    async fn inspected_images(&self) -> Result<Vec<Inspected>> {
        let options = ListImagesOptionsBuilder::new().all(true).build();
        let listed = self.docker.list_images(Some(options)).await;
        let listed = listed.map_err(|e| self.failed("list images", e))?;
        futures_util::stream::iter(listed)
            .map(|image| self.inspected(image))
            .buffer_unordered(AT_ONCE)
            .try_filter_map(async |it| Ok(it))
            .try_collect()
            .await
    }

    async fn inspected(&self, image: ImageSummary) -> Result<Option<Inspected>> {
        let found = match self.docker.inspect_image(&image.id).await {
            Ok(found) => found,
            // Removed meanwhile.
            Err(ApiError::DockerResponseServerError { status_code: 404, .. }) => return Ok(None),
            Err(error) => return Err(self.failed("inspect an image", error)),
        };
        let layers = found.root_fs.and_then(|root| root.layers).unwrap_or_default();
        let tagged = super::cached::last_used(found.repo_tags.as_deref(), found.metadata);
        Ok(Some(Inspected {
            image,
            // Not those of the list: there, none is called "<none>:<none>".
            names: found.repo_tags.unwrap_or_default(),
            digests: found.repo_digests.unwrap_or_default(),
            layers,
            tagged,
        }))
    }

    /// The bytes of each layer, where the image's history tells them: it leaves out
    /// which of its steps made none.
    async fn layer_sizes(&self, it: &Inspected) -> Option<Vec<u64>> {
        let history = self.docker.image_history(&it.image.id).await.ok()?;
        let sizes: Vec<u64> = history
            .iter()
            .rev()
            .filter_map(|step| u64::try_from(step.size).ok().filter(|size| *size > 0))
            .collect();
        (sizes.len() == it.layers.len()).then_some(sizes)
    }

    /// For what the client library does not do; with the root of its paths.
    pub(super) fn plain_client(&self) -> (reqwest::ClientBuilder, String) {
        // Directly, as the client library reaches it.
        let client = reqwest::Client::builder().no_proxy();
        let (client, root) = match self.host.strip_prefix("unix://") {
            Some(path) => (client.unix_socket(path), "http://engine".to_owned()),
            None => (client, self.host.replacen("tcp://", "http://", 1)),
        };
        let minor = self.docker.client_version().minor_version.min(LAST_MINOR_VERSION);
        (client, format!("{root}/v1.{minor}"))
    }

    /// Bytes by volume. Asked for without the client library, which knows only the
    /// newest form of the answer.
    pub(super) async fn volume_sizes(&self) -> HashMap<String, u64> {
        let asked = async {
            let (client, root) = self.plain_client();
            let client = client.timeout(super::SLOW_ANSWER_TIMEOUT);
            // An engine that doesn't know the parameter tells all it has.
            let url = format!("{root}/system/df?type=volume");
            let answer = client.build()?.get(url).send().await?.error_for_status()?;
            answer.json::<DataUsage>().await
        };
        let usage = match asked.await {
            Ok(usage) => usage,
            Err(error) => {
                let error: EngineError = EngineError::Refused {
                    what: "tell how large its volumes are",
                    problem: crate::model::with_causes(&error),
                };
                tracing::warn!(%error, "volumes are counted as empty");
                return HashMap::new();
            }
        };
        let size =
            |volume: VolumeUsage| Some((volume.name, u64::try_from(volume.usage_data?.size).ok()?));
        usage.volumes.unwrap_or_default().into_iter().filter_map(size).collect()
    }
}
