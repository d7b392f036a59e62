//! One container: created, filled, started with its output attached, waited
//! for, removed with its volume.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error as ApiError;
use bollard::models::{
    ContainerCreateBody, ContainerSummary, ContainerSummaryStateEnum, HostConfig,
    Mount, MountType, MountVolumeOptions,
};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptions, ListContainersOptionsBuilder,
    LogsOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions,
    StopContainerOptionsBuilder, UploadToContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};

use super::{Engine, EngineError, Labels, NewCachedImage, Result, Step, Upload, label};
use crate::model::JobUuid;

/// The anonymous volume that holds sources and scripts; a commit leaves it out.
pub(super) const VOLUME: &str = "/kozmic";

/// What is to run.
#[derive(Debug, Clone)]
pub struct ContainerSpec<'a> {
    /// An image id, so that a tag that moves meanwhile changes nothing.
    pub image_id: String,
    /// Empty: the image's own.
    pub user: String,
    /// Replaces the image's entry point; the first word is the program.
    pub command: Vec<String>,
    pub limits: ContainerLimits,
    pub labels: Labels,
    /// The image that it is to be kept as.
    pub becomes: Option<NewCachedImage<'a>>,
}

/// What a container may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContainerLimits {
    /// Bytes of memory, none of it swapped; none: four fifths of the engine's.
    pub memory: Option<u64>,
    /// Thousandths of a processor; none: all there are.
    pub cpus: Option<u64>,
    /// Processes and threads; a fork bomb must not take the host.
    pub pids: u64,
}

/// How a container's main process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    pub code: i64,
    /// The kernel killed one of its processes for want of memory.
    pub out_of_memory: bool,
}

/// A container that went on, or ended, while nobody attended to it.
pub struct Unattended<'engine> {
    pub container: Container<'engine>,
    /// How long the job's log was before it wrote anything.
    pub log_offset: u64,
}

/// The bytes a container writes, as it writes them; ends when it does.
pub type Output = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// A container and its volume. It stays until it is [removed](Container::remove),
/// by whoever holds it or, by its labels, by [`Engine::remove_of_job`].
pub struct Container<'engine> {
    engine: &'engine Engine,
    id: String,
}

impl Engine {
    pub async fn create(&self, spec: &ContainerSpec<'_>) -> Result<Container<'_>> {
        let mut labels = spec.labels.to_map(&self.instance);
        labels.extend(spec.becomes.iter().flat_map(NewCachedImage::labels));
        let memory = spec.limits.memory.unwrap_or(self.memory / 5 * 4);
        let memory = i64::try_from(memory).unwrap_or(i64::MAX);
        let body = ContainerCreateBody {
            image: Some(spec.image_id.clone()),
            user: Some(spec.user.clone()).filter(|user| !user.is_empty()),
            entrypoint: Some(spec.command.iter().take(1).cloned().collect()),
            cmd: Some(spec.command.iter().skip(1).cloned().collect()),
            labels: Some(labels.clone()),
            host_config: Some(HostConfig {
                // Reaps orphans and hands signals on, whatever the script is.
                init: Some(true),
                pids_limit: i64::try_from(spec.limits.pids).ok(),
                memory: Some(memory),
                memory_swap: Some(memory),
                nano_cpus: spec.limits.cpus.and_then(|milli| i64::try_from(milli * 1_000_000).ok()),
                log_config: Some(self.product.log_config()),
                mounts: Some(vec![Mount {
                    target: Some(VOLUME.into()),
                    typ: Some(MountType::VOLUME),
                    volume_options: Some(MountVolumeOptions {
                        labels: Some(labels),
                        ..Default::default()
                    }),
                    ..Default::default()
                }]),
                ..Default::default()
            }),
            ..Default::default()
        };
        self.create_from(body).await
    }

    /// A container that is only looked into.
    pub(super) async fn create_probe(
        &self,
        image_id: &str,
        labels: &Labels,
    ) -> Result<Container<'_>> {
        self.create_from(ContainerCreateBody {
            image: Some(image_id.to_owned()),
            entrypoint: Some(vec!["/bin/sh".into()]),
            labels: Some(labels.to_map(&self.instance)),
            ..Default::default()
        })
        .await
    }

