//! A folder on its way out of a container: the engine packs it as a tar.

use std::pin::Pin;

use bollard::errors::Error as ApiError;
use bollard::query_parameters::DownloadFromContainerOptionsBuilder;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};

use super::{Container, Result};

/// The bytes of a tar, as they come. Whoever has had enough drops it, and the engine
/// stops packing.
pub type Download = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

impl Container<'_> {
    /// The folder at an absolute path, also of the volume, and also when the container
    /// has ended (Docker's `GET /containers/{id}/archive`); none when nothing is there.
    /// A link is not followed: it is the tar's only entry then.
    pub async fn download(&self, path: &str) -> Result<Option<Download>> {
        let engine = self.engine();
        let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
        // The answer's head may take long: the engine begins when it has looked at it all.
        let mut packed = Box::pin(engine.slow.download_from_container(&self.id, Some(options)));
        // The first bytes tell whether there is anything.
        let first = match packed.next().await {
            None => return Ok(None),
            Some(Ok(bytes)) => bytes,
            Some(Err(ApiError::DockerResponseServerError { status_code: 404, .. })) => {
                return Ok(None);
            }
            Some(Err(error)) => return Err(engine.failed("pack a folder of a container", error)),
        };
        let first = futures_util::stream::once(async move { Ok(first) });
        Ok(Some(Box::pin(first.chain(packed.map(|bytes| bytes.map_err(std::io::Error::other))))))
    }
}
