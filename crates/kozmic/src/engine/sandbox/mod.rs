//! Networks of jobs, made ahead: each is a network of its own and a container that holds its
//! namespace, in which rules keep whoever joins it from some addresses. When all who joined
//! it are gone, the container goes, and the network is given to another one: who joins a
//! container has its `/etc/hosts` and `/etc/resolv.conf`, and root may write them.
//!
//! The holder runs `ip monitor`, which waits, in an image of nothing else. It alone has
//! NET_ADMIN, and shares nothing but the network with the job.

mod image;
mod keep;
mod rules;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::StartContainerOptions;
use tokio::sync::{Notify, OnceCell};
use tokio::time::Instant;

use super::network::{Network, Place, placed};
use super::product::Product;
use super::upload::{Owner, Upload};
use super::{Container, Engine, EngineError, Labels, Result, Step};
use crate::model::JobUuid;
use image::IpImage;
pub use rules::Blocks;

/// The installation, of a holder that no job has for good; and which process made it.
const SANDBOX: &str = "kozmic.sandbox";
const NODE: &str = "kozmic.node";
/// The network that a holder is in.
const NETWORK: &str = "kozmic.network";
/// The holder whose network a container has joined.
pub(super) const HELD_BY: &str = "kozmic.held-by";

const RULES: &str = "rules";
/// The kernel's table of this machine's addresses (proc(5)).
const ADDRESSES: &str = "/proc/net/fib_trie";
/// Bytes of memory of a holder, and its processes.
const MEMORY: i64 = 64 << 20;
const PIDS: i64 = 32;
/// How long a job waits for addresses, and between two looks.
const NETWORK_TIME: Duration = Duration::from_secs(30);
const NETWORK_EVERY: Duration = Duration::from_secs(1);

/// What an engine has of them.
pub(super) struct Sandboxes {
    blocks: Blocks,
    /// Names this process: it lets go of what is its own only.
    node: String,
    image: OnceCell<IpImage>,
    adopted: OnceCell<()>,
    pool: Mutex<Pool>,
    /// A job is over, or one more is to be made.
    changed: Notify,
}

#[derive(Default)]
struct Pool {
    free: Vec<Sandbox>,
    /// Networks that nothing holds.
    bare: Vec<Network>,
    /// By the holder's id.
    taken: HashMap<String, Taken>,
    last_taken: Option<Instant>,
    /// How many were taken since none had been for long, and how many of them at once at the
    /// most.
    since_rest: usize,
    at_once: usize,
    has_warned: bool,
}

/// A holder that nobody has joined yet, and its network.
struct Sandbox {
    holder: String,
    network: Network,
}

struct Taken {
    network: Network,
    /// Nothing has joined it yet.
    is_pending: bool,
    /// It is of the process before; its addresses may be of other settings.
    is_inherited: bool,
}

/// One that is taken, and not given away as long as this lives.
pub(super) struct Ticket<'engine> {
    sandboxes: &'engine Sandboxes,
    holder: String,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if let Some(taken) = self.sandboxes.pool().taken.get_mut(&self.holder) {
            taken.is_pending = false;
        }
    }
}

impl Ticket<'_> {
    /// The container joins it.
    pub(super) fn joined(&self, body: ContainerCreateBody) -> ContainerCreateBody {
        joined(body, &self.holder)
    }
}

/// In the network namespace of another container, which has its names as well; its labels
/// say so.
fn joined(mut body: ContainerCreateBody, holder: &str) -> ContainerCreateBody {
    body.labels.get_or_insert_default().insert(HELD_BY.to_owned(), holder.to_owned());
    let host_config = HostConfig {
        network_mode: Some(format!("container:{holder}")),
        ..body.host_config.unwrap_or_default()
    };
    ContainerCreateBody { hostname: None, host_config: Some(host_config), ..body }
}

impl Sandboxes {
    fn pool(&self) -> std::sync::MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that was free last.
    fn pop(&self) -> Option<Ticket<'_>> {
        let mut pool = self.pool();
        let Sandbox { holder, network } = pool.free.pop()?;
        let taken = Taken { network, is_pending: true, is_inherited: false };
        pool.taken.insert(holder.clone(), taken);
        pool.last_taken = Some(Instant::now());
        pool.since_rest += 1;
        pool.at_once = pool.at_once.max(pool.taken.len());
        Some(Ticket { sandboxes: self, holder })
    }
}

