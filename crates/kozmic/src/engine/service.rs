//! Containers of services: started on a job's network, asked whether they are ready, and
//! read when the job is over.

use std::net::SocketAddr;
use std::time::Duration;

use bollard::errors::Error as ApiError;
use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::models::{ContainerCreateBody, HealthConfig, HostConfig};
use bollard::query_parameters::{LogsOptionsBuilder, StartContainerOptions};
use futures_util::StreamExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::container::own_volume;
use super::network::Network;
use super::{Container, ContainerLimits, Engine, Labels, Result, Step, label, parse_time};
use crate::model::{JobUuid, ReadyCheck, Service, Timestamp};

/// How long one look at a service may take.
const LOOK_TIME: Duration = Duration::from_secs(10);
/// Between two looks for the code of one that has ended.
const CODE_EVERY: Duration = Duration::from_millis(10);
/// Bytes of a check's output that are kept.
const SAID_LIMIT: usize = 1 << 18;
/// Prints the kernel's tables of TCP sockets (proc(5)) with nothing but the shell's builtins.
const SOCKETS: &str = "for f in /proc/net/tcp /proc/net/tcp6; do \
                       while read -r line; do echo \"$line\"; done < $f; done 2>/dev/null";
/// As those tables have it.
const LISTENS: &str = "0A";

/// What an image says of itself.
#[derive(Debug, Clone, Default)]
pub struct ServiceImage {
    pub id: String,
    /// The command of its health check.
    health: Option<Vec<String>>,
    /// TCP ports that it exposes.
    ports: Vec<u16>,
    volumes: Vec<String>,
}

/// How a service's readiness is found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// One of these ports accepts connections of others.
    Listens(Vec<u16>),
    /// This ends with 0 in the service.
    Command(Vec<String>),
    /// It runs.
    Runs,
}

impl std::fmt::Display for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Listens(ports) => {
                let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
                write!(f, "a connection to port {}", ports.join(" or "))
            }
            Self::Command(words) => match words.as_slice() {
                [shell, flag, script] if shell == "/bin/sh" && flag == "-c" => {
                    write!(f, "`{script}`")
                }
                words => write!(f, "`{}`", words.join(" ")),
            },
            Self::Runs => f.write_str("whether it runs"),
        }
    }
}

/// What a look at a service has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    Ready,
    /// What the check said.
    NotYet(String),
    Ended(ServiceEnd),
}

/// How a service ended by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceEnd {
    pub code: i64,
    pub is_out_of_memory: bool,
    pub at: Timestamp,
}

/// After its name.
impl std::fmt::Display for ServiceEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_out_of_memory {
            return f.write_str("was killed for want of memory");
        }
        write!(f, "ended with {}", self.code)
    }
}

/// A service's container that is here.
pub struct RunningService<'engine> {
    pub container: Container<'engine>,
    /// Its host name.
    pub name: String,
}

impl ServiceImage {
    /// How a service of this image is looked at: as its hook says, else by what the image
    /// says of itself.
    pub fn probe(&self, check: Option<&ReadyCheck>) -> Probe {
        let shell =
            |script: &str| Probe::Command(vec!["/bin/sh".into(), "-c".into(), script.to_owned()]);
        match (check, &self.health) {
            (Some(ReadyCheck::Port(port)), _) => Probe::Listens(vec![*port]),
            (Some(ReadyCheck::Command(command)), _) => shell(command),
            (None, Some(command)) => Probe::Command(command.clone()),
            (None, None) if self.ports.is_empty() => Probe::Runs,
            (None, None) => Probe::Listens(self.ports.clone()),
        }
    }
}

impl Engine {
    /// What an image that is here says of itself.
    pub async fn service_image(&self, image_id: &str) -> Result<ServiceImage> {
        let found = self.docker.inspect_image(image_id).await;
        let config = found.map_err(|e| self.failed("inspect an image", e))?.config;
        let config = config.unwrap_or_default();
        let tcp = |port: &String| port.strip_suffix("/tcp").unwrap_or(port).parse().ok();
        let test = config.healthcheck.and_then(|health| health.test).unwrap_or_default();
        Ok(ServiceImage {
            id: image_id.to_owned(),
            health: health_command(&test),
            ports: config.exposed_ports.unwrap_or_default().iter().filter_map(tcp).collect(),
            volumes: config.volumes.unwrap_or_default(),
        })
    }

