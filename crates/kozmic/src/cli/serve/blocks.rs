//! Where Kozmic's own parts are, which jobs are to be kept from.

use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use url::Url;

use super::line;
use crate::cli::connect_engine;
use crate::cli::role::Role;
use crate::config::Settings;
use crate::engine::{Blocks, Engine, EngineError};
use crate::store::sqlite_file;

const POSTGRES: u16 = 5432;
const REDIS: u16 = 6379;

/// A worker's engine, where each job has a network of its own; none for who is no worker.
/// `name` is this process's.
pub(super) async fn engine(
    role: Role,
    settings: &Settings,
    address: SocketAddr,
    (instance, name): (&str, &str),
) -> Result<Option<Arc<Engine>>, EngineError> {
    if !role.is_worker() {
        return Ok(None);
    }
    let blocks = blocks(settings, address).await;
    let engine = connect_engine(settings, instance).await?;
    Ok(Some(Arc::new(engine.with_sandboxes(blocks, name))))
}

/// Nobody needs the networks that no job has.
pub(super) async fn leave(engine: Option<Arc<Engine>>) {
    if let Some(engine) = engine
        && let Err(error) = engine.remove_free_sandboxes().await
    {
        tracing::warn!(%error, "networks that no job has stay until the next start");
    }
}

/// The server at `address`, its database and Redis.
async fn blocks(settings: &Settings, address: SocketAddr) -> Blocks {
    use secrecy::ExposeSecret as _;
    let mut blocks = Blocks {
        blocked: settings.beside.blocked.clone(),
        own_ports: vec![address.port()],
        own_sockets: Vec::new(),
        is_must: settings.beside.is_blocked_given && !settings.beside.blocked.is_nothing(),
    };
    if sqlite_file(&settings.database_url).is_none() {
        add(&mut blocks, "the database", &settings.database_url, POSTGRES).await;
    }
    if let Some(url) = &settings.machines.redis_url {
        add(&mut blocks, "Redis", url.expose_secret(), REDIS).await;
    }
    blocks
}

async fn add(blocks: &mut Blocks, what: &str, url: &str, default_port: u16) {
    let Ok(url) = url.parse::<Url>() else { return };
    let port = url.port().unwrap_or(default_port);
    // Whatever its name leads to, it may be this machine's.
    blocks.own_ports.push(port);
    let Some(host) = url.host_str().filter(|host| !host.is_empty()) else { return };
    match tokio::net::lookup_host((host.trim_matches(['[', ']']), port)).await {
        Ok(found) => {
            let sockets = found.filter_map(|socket| match socket.ip() {
                IpAddr::V4(v4) if !v4.is_loopback() => Some(SocketAddrV4::new(v4, port)),
                // Networks of jobs have no IPv6.
                IpAddr::V4(_) | IpAddr::V6(_) => None,
            });
            blocks.own_sockets.extend(sockets);
        }
        Err(error) => {
            line(&format!("warning: jobs may reach {what}: its name leads to nothing: {error}"));
        }
    }
}
