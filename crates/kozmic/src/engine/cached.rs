//! Cached images of install steps: `kozmic-cache/<cache id>:<scope>`.
//!
//! All that is known of them lies with the engine: what went into one is a
//! label, and when it was used last is when it was tagged last.

use std::collections::HashMap;
use std::time::Duration;

use bollard::errors::Error as ApiError;
use bollard::models::{ContainerConfig, ImageInspectMetadata, ImageSummary};
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, ListImagesOptionsBuilder, TagImageOptionsBuilder,
};

use super::label::{self, INSTANCE};
use super::product::{self, Product};
use super::{Container, Engine, Result, parse_time};
use crate::model::{CacheId, Timestamp};

const REPOSITORY: &str = "kozmic-cache";
/// An image is removed when it has had no name for so long.
const NAMELESS_FOR: Duration = Duration::from_mins(1);
pub(super) const SCOPE: &str = "kozmic.cache.scope";
const HOOK: &str = "kozmic.cache.hook";
const INPUTS: &str = "kozmic.cache.inputs";
/// How many images it grew from.
const GENERATION: &str = "kozmic.cache.generation";
/// Milliseconds that the install script took.
const TOOK: &str = "kozmic.cache.took";

/// A cached image here.
#[derive(Debug, Clone)]
pub struct CachedImage {
    pub id: String,
    /// `kozmic-cache/<cache id>:<scope>`.
    pub name: String,
    pub scope: String,
    pub hook: String,
    /// What went into it, by name.
    pub inputs: Vec<(String, String)>,
    pub created: Timestamp,
    /// How many cached images it grew from, one upon the other.
    pub generation: u32,
    /// How long its install script took, where that is known.
    pub took: Option<Duration>,
}

/// The image of an install step that is to be kept.
#[derive(Debug, Clone, Copy)]
pub struct NewCachedImage<'a> {
    pub cache_id: &'a CacheId,
    pub scope: &'a str,
    pub hook: &'a str,
    pub inputs: &'a [(String, String)],
    pub generation: u32,
}

/// What an image of this cache id and scope is called.
pub fn cached_image_name(id: &CacheId, scope: &str) -> String {
    format!("{REPOSITORY}/{id}:{scope}")
}

impl NewCachedImage<'_> {
    /// The image has them from its container: Podman takes none with the commit.
    pub(super) fn labels(&self) -> [(String, String); 4] {
        [
            (SCOPE.to_owned(), self.scope.to_owned()),
            (HOOK.to_owned(), self.hook.to_owned()),
            (INPUTS.to_owned(), serde_json::to_string(self.inputs).unwrap_or_default()),
            (GENERATION.to_owned(), self.generation.to_string()),
        ]
    }
}

impl Engine {
    /// The id of a cached image, which counts as used from now.
    pub async fn use_cached(&self, id: &CacheId, scope: &str) -> Result<Option<CachedImage>> {
        let name = cached_image_name(id, scope);
        let found = match self.docker.inspect_image(&name).await {
            Ok(found) => found,
            Err(ApiError::DockerResponseServerError { status_code: 404, .. }) => return Ok(None),
            Err(error) => return Err(self.failed("look for a cached image", error)),
        };
        let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
        // Another installation's project may have the same number.
        if labels.get(INSTANCE) != Some(&self.instance) {
            return Ok(None);
        }
        self.mark_used(&name, found.repo_tags.as_deref().unwrap_or_default()).await?;
        Ok(Some(CachedImage {
            id: found.id.unwrap_or_default(),
            created: found.created.as_deref().map_or(Timestamp(0), parse_time),
            ..of_labels(name, &labels)
        }))
    }

    /// Keeps what an install step left in its container, which was created for this
    /// [image](super::ContainerSpec::becomes), ran for so long, and goes; the image's id.
    pub async fn commit(
        &self,
        container: Container<'_>,
        image: NewCachedImage<'_>,
        took: Duration,
    ) -> Result<String> {
        let options = CommitContainerOptionsBuilder::new()
            .container(container.id())
            .repo(&format!("{REPOSITORY}/{}", image.cache_id))
            .tag(image.scope)
            // Known only now, and so no label of the container's.
            .changes(&format!("LABEL {TOOK}={}", took.as_millis()))
            .build();
        let committed = self
            .slow
            .commit_container(options, ContainerConfig::default())
            .await
            .map_err(|e| self.failed("keep the image of the install step", e))?;
        // Told of when the container is gone: who counts meanwhile would count its files twice,
        // and remove an image too many.
        if let Err(error) = container.remove().await {
            tracing::warn!(%error, "the container of an install step stays until its job's end");
        }
        self.images.changed.notify_one();
        Ok(committed.id)
    }

