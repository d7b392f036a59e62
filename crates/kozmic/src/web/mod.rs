//! HTTP in; HTML, JSON and sockets out. No SQL and no Docker here.
//!
//! Until sign-in exists, every page is open to whoever reaches the server, and
//! so the server listens on loopback only (see `access`).

mod access;
mod actions;
mod api;
mod badge;
mod builds;
mod error;
mod health;
mod history;
mod hook;
mod jobs;
mod page;
mod router;
mod static_files;
mod tailer;

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::github::Client;
use crate::log::{Bus, LogFolder};
use crate::shutdown::Shutdown;
use crate::store::Store;

pub use access::{ListenError, check_listen};
pub use router::serve;

/// Says what keeps the server from its work, in words.
pub type Unready = Arc<dyn Fn() -> BoxFuture<'static, Vec<&'static str>> + Send + Sync>;

/// What handlers work with. Cheap to clone.
#[derive(Clone)]
pub struct App {
    pub store: Store,
    pub github: Client,
    pub bus: Bus,
    pub logs: LogFolder,
    /// Asked by `/readyz`.
    pub unready: Unready,
    /// The root of links that leave the site, without a trailing slash.
    pub public_url: String,
    /// Where GitHub's pages are, for links to commits; without a trailing slash.
    pub github_url: String,
    /// Names under which browsers may reach this server.
    pub hosts: Arc<[String]>,
    pub shutdown: Shutdown,
}

impl App {
    /// The host names to be served: loopback's, and the public URL's.
    pub fn hosts(listen: SocketAddr, public_url: &url::Url) -> Arc<[String]> {
        let mut hosts = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "[::1]".to_owned()];
        hosts.push(match listen {
            SocketAddr::V4(address) => address.ip().to_string(),
            SocketAddr::V6(address) => format!("[{}]", address.ip()),
        });
        hosts.extend(public_url.host_str().map(str::to_owned));
        hosts.into()
    }
}
