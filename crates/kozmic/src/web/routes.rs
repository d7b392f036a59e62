//! The table of all routes: what they answer, and who may enter.

use axum::handler::Handler;
use axum::routing::MethodRouter;

use super::gate::Door::{Delivery, File, Open, Page, Socket};
use super::gate::Who::{Administrator, Anyone, Insider, Manager, Member, Owner, SignedIn};
use super::gate::{Door, Entry, Who};
use super::{
    App, account, actions, administration, api, artifacts, audit, avatars, badge, builds,
    cache_folders, health, history, home, hook, hook_changes, hook_check, hook_form, jobs, kept,
    live, log_view, mail_choices, notifications, repositories, secrets, services, settings,
    sign_in, start, static_files, tailer, tests, watch,
};

/// A line of the table.
pub(super) struct Route {
    pub(super) entry: Entry,
    pub(super) handler: MethodRouter<App>,
    /// Of the API: what it takes and answers.
    pub(super) operation: Option<api::Operation>,
}

pub(super) fn get<T: 'static>(
    path: &'static str,
    door: Door,
    who: Who,
    handler: impl Handler<T, App>,
) -> Route {
    let entry = Entry { method: "GET", path, door, who };
    Route { entry, operation: None, handler: axum::routing::get(handler) }
}

pub(super) fn post<T: 'static>(
    path: &'static str,
    door: Door,
    who: Who,
    handler: impl Handler<T, App>,
) -> Route {
    let entry = Entry { method: "POST", path, door, who };
    Route { entry, operation: None, handler: axum::routing::post(handler) }
}

pub(super) fn put<T: 'static>(
    path: &'static str,
    door: Door,
    who: Who,
    handler: impl Handler<T, App>,
) -> Route {
    let entry = Entry { method: "PUT", path, door, who };
    Route { entry, operation: None, handler: axum::routing::put(handler) }
}

pub(super) fn patch<T: 'static>(
    path: &'static str,
    door: Door,
    who: Who,
    handler: impl Handler<T, App>,
) -> Route {
    let entry = Entry { method: "PATCH", path, door, who };
    Route { entry, operation: None, handler: axum::routing::patch(handler) }
}

pub(super) fn delete<T: 'static>(
    path: &'static str,
    door: Door,
    who: Who,
    handler: impl Handler<T, App>,
) -> Route {
    let entry = Entry { method: "DELETE", path, door, who };
    Route { entry, operation: None, handler: axum::routing::delete(handler) }
}

