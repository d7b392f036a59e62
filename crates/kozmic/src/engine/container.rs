//! One container: created, filled, started with its output attached, waited
//! for, removed with its volume.

use std::collections::HashMap;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error as ApiError;
use bollard::models::{
    ContainerCreateBody, ContainerState, HostConfig, Mount, MountType, MountVolumeOptions,
};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptions, EventsOptionsBuilder,
    InspectContainerOptions, KillContainerOptionsBuilder, LogsOptionsBuilder,
    RemoveContainerOptionsBuilder, StartContainerOptions, UploadToContainerOptionsBuilder,
    WaitContainerOptionsBuilder,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use tokio_util::task::AbortOnDropHandle;

use super::bounds::{ContainerLimits, probe_bounds};
use super::folder::FolderMount;
use super::network::Place;
use super::product::Product;
use super::sandbox::HELD_BY;
use super::{Engine, EngineError, Labels, NewCachedImage, Result, Upload, parse_time};
use crate::model::Timestamp;

/// What a program ends with that SIGKILL has ended, as a shell tells it.
const KILLED: i64 = 137;
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
    /// Whether none of its processes may get more privileges than it has.
    pub no_new_privileges: bool,
    pub labels: Labels,
    /// The image that it is to be kept as.
    pub becomes: Option<NewCachedImage<'a>>,
    /// None: a network of its own, or, where none are made, the engine's.
    pub place: Option<Place>,
    pub folders: Vec<FolderMount>,
}

/// The bytes a container writes, as it writes them; ends when it does.
pub type Output = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// A container that was started, under observation.
pub struct Attended {
    pub output: Output,
    /// Its main process's code. Fails when the engine was not there all the time: it
    /// may have ended the container itself.
    pub code: AbortOnDropHandle<Result<i64>>,
}

/// A container and its volume. It stays until it is [removed](Container::remove),
/// by whoever holds it or, by its labels, by [`Engine::remove_of_job`].
pub struct Container<'engine> {
    pub(super) engine: &'engine Engine,
    pub(super) id: String,
}

impl Engine {
    pub async fn create(&self, spec: &ContainerSpec<'_>) -> Result<Container<'_>> {
        let mut labels = spec.labels.to_map(&self.instance);
        labels.extend(spec.becomes.iter().flat_map(NewCachedImage::labels));
        let folders = spec.folders.iter().map(|folder| folder.mount(&labels));
        let mounts = std::iter::once(own_volume(VOLUME, &labels)).chain(folders).collect();
        let body = ContainerCreateBody {
            image: Some(spec.image_id.clone()),
            user: Some(spec.user.clone()).filter(|user| !user.is_empty()),
            entrypoint: Some(spec.command.iter().take(1).cloned().collect()),
            cmd: Some(spec.command.iter().skip(1).cloned().collect()),
            labels: Some(labels),
            // What an engine that shuts down sends. It can't be handled: a script that
            // ends with its engine must not look as if it had ended by itself.
            stop_signal: Some("SIGKILL".into()),
            host_config: Some(HostConfig {
                mounts: Some(mounts),
                ..self.bounds(spec.limits, spec.no_new_privileges)
            }),
            ..Default::default()
        };
        if let Some(place) = &spec.place {
            let body = self.in_place(body, place, &spec.labels).await?;
            return self.create_from(body).await;
        }
        let sandbox = self.take_sandbox().await?;
        let body = match &sandbox {
            Some(sandbox) => sandbox.joined(body),
            None => body,
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
            host_config: Some(probe_bounds()),
            ..Default::default()
        })
        .await
    }

    pub(super) async fn create_from(&self, mut body: ContainerCreateBody) -> Result<Container<'_>> {
        // Its image may be of a container that has joined another, and has that one's labels.
        body.labels.get_or_insert_default().entry(HELD_BY.to_owned()).or_default();
        let docker = self.docker.clone();
        // A task of its own: who stops waiting would never learn of the container.
        let creating = tokio::spawn(async move {
            let created = docker.create_container(None::<CreateContainerOptions>, body).await;
            created.map(|created| Unclaimed { id: created.id, docker })
        });
        match creating.await {
            Ok(Ok(mut created)) => {
                Ok(Container { engine: self, id: std::mem::take(&mut created.id) })
            }
            Ok(Err(error)) => Err(self.failed("create a container", error)),
            Err(ended) => {
                Err(EngineError::Refused { what: "create a container", problem: ended.to_string() })
            }
        }
    }
}