    async fn create_from(&self, body: ContainerCreateBody) -> Result<Container<'_>> {
        let created = self
            .docker
            .create_container(None::<CreateContainerOptions>, body)
            .await
            .map_err(|e| self.failed("create a container", e))?;
        Ok(Container { engine: self, id: created.id })
    }

    /// Removes what these attempts of a job left behind.
    pub async fn remove_of_job(&self, job: JobUuid, attempts: RangeInclusive<i64>) -> Result<()> {
        for found in self.list(&label::of_job(job, &self.instance)).await? {
            let attempt = label::attempt(found.labels.as_ref());
            if let Some(id) = found.id.filter(|_| attempt.is_some_and(|it| attempts.contains(&it)))
            {
                Container { engine: self, id }.remove().await?;
            }
        }
        Ok(())
    }

    /// The container that carries out this step, if it was started.
    pub async fn unattended(
        &self,
        job: JobUuid,
        attempt: i64,
        step: Step,
    ) -> Result<Option<Unattended<'_>>> {
        let filters = label::of_step(job, attempt, step, &self.instance);
        for found in self.list(&filters).await? {
            // One that was never started may lack its checkout, or half of it.
            let was_started = found.state.is_some_and(|state| {
                !matches!(
                    state,
                    ContainerSummaryStateEnum::CREATED | ContainerSummaryStateEnum::EMPTY
                )
            });
            let log_offset = label::log_offset(found.labels.as_ref());
            if let (true, Some(id), Some(log_offset)) = (was_started, found.id, log_offset) {
                let container = Container { engine: self, id };
                return Ok(Some(Unattended { container, log_offset }));
            }
        }
        Ok(None)
    }

    /// The jobs and attempts of all containers of this installation.
    pub async fn containers_by_job(&self) -> Result<Vec<(JobUuid, i64)>> {
        let found = self.list(&label::of_instance(&self.instance)).await?;
        let labels = found.iter().map(|found| found.labels.as_ref());
        Ok(labels.filter_map(|labels| label::job(labels).zip(label::attempt(labels))).collect())
    }

    async fn list(&self, filters: &HashMap<String, Vec<String>>) -> Result<Vec<ContainerSummary>> {
        let options = ListContainersOptionsBuilder::new().all(true).filters(filters).build();
        self.docker
            .list_containers(Some(options))
            .await
            .map_err(|e| self.failed("list containers", e))
    }
}

