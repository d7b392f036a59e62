//! What is kept of a job that failed: its container; once somebody looks into it, an
//! image of that and a container in which shells run; and images on their way home.
//!
//! All images made here have names `kozmic-failed/<installation>:<job>-<attempt>…`, so
//! that they are known again. They are never without one.

use std::collections::HashMap;

use bollard::errors::Error as ApiError;
use bollard::models::{ContainerConfig, ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, ContainerArchiveInfoOptionsBuilder, InspectContainerOptions,
    ListImagesOptionsBuilder, StartContainerOptions, UploadToContainerOptionsBuilder,
};
use tokio_stream::StreamExt as _;

use super::label::{self, INSTANCE};
use super::{
    Container, ContainerLimits, Engine, EngineError, Labels, Result, Step, Upload, product,
};
use crate::model::{DockerImage, JobUuid};

const REPOSITORY: &str = "kozmic-failed";
/// Waits, in any image that has a shell, for what never comes; takes no time.
const IDLE: &str = "while read -r _; do :; done";

/// A container as it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsMade {
    pub image_id: String,
    /// As the engine takes it; empty for root.
    pub user: String,
}

/// An image of ours that belongs to a kept container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedImage {
    pub name: String,
    pub job: JobUuid,
    pub attempt: i64,
    /// Only there as long as it is being pulled.
    pub is_on_its_way: bool,
    /// That it does not share with the image of its container.
    pub bytes: u64,
}

/// What an image is to do when it is run.
#[derive(Debug, Clone)]
pub struct RunsAs {
    pub user: String,
    pub entrypoint: Vec<String>,
    pub folder: String,
}

impl Engine {
    /// Removes what these attempts of a job left, but for one container.
    pub async fn remove_of_job_but(
        &self,
        job: JobUuid,
        attempt: i64,
        container: &str,
    ) -> Result<()> {
        for found in self.list(&label::of_job(job, &self.instance)).await? {
            let is_of_attempt = label::attempt(found.labels.as_ref()) == Some(attempt);
            let is_shell = label::step(found.labels.as_ref()) == Some(Step::Shell);
            if let Some(id) = found.id.filter(|id| is_of_attempt && !is_shell && id != container) {
                Container { engine: self, id }.remove().await?;
            }
        }
        Ok(())
    }

    /// Removes all that was kept of an attempt.
    pub async fn remove_kept(&self, job: JobUuid, attempt: i64) -> Result<()> {
        self.remove_of_job(job, attempt..=attempt).await?;
        for image in self.kept_images().await? {
            if (image.job, image.attempt) == (job, attempt) {
                self.remove_image(&image.name).await?;
            }
        }
        Ok(())
    }

