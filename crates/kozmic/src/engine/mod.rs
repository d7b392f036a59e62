//! Containers and images, through Docker's API. Nothing outside this room names
//! bollard, the client library.

mod bounds;
mod cached;
mod container;
mod credentials;
mod download;
mod exec;
mod folder;
mod image;
mod kept;
mod label;
mod layers;
mod left;
mod network;
mod product;
mod registry;
mod sandbox;
mod service;
mod terminal;
mod upload;
mod usage;

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::errors::Error as ApiError;
use tokio::sync::Notify;

use crate::model::{NetworkPool, PulledImage, Timestamp, with_causes};
use product::Product;

pub use bounds::ContainerLimits;
pub use cached::{CachedImage, NewCachedImage, cached_image_name};
pub use container::{Attended, Container, ContainerSpec, Output};
pub use download::Download;
pub use folder::{FolderMount, FolderVolume};
pub use image::{Account, LocalImage, PullProgress};
pub use kept::{AsMade, FailedImage, RunsAs};
pub use label::{Labels, Step};
pub use left::{Found, Unattended};
pub use network::{Network, Place};
pub use sandbox::Blocks;
pub use service::{Looked, Probe, RunningService, ServiceEnd, ServiceImage};
pub use terminal::{Size, Terminal};
pub use upload::{Owner, Upload};
pub use usage::{EngineUsage, OfJob, UsedImage};

/// Seconds until an answer must begin.
const ANSWER_TIMEOUT: u64 = 120;
/// As many for what takes as long as it takes, an upload or a commit; the job's
/// own limit ends it sooner.
const SLOW_ANSWER_TIMEOUT: Duration = Duration::from_hours(24);
/// Where the engine listens when nothing else is said.
const DEFAULT_SOCKET: &str = "unix:///var/run/docker.sock";

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("the container engine at {host} does not answer: {problem}")]
    Away { host: String, problem: String },
    #[error("KOZMIC_DOCKER_HOST is `{0}`; it must begin with unix://, tcp:// or http://")]
    Host(String),
    #[error("the image {0} was not found, neither here nor in its registry")]
    ImageNotFound(String),
    #[error("the image {0} is built on this machine (images/base/build) and is not here")]
    LocalImageMissing(String),
    #[error("the registry denied the image {image}: {problem}")]
    ImageDenied { image: String, problem: String },
    #[error(
        "the registry of {image} limits how often it may be asked, and asks to wait: {problem}"
    )]
    RateLimited { image: String, problem: String },
    #[error("the image {image} could not be pulled: {problem}")]
    PullFailed { image: String, problem: String },
    #[error("the image {0} has no /bin/sh, which starts the script")]
    NoShell(String),
    #[error(
        "no network is free for the job: all addresses of {0} are in use, by networks of \
         the engine or routes of this machine; name other ones with KOZMIC_NETWORK_POOL"
    )]
    NoNetwork(NetworkPool),
    #[error(
        "the job can't be kept from what KOZMIC_BLOCKED_NETWORKS names, so it does not run: {0}"
    )]
    NoSandbox(String),
    #[error("the disk of the container engine is full: {0}")]
    DiskFull(String),
    #[error("the checkout could not be packed: {0}")]
    Packing(std::io::Error),
    #[error("the container engine could not {what}: {problem}")]
    Refused { what: &'static str, problem: String },
}

type Result<T> = std::result::Result<T, EngineError>;

/// A container engine: Docker, or what speaks its API.
pub struct Engine {
    docker: Docker,
    /// The same, with more patience.
    slow: Docker,
    product: Product,
    host: String,
    instance: String,
    /// Bytes that the engine's machine has.
    memory: u64,
    /// By image id, which names an immutable content.
    accounts: Mutex<HashMap<String, Account>>,
    /// When a registry was last asked about an image.
    asked: Mutex<HashMap<String, Instant>>,
    /// Where it keeps its data, on its own machine.
    root: Option<PathBuf>,
    identity: String,
    images: NewImages,
    /// Where jobs' networks are from, and which of them is tried next.
    pool: NetworkPool,
    next_subnet: AtomicU32,
    /// None: jobs without services have the engine's own network.
    sandboxes: Option<sandbox::Sandboxes>,
}

/// What came to the engine's disk through this process.
#[derive(Default)]
struct NewImages {
    pulled: Mutex<Vec<PulledImage>>,
    changed: Notify,
}