    /// Starts the service with this number of the network's, with the command of its image.
    pub async fn start_service(
        &self,
        service: &Service,
        image: &ServiceImage,
        network: (&Network, usize),
        limits: &ContainerLimits,
        labels: &Labels,
    ) -> Result<Container<'_>> {
        let mut all = Labels { step: Step::Service, ..labels.clone() }.to_map(&self.instance);
        all.extend([label::of_service(service.name.as_str())]);
        let volumes = image.volumes.iter().map(|path| own_volume(path, &all)).collect();
        let body = ContainerCreateBody {
            image: Some(image.id.clone()),
            hostname: Some(service.name.to_string()),
            env: Some(service.env.iter().map(|(key, value)| format!("{key}={value}")).collect()),
            // It is looked at from here, more often than an image asks for.
            healthcheck: Some(HealthConfig {
                test: Some(vec!["NONE".into()]),
                ..Default::default()
            }),
            host_config: Some(HostConfig {
                log_config: Some(self.product.service_log_config()),
                mounts: Some(volumes),
                ..self.bounds(*limits, false)
            }),
            labels: Some(all),
            ..Default::default()
        };
        let (network, at) = network;
        let body = match network.service(at) {
            Some(place) => self.in_place(body, &place, labels).await?,
            None => body,
        };
        let container = self.create_from(body).await?;
        let started = self.docker.start_container(&container.id, None::<StartContainerOptions>);
        match started.await {
            Ok(()) => Ok(container),
            Err(error) => Err(self.failed("start a service", error)),
        }
    }

    /// The services of a job's attempt, in the order of their names.
    pub async fn services(&self, job: JobUuid, attempt: i64) -> Result<Vec<RunningService<'_>>> {
        let mut services = Vec::new();
        for found in self.list(&label::of_job(job, &self.instance)).await? {
            let labels = found.labels.as_ref();
            let name = label::service(labels).map(str::to_owned);
            let is_its = label::attempt(labels) == Some(attempt);
            if let (true, Some(name), Some(id)) = (is_its, name, found.id) {
                services.push(RunningService { container: Container { engine: self, id }, name });
            }
        }
        services.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(services)
    }
}

impl Container<'_> {
    /// How it ended; none while it runs.
    pub async fn ended_by_itself(&self) -> Result<Option<ServiceEnd>> {
        let state = self.state().await?;
        if state.running == Some(true) {
            return Ok(None);
        }
        Ok(Some(ServiceEnd {
            code: state.exit_code.unwrap_or(0),
            is_out_of_memory: self.ended_for_memory(&state).await?,
            at: state.finished_at.as_deref().map_or(Timestamp(0), parse_time),
        }))
    }

    /// Looks once whether it is ready; its address is in the network it was started in.
    pub async fn look(&self, probe: &Probe, network: (&Network, usize)) -> Result<Looked> {
        let looked = match probe {
            Probe::Runs => Ok(Looked::Ready),
            Probe::Command(words) => self.look_by(words).await,
            Probe::Listens(ports) => self.look_for(ports, network).await,
        };
        // Whatever a check finds in one that has ended, that is why.
        match self.ended_by_itself().await? {
            Some(end) => Ok(Looked::Ended(end)),
            None => looked,
        }
    }

    async fn look_by(&self, words: &[String]) -> Result<Looked> {
        Ok(match timeout(LOOK_TIME, self.check(words)).await {
            Ok(Ok((Some(0), _))) => Looked::Ready,
            Ok(Ok((code, said))) => {
                let code = code.map_or("without a code".to_owned(), |code| format!("with {code}"));
                Looked::NotYet(match said.trim() {
                    "" => format!("it ended {code}"),
                    said => format!("it ended {code}: {said}"),
                })
            }
            Ok(Err(error)) => Looked::NotYet(error.to_string()),
            Err(_) => Looked::NotYet(format!("no end in {} s", LOOK_TIME.as_secs())),
        })
    }

    /// By the kernel's own tables, since the engine's network need not be reachable from
    /// here; in an image without a shell, by connecting.
    async fn look_for(&self, ports: &[u16], (network, at): (&Network, usize)) -> Result<Looked> {
        let words = ["/bin/sh", "-c", SOCKETS].map(str::to_owned);
        let sockets = match timeout(LOOK_TIME, self.check(&words)).await {
            Ok(Ok((Some(0 | 1), said))) => Some(said),
            Ok(Ok(_) | Err(_)) | Err(_) => None,
        };
        let is_open = match (&sockets, network.service(at)) {
            (Some(sockets), _) => ports.iter().any(|port| listens(sockets, *port)),
            (None, Some(place)) => connects(place.address(), ports).await,
            (None, None) => false,
        };
        Ok(match (is_open, sockets) {
            (true, _) => Looked::Ready,
            (false, Some(_)) => Looked::NotYet("nothing listens there".into()),
            (false, None) => Looked::NotYet(
                "nothing answers there, and its image has no /bin/sh to look with".into(),
            ),
        })
    }

    /// Runs a program in it, as its own user; its code and what it wrote.
    pub(super) async fn check(&self, words: &[String]) -> Result<(Option<i64>, String)> {
        let engine = self.engine();
        let failed = |error: ApiError| engine.failed("look into a service", error);
        let options = CreateExecOptions {
            cmd: Some(words.to_vec()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..Default::default()
        };
        let created = engine.docker.create_exec(self.id(), options).await.map_err(failed)?;
        let mut said = Vec::new();
        let started = engine.docker.start_exec(&created.id, None).await.map_err(failed)?;
        if let StartExecResults::Attached { mut output, .. } = started {
            while let Some(chunk) = output.next().await {
                let chunk = chunk.map_err(failed)?.into_bytes();
                // The rest is waited for: its code comes after it.
                if said.len() < SAID_LIMIT {
                    said.extend_from_slice(&chunk);
                }
            }
        }
        let mut inspected = engine.docker.inspect_exec(&created.id).await.map_err(failed)?;
        // Its output is over a moment before its end is known.
        let start = Instant::now();
        while inspected.running == Some(true) && start.elapsed() < LOOK_TIME {
            tokio::time::sleep(CODE_EVERY).await;
            inspected = engine.docker.inspect_exec(&created.id).await.map_err(failed)?;
        }
        let text = String::from_utf8_lossy(&said).into_owned();
        Ok((inspected.exit_code, text))
    }

    /// What it has written last, at the most so many bytes.
    pub async fn written(&self, limit: usize) -> Result<Vec<u8>> {
        let engine = self.engine();
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).build();
        let mut logs = engine.docker.logs(self.id(), Some(options));
        let mut bytes = Vec::new();
        while let Some(chunk) = logs.next().await {
            let chunk = chunk.map_err(|e| engine.failed("tell what a container wrote", e))?;
            bytes.extend_from_slice(&chunk.into_bytes());
            // Not with every chunk.
            if bytes.len() > 2 * limit {
                bytes.drain(..bytes.len() - limit);
            }
        }
        if bytes.len() > limit {
            bytes.drain(..bytes.len() - limit);
        }
        Ok(bytes)
    }
}

