//! A network of a job's own, for its build script and its services. Its addresses are from
//! a pool of Kozmic's: those that engines give networks by themselves are for some thirty
//! networks only.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;

use bollard::errors::Error as ApiError;
use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, Ipam, IpamConfig,
    NetworkCreateRequest, NetworkingConfig,
};
use bollard::query_parameters::ListNetworksOptionsBuilder;

use super::{Engine, EngineError, Labels, Result, label};
use crate::model::{JobUuid, ServiceName, Subnet};

/// The first address in a job's network that is a container's: that of its build script.
const FIRST: u32 = 2;
/// The kernel's table of IPv4 routes (proc(5)), each with its block in hexadecimal, in the
/// byte order of the network read as a number of this machine.
const ROUTES: &str = "/proc/net/route";

/// A network that was made for one attempt of a job.
#[derive(Debug, Clone)]
pub struct Network {
    id: String,
    subnet: Subnet,
    services: Vec<ServiceName>,
}

/// A container's place in a network.
#[derive(Debug, Clone)]
pub struct Place {
    network: String,
    subnet: Subnet,
    address: String,
    alias: Option<String>,
    /// `NAME:ADDRESS` of all services: some engines have no names for containers of a
    /// network, and all write these into the container's `/etc/hosts`.
    hosts: Vec<String>,
}

impl Network {
    /// One that is there.
    pub(super) fn found(found: bollard::models::Network) -> Option<Self> {
        let mut blocks = found.ipam?.config?.into_iter();
        let subnet = blocks.find_map(|block| block.subnet?.parse().ok())?;
        Some(Self { id: found.id?, subnet, services: Vec::new() })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The build script's.
    pub fn script(&self) -> Place {
        self.place(FIRST, None)
    }

    /// A service's, by its number.
    pub(super) fn service(&self, at: usize) -> Option<Place> {
        Some(self.place(Self::number(at), Some(self.services.get(at)?.to_string())))
    }

    fn number(service: usize) -> u32 {
        FIRST + 1 + u32::try_from(service).unwrap_or(0)
    }

    fn place(&self, number: u32, alias: Option<String>) -> Place {
        let services = self.services.iter().enumerate();
        let hosts =
            services.map(|(at, name)| format!("{name}:{}", self.subnet.address(Self::number(at))));
        Place {
            network: self.id.clone(),
            subnet: self.subnet,
            address: self.subnet.address(number).to_string(),
            alias,
            hosts: hosts.collect(),
        }
    }
}

impl Place {
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn subnet(&self) -> Subnet {
        self.subnet
    }
}

/// With its place in a network, if it has one.
pub(super) fn placed(body: ContainerCreateBody, place: Option<&Place>) -> ContainerCreateBody {
    let Some(place) = place else { return body };
    let mut host_config = body.host_config.unwrap_or_default();
    host_config.network_mode = Some(place.network.clone());
    host_config.extra_hosts = Some(place.hosts.clone());
    let endpoint = EndpointSettings {
        aliases: place.alias.clone().map(|alias| vec![alias]),
        ipam_config: Some(EndpointIpamConfig {
            ipv4_address: Some(place.address.clone()),
            ..Default::default()
        }),
        ..Default::default()
    };
    let endpoints = HashMap::from([(place.network.clone(), endpoint)]);
    ContainerCreateBody {
        host_config: Some(host_config),
        networking_config: Some(NetworkingConfig { endpoints_config: Some(endpoints) }),
        ..body
    }
}

impl Engine {
    /// A network for these services of a job's attempt.
    pub async fn create_network(
        &self,
        labels: &Labels,
        services: Vec<ServiceName>,
    ) -> Result<Network> {
        let name = format!("kozmic-{}-{}", labels.job, labels.attempt);
        self.create_network_as(&name, &labels.to_map(&self.instance), services).await
    }

    /// What other networks and, where the engine is on this machine, its routes take of the
    /// pool is left alone.
    pub(super) async fn create_network_as(
        &self,
        name: &str,
        labels: &HashMap<String, String>,
        services: Vec<ServiceName>,
    ) -> Result<Network> {
        let mut taken = self.subnets_of_networks().await?;
        if self.host.starts_with("unix://") {
            taken.extend(routes(&std::fs::read_to_string(ROUTES).unwrap_or_default()));
        }
        for _ in 0..self.pool.count() {
            let subnet = self.pool.subnet(self.next_subnet.fetch_add(1, Ordering::Relaxed));
            if taken.iter().any(|other| other.overlaps(&subnet)) {
                continue;
            }
            if let Some(id) = self.create_network_of(name, labels, subnet).await? {
                return Ok(Network { id, subnet, services });
            }
        }
        Err(EngineError::NoNetwork(self.pool))
    }