/// What answered.
#[derive(Debug, Clone)]
pub struct EngineVersion {
    pub name: String,
    pub version: String,
    pub api: String,
}

impl std::fmt::Display for EngineVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} (API {})", self.name, self.version, self.api)
    }
}

impl Engine {
    /// Connects and agrees on an API version. `host` as in DOCKER_HOST;
    /// `instance` labels all that is made.
    pub async fn connect(host: Option<&str>, instance: &str) -> Result<Self> {
        let host = host.unwrap_or(DEFAULT_SOCKET).to_owned();
        let away = |error: ApiError| EngineError::Away {
            host: host.clone(),
            problem: with_causes(&error),
        };
        let docker = if let Some(path) = host.strip_prefix("unix://") {
            Docker::connect_with_unix(path, ANSWER_TIMEOUT, bollard::API_DEFAULT_VERSION)
                .map_err(away)?
        } else if host.starts_with("tcp://") || host.starts_with("http://") {
            Docker::connect_with_http(&host, ANSWER_TIMEOUT, bollard::API_DEFAULT_VERSION)
                .map_err(away)?
        } else {
            return Err(EngineError::Host(host));
        };
        let away = |error: ApiError| EngineError::Away {
            host: host.clone(),
            problem: with_causes(&error),
        };
        let docker = docker.negotiate_version().await.map_err(&away)?;
        // Each costs the engine some milliseconds.
        let (product, info) =
            tokio::try_join!(Product::of(&docker), docker.info()).map_err(away)?;
        let memory = info.mem_total.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(1 << 30);
        let root = info.docker_root_dir.unwrap_or_default();
        // Not its own id: Podman makes up another one for each answer.
        let identity = format!("{}:{root}", info.name.unwrap_or_default());
        let slow = docker.clone().with_timeout(SLOW_ANSWER_TIMEOUT);
        Ok(Self {
            docker,
            slow,
            product,
            host,
            instance: instance.to_owned(),
            memory,
            accounts: Mutex::default(),
            asked: Mutex::default(),
            root: Some(PathBuf::from(root)).filter(|root| root.is_absolute()),
            identity,
            images: NewImages::default(),
            pool: NetworkPool::default(),
            // By chance: others may take networks of the same pool at the same time.
            next_subnet: AtomicU32::new(by_chance()),
            sandboxes: None,
        })
    }

    /// With other addresses for jobs' own networks.
    #[must_use]
    pub fn with_network_pool(self, pool: NetworkPool) -> Self {
        Self { pool, ..self }
    }

    pub async fn version(&self) -> Result<EngineVersion> {
        let version =
            self.docker.version().await.map_err(|e| self.failed("tell its version", e))?;
        let name = version
            .components
            .unwrap_or_default()
            .into_iter()
            .next()
            .map_or_else(|| "engine".to_owned(), |component| component.name);
        Ok(EngineVersion {
            name: if name == "Engine" { "Docker Engine".to_owned() } else { name },
            version: version.version.unwrap_or_default(),
            api: version.api_version.unwrap_or_default(),
        })
    }

    pub async fn ping(&self) -> Result<()> {
        match tokio::time::timeout(Duration::from_secs(5), self.docker.ping()).await {
            Ok(answer) => answer.map(|_| ()).map_err(|e| self.failed("answer", e)),
            Err(_) => Err(EngineError::Away {
                host: self.host.clone(),
                problem: "no answer in 5 s".into(),
            }),
        }
    }

    fn failed(&self, what: &'static str, error: ApiError) -> EngineError {
        match error {
            ApiError::DockerResponseServerError { message, .. }
                if message.contains("no space left on device") =>
            {
                EngineError::DiskFull(message)
            }
            ApiError::DockerResponseServerError { message, .. }
            | ApiError::DockerStreamError { error: message } => {
                EngineError::Refused { what, problem: message }
            }
            other => EngineError::Away { host: self.host.clone(), problem: with_causes(&other) },
        }
    }
}

fn by_chance() -> u32 {
    let number = RandomState::new().hash_one(());
    u32::try_from(number >> 32).unwrap_or(0)
}

/// A time as the engine writes it; 1970 when it is none.
fn parse_time(text: &str) -> Timestamp {
    text.parse::<jiff::Timestamp>().map_or(Timestamp(0), |time| Timestamp(time.as_millisecond()))
}
