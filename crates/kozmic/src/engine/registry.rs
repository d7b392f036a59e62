//! Cached images pass between engines by a registry: `REGISTRY/kozmic-cache/<id>:<scope>`.
//! The id tells what went into an image, so two engines that make the same do no harm.

use bollard::errors::Error as ApiError;
use bollard::query_parameters::{
    CreateImageOptionsBuilder, PushImageOptionsBuilder, TagImageOptionsBuilder,
};
use futures_util::StreamExt as _;

use super::{Engine, Result, cached_image_name, credentials};
use crate::model::CacheId;

/// What a registry says of an image that it does not have.
const MISSING: [&str; 3] = ["manifest unknown", "not found", "name unknown"];

impl Engine {
    /// Sends a cached image to the registry, under the credentials of `docker login`.
    pub async fn push_cached(&self, registry: &str, name: &str) -> Result<()> {
        let Some((repository, scope)) = name.rsplit_once(':') else { return Ok(()) };
        let there = format!("{registry}/{repository}");
        let tag = TagImageOptionsBuilder::new().repo(&there).tag(scope).build();
        let tagged = self.docker.tag_image(name, Some(tag)).await;
        tagged.map_err(|e| self.failed("name a cached image for the registry", e))?;
        let pushed = self.push(&there, scope).await;
        // Only its name goes.
        self.remove_image(&format!("{there}:{scope}")).await?;
        pushed
    }

    async fn push(&self, repository: &str, tag: &str) -> Result<()> {
        let credentials = credentials::of_image(repository).await;
        let options = PushImageOptionsBuilder::new().tag(tag).build();
        let mut steps = self.slow.push_image(repository, Some(options), credentials);
        while let Some(step) = steps.next().await {
            step.map_err(|e| self.failed("push a cached image", e))?;
        }
        Ok(())
    }

    /// Brings a cached image from the registry; false when it is not there.
    pub async fn pull_cached(&self, registry: &str, id: &CacheId, scope: &str) -> Result<bool> {
        let name = cached_image_name(id, scope);
        let Some((repository, _)) = name.rsplit_once(':') else { return Ok(false) };
        let there = format!("{registry}/{repository}");
        let credentials = credentials::of_image(&there).await;
        let options = CreateImageOptionsBuilder::new().from_image(&there).tag(scope).build();
        let mut steps = self.slow.create_image(Some(options), None, credentials);
        while let Some(step) = steps.next().await {
            match step {
                Ok(_) => {}
                Err(error) if is_missing(&error) => return Ok(false),
                Err(error) => return Err(self.failed("pull a cached image", error)),
            }
        }
        drop(steps);
        let tag = TagImageOptionsBuilder::new().repo(repository).tag(scope).build();
        let tagged = self.docker.tag_image(&format!("{there}:{scope}"), Some(tag)).await;
        tagged.map_err(|e| self.failed("name a cached image", e))?;
        self.remove_image(&format!("{there}:{scope}")).await?;
        self.images.changed.notify_one();
        Ok(true)
    }
}

fn is_missing(error: &ApiError) -> bool {
    match error {
        ApiError::DockerResponseServerError { status_code: 404, .. } => true,
        ApiError::DockerResponseServerError { message, .. }
        | ApiError::DockerStreamError { error: message } => {
            let message = message.to_lowercase();
            MISSING.iter().any(|words| message.contains(words))
        }
        _ => false,
    }
}