    /// None when somebody else has taken these addresses meanwhile.
    async fn create_network_of(
        &self,
        name: &str,
        labels: &HashMap<String, String>,
        subnet: Subnet,
    ) -> Result<Option<String>> {
        let address = IpamConfig {
            subnet: Some(subnet.to_string()),
            gateway: Some(subnet.address(1).to_string()),
            ..Default::default()
        };
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some("bridge".into()),
            ipam: Some(Ipam { config: Some(vec![address]), ..Default::default() }),
            labels: Some(labels.clone()),
            ..Default::default()
        };
        match self.docker.create_network(request).await {
            Ok(created) => Ok(Some(created.id)),
            Err(ApiError::DockerResponseServerError { message, .. }) if is_taken(&message) => {
                Ok(None)
            }
            Err(error) => Err(self.failed("make a network for the job", error)),
        }
    }

    async fn subnets_of_networks(&self) -> Result<Vec<Subnet>> {
        let networks = self.docker.list_networks(None).await;
        let networks = networks.map_err(|e| self.failed("list networks", e))?;
        let blocks = networks.into_iter().filter_map(|network| network.ipam?.config).flatten();
        Ok(blocks.filter_map(|block| block.subnet?.parse().ok()).collect())
    }

    /// The jobs and attempts of all networks of this installation.
    pub async fn networks_by_job(&self) -> Result<Vec<(JobUuid, i64)>> {
        let found = self.networks(&label::of_instance(&self.instance)).await?;
        Ok(found.into_iter().map(|(job, attempt, _)| (job, attempt)).collect())
    }

    /// Removes the networks of these attempts of a job; what is still connected keeps its
    /// own, for later.
    pub async fn remove_networks_of_job(
        &self,
        job: JobUuid,
        attempts: RangeInclusive<i64>,
    ) -> Result<()> {
        for (_, attempt, id) in self.networks(&label::of_job(job, &self.instance)).await? {
            if !attempts.contains(&attempt) {
                continue;
            }
            match self.docker.remove_network(&id).await {
                // 403, and Podman's 409 and 500: something is still connected.
                Ok(()) | Err(ApiError::DockerResponseServerError { status_code: 404, .. }) => {}
                Err(error) => return Err(self.failed("remove a network", error)),
            }
        }
        Ok(())
    }

    async fn networks(
        &self,
        filters: &HashMap<String, Vec<String>>,
    ) -> Result<Vec<(JobUuid, i64, String)>> {
        let options = ListNetworksOptionsBuilder::new().filters(filters).build();
        let networks = self.docker.list_networks(Some(options)).await;
        let networks = networks.map_err(|e| self.failed("list networks", e))?;
        let of_job = |network: bollard::models::Network| {
            let labels = network.labels.as_ref();
            // Not by the filter alone: Podman takes several labels for alternatives.
            let is_ours = labels?.get(label::INSTANCE) == Some(&self.instance);
            let (job, attempt) = (label::job(labels)?, label::attempt(labels)?);
            Some((job, attempt, network.id?)).filter(|_| is_ours)
        };
        Ok(networks.into_iter().filter_map(of_job).collect())
    }
}

/// How Docker and Podman say that addresses are in use.
fn is_taken(message: &str) -> bool {
    ["overlap", "already used", "already being used", "conflicts with network"]
        .iter()
        .any(|words| message.contains(words))
}

/// The blocks that routes lead to, without those for all that nothing else is said of.
fn routes(table: &str) -> Vec<Subnet> {
    let route = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let mut number = |at: usize| u32::from_str_radix(fields.nth(at)?, 16).ok();
        let (destination, mask) = (number(0)?, number(5)?);
        let prefix = u8::try_from(mask.count_ones()).ok().filter(|prefix| *prefix > 0)?;
        Subnet::new(destination.swap_bytes().into(), prefix)
    };
    table.lines().skip(1).filter_map(route).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_read_as_the_kernel_writes_them() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                     eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                     docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
                     eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\nbroken\n";
        if cfg!(target_endian = "little") {
            let routes: Vec<String> = routes(table).iter().map(ToString::to_string).collect();
            assert_eq!(routes, ["172.17.0.0/16", "192.0.2.0/24"]);
        }
    }

    #[test]
    fn everybody_in_a_network_has_an_address_of_their_own() {
        let services: Vec<ServiceName> =
            (0..10).map(|n| format!("s{n}").parse().unwrap()).collect();
        let subnet = "10.213.0.16/28".parse().unwrap();
        let network = Network { id: "n".into(), subnet, services };
        let script = network.script();
        assert_eq!((script.address(), script.hosts.len()), ("10.213.0.18", 10));
        let last = network.service(9).unwrap();
        assert_eq!((last.address(), last.alias.as_deref()), ("10.213.0.28", Some("s9")));
        assert_eq!(last.hosts[9], "s9:10.213.0.28");
        assert!(network.service(10).is_none());
    }
}
