//! What becomes of networks that no job has any more, of this process or the one before it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bollard::errors::Error as ApiError;
use bollard::models::{ContainerSummary, ContainerSummaryStateEnum as State};
use bollard::query_parameters::{InspectContainerOptions, ListNetworksOptionsBuilder};
use futures_util::stream::{self, StreamExt as _};

use super::{HELD_BY, NETWORK, NODE, SANDBOX, Sandbox, Sandboxes, Taken};
use crate::engine::network::Network;
use crate::engine::{Engine, EngineError, Result, Step, label};
use crate::model::JobUuid;

/// As many that nobody has are kept at the most, while there are jobs: one more than were taken at
/// once. Where one job follows another, what the one had is not made anew yet when the next begins.
/// Never more than jobs have come: one alone needs one.
const MOST_FREE: usize = 4;
/// As many when no job has taken one for so long.
const AT_REST: usize = 1;
const REST_AFTER: Duration = Duration::from_mins(10);
/// As many holders the engine removes at once.
const AT_ONCE: usize = 4;

impl Sandboxes {
    /// How many are to be free, and how many networks to be kept for more, where so many jobs
    /// may run.
    fn wanted(&self, jobs: usize) -> (usize, usize) {
        if jobs == 0 {
            return (0, 0);
        }
        let mut pool = self.pool();
        match pool.last_taken {
            Some(last) if last.elapsed() < REST_AFTER => {
                ((pool.at_once + 1).min(MOST_FREE).min(pool.since_rest), jobs)
            }
            Some(_) | None => {
                (pool.since_rest, pool.at_once) = (0, 0);
                (AT_REST, 0)
            }
        }
    }

    /// One that is free beyond so many.
    fn surplus_of(&self, free: usize) -> Option<Sandbox> {
        let mut pool = self.pool();
        if pool.free.len() > free { pool.free.pop() } else { None }
    }

    /// A network that nothing holds beyond so many.
    fn bare_of(&self, bare: usize) -> Option<Network> {
        let mut pool = self.pool();
        if pool.bare.len() > bare { pool.bare.pop() } else { None }
    }
}

impl Engine {
    /// Removes what holds the networks of a job's services.
    pub async fn remove_holders_of_job(&self, job: JobUuid, attempt: i64) -> Result<()> {
        for found in self.list(&label::of_job(job, &self.instance)).await? {
            let labels = found.labels.as_ref();
            let is_holder = label::step(labels) == Some(Step::Sandbox);
            if let Some(id) =
                found.id.filter(|_| is_holder && label::attempt(labels) == Some(attempt))
            {
                self.container(&id).remove().await?;
            }
        }
        Ok(())
    }

    /// Frees what nobody has joined any more, removes what is too much, and makes one of what is
    /// missing where so many jobs may run; less when none has come for long. When more is
    /// missing, [`Engine::sandboxes_changed`] returns at once.
    pub async fn tend_sandboxes(&self, jobs: usize) -> Result<()> {
        let Some(sandboxes) = &self.sandboxes else { return Ok(()) };
        sandboxes.adopted.get_or_try_init(async || self.adopt(sandboxes).await).await?;
        self.reclaim(sandboxes).await?;
        let (free, bare) = sandboxes.wanted(jobs);
        let is_missing = || sandboxes.pool().free.len() < free;
        if is_missing() {
            match self.make_sandbox(sandboxes).await {
                // One at a time: where jobs take each as soon as it is made, what they have left
                // is to be removed nevertheless.
                Ok(()) if is_missing() => sandboxes.changed.notify_one(),
                Ok(()) => {}
                // Told again when a job wants one.
                Err(error @ (EngineError::NoSandbox(_) | EngineError::NoNetwork(_))) => {
                    tracing::debug!(%error, "no network is ready for the next job");
                }
                Err(error) => return Err(error),
            }
        }
        self.shrink(sandboxes, free, bare).await
    }

    /// Removes what is beyond so many.
    async fn shrink(&self, sandboxes: &Sandboxes, free: usize, bare: usize) -> Result<()> {
        while let Some(surplus) = sandboxes.surplus_of(free) {
            let removed = self.container(&surplus.holder).remove().await;
            let mut pool = sandboxes.pool();
            match removed {
                Ok(()) => pool.bare.push(surplus.network),
                Err(error) => {
                    pool.free.push(surplus);
                    return Err(error);
                }
            }
        }
        while let Some(network) = sandboxes.bare_of(bare) {
            if let Err(error) = self.remove_network(network.id()).await {
                sandboxes.pool().bare.push(network);
                return Err(error);
            }
        }
        Ok(())
    }

    /// A job is over: what it had is to be looked after.
    pub fn sandbox_is_over(&self) {
        if let Some(sandboxes) = &self.sandboxes {
            sandboxes.changed.notify_one();
        }
    }