    async fn made_by_install_steps(
        &self,
        filters: HashMap<String, Vec<String>>,
    ) -> Result<Vec<ImageSummary>> {
        let options = ListImagesOptionsBuilder::new().filters(&filters).build();
        let listed = self.docker.list_images(Some(options)).await;
        let mut images = listed.map_err(|e| self.failed("list cached images", e))?;
        // Not a filter: Podman takes several labels for alternatives.
        images.retain(|image| image.labels.contains_key(SCOPE));
        Ok(images)
    }

    /// The cached images of this installation, the one that was used last first.
    pub async fn cached_images(&self) -> Result<Vec<CachedImage>> {
        let mut images = Vec::new();
        for image in self.made_by_install_steps(label::of_instance(&self.instance)).await? {
            for name in image.repo_tags.iter().filter_map(|name| cached_name(name)) {
                let used = self.last_used(name).await?;
                let image = CachedImage {
                    id: image.id.clone(),
                    created: Timestamp(image.created * 1000),
                    ..of_labels(name.to_owned(), &image.labels)
                };
                images.push((used.unwrap_or(image.created), image));
            }
        }
        images.sort_by_key(|(used, _)| std::cmp::Reverse(*used));
        Ok(images.into_iter().map(|(_, image)| image).collect())
    }

    /// Docker notes when an image was tagged last. Podman does not: there, a second
    /// name tells the time.
    async fn mark_used(&self, name: &str, names: &[String]) -> Result<()> {
        let failed = |e| self.failed("use a cached image", e);
        let Some((repository, scope)) = name.rsplit_once(':') else { return Ok(()) };
        let tag = match self.product {
            Product::Docker => scope.to_owned(),
            Product::Podman => {
                // What is marked at the same time by another job stays.
                for mark in product::marks_of(name, names) {
                    self.remove_image(mark).await?;
                }
                product::mark(scope, Timestamp::now())
            }
        };
        let options = TagImageOptionsBuilder::new().repo(repository).tag(&tag).build();
        self.docker.tag_image(name, Some(options)).await.map_err(failed)
    }

    async fn last_used(&self, name: &str) -> Result<Option<Timestamp>> {
        match self.docker.inspect_image(name).await {
            Ok(found) => Ok(last_used(found.repo_tags.as_deref(), found.metadata)),
            Err(ApiError::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(self.failed("inspect a cached image", error)),
        }
    }

    /// Removes a cached image; false when a container still uses it.
    pub async fn remove_cached(&self, name: &str) -> Result<bool> {
        if self.product == Product::Podman
            && let Ok(found) = self.docker.inspect_image(name).await
        {
            for mark in product::marks_of(name, &found.repo_tags.unwrap_or_default()) {
                self.remove_image(mark).await?;
            }
        }
        self.remove_image(name).await
    }

    /// Removes images of this installation that lost their name: whoever was to use
    /// them died before it learned of them, or a newer one took it.
    pub async fn remove_nameless(&self) -> Result<()> {
        let mut filters = label::of_instance(&self.instance);
        filters.insert("dangling".into(), vec!["true".into()]);
        let now = Timestamp::now();
        for image in self.made_by_install_steps(filters).await? {
            // A new one gets its name in a moment.
            if now.since(Timestamp(image.created * 1000)) > NAMELESS_FOR {
                self.remove_image(&image.id).await?;
            }
        }
        Ok(())
    }
}

/// What goes into the image that a container is to become.
pub(super) fn inputs(labels: &HashMap<String, String>) -> Vec<(String, String)> {
    let written = labels.get(INPUTS).map_or("", String::as_str);
    serde_json::from_str(written).unwrap_or_default()
}

fn of_labels(name: String, labels: &HashMap<String, String>) -> CachedImage {
    let label = |key: &str| labels.get(key).cloned().unwrap_or_default();
    CachedImage {
        id: String::new(),
        name,
        scope: label(SCOPE),
        hook: label(HOOK),
        inputs: inputs(labels),
        created: Timestamp(0),
        generation: label(GENERATION).parse().unwrap_or(0),
        took: label(TOOK).parse().ok().map(Duration::from_millis),
    }
}

/// The name of an image that an install step made, as [`cached_image_name`] tells
/// it; none for another image's, and for a mark of when it was used.
pub(super) fn cached_name(name: &str) -> Option<&str> {
    let name = product::short(name);
    (name.starts_with(REPOSITORY) && !product::is_mark(name)).then_some(name)
}

/// When an image with these names was used last, as far as the engine tells.
pub(super) fn last_used(
    names: Option<&[String]>,
    metadata: Option<ImageInspectMetadata>,
) -> Option<Timestamp> {
    let marked = names.unwrap_or_default().iter().filter_map(|name| product::time_of_mark(name));
    let tagged = metadata.and_then(|metadata| metadata.last_tag_time);
    // Year 1 is how the engine says "never".
    let tagged = tagged.as_deref().map(parse_time).filter(|time| time.0 > 0);
    marked.max().or(tagged)
}