/// Every route there is. A last slash is left out, and may be sent.
pub(super) fn table() -> Vec<Route> {
    let mut routes = vec![
        post("/_hooks/hook/{hook}", Delivery, Anyone, hook::deliver),
        get("/badges/{login}/{name}/{*ref}", Open, Anyone, badge::badge),
        get("/healthz", Open, Anyone, health::healthz),
        get("/readyz", Open, Anyone, health::readyz),
        get("/metrics", Open, Anyone, watch::metrics),
        get("/static/{*path}", Open, Anyone, static_files::file),
        // Signing in and out.
        get("/login", Page, Anyone, sign_in::login),
        get("/_auth", Page, Anyone, sign_in::begin),
        get("/_auth/auth-callback", Page, Anyone, sign_in::callback),
        post("/logout", Page, SignedIn, sign_in::logout),
        get("/account/settings", Page, SignedIn, account::settings),
        post("/account/memberships/sync", Page, SignedIn, account::sync),
        post("/account/tokens/create", Page, SignedIn, account::create_token),
        post("/account/tokens/{token}/revoke", Page, SignedIn, account::revoke_token),
        post("/account/sessions/{session}/end", Page, SignedIn, account::end_session),
        post("/account/mail", Page, SignedIn, mail_choices::choose),
        // By who has a mail's link, without signing in.
        get("/unsubscribe/{token}", Open, Anyone, mail_choices::unsubscribe_form),
        post("/unsubscribe/{token}", Open, Anyone, mail_choices::unsubscribe),
        // Repositories become projects.
        get("/repositories", Page, SignedIn, repositories::list),
        post("/repositories/sync", Page, SignedIn, repositories::sync),
        post("/repositories/{repository}/on", Page, SignedIn, repositories::on),
        get("/projects/{project}/settings", Page, Insider, settings::show),
        post("/projects/{project}/options", Page, Manager, settings::set_options),
        post("/projects/{project}/secrets/set", Page, Manager, secrets::set),
        post("/projects/{project}/secrets/remove", Page, Manager, secrets::remove),
        post("/projects/{project}/cache-folders/{folder}/drop", Page, Manager, cache_folders::drop),
        post("/projects/{project}/memberships/sync", Page, Manager, settings::sync),
        post("/projects/{project}/take-over", Page, Manager, settings::take_over),
        post("/projects/{project}/delete", Page, Owner, settings::delete),
        get("/projects/{project}/hooks/add", Page, Manager, hook_form::add_form),
        post("/projects/{project}/hooks/add", Page, Manager, hook_form::add),
        post("/projects/{project}/hooks/ensure", Page, Manager, settings::ensure_hooks),
        post("/projects/{project}/hooks/check", Page, Manager, hook_check::check),
        post("/projects/{project}/hooks/try", Page, Manager, hook_form::try_out),
        get("/projects/{project}/hooks/{hook}/edit", Page, Manager, hook_form::edit_form),
        post("/projects/{project}/hooks/{hook}/edit", Page, Manager, hook_form::edit),
        post("/projects/{project}/hooks/{hook}/delete", Page, Manager, hook_form::delete),
        get("/projects/{project}/notifications", Page, Manager, notifications::show),
        post("/projects/{project}/webhooks/add", Page, Manager, notifications::add),
        post("/projects/{project}/webhooks/{webhook}/remove", Page, Manager, notifications::remove),
        post("/projects/{project}/webhooks/{webhook}/test", Page, Manager, notifications::test),
        post(
            "/projects/{project}/deliveries/{delivery}/again",
            Page,
            Manager,
            notifications::again,
        ),
        get("/projects/{project}/changes", Page, Manager, audit::of_project),
        // The installation.
        get("/administration", Page, Administrator, administration::overview),
        get("/administration/queue", Page, Administrator, administration::queue),
        get("/administration/projects", Page, Administrator, administration::projects),
        get("/administration/audit", Page, Administrator, administration::audit),
        get("/avatars/{user}", Page, Anyone, avatars::avatar),
        get("/projects/{project}/hooks/{hook}/changes", Page, Manager, hook_changes::list),
        // Projects.
        get("/", Page, SignedIn, home::home),
        get("/projects", Page, SignedIn, home::home),
        get("/projects/{project}", Page, Member, history::project),
        get("/projects/{project}/history", Page, Member, history::history),
        get("/projects/{project}/start", Page, Manager, start::form),
        post("/projects/{project}/start", Page, Manager, start::start),
        get("/projects/{project}/builds/{build}", Page, Member, builds::build),
        get("/projects/{project}/builds/{build}/jobs/{job}", Page, Member, builds::job),
        get("/projects/{project}/jobs/{job}/log", File, Member, jobs::plain_log),
        get("/projects/{project}/jobs/{job}/log/lines", File, Member, log_view::lines),
        get("/projects/{project}/jobs/{job}/log/search", File, Member, log_view::search),
        get("/projects/{project}/jobs/{job}/log/sections", File, Member, log_view::sections),
        get("/projects/{project}/jobs/{job}/tests", Page, Member, tests::job),
        get("/projects/{project}/jobs/{job}/artifacts", File, Member, artifacts::all),
        get("/projects/{project}/jobs/{job}/artifacts/{*path}", File, Member, artifacts::one),
        get(
            "/projects/{project}/builds/{build}/artifacts/{*path}",
            File,
            Member,
            artifacts::of_build,
        ),
        get("/projects/{project}/jobs/{job}/services/{service}/log", File, Member, services::log),
        get("/projects/{project}/tests", Page, Member, tests::project),
        get("/projects/{project}/tests/{test}", Page, Member, tests::test),
        get("/live", Socket, Anyone, live::live),
        get("/tailer/{uuid}", Socket, Member, tailer::tail),
        post("/projects/{project}/builds/{build}/cancel", Page, Manager, actions::cancel_build),
        post("/projects/{project}/builds/{build}/restart", Page, Manager, actions::restart_build),
        post("/projects/{project}/builds/{build}/approve", Page, Manager, actions::approve_build),
        post("/projects/{project}/jobs/{job}/cancel", Page, Manager, actions::cancel_job),
        post("/projects/{project}/jobs/{job}/restart", Page, Manager, actions::restart_job),
        post("/projects/{project}/jobs/{job}/drop-image", Page, Manager, actions::drop_image),
        get("/projects/{project}/jobs/{job}/shell", Page, Manager, kept::shell),
    ];
    routes.extend(api::routes());
    routes
}

/// Every route with who may enter.
pub fn entries() -> Vec<Entry> {
    table().into_iter().map(|route| route.entry).collect()
}
