//! `/api/v1`: JSON for programs. Every route needs a token
//! (`Authorization: Bearer …`) of somebody who may see the project; what changes
//! something, of somebody who manages it. Errors are problem details (RFC 9457).
//!
//! To add a route, write its line in the table below, or in the one of its subject: as
//! every route, and beside it what it takes and answers (see `operation`). The document is
//! made of that (`document`), and requests are held to it (`conduct`). A list takes
//! `Paging` and tells `next`; what its handler is asked for and answers with derives
//! utoipa's traits.

mod account;
mod administration;
mod answers;
mod artifacts;
mod audit;
mod body;
mod builds;
mod cache_folders;
mod conduct;
mod document;
mod hooks;
mod jobs;
mod operation;
mod paging;
mod problem;
mod projects;
mod queue;
mod secrets;
mod services;
mod settings;
mod shell;
mod tests;
mod tries;
mod webhooks;

use serde_json::json;

use super::gate::Door::{Api, Open, Socket};
use super::gate::Who::{Administrator, Anyone, Manager, Member, SignedIn};
use super::log_view;
use super::routes::{Route, delete, get, post, put};
use answers::{BuildAnswer, JobAnswer, ProjectAnswer};
use operation::TEXT;
use paging::Paging;

pub(super) use conduct::{Conduct, keep};
pub(super) use operation::Operation;
pub(super) use problem::Problem;

/// The API's part of the table.
pub(super) fn routes() -> Vec<Route> {
    let document = vec![
        get("/api/v1/openapi.json", Open, Anyone, document::show)
            .is("describe", "This document.")
            .answers::<document::DocumentAnswer>(),
    ];
    let parts = [
        document,
        of_projects(),
        settings::routes(),
        hooks::routes(),
        of_the_installation(),
        of_builds(),
        of_jobs(),
        account::routes(),
        administration::routes(),
    ];
    parts.into_iter().flatten().collect()
}

