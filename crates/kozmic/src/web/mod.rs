//! HTTP in; HTML, JSON and sockets out. No SQL and no Docker here.
//!
//! To add a route, write its line in the table of `routes`: the path, how visitors
//! show who they are ([`Door`]), who may enter ([`Who`]), and the handler. The gate
//! (`gate`) lets others not come so far. It finds the project by the path's parameters
//! `{project}`, or `{build}`, `{job}` or `{uuid}` alone; a route for members, managers
//! or the owner needs one of them. The handler takes as arguments what the gate found
//! out (`visitor`): `Access`, the project and the role in it; `Account`, who is signed
//! in; `Visitor`, where nobody need be. What a path names below `{project}`, the handler
//! looks for in that project, as `builds::find` does. One that changes something takes
//! `Acting` instead of the state, so that the audit log tells whose change it was, and
//! `tests/it/audit.rs` calls it. Then tell `tests/it/doors.rs` what
//! each kind of visitor gets, and docs/who-may-do-what.md that the route exists: tests
//! compare both with the table.

mod access;
mod account;
mod actions;
mod administration;
mod admission;
mod api;
mod artifacts;
mod audit;
mod avatars;
mod badge;
mod bounds;
mod builds;
mod cache_folders;
mod chart;
mod connection;
mod cookies;
mod error;
mod exchanges;
mod feed;
mod gate;
mod health;
mod history;
mod home;
mod hook;
mod hook_changes;
mod hook_check;
mod hook_form;
mod install_step;
mod jobs;
mod kept;
mod live;
mod log_page;
mod log_view;
mod mail_choices;
mod notifications;
mod origin;
mod pace;
mod page;
mod phases;
mod plain_log;
mod repositories;
mod router;
mod routes;
mod secrets;
mod services;
mod settings;
mod sign_in;
mod start;
mod static_files;
mod tail;
mod tailer;
mod tests;
mod visitor;
mod watch;
mod words;

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use secrecy::SecretString;

use crate::config::{Admission, InForce};
use crate::github::{Client, OAuthApp};
use crate::log::{Bus, Logs};
use crate::model::{MailChoice, Networks};
use crate::rates::Rates;
use crate::shutdown::Shutdown;
use crate::store::Store;
use crate::terminal::Terminals;
use crate::trees::TreeLimits;
use crate::upkeep::Upkeep;

pub use access::{ListenError, check_listen};
pub use avatars::Avatars;
pub use cookies::Cookies;
pub use exchanges::Exchanges;
pub use feed::Feeds;
pub use gate::{Door, Entry, Who};
pub use live::Live;
pub use router::serve;
pub use routes::entries;

/// Says what keeps the server from its work, in words.
pub type Unready = Arc<dyn Fn() -> BoxFuture<'static, Vec<&'static str>> + Send + Sync>;

/// What handlers work with. Cheap to clone, and each route has several.
#[derive(Clone)]
pub struct App(Arc<AppParts>);

impl Deref for App {
    type Target = AppParts;

    fn deref(&self) -> &AppParts {
        &self.0
    }
}

#[derive(Clone)]
pub struct AppParts {
    pub store: Store,
    pub github: Client,
    pub upkeep: Upkeep,
    /// None: nobody can sign in, and pages say what to set.
    pub oauth: Option<OAuthApp>,
    pub admission: Arc<Admission>,
    pub cookies: Cookies,
    pub exchanges: Arc<Exchanges>,
    pub bus: Bus,
    /// Of the jobs that somebody watches.
    pub feeds: Feeds,
    /// Who is told of changes.
    pub live: Live,
    pub logs: Logs,
    /// Where those who look into failed jobs meet the worker.
    pub terminals: Terminals,
    /// What is taken to be tried.
    pub trees: TreeLimits,
    /// Which mails who chose nothing gets; none: no mail can be sent.
    pub mail: Option<MailChoice>,
    /// Opens `/metrics` from other machines.
    pub metrics_token: Option<SecretString>,
    /// Asked by `/readyz`.
    pub unready: Unready,
    /// The root of links that leave the site, without a trailing slash.
    pub public_url: String,
    /// Where GitHub's pages are, for links to commits; without a trailing slash.
    pub github_url: String,
    /// Whose word counts on whom they ask for.
    pub proxies: Arc<Networks>,
    /// How often who may ask.
    pub rates: Rates,
    /// Names under which browsers may reach this server.
    pub hosts: Arc<[String]>,
    /// What administrators are shown.
    pub in_force: Arc<[InForce]>,
    pub avatars: Avatars,
    pub shutdown: Shutdown,
}

impl App {
    pub fn new(parts: AppParts) -> Self {
        Self(Arc::new(parts))
    }

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
