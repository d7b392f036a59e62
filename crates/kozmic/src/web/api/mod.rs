//! `/api/v1`: JSON for programs. Every route needs a token
//! (`Authorization: Bearer …`) of somebody who may see the project; what changes
//! something, of somebody who manages it. Errors are problem details (RFC 9457).

mod answers;
mod artifacts;
mod audit;
mod builds;
mod cache_folders;
mod jobs;
mod problem;
mod projects;
mod queue;
mod secrets;
mod services;
mod shell;
mod tests;
mod tries;
mod webhooks;

use super::gate::Door::{Api, Socket};
use super::gate::Who::{Administrator, Manager, Member, SignedIn};
use super::log_view;
use super::routes::{Route, delete, get, post, put};

pub(super) use problem::Problem;

/// The API's part of the table.
pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/v1/projects", Api, SignedIn, projects::list),
        get("/api/v1/projects/{project}", Api, Member, projects::one),
        get("/api/v1/projects/{project}/builds", Api, Member, builds::list),
        post("/api/v1/projects/{project}/builds", Api, Manager, builds::start),
        post("/api/v1/projects/{project}/tries", Api, Manager, tries::send),
        get("/api/v1/projects/{project}/secrets", Api, Manager, secrets::list),
        put("/api/v1/projects/{project}/secrets/{name}", Api, Manager, secrets::set),
        delete("/api/v1/projects/{project}/secrets/{name}", Api, Manager, secrets::remove),
        get("/api/v1/projects/{project}/cache-folders", Api, Member, cache_folders::list),
        delete(
            "/api/v1/projects/{project}/cache-folders/{folder}",
            Api,
            Manager,
            cache_folders::drop,
        ),
        get("/api/v1/projects/{project}/webhooks", Api, Manager, webhooks::list),
        post("/api/v1/projects/{project}/webhooks", Api, Manager, webhooks::add),
        delete("/api/v1/projects/{project}/webhooks/{webhook}", Api, Manager, webhooks::remove),
        get("/api/v1/queue", Api, SignedIn, queue::list),
        get("/api/v1/audit", Api, Administrator, audit::list),
        get("/api/v1/builds/{build}", Api, Member, builds::one),
        post("/api/v1/builds/{build}/cancel", Api, Manager, builds::cancel),
        post("/api/v1/builds/{build}/restart", Api, Manager, builds::restart),
        post("/api/v1/builds/{build}/approve", Api, Manager, builds::approve),
        get("/api/v1/jobs/{job}", Api, Member, jobs::one),
        get("/api/v1/jobs/{job}/log", Api, Member, jobs::log),
        get("/api/v1/jobs/{job}/log/lines", Api, Member, log_view::lines),
        get("/api/v1/jobs/{job}/log/search", Api, Member, log_view::search),
        get("/api/v1/jobs/{job}/log/sections", Api, Member, log_view::sections),
        get("/api/v1/jobs/{job}/tests", Api, Member, tests::of_job),
        get("/api/v1/jobs/{job}/artifacts", Api, Member, artifacts::list),
        get("/api/v1/jobs/{job}/artifacts/{*path}", Api, Member, artifacts::one),
        get("/api/v1/jobs/{job}/services", Api, Member, services::list),
        get("/api/v1/jobs/{job}/services/{service}/log", Api, Member, services::log),
        get("/api/v1/projects/{project}/tests/{test}", Api, Member, tests::history),
        post("/api/v1/jobs/{job}/cancel", Api, Manager, jobs::cancel),
        post("/api/v1/jobs/{job}/restart", Api, Manager, jobs::restart),
        post("/api/v1/jobs/{job}/drop-image", Api, Manager, jobs::drop_image),
        get("/api/v1/jobs/{job}/shell", Socket, Manager, shell::open),
        get("/api/v1/jobs/{job}/image", Api, Manager, shell::image),
    ]
}