impl Container<'_> {
    pub(super) fn engine(&self) -> &Engine {
        self.engine
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// Unpacks a tree at `/`; what lies below `/kozmic` goes into the volume.
    /// Works before the start, with the owners that the tree names.
    pub async fn upload(&self, upload: Upload) -> Result<()> {
        let options = UploadToContainerOptionsBuilder::new().path("/").build();
        let (packed, packing) = upload.into_stream();
        let body = bollard::body_stream(packed);
        let sent = self.engine.slow.upload_to_container(&self.id, Some(options), body).await;
        // Whatever the engine said of a truncated archive, the reason lies here.
        let packed = packing.await.unwrap_or_else(|panicked| Err(std::io::Error::other(panicked)));
        match packed {
            // The engine stopped reading, and says why.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe && sent.is_err() => {}
            packed => packed.map_err(EngineError::Packing)?,
        }
        sent.map_err(|e| self.engine.failed("take the checkout", e))
    }

    /// Starts it with its output attached before the first byte can be written.
    pub async fn start(&self) -> Result<Output> {
        let options =
            AttachContainerOptionsBuilder::new().stream(true).stdout(true).stderr(true).build();
        let attached = self
            .engine
            .docker
            .attach_container(&self.id, Some(options))
            .await
            .map_err(|e| self.engine.failed("attach to a container", e))?;
        self.engine
            .docker
            .start_container(&self.id, None::<StartContainerOptions>)
            .await
            .map_err(|e| self.engine.failed("start a container", e))?;
        let host = self.engine.host.clone();
        Ok(Box::pin(attached.output.map_ok(bollard::container::LogOutput::into_bytes).map_err(
            move |error| EngineError::Away {
                host: host.clone(),
                problem: super::error_chain(&error),
            },
        )))
    }

    /// What it has written and writes, from the engine's copy, without the first
    /// `skip` bytes.
    pub fn replay(&self, skip: u64) -> Output {
        let seen = Arc::new(AtomicU64::new(0));
        let (docker, id) = (self.engine.docker.clone(), self.id.clone());
        let host = self.engine.host.clone();
        let followed = copy(&docker, &id, host.clone(), true, skip, seen.clone());
        // Docker's copy, when it is followed, may lack what was written last and
        // ends no line. It is read once more, when nothing can follow any more.
        let rest = futures_util::stream::once(async move {
            let options = WaitContainerOptionsBuilder::new().condition("not-running").build();
            docker.wait_container(&id, Some(options)).next().await;
            let known = seen.load(Ordering::Relaxed).max(skip);
            copy(&docker, &id, host, false, known, Arc::default())
        });
        Box::pin(followed.chain(rest.flatten()))
    }

    /// Waits until it has ended; at once when it already has.
    pub async fn exit(&self) -> Result<Exit> {
        let options = WaitContainerOptionsBuilder::new().condition("not-running").build();
        let code = match self.engine.docker.wait_container(&self.id, Some(options)).next().await {
            Some(Ok(waited)) => waited.status_code,
            // bollard takes every code but 0 for an error of its own.
            Some(Err(ApiError::DockerContainerWaitError { code, .. })) => code,
            Some(Err(error)) => return Err(self.engine.failed("wait for a container", error)),
            None => {
                return Err(EngineError::Away {
                    host: self.engine.host.clone(),
                    problem: "it stopped answering while a container ran".into(),
                });
            }
        };
        let state = self
            .engine
            .docker
            .inspect_container(&self.id, None::<bollard::query_parameters::InspectContainerOptions>)
            .await
            .map_err(|e| self.engine.failed("inspect a container", e))?
            .state;
        let out_of_memory = state.and_then(|state| state.oom_killed).unwrap_or(false);
        Ok(Exit { code, out_of_memory })
    }

    /// SIGTERM, and SIGKILL after `grace`; returns when it has ended.
    pub async fn stop(&self, grace: Duration) -> Result<()> {
        let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::new().t(seconds).build();
        match self.engine.docker.stop_container(&self.id, Some(options)).await {
            // 304: it has ended already.
            Ok(()) | Err(ApiError::DockerResponseServerError { status_code: 304 | 404, .. }) => {
                Ok(())
            }
            Err(error) => Err(self.engine.failed("stop a container", error)),
        }
    }

    /// Kills it if it runs and removes it with its volume.
    pub async fn remove(self) -> Result<()> {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        match self.engine.docker.remove_container(&self.id, Some(options)).await {
            // 409: it is being removed already.
            Ok(()) | Err(ApiError::DockerResponseServerError { status_code: 404 | 409, .. }) => {
                Ok(())
            }
            Err(error) => Err(self.engine.failed("remove a container", error)),
        }
    }
}

/// The engine's copy of what a container wrote, after the first `skip` bytes;
/// `seen` counts all of it, those included.
fn copy(
    docker: &Docker,
    id: &str,
    host: String,
    follow: bool,
    skip: u64,
    seen: Arc<AtomicU64>,
) -> Output {
    let options = LogsOptionsBuilder::new().follow(follow).stdout(true).stderr(true).build();
    let mut to_skip = usize::try_from(skip).unwrap_or(usize::MAX);
    Box::pin(docker.logs(id, Some(options)).map(move |chunk| match chunk {
        Ok(chunk) => {
            let mut bytes = chunk.into_bytes();
            seen.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            let known = bytes.split_to(to_skip.min(bytes.len()));
            to_skip -= known.len();
            Ok(bytes)
        }
        Err(error) => {
            let problem = super::error_chain(&error);
            Err(EngineError::Away { host: host.clone(), problem })
        }
    }))
}