fn of_projects() -> Vec<Route> {
    vec![
        get("/api/v1/projects", Api, SignedIn, projects::list)
            .is("list_projects", "Your projects by name; all of them for an administrator.")
            .query::<Paging>()
            .answers::<projects::Projects>(),
        get("/api/v1/projects/{project}", Api, Member, projects::one)
            .is("get_project", "A project.")
            .answers::<ProjectAnswer>(),
        get("/api/v1/projects/{project}/builds", Api, Member, builds::list)
            .is("list_builds", "A project's builds, the newest first.")
            .query::<builds::Range>()
            .query::<builds::Filter>()
            .query::<Paging>()
            .answers::<builds::Builds>(),
        post("/api/v1/projects/{project}/builds", Api, Manager, builds::start)
            .is("start_build", "Makes a build that nobody pushed for.")
            .takes::<builds::StartBody>()
            .creates::<BuildAnswer>()
            .refuses(&[409, 422, 502]),
        post("/api/v1/projects/{project}/tries", Api, Manager, tries::send)
            .is("try_tree", "Builds a tree of files that is not committed.")
            .parameter(
                "sha",
                &json!({"type": "string", "pattern": "^[0-9a-f]{40}$"}),
                "The commit that it is based on.",
                true,
            )
            .parameter(
                "branch",
                &json!({"type": "string"}),
                "The branch; none: it is on no branch.",
                false,
            )
            .parameter(
                "hook",
                &json!({"type": "array", "items": {"type": "string"}}),
                "Titles of the hooks; none: those that run for a pull request.",
                false,
            )
            .takes_bytes("The tree, as `kozmic try` packs it.")
            .creates::<BuildAnswer>()
            .refuses(&[409, 422, 502]),
        get("/api/v1/projects/{project}/secrets", Api, Manager, secrets::list)
            .is("list_secrets", "The names of a project's secrets.")
            .query::<Paging>()
            .answers::<secrets::Secrets>(),
        put("/api/v1/projects/{project}/secrets/{name}", Api, Manager, secrets::set)
            .is("set_secret", "Sets a secret to the bytes of the body.")
            .query::<secrets::OfHook>()
            .takes_bytes("The value, at most 64 KiB.")
            .answers::<secrets::SetAnswer>()
            .refuses(&[409]),
        delete("/api/v1/projects/{project}/secrets/{name}", Api, Manager, secrets::remove)
            .is("remove_secret", "Removes a secret.")
            .query::<secrets::OfHook>()
            .answers::<secrets::RemovedAnswer>(),
        get("/api/v1/projects/{project}/cache-folders", Api, Member, cache_folders::list)
            .is("list_cache_folders", "A project's cache folders.")
            .query::<Paging>()
            .answers::<cache_folders::FoldersAnswer>(),
        delete(
            "/api/v1/projects/{project}/cache-folders/{folder}",
            Api,
            Manager,
            cache_folders::drop,
        )
        .is("drop_cache_folder", "The next job begins with an empty one.")
        .answers::<cache_folders::DroppedAnswer>()
        .refuses(&[409]),
        get("/api/v1/projects/{project}/webhooks", Api, Manager, webhooks::list)
            .is("list_webhooks", "Where a project's builds are told of.")
            .query::<Paging>()
            .answers::<webhooks::WebhooksAnswer>(),
        post("/api/v1/projects/{project}/webhooks", Api, Manager, webhooks::add)
            .is("add_webhook", "Tells a project's builds to a URL.")
            .takes::<webhooks::NewWebhook>()
            .creates::<webhooks::WebhookAnswer>()
            .refuses(&[409]),
        delete("/api/v1/projects/{project}/webhooks/{webhook}", Api, Manager, webhooks::remove)
            .is("remove_webhook", "Tells it nothing more.")
            .answers::<webhooks::RemovedAnswer>(),
        post("/api/v1/projects/{project}/webhooks/{webhook}/test", Api, Manager, webhooks::test)
            .is("test_webhook", "Sends it a message that tells of nothing.")
            .tells_nothing()
            .refuses(&[409]),
        post(
            "/api/v1/projects/{project}/deliveries/{delivery}/again",
            Api,
            Manager,
            webhooks::again,
        )
        .is("send_again", "Sends a message once more.")
        .tells_nothing(),
        get("/api/v1/projects/{project}/tests", Api, Member, tests::of_project)
            .is("list_project_tests", "A project's tests that are flaky or failed lately.")
            .answers::<tests::ProjectTestsAnswer>(),
    ]
}

fn of_the_installation() -> Vec<Route> {
    vec![
        get("/api/v1/queue", Api, SignedIn, queue::list)
            .is("list_queue", "What runs and waits in your projects, the oldest first.")
            .query::<Paging>()
            .answers::<queue::QueueAnswer>(),
        get("/api/v1/audit", Api, Administrator, audit::list)
            .is("list_audit", "Who changed what, the newest first.")
            .query::<audit::Wanted>()
            .query::<Paging>()
            .answers::<audit::AuditAnswer>(),
    ]
}

fn of_builds() -> Vec<Route> {
    vec![
        get("/api/v1/builds/{build}", Api, Member, builds::one)
            .is("get_build", "A build with its jobs.")
            .answers::<BuildAnswer>(),
        post("/api/v1/builds/{build}/cancel", Api, Manager, builds::cancel)
            .is("cancel_build", "Cancels the jobs that are not finished.")
            .answers::<BuildAnswer>()
            .refuses(&[409]),
        post("/api/v1/builds/{build}/restart", Api, Manager, builds::restart)
            .is("restart_build", "Runs the finished jobs again.")
            .query::<builds::Which>()
            .answers::<BuildAnswer>()
            .refuses(&[409]),
        post("/api/v1/builds/{build}/approve", Api, Manager, builds::approve)
            .is("approve_build", "Lets the jobs of a pull request from a fork run.")
            .query::<builds::Approval>()
            .answers::<BuildAnswer>()
            .refuses(&[409]),
    ]
}