/// As a Dockerfile has it: `CMD` and words, `CMD-SHELL` and a script, or `NONE`.
fn health_command(test: &[String]) -> Option<Vec<String>> {
    match test {
        [kind, words @ ..] if kind == "CMD" && !words.is_empty() => Some(words.to_vec()),
        [kind, script] if kind == "CMD-SHELL" => {
            Some(vec!["/bin/sh".into(), "-c".into(), script.clone()])
        }
        _ => None,
    }
}

/// Whether a socket listens on this port for more than its own machine: lines of
/// `sl local_address rem_address st …`, with `ADDRESS:PORT` in hexadecimal.
fn listens(sockets: &str, port: u16) -> bool {
    sockets.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, local, _, state, ..] = fields.as_slice() else { return false };
        let Some((address, number)) = local.split_once(':') else { return false };
        let is_loopback = match address.len() {
            8 => u32::from_str_radix(address, 16).is_ok_and(|it| it.to_ne_bytes()[0] == 127),
            _ => address == "00000000000000000000000001000000",
        };
        *state == LISTENS && u16::from_str_radix(number, 16) == Ok(port) && !is_loopback
    })
}

async fn connects(address: &str, ports: &[u16]) -> bool {
    let Ok(address) = address.parse() else { return false };
    for port in ports {
        let connecting = TcpStream::connect(SocketAddr::new(address, *port));
        if matches!(timeout(Duration::from_secs(1), connecting).await, Ok(Ok(_))) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_only_the_service_itself_reaches_is_not_open() {
        let sockets = "sl local_address rem_address st tx_queue rx_queue\n\
             0: 0100007F:1538 00000000:0000 0A 00000000:00000000\n\
             1: 00000000:18EB 00000000:0000 0A 00000000:00000000\n\
             2: 0200D50A:0050 0300D50A:D431 01 00000000:00000000\n\
             0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0\n\
             1: 00000000000000000000000000000000:2328 00000000000000000000000000000000:0000 0A 0\n";
        assert!(listens(sockets, 6379) && listens(sockets, 9000));
        assert!(!listens(sockets, 5432) && !listens(sockets, 8080) && !listens(sockets, 80));
    }

    #[test]
    fn a_check_is_the_hook_s_or_else_the_image_s() {
        let words = |text: &[&str]| text.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
        let image = ServiceImage { ports: vec![5432], ..ServiceImage::default() };
        assert_eq!(image.probe(None), Probe::Listens(vec![5432]));
        let check = ReadyCheck::Command("pg_isready".into());
        assert_eq!(image.probe(Some(&check)).to_string(), "`pg_isready`");
        assert_eq!(image.probe(Some(&ReadyCheck::Port(1))), Probe::Listens(vec![1]));
        let health = health_command(&words(&["CMD-SHELL", "curl x || exit 1"]));
        let with_health = ServiceImage { health, ..image };
        assert_eq!(with_health.probe(None).to_string(), "`curl x || exit 1`");
        assert_eq!(health_command(&words(&["CMD", "a", "b"])), Some(words(&["a", "b"])));
        assert_eq!(health_command(&words(&["NONE"])), None);
        assert_eq!(health_command(&[]), None);
        assert_eq!(ServiceImage::default().probe(None), Probe::Runs);
    }
}
