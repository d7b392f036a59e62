//! Cached images of install steps: `kozmic-cache/<cache id>:<scope>`.
//!
//! All that is known of them lies with the engine: what went into one is a
//! label, and when it was used last is when it was tagged last.

use std::collections::HashMap;
use std::time::Duration;

use bollard::errors::Error as ApiError;
use bollard::models::{ContainerConfig, ImageInspectMetadata};
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, ListImagesOptionsBuilder, TagImageOptionsBuilder,
};

use super::label::INSTANCE;
use super::{Container, Engine, Result, parse_time};
use crate::model::{CacheId, Timestamp};

const REPOSITORY: &str = "kozmic-cache";
/// An image is removed when it has had no name for so long.
const NAMELESS_FOR: Duration = Duration::from_mins(1);
pub(super) const SCOPE: &str = "kozmic.cache.scope";
const HOOK: &str = "kozmic.cache.hook";
const INPUTS: &str = "kozmic.cache.inputs";

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
}

/// The image of an install step that is to be kept.
#[derive(Debug, Clone, Copy)]
pub struct NewCachedImage<'a> {
    pub cache_id: &'a CacheId,
    pub scope: &'a str,
    pub hook: &'a str,
    pub inputs: &'a [(String, String)],
}

/// What an image of this cache id and scope is called.
pub fn cached_image_name(id: &CacheId, scope: &str) -> String {
    format!("{REPOSITORY}/{id}:{scope}")
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
        let options =
            TagImageOptionsBuilder::new().repo(&format!("{REPOSITORY}/{id}")).tag(scope).build();
        self.docker
            .tag_image(&name, Some(options))
            .await
            .map_err(|e| self.failed("use a cached image", e))?;
        Ok(Some(CachedImage {
            id: found.id.unwrap_or_default(),
            created: found.created.as_deref().map_or(Timestamp(0), parse_time),
            ..of_labels(name, &labels)
        }))
    }

    /// Keeps what an install step left in its container; the image's id.
    pub async fn commit(
        &self,
        container: &Container<'_>,
        image: NewCachedImage<'_>,
    ) -> Result<String> {
        let options = CommitContainerOptionsBuilder::new()
            .container(container.id())
            .repo(&format!("{REPOSITORY}/{}", image.cache_id))
            .tag(image.scope)
            .build();
        let labels = HashMap::from([
            (SCOPE.to_owned(), image.scope.to_owned()),
            (HOOK.to_owned(), image.hook.to_owned()),
            (INPUTS.to_owned(), serde_json::to_string(image.inputs).unwrap_or_default()),
            (INSTANCE.to_owned(), self.instance.clone()),
        ]);
        let config = ContainerConfig { labels: Some(labels), ..Default::default() };
        let committed = self
            .slow
            .commit_container(options, config)
            .await
            .map_err(|e| self.failed("keep the image of the install step", e))?;
        self.images.changed.notify_one();
        Ok(committed.id)
    }

    /// The cached images of this installation, the one that was used last first.
    pub async fn cached_images(&self) -> Result<Vec<CachedImage>> {
        let filters = HashMap::from([(
            "label",
            vec![format!("{INSTANCE}={}", self.instance), SCOPE.to_owned()],
        )]);
        let options = ListImagesOptionsBuilder::new().filters(&filters).build();
        let listed = self
            .docker
            .list_images(Some(options))
            .await
            .map_err(|e| self.failed("list cached images", e))?;
        let mut images = Vec::new();
        for image in listed {
            for name in image.repo_tags.iter().filter_map(|name| cached_name(name)) {
                let used = self.last_tagged(name).await?;
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

    async fn last_tagged(&self, name: &str) -> Result<Option<Timestamp>> {
        match self.docker.inspect_image(name).await {
            Ok(found) => Ok(last_tag_time(found.metadata)),
            Err(ApiError::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(self.failed("inspect a cached image", error)),
        }
    }

    /// Removes images of this installation that lost their name: whoever was to use
    /// them died before it learned of them, or a newer one took it.
    pub async fn remove_nameless(&self) -> Result<()> {
        let filters = HashMap::from([
            ("label", vec![format!("{INSTANCE}={}", self.instance), SCOPE.to_owned()]),
            ("dangling", vec!["true".to_owned()]),
        ]);
        let options = ListImagesOptionsBuilder::new().filters(&filters).build();
        let listed = self
            .docker
            .list_images(Some(options))
            .await
            .map_err(|e| self.failed("list images without a name", e))?;
        let now = Timestamp::now();
        for image in listed {
            // A new one gets its name in a moment.
            if now.since(Timestamp(image.created * 1000)) > NAMELESS_FOR {
                self.remove_image(&image.id).await?;
            }
        }
        Ok(())
    }
}

fn of_labels(name: String, labels: &HashMap<String, String>) -> CachedImage {
    let label = |key: &str| labels.get(key).cloned().unwrap_or_default();
    CachedImage {
        id: String::new(),
        name,
        scope: label(SCOPE),
        hook: label(HOOK),
        inputs: serde_json::from_str(&label(INPUTS)).unwrap_or_default(),
        created: Timestamp(0),
    }
}

/// The name of an image that an install step made, as [`cached_image_name`] tells
/// it; none for another image's.
pub(super) fn cached_name(name: &str) -> Option<&str> {
    // So Podman says that a name is of no registry.
    let name = name.strip_prefix("localhost/").unwrap_or(name);
    name.starts_with(REPOSITORY).then_some(name)
}

pub(super) fn last_tag_time(metadata: Option<ImageInspectMetadata>) -> Option<Timestamp> {
    let tagged = metadata.and_then(|metadata| metadata.last_tag_time);
    // Year 1 is how the engine says "never".
    tagged.as_deref().map(parse_time).filter(|time| time.0 > 0)
}
