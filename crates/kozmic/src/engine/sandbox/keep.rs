//! What becomes of networks that no job has any more, of this process or the one before it.

use std::collections::{HashMap, HashSet};

use bollard::errors::Error as ApiError;
use bollard::models::{ContainerSummary, ContainerSummaryStateEnum as State};
use bollard::query_parameters::{InspectContainerOptions, ListNetworksOptionsBuilder};

use super::{HELD_BY, NETWORK, NODE, SANDBOX, Sandbox, Sandboxes, Taken};
use crate::engine::{Engine, EngineError, Result, Step, label};
use crate::model::JobUuid;

/// As many that nobody has are kept at the most.
const MOST_FREE: usize = 4;

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

    /// Frees what nobody has joined any more, removes what is too much, and makes what is
    /// missing of `ready`.
    pub async fn tend_sandboxes(&self, ready: usize) -> Result<()> {
        let Some(sandboxes) = &self.sandboxes else { return Ok(()) };
        sandboxes.adopted.get_or_try_init(async || self.adopt(sandboxes).await).await?;
        self.reclaim(sandboxes).await?;
        let surplus = {
            let mut pool = sandboxes.pool();
            let kept = pool.free.len().min(MOST_FREE);
            pool.free.split_off(kept)
        };
        for Sandbox { holder, network } in surplus {
            self.remove_sandbox(&holder, &network).await?;
        }
        for _ in self.sandboxes().0 + self.sandboxes().1..ready.min(MOST_FREE) {
            match self.make_sandbox(sandboxes).await {
                // Told when a job wants one.
                Err(EngineError::NoSandbox(_) | EngineError::NoNetwork(_)) => break,
                made => made?,
            }
        }
        Ok(())
    }

    /// Frees what nobody has joined any more.
    pub async fn reclaim_sandboxes(&self) -> Result<()> {
        match &self.sandboxes {
            Some(sandboxes) => self.reclaim(sandboxes).await,
            None => Ok(()),
        }
    }

    /// Removes what nobody has: this process ends.
    pub async fn remove_free_sandboxes(&self) -> Result<()> {
        let Some(sandboxes) = &self.sandboxes else { return Ok(()) };
        self.reclaim(sandboxes).await?;
        let free = std::mem::take(&mut sandboxes.pool().free);
        for Sandbox { holder, network } in free {
            self.remove_sandbox(&holder, &network).await?;
        }
        Ok(())
    }

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
        let mut stale = Vec::new();
        {
            let mut pool = sandboxes.pool();
            for holder in candidates.into_iter().filter(|holder| !joined.contains(holder)) {
                let Some(taken) = pool.taken.remove(&holder) else { continue };
                let sandbox = Sandbox { holder, network: taken.network };
                let whereto = if taken.is_inherited { &mut stale } else { &mut pool.free };
                whereto.push(sandbox);
            }
        }
        for Sandbox { holder, network } in stale {
            self.remove_sandbox(&holder, &network).await?;
        }
        Ok(())
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
        let joined = self.joined_holders().await?;
        let mut in_use = HashSet::new();
        for found in self.list(&filters).await? {
            let (Some(holder), Some(labels)) = (found.id, found.labels) else { continue };
            let Some(network) = labels.get(NETWORK).filter(|_| is_ours(&labels)).cloned() else {
                continue;
            };
            if joined.contains(&holder) {
                in_use.insert(network.clone());
                let taken = Taken { network, is_pending: false, is_inherited: true };
                sandboxes.pool().taken.insert(holder, taken);
            } else {
                self.container(&holder).remove().await?;
            }
        }
        let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
        let networks = self.docker.list_networks(Some(options)).await;
        for network in networks.map_err(|e| self.failed("list networks", e))? {
            if let (Some(id), Some(labels)) = (network.id, network.labels)
                && is_ours(&labels)
                && !in_use.contains(&id)
            {
                self.remove_network(&id).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn remove_sandbox(&self, holder: &str, network: &str) -> Result<()> {
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