    /// A container by its id.
    pub fn container(&self, id: &str) -> Container<'_> {
        Container { engine: self, id: id.to_owned() }
    }

    /// The container in which shells of this attempt run, made where there is none: of
    /// an image of the one that failed, and with its volume.
    pub async fn shell_container(
        &self,
        failed: &Container<'_>,
        labels: &Labels,
        user: &str,
        (limits, no_new_privileges): (ContainerLimits, bool),
    ) -> Result<(Container<'_>, bool)> {
        if let Some(found) = self.shell_of(labels.job, labels.attempt).await? {
            return Ok((found, false));
        }
        let tag = format!("{}-{}", labels.job, labels.attempt);
        let image = match self.image_id(&self.kept_name(&tag)).await? {
            // Whoever made it came no further.
            Some(image) => image,
            None => self.commit_kept(failed, &tag, ContainerConfig::default()).await?,
        };
        let body = ContainerCreateBody {
            image: Some(image),
            user: Some(user.to_owned()).filter(|user| !user.is_empty()),
            entrypoint: Some(vec!["/bin/sh".into()]),
            cmd: Some(vec!["-c".into(), IDLE.into()]),
            open_stdin: Some(true),
            labels: Some(labels.to_map(&self.instance)),
            stop_signal: Some("SIGKILL".into()),
            host_config: Some(HostConfig {
                volumes_from: Some(vec![failed.id().to_owned()]),
                ..self.bounds(limits, no_new_privileges)
            }),
            ..Default::default()
        };
        let sandbox = self.take_sandbox().await?;
        let body = match &sandbox {
            Some(sandbox) => sandbox.joined(body),
            None => body,
        };
        Ok((self.create_from(body).await?, true))
    }

    /// The container in which shells of this attempt run, where there is one.
    pub async fn shell_of(&self, job: JobUuid, attempt: i64) -> Result<Option<Container<'_>>> {
        let listed = self.list(&label::of_job(job, &self.instance)).await?;
        let found = listed.into_iter().find(|found| {
            let labels = found.labels.as_ref();
            label::step(labels) == Some(Step::Shell) && label::attempt(labels) == Some(attempt)
        });
        Ok(found.and_then(|found| found.id).map(|id| Container { engine: self, id }))
    }

    /// The containers of shells, of all jobs of this installation, that run.
    pub async fn running_shells(&self) -> Result<Vec<(JobUuid, Container<'_>)>> {
        let running = self.list(&label::of_instance(&self.instance)).await?.into_iter();
        let running = running.filter(|found| {
            label::step(found.labels.as_ref()) == Some(Step::Shell)
                && found.state == Some(bollard::models::ContainerSummaryStateEnum::RUNNING)
        });
        let of_job = |found: bollard::models::ContainerSummary| {
            Some((label::job(found.labels.as_ref())?, Container { engine: self, id: found.id? }))
        };
        Ok(running.filter_map(of_job).collect())
    }

    /// The images that were made of kept containers, with the bytes of each that it does
    /// not share.
    pub async fn kept_images(&self) -> Result<Vec<FailedImage>> {
        let repository = format!("{REPOSITORY}/{}", self.instance);
        let filters = HashMap::from([("reference", vec![repository.as_str()])]);
        let options = ListImagesOptionsBuilder::new().filters(&filters).build();
        let listed = self.docker.list_images(Some(options)).await;
        let listed = listed.map_err(|e| self.failed("list kept images", e))?;
        let mut kept = Vec::new();
        for image in listed {
            for name in &image.repo_tags {
                let name = product::short(name);
                let of = name.strip_prefix(&format!("{repository}:")).and_then(of_tag);
                if let Some((job, attempt, is_on_its_way)) = of {
                    let (name, bytes) = (name.to_owned(), self.last_layer(&image.id).await);
                    kept.push(FailedImage { name, job, attempt, is_on_its_way, bytes });
                }
            }
        }
        Ok(kept)
    }

    /// What the commit added to its image; the rest is somebody else's.
    async fn last_layer(&self, id: &str) -> u64 {
        let history = self.docker.image_history(id).await.unwrap_or_default();
        history.first().and_then(|step| u64::try_from(step.size).ok()).unwrap_or(0)
    }

    fn kept_name(&self, tag: &str) -> String {
        format!("{REPOSITORY}/{}:{tag}", self.instance)
    }

    async fn commit_kept(
        &self,
        container: &Container<'_>,
        tag: &str,
        config: ContainerConfig,
    ) -> Result<String> {
        let options = CommitContainerOptionsBuilder::new()
            .container(container.id())
            .repo(&format!("{REPOSITORY}/{}", self.instance))
            .tag(tag)
            .build();
        let committed = self.slow.commit_container(options, config).await;
        Ok(committed.map_err(|e| self.failed("make an image of a container", e))?.id)
    }

    /// An image of a kept container with the files of its volume, which a commit leaves
    /// out; its name, under which it stays until it is removed, its id and its bytes.
    pub async fn image_to_pull(
        &self,
        container: &Container<'_>,
        labels: &Labels,
        upload: Upload,
        runs: RunsAs,
        which: &str,
    ) -> Result<(String, String, u64)> {
        let tag = format!("{}-{}-{which}", labels.job, labels.attempt);
        let bare_tag = format!("{tag}-bare");
        let bare = self.commit_kept(container, &bare_tag, ContainerConfig::default()).await?;
        let made = async {
            let filled = self.create_probe(&bare, labels).await?;
            let made = async {
                self.copy_volume(container, &filled).await?;
                filled.upload(upload).await?;
                let config = ContainerConfig {
                    user: Some(runs.user).filter(|user| !user.is_empty()),
                    entrypoint: Some(runs.entrypoint),
                    working_dir: Some(runs.folder),
                    stop_signal: Some("SIGTERM".into()),
                    // Where it goes to, it is nothing of this installation's.
                    labels: Some(HashMap::from([(INSTANCE.to_owned(), String::new())])),
                    ..ContainerConfig::default()
                };
                self.commit_kept(&filled, &tag, config).await
            };
            let id = made.await;
            filled.remove().await?;
            id
        };
        let id = made.await;
        self.remove_image(&self.kept_name(&bare_tag)).await?;
        let id = id?;
        let found = self.docker.inspect_image(&id).await;
        let bytes = found.map_err(|e| self.failed("inspect an image", e))?.size.unwrap_or(0);
        Ok((self.kept_name(&tag), id, u64::try_from(bytes).unwrap_or(0)))
    }

    /// From container to container, as it comes.
    async fn copy_volume(&self, from: &Container<'_>, to: &Container<'_>) -> Result<()> {
        let Some(volume) = from.download(super::container::VOLUME).await? else { return Ok(()) };
        let options = UploadToContainerOptionsBuilder::new().path("/").build();
        let body = bollard::body_try_stream(volume);
        let sent = self.slow.upload_to_container(to.id(), Some(options), body).await;
        sent.map_err(|e| self.failed("put the sources into an image", e))
    }
}

