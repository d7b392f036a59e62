//! A stand-in for GitHub with state that people act upon.
//!
//! It keeps users, organizations, teams, repositories, forks, pull requests, webhooks, deploy keys
//! and commit statuses; people push to it with git and talk to its REST API; it changes its state
//! and delivers signed webhooks, as GitHub does. It shares no type with the product that is tested
//! against it: what passes between the two is checked against GitHub's own descriptions, and the
//! first exchange that is not valid fails the test it happened in (see [`Watch`]).
//!
//! | path | what |
//! | --- | --- |
//! | `/api/v3/…` | GitHub's REST API, where an Enterprise Server has it |
//! | `/{owner}/{repository}.git/…` | git over smart HTTP, and Git LFS |
//! | `/login/oauth/…` | where users let OAuth apps act for them |
//! | `/_sim/…` | control, which GitHub does not have: make users and repositories, set faults, look at deliveries |
//!
//! The rooms, from the outside in:
//!
//! - [`client`] a small async client for tests and for the command line
//! - [`person`] what a person does with git: clone, commit, push
//! - `rest`     the REST API, one file per noun
//! - `git`      bare repositories and smart HTTP
//! - `oauth`    authorizing OAuth apps
//! - `control`  the `/_sim/…` endpoints
//! - `contract` everything that passes, held to GitHub's own descriptions
//! - [`faults`] GitHub on a bad day
//! - `events`   what follows from a push or a pull request
//! - `deliver`  signed webhook delivery
//! - `shape`    how GitHub writes things down in JSON
//! - `credentials` who is calling
//! - `app`      what every request shares
//! - `state`    what GitHub knows; plain data

mod app;
pub mod client;
mod contract;
mod control;
mod credentials;
mod deliver;
mod events;
pub mod faults;
mod git;
mod oauth;
pub mod person;
mod rest;
mod shape;
mod state;

use std::path::PathBuf;

use anyhow::{Context, bail};
use axum::{
    Router,
    extract::{DefaultBodyLimit, Path},
    http::header,
    middleware,
    response::IntoResponse,
    routing::{any, get},
};
use tokio::net::TcpListener;

pub use crate::contract::Watch;
use crate::faults::{CuttableListener, Line};

/// Serves a new, empty GitHub at `http://<address of the listener>` until `shutdown` ends.
///
/// Its repositories are kept below `root`, which is made when missing and must be empty: what
/// GitHub knows about them would not be there. Requests under way at `shutdown` are finished,
/// webhook deliveries are dropped.
pub async fn serve(
    listener: TcpListener,
    root: PathBuf,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    serve_watched(listener, root, Watch::default(), shutdown).await
}

/// [`serve`], for a test that wants to know at its end whether all was as GitHub describes it.
pub async fn serve_watched(
    listener: TcpListener,
    root: PathBuf,
    watch: Watch,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let address = listener.local_addr().context("the listener has no address")?;
    let root = std::path::absolute(&root)
        .with_context(|| format!("{} is not a usable path", root.display()))?;
    std::fs::create_dir_all(&root)
        .with_context(|| format!("cannot make the folder {}", root.display()))?;
    let mut there = std::fs::read_dir(&root)
        .with_context(|| format!("cannot read the folder {}", root.display()))?;
    if there.next().is_some() {
        bail!("{} is not empty: a stand-in for GitHub starts with an empty folder", root.display());
    }
    let app = app::App::new(format!("http://{address}"), root, watch)?;
    let control = control::routes()
        .merge(oauth::control())
        .layer(middleware::from_fn_with_state(app.clone(), contract::hold));
    let router = Router::new()
        .nest("/api/v3", rest::routes(&app))
        .nest("/_sim", control)
        .merge(oauth::routes())
        .route("/avatars/u/{id}", get(avatar))
        .route(
            "/lfs-objects/{oid}",
            get(git::lfs::transfer).put(git::lfs::transfer).layer(DefaultBodyLimit::disable()),
        )
        .route("/{owner}/{repository}/{*rest}", any(git::http::handle))
        .layer(middleware::from_fn_with_state(app.clone(), faults::meet))
        .layer(middleware::from_fn_with_state(app.clone(), contract::check))
        .layer(middleware::from_fn_with_state(app.clone(), rest::log))
        .with_state(app.clone());
    axum::serve(CuttableListener(listener), router.into_make_service_with_connect_info::<Line>())
        .with_graceful_shutdown(shutdown)
        .await
        .context("the server stopped")?;
    app.postman().stop();
    Ok(())
}

/// A picture for each user, so that pages which show it work without a network: one dot of
/// a colour, as a GIF.
async fn avatar(Path(id): Path<u64>) -> impl IntoResponse {
    let colour =
        [(id * 53 % 160) as u8 + 40, (id * 97 % 160) as u8 + 40, (id * 31 % 160) as u8 + 40];
    let mut picture = b"GIF89a\x01\0\x01\0\x80\0\0".to_vec();
    picture.extend(colour);
    picture.extend(b"\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;");
    ([(header::CONTENT_TYPE, "image/gif")], picture)
}