fn of_jobs() -> Vec<Route> {
    vec![
        get("/api/v1/jobs/{job}", Api, Member, jobs::one)
            .is("get_job", "A job.")
            .answers::<JobAnswer>(),
        get("/api/v1/jobs/{job}/log", Api, Member, jobs::log)
            .is("get_log", "The log of a job, or the range of it that is asked for.")
            .query::<super::jobs::Follow>()
            .serves_ranges(TEXT)
            .refuses(&[410]),
        get("/api/v1/jobs/{job}/log/lines", Api, Member, log_view::lines)
            .is("get_log_lines", "Lines of a log as HTML, at most 1,000.")
            .query::<log_view::Span>()
            .answers::<log_view::LinesAnswer>()
            .refuses(&[410]),
        get("/api/v1/jobs/{job}/log/search", Api, Member, log_view::search)
            .is("search_log", "Lines of a log that have a text, or look like an error.")
            .query::<log_view::Sought>()
            .answers::<log_view::FoundAnswer>()
            .refuses(&[410]),
        get("/api/v1/jobs/{job}/log/sections", Api, Member, log_view::sections)
            .is("list_log_sections", "What folds in a log.")
            .answers::<log_view::SectionsAnswer>()
            .refuses(&[410]),
        get("/api/v1/jobs/{job}/tests", Api, Member, tests::of_job)
            .is("list_tests", "A job's tests, those that failed first.")
            .query::<tests::Range>()
            .answers::<tests::TestsAnswer>(),
        get("/api/v1/jobs/{job}/artifacts", Api, Member, artifacts::list)
            .is("list_artifacts", "A job's artifacts by name.")
            .query::<Paging>()
            .answers::<artifacts::ArtifactsAnswer>(),
        get("/api/v1/jobs/{job}/artifacts/{*path}", Api, Member, artifacts::one)
            .is("get_artifact", "An artifact, or the range of it that is asked for.")
            .serves_ranges("*/*")
            .refuses(&[410]),
        get("/api/v1/jobs/{job}/services", Api, Member, services::list)
            .is("list_services", "A job's services by name, once it is over.")
            .query::<Paging>()
            .answers::<services::ServicesAnswer>(),
        get("/api/v1/jobs/{job}/services/{service}/log", Api, Member, services::log)
            .is("get_service_log", "What a service has written, or the range that is asked for.")
            .serves_ranges(TEXT)
            .refuses(&[410]),
        get("/api/v1/projects/{project}/tests/{test}", Api, Member, tests::history)
            .is("get_test", "The latest 100 results of a test.")
            .answers::<tests::HistoryAnswer>(),
        post("/api/v1/jobs/{job}/cancel", Api, Manager, jobs::cancel)
            .is("cancel_job", "Stops a job.")
            .answers::<JobAnswer>()
            .refuses(&[409]),
        post("/api/v1/jobs/{job}/restart", Api, Manager, jobs::restart)
            .is("restart_job", "Runs a finished job again; the answer is the new job.")
            .answers::<JobAnswer>()
            .refuses(&[409]),
        post("/api/v1/jobs/{job}/drop-image", Api, Manager, jobs::drop_image)
            .is("drop_image", "The image of its install step is made anew when it is needed.")
            .answers::<JobAnswer>()
            .refuses(&[409]),
        get("/api/v1/jobs/{job}/shell", Socket, Manager, shell::open)
            .is("open_shell", "A web socket to a shell in the container of a failed job.")
            .query::<shell::Wanted>()
            .opens_a_socket()
            .refuses(&[409]),
        get("/api/v1/jobs/{job}/image", Api, Manager, shell::image)
            .is("get_image", "The container of a failed job, as `docker save` packs an image.")
            .serves("application/x-tar")
            .refuses(&[409]),
    ]
}