/// An anonymous volume: removed with its container.
pub(super) fn own_volume(target: &str, labels: &HashMap<String, String>) -> Mount {
    Mount {
        target: Some(target.to_owned()),
        typ: Some(MountType::VOLUME),
        volume_options: Some(MountVolumeOptions {
            labels: Some(labels.clone()),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A container that was created; removed when nobody takes its id.
struct Unclaimed {
    id: String,
    docker: Docker,
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        let id = std::mem::take(&mut self.id);
        if let (false, Ok(runtime)) = (id.is_empty(), tokio::runtime::Handle::try_current()) {
            let docker = self.docker.clone();
            runtime.spawn(async move {
                if let Err(error) = remove(&docker, &id).await {
                    tracing::warn!(%error, "a container stays until the sweep");
                }
            });
        }
    }
}

async fn remove(docker: &Docker, id: &str) -> std::result::Result<(), ApiError> {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    docker.remove_container(id, Some(options)).await
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
        let upload = upload.no_deeper_than(self.engine.product.tree_depth());
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
    pub async fn start(&self) -> Result<Attended> {
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
        let away = move |error: ApiError| EngineError::Away {
            host: host.clone(),
            problem: crate::model::with_causes(&error),
        };
        let output = attached.output.try_filter_map(|frame| ready(Ok(written(frame))));
        Ok(Attended { output: Box::pin(output.map_err(away)), code: self.code() })
    }

    /// Attends to it again: what it has written and writes, without the first `skip`
    /// bytes.
    pub fn attend_again(&self, skip: u64) -> Attended {
        Attended { output: self.replay(skip), code: self.code() }
    }

    /// Asks at once, and for as long as it runs.
    fn code(&self) -> AbortOnDropHandle<Result<i64>> {
        let options = WaitContainerOptionsBuilder::new().condition("not-running").build();
        let mut waiting = self.engine.docker.wait_container(&self.id, Some(options));
        let host = self.engine.host.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            let problem = match waiting.next().await {
                Some(Ok(ended)) => return Ok(ended.status_code),
                // bollard takes every code but 0 for an error of its own.
                Some(Err(ApiError::DockerContainerWaitError { code, .. })) => return Ok(code),
                Some(Err(error)) => crate::model::with_causes(&error),
                None => "it stopped answering while a container ran".into(),
            };
            Err(EngineError::Away { host, problem })
        }))
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

    /// Whether the kernel killed one of its processes for want of memory, once it has ended.
    pub async fn is_out_of_memory(&self) -> Result<bool> {
        self.ended_for_memory(&self.state().await?).await
    }

    /// As [`Container::is_out_of_memory`], where its state is known.
    pub(super) async fn ended_for_memory(&self, state: &ContainerState) -> Result<bool> {
        if state.oom_killed.unwrap_or(false) {
            return Ok(true);
        }
        // Docker hears of a container's end and of what the kernel did in any order, and its state
        // does not learn of the second any more. It tells nevertheless.
        let may_be = state.exit_code == Some(KILLED) && self.engine.product == Product::Docker;
        Ok(may_be && !self.told_of(state, &["oom"]).await?.is_empty())
    }

    /// Whether the engine was there from the start to the end of this container, which nobody
    /// attended to. Otherwise what was written last is lost: what no engine took, or one took
    /// that ended before it kept it. An engine remembers some hundred events of its own time:
    /// under much load it may not know.
    pub async fn was_seen_throughout(&self) -> Result<bool> {
        if self.engine.product == Product::Podman {
            // Each container's own monitor takes its output there.
            return Ok(true);
        }
        let told = self.told_of(&self.state().await?, &["start", "die"]).await?;
        let is_told = |what: &str| told.iter().any(|event| event == what);
        Ok(is_told("start") && is_told("die"))
    }

    /// What of these the engine tells of it, which has ended; for as much as two seconds after
    /// that it is waited for.
    async fn told_of(&self, state: &ContainerState, events: &[&str]) -> Result<Vec<String>> {
        let second =
            |time: &Option<String>| time.as_deref().map_or(Timestamp(0), parse_time).0 / 1000;
        let filters =
            HashMap::from([("container", vec![self.id.as_str()]), ("event", events.to_vec())]);
        let options = EventsOptionsBuilder::new()
            .since(&second(&state.started_at).to_string())
            .until(&(second(&state.finished_at) + 2).to_string())
            .filters(&filters)
            .build();
        let told = self.engine.docker.events(Some(options)).try_collect::<Vec<_>>().await;
        let told = told.map_err(|e| self.engine.failed("tell what happened", e))?;
        Ok(told.into_iter().filter_map(|event| event.action).collect())
    }

    pub(super) async fn is_running(&self) -> Result<bool> {
        Ok(self.state().await?.running.unwrap_or(false))
    }

    /// How long it ran, once it has ended.
    pub async fn lifetime(&self) -> Result<Duration> {
        let state = self.state().await?;
        let at = |time: Option<String>| time.as_deref().map_or(Timestamp(0), parse_time);
        Ok(at(state.finished_at).since(at(state.started_at)))
    }

    pub(super) async fn state(&self) -> Result<ContainerState> {
        let inspected = self
            .engine
            .docker
            .inspect_container(&self.id, None::<InspectContainerOptions>)
            .await
            .map_err(|e| self.engine.failed("inspect a container", e))?;
        Ok(inspected.state.unwrap_or_default())
    }

    /// SIGTERM, and SIGKILL after `grace`; returns when it has ended.
    pub async fn stop(&self, grace: Duration) -> Result<()> {
        self.kill("SIGTERM").await?;
        if tokio::time::timeout(grace, self.ended()).await.is_err() {
            self.kill("SIGKILL").await?;
            self.ended().await;
        }
        Ok(())
    }

    async fn kill(&self, signal: &str) -> Result<()> {
        let options = KillContainerOptionsBuilder::new().signal(signal).build();
        match self.engine.docker.kill_container(&self.id, Some(options)).await {
            // 409: it has ended already.
            Ok(()) | Err(ApiError::DockerResponseServerError { status_code: 404 | 409, .. }) => {
                Ok(())
            }
            Err(error) => Err(self.engine.failed("stop a container", error)),
        }
    }

    /// An engine that can't say has nothing that could be waited for.
    async fn ended(&self) {
        let options = WaitContainerOptionsBuilder::new().condition("not-running").build();
        self.engine.docker.wait_container(&self.id, Some(options)).next().await;
    }

    /// Removes it without keeping anybody waiting.
    pub(super) fn remove_aside(self) {
        drop(Unclaimed { id: self.id, docker: self.engine.docker.clone() });
    }

    /// Kills it if it runs and removes it with its volume.
    pub async fn remove(self) -> Result<()> {
        match remove(&self.engine.docker, &self.id).await {
            // 409: it is being removed already.
            Ok(()) | Err(ApiError::DockerResponseServerError { status_code: 404 | 409, .. }) => {
                Ok(())
            }
            Err(error) => Err(self.engine.failed("remove a container", error)),
        }
    }
}

/// What a frame of an engine's answer brings. Where the connection is cut amid a frame,
/// bollard takes what it has of it, perhaps of its header, for a terminal's output: the
/// engine's copy has all of it.
fn written(frame: LogOutput) -> Option<Bytes> {
    match frame {
        LogOutput::StdOut { message } | LogOutput::StdErr { message } => Some(message),
        LogOutput::Console { .. } | LogOutput::StdIn { .. } => None,
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
            let mut bytes = written(chunk).unwrap_or_default();
            seen.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            let known = bytes.split_to(to_skip.min(bytes.len()));
            to_skip -= known.len();
            Ok(bytes)
        }
        Err(error) => {
            let problem = crate::model::with_causes(&error);
            Err(EngineError::Away { host: host.clone(), problem })
        }
    }))
}