    /// Returns when there is something to look after; never where jobs have no networks.
    pub async fn sandboxes_changed(&self) {
        match &self.sandboxes {
            Some(sandboxes) => sandboxes.changed.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Removes what nobody has: others want the addresses, or this process ends.
    pub async fn remove_free_sandboxes(&self) -> Result<()> {
        let Some(sandboxes) = &self.sandboxes else { return Ok(()) };
        self.reclaim(sandboxes).await?;
        self.shrink(sandboxes, 0, 0).await
    }

    /// Takes the networks that nobody has joined any more from what held them.
    pub(super) async fn reclaim(&self, sandboxes: &Sandboxes) -> Result<()> {
        // Before the engine is asked: who joins one of these has done so.
        let candidates: Vec<String> = {
            let pool = sandboxes.pool();
            let settled = pool.taken.iter().filter(|(_, taken)| !taken.is_pending);
            settled.map(|(holder, _)| holder.clone()).collect()
        };
        if candidates.is_empty() {
            return Ok(());
        }
        let joined = self.joined_holders().await?;
        let over = candidates.into_iter().filter(|holder| !joined.contains(holder));
        let freed = stream::iter(over).map(|holder| self.free(sandboxes, holder));
        freed.buffer_unordered(AT_ONCE).fold(Ok(()), async |all, one| all.and(one)).await
    }

    /// Nobody has joined it any more.
    async fn free(&self, sandboxes: &Sandboxes, holder: String) -> Result<()> {
        let taken = sandboxes.pool().taken.remove(&holder);
        let Some(taken) = taken else { return Ok(()) };
        let freed = if taken.is_inherited {
            self.remove_sandbox(&holder, taken.network.id()).await
        } else {
            self.container(&holder).remove().await
        };
        let mut pool = sandboxes.pool();
        if freed.is_err() {
            // For the next time.
            pool.taken.insert(holder, taken);
        } else if !taken.is_inherited {
            pool.bare.push(taken.network);
        }
        freed
    }

    /// The holders that containers of this installation have joined, and are in still.
    async fn joined_holders(&self) -> Result<HashSet<String>> {
        let containers = self.list(&label::of_instance(&self.instance)).await?;
        // That of shells is started again when the next person comes.
        let has_ended = |found: &ContainerSummary| {
            matches!(found.state, Some(State::EXITED | State::DEAD))
                && label::step(found.labels.as_ref()) != Some(Step::Shell)
        };
        let in_use = containers.into_iter().filter(|found| !has_ended(found));
        Ok(in_use.filter_map(|found| found.labels?.remove(HELD_BY)).collect())
    }

    /// What the process before this one had: what is joined stays, the rest goes.
    pub(super) async fn adopt(&self, sandboxes: &Sandboxes) -> Result<()> {
        let of_node =
            vec![format!("{SANDBOX}={}", self.instance), format!("{NODE}={}", sandboxes.node)];
        let filters = HashMap::from([("label".to_owned(), of_node)]);
        let is_ours = |labels: &HashMap<String, String>| {
            labels.get(SANDBOX) == Some(&self.instance) && labels.get(NODE) == Some(&sandboxes.node)
        };
        let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
        let networks = self.docker.list_networks(Some(options)).await;
        let networks = networks.map_err(|e| self.failed("list networks", e))?.into_iter();
        let networks = networks.filter(|found| found.labels.as_ref().is_some_and(is_ours));
        let mut networks: HashMap<String, Network> = networks
            .filter_map(Network::found)
            .map(|network| (network.id().to_owned(), network))
            .collect();
        let joined = self.joined_holders().await?;
        for found in self.list(&filters).await? {
            let (Some(holder), Some(labels)) = (found.id, found.labels) else { continue };
            if !is_ours(&labels) {
                continue;
            }
            if !joined.contains(&holder) {
                self.container(&holder).remove().await?;
            } else if let Some(network) = labels.get(NETWORK).and_then(|id| networks.remove(id)) {
                let taken = Taken { network, is_pending: false, is_inherited: true };
                sandboxes.pool().taken.insert(holder, taken);
            }
        }
        for id in networks.keys() {
            self.remove_network(id).await?;
        }
        Ok(())
    }

    async fn remove_sandbox(&self, holder: &str, network: &str) -> Result<()> {
        self.container(holder).remove().await?;
        self.remove_network(network).await
    }

    pub(super) async fn remove_network(&self, id: &str) -> Result<()> {
        match self.docker.remove_network(id).await {
            Ok(()) | Err(ApiError::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
            Err(error) => Err(self.failed("remove a network", error)),
        }
    }

    /// What a container that is to be started again has joined runs, with its rules in force:
    /// an engine that was restarted has ended it.
    pub(in crate::engine) async fn wake_holder_of(&self, container: &str) -> Result<()> {
        let Some(sandboxes) = &self.sandboxes else { return Ok(()) };
        let found = self.docker.inspect_container(container, None::<InspectContainerOptions>);
        let found = found.await.map_err(|e| self.failed("inspect a container", e))?;
        let labels = found.config.and_then(|config| config.labels);
        let holder = labels.and_then(|mut labels| labels.remove(HELD_BY));
        let Some(holder) = holder.filter(|holder| !holder.is_empty()) else { return Ok(()) };
        let holder = self.container(&holder);
        if holder.is_running().await? {
            return Ok(());
        }
        self.start_holder(sandboxes, &holder).await
    }
}