impl Engine {
    /// From now on each job has a network of its own, in which it does not reach `blocks`.
    /// `node` names this process among those of its installation.
    #[must_use]
    pub fn with_sandboxes(self, blocks: Blocks, node: &str) -> Self {
        let sandboxes = Sandboxes {
            blocks,
            node: node.to_owned(),
            image: OnceCell::new(),
            adopted: OnceCell::new(),
            pool: Mutex::default(),
            changed: Notify::new(),
        };
        Self { sandboxes: Some(sandboxes), ..self }
    }

    /// How many networks of jobs are free, and how many are in use.
    pub fn sandboxes(&self) -> (usize, usize) {
        self.sandboxes.as_ref().map_or((0, 0), |sandboxes| {
            let pool = sandboxes.pool();
            (pool.free.len(), pool.taken.len())
        })
    }

    /// A network for a job's container; none where jobs have the engine's own.
    pub(super) async fn take_sandbox(&self) -> Result<Option<Ticket<'_>>> {
        let Some(sandboxes) = &self.sandboxes else { return Ok(None) };
        sandboxes.adopted.get_or_try_init(async || self.adopt(sandboxes).await).await?;
        let start = Instant::now();
        loop {
            if let Some(ticket) = self.free_sandbox(sandboxes).await? {
                return Ok(Some(ticket));
            }
            match self.make_sandbox(sandboxes).await {
                Ok(()) => {}
                Err(EngineError::NoNetwork(_)) if start.elapsed() < NETWORK_TIME => {
                    self.reclaim(sandboxes).await?;
                    tokio::time::sleep(NETWORK_EVERY).await;
                }
                Err(EngineError::NoSandbox(problem)) if !sandboxes.blocks.is_must => {
                    if !std::mem::replace(&mut sandboxes.pool().has_warned, true) {
                        tracing::warn!(
                            problem,
                            "jobs have the engine's own network, and reach what it reaches"
                        );
                    }
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// One that is there and that nobody has.
    async fn free_sandbox<'a>(&self, sandboxes: &'a Sandboxes) -> Result<Option<Ticket<'a>>> {
        while let Some(ticket) = sandboxes.pop() {
            // The engine may have ended it, with itself. It is let go then, and looked after.
            match self.container(&ticket.holder).is_running().await {
                Ok(true) => return Ok(Some(ticket)),
                Ok(false) | Err(EngineError::Refused { .. }) => sandboxes.changed.notify_one(),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// One more that is free.
    async fn make_sandbox(&self, sandboxes: &Sandboxes) -> Result<()> {
        self.can_hold()?;
        let labels = HashMap::from([
            (SANDBOX.to_owned(), self.instance.clone()),
            (NODE.to_owned(), sandboxes.node.clone()),
        ]);
        let bare = sandboxes.pool().bare.pop();
        let network = match bare {
            Some(network) => network,
            None => {
                let name = format!("kozmic-sandbox-{}", JobUuid::random());
                let made = self.create_network_as(&name, &labels, Vec::new()).await;
                made.map_err(not_made)?
            }
        };
        let mut of_holder = labels;
        of_holder.insert(NETWORK.to_owned(), network.id().to_owned());
        match self.make_holder(sandboxes, &network.script(), of_holder, None).await {
            Ok(holder) => {
                sandboxes.pool().free.push(Sandbox { holder: holder.id, network });
                Ok(())
            }
            Err(error) => {
                self.remove_network(network.id()).await?;
                Err(error)
            }
        }
    }

    /// A container that holds the network of this place, with the rules in force.
    async fn make_holder(
        &self,
        sandboxes: &Sandboxes,
        place: &Place,
        labels: HashMap<String, String>,
        hostname: Option<String>,
    ) -> Result<Container<'_>> {
        self.can_hold()?;
        let image = self.holders_image(sandboxes).await?;
        let rules = self.rules(sandboxes, place);
        let body = ContainerCreateBody {
            image: Some(image.name.clone()),
            hostname,
            entrypoint: Some(vec![image.program.clone()]),
            cmd: Some(vec!["monitor".into(), "link".into()]),
            labels: Some(labels),
            stop_signal: Some("SIGKILL".into()),
            host_config: Some(HostConfig {
                init: Some(true),
                memory: Some(MEMORY),
                memory_swap: Some(MEMORY),
                pids_limit: Some(PIDS),
                privileged: Some(false),
                cap_drop: Some(vec!["ALL".into()]),
                cap_add: Some(vec!["NET_ADMIN".into()]),
                security_opt: Some(vec!["no-new-privileges".into()]),
                log_config: Some(self.product.service_log_config()),
                ..Default::default()
            }),
            ..Default::default()
        };
        let holder = self.create_from(placed(body, Some(place))).await.map_err(not_made)?;
        let ready = async {
            let root = Owner { uid: 0, gid: 0 };
            holder.upload(Upload::new(root).file(RULES, rules, 0o444)).await?;
            self.start_holder(sandboxes, &holder).await
        };
        match ready.await {
            Ok(()) => Ok(holder),
            Err(error) => {
                holder.remove().await?;
                Err(not_made(error))
            }
        }
    }

    /// Made again where somebody has removed it.
    async fn holders_image<'a>(&self, sandboxes: &'a Sandboxes) -> Result<&'a IpImage> {
        let image = sandboxes.image.get_or_try_init(|| self.ip_image()).await?;
        if self.image_id(&image.name).await?.is_none() {
            self.ip_image().await?;
        }
        Ok(image)
    }

    /// Has it run, with the rules that it has as a file in force.
    async fn start_holder(&self, sandboxes: &Sandboxes, holder: &Container<'_>) -> Result<()> {
        let image = sandboxes.image.get_or_try_init(|| self.ip_image()).await?;
        let started = self.docker.start_container(&holder.id, None::<StartContainerOptions>);
        started.await.map_err(|e| self.failed("start what holds a job's network", e))?;
        let words = [&image.program, "-batch", "/rules"].map(ToString::to_string);
        match holder.check(&words).await? {
            (Some(0), _) => Ok(()),
            (_, said) => Err(EngineError::NoSandbox(format!("`ip rule`: {}", said.trim()))),
        }
    }

    /// Not tried with Podman, where containers that join others begin otherwise.
    fn can_hold(&self) -> Result<()> {
        match self.product {
            Product::Docker => Ok(()),
            Product::Podman => Err(EngineError::NoSandbox("the engine is Podman".into())),
        }
    }

    fn rules(&self, sandboxes: &Sandboxes, place: &Place) -> String {
        let mut local = Vec::new();
        if self.host.starts_with("unix://") {
            let table = std::fs::read_to_string(ADDRESSES).unwrap_or_default();
            local = rules::local_addresses(&table);
        }
        sandboxes.blocks.rules(self.pool, place.subnet(), &local)
    }

    /// The container at its place in its job's own network, behind a holder of the job's
    /// where there are sandboxes.
    pub(super) async fn in_place(
        &self,
        body: ContainerCreateBody,
        place: &Place,
        labels: &Labels,
    ) -> Result<ContainerCreateBody> {
        let Some(sandboxes) = &self.sandboxes else { return Ok(placed(body, Some(place))) };
        let labels = Labels { step: Step::Sandbox, ..labels.clone() }.to_map(&self.instance);
        let held = self.make_holder(sandboxes, place, labels, body.hostname.clone()).await;
        match held {
            Ok(holder) => Ok(joined(body, &holder.id)),
            Err(EngineError::NoSandbox(_)) if !sandboxes.blocks.is_must => {
                Ok(placed(body, Some(place)))
            }
            Err(error) => Err(error),
        }
    }
}

/// What an engine refuses to make can't keep a job from anything.
fn not_made(error: EngineError) -> EngineError {
    match error {
        EngineError::Refused { what, problem } => {
            EngineError::NoSandbox(format!("the engine could not {what}: {problem}"))
        }
        other => other,
    }
}