/// `<job>-<attempt>`, and whether more follows.
fn of_tag(tag: &str) -> Option<(JobUuid, i64, bool)> {
    const UUID: usize = 36;
    let (job, rest) = (tag.get(..UUID)?, tag.get(UUID..)?.strip_prefix('-')?);
    let (attempt, more) = rest.split_once('-').map_or((rest, false), |(it, _)| (it, true));
    Some((job.parse().ok()?, attempt.parse().ok()?, more))
}

impl Container<'_> {
    /// As it was made; none when it is not there.
    pub async fn as_made(&self) -> Result<Option<AsMade>> {
        let found = self.engine.docker.inspect_container(&self.id, None::<InspectContainerOptions>);
        match found.await {
            Ok(found) => Ok(Some(AsMade {
                image_id: found.image.unwrap_or_default(),
                user: found.config.and_then(|config| config.user).unwrap_or_default(),
            })),
            Err(ApiError::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(self.engine.failed("inspect a container", error)),
        }
    }

    /// Has it run, whether it does so already or not.
    pub async fn run(&self) -> Result<()> {
        if self.is_running().await? {
            return Ok(());
        }
        self.engine.wake_holder_of(&self.id).await?;
        let started =
            self.engine.docker.start_container(&self.id, None::<StartContainerOptions>).await;
        started.map_err(|e| self.engine.failed("start a container", e))
    }

    /// Ends it, and all that runs in it, at once.
    pub async fn halt(&self) -> Result<()> {
        self.stop(std::time::Duration::ZERO).await
    }

    /// Whether there is a file, in the volume as well.
    pub async fn has(&self, path: &str) -> Result<bool> {
        let options = ContainerArchiveInfoOptionsBuilder::new().path(path).build();
        match self.engine.docker.get_container_archive_info(&self.id, Some(options)).await {
            Ok(_) => Ok(true),
            Err(ApiError::DockerResponseServerError { status_code: 404, .. }) => Ok(false),
            Err(error) => Err(self.engine.failed("look for a file of a container", error)),
        }
    }
}

impl Engine {
    /// Loads an image, as `docker save` packs it, as it comes; its id or name.
    pub async fn load<S, E>(&self, packed: S) -> Result<String>
    where
        S: tokio_stream::Stream<Item = std::result::Result<bytes::Bytes, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        let options = bollard::query_parameters::ImportImageOptionsBuilder::new().build();
        let mut answer = Box::pin(self.slow.import_image_stream(options, packed, None));
        let (mut id, mut said) = (None, String::new());
        while let Some(step) = answer.next().await {
            let step = step.map_err(|e| self.failed("load the image", e))?;
            let line = step.stream.unwrap_or_default();
            said.push_str(&line);
            let named = ["Loaded image ID: ", "Loaded image: "]
                .iter()
                .find_map(|start| line.trim().strip_prefix(start));
            id = named.map(str::to_owned).or(id);
        }
        id.ok_or(EngineError::Refused { what: "load the image", problem: said })
    }

    /// Gives an image one more name.
    pub async fn tag(&self, image: &str, name: &DockerImage) -> Result<()> {
        let (repository, tag) = super::image::repository_and_tag(name.as_str());
        let options = bollard::query_parameters::TagImageOptionsBuilder::new()
            .repo(repository)
            .tag(tag)
            .build();
        let tagged = self.docker.tag_image(image, Some(options)).await;
        tagged.map_err(|e| self.failed("name the image", e))
    }

    /// An image as a tar, as it is packed.
    pub fn export(&self, image: &str) -> super::Download {
        Box::pin(self.slow.export_image(image).map(|bytes| bytes.map_err(std::io::Error::other)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_tells_whose_image_it_is() {
        let job = JobUuid::random();
        assert_eq!(of_tag(&format!("{job}-2")), Some((job, 2, false)));
        assert_eq!(of_tag(&format!("{job}-12-ab-bare")), Some((job, 12, true)));
        for other in ["latest", "", &job.to_string(), &format!("{job}-x")] {
            assert_eq!(of_tag(other), None, "{other}");
        }
    }
}
