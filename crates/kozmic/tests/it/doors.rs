//! Who may enter: every route, visited by everybody.

use std::collections::BTreeSet;

use kozmic::web::{Door, Entry, Who, entries};
use reqwest::{Client, Method, RequestBuilder};

use crate::harness::{World, location, web_image};

const LOGINS: [&str; 5] = ["stranger", "member", "manager", "octo", "admin"];

/// What a visitor is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// What the route answers to those who may enter.
    Enters,
    /// Sent to `/login/`, to come back.
    SignsIn,
    Status(u16),
}
use Told::{Enters, SignsIn, Status};

/// What each is told: nobody; with a session the stranger, a member, a manager, the
/// owner, an administrator; with an API token the same.
type Expected = (Told, [Told; 5], [Told; 5]);

/// A page knows no tokens: who comes with one is nobody.
const FOR_ALL: Expected = (Enters, [Enters; 5], [Enters; 5]);
const SIGNED_IN: Expected = (SignsIn, [Enters; 5], [SignsIn; 5]);
const MEMBERS: Expected = (SignsIn, [Status(404), Enters, Enters, Enters, Enters], [SignsIn; 5]);
const MANAGERS: Expected =
    (SignsIn, [Status(404), Status(403), Enters, Enters, Enters], [SignsIn; 5]);
/// Where what they would change is not there: a stranger can't tell the difference.
const MANAGERS_OF_NOTHING: Expected =
    (SignsIn, [Enters, Status(403), Enters, Enters, Enters], [SignsIn; 5]);
const OWNER: Expected =
    (SignsIn, [Status(404), Status(403), Status(403), Enters, Enters], [SignsIn; 5]);
/// Others don't learn that it is there.
const ADMINISTRATORS: Expected =
    (SignsIn, [Status(404), Status(404), Status(404), Status(404), Enters], [SignsIn; 5]);
const API_OWNER: Expected = (Status(401), [Status(401); 5], OWNER.1);
const API_ADMINISTRATORS: Expected = (Status(401), [Status(401); 5], ADMINISTRATORS.1);
const FILE: Expected = (SignsIn, MEMBERS.1, MEMBERS.1);
const SOCKET: Expected = (Status(401), MEMBERS.1, MEMBERS.1);
const SOCKET_MANAGERS: Expected = (Status(401), MANAGERS.1, MANAGERS.1);
/// The API knows no sessions.
const API: Expected = (Status(401), [Status(401); 5], [Enters; 5]);
const API_MEMBERS: Expected = (Status(401), [Status(401); 5], MEMBERS.1);
const API_MANAGERS: Expected = (Status(401), [Status(401); 5], MANAGERS.1);
const API_MANAGERS_OF_NOTHING: Expected = (Status(401), [Status(401); 5], MANAGERS_OF_NOTHING.1);

/// A route as it is declared, a path that fits it, what those who may enter get, and
/// what everybody is told. Changes are such that they come too late: nobody's visit
/// changes what the next one finds.
const ROUTES: &[(&str, &str, &str, u16, Expected)] = &[
    ("POST", "/_hooks/hook/{hook}", "/_hooks/hook/1/", 401, FOR_ALL),
    ("GET", "/badges/{login}/{name}/{*ref}", "/badges/octo/orbit/main", 200, FOR_ALL),
    ("GET", "/healthz", "/healthz", 200, FOR_ALL),
    ("GET", "/readyz", "/readyz", 200, FOR_ALL),
    ("GET", "/static/{*path}", "/static/x/kozmic.css", 200, FOR_ALL),
    ("GET", "/login", "/login/", 200, (Enters, [Status(303); 5], [Enters; 5])),
    ("GET", "/_auth", "/_auth/", 303, FOR_ALL),
    ("GET", "/_auth/auth-callback", "/_auth/auth-callback/", 400, FOR_ALL),
    ("GET", "/account/settings", "/account/settings/", 200, SIGNED_IN),
    ("POST", "/account/memberships/sync", "/account/memberships/sync/", 303, SIGNED_IN),
    // Without a name, and none of one's own.
    ("POST", "/account/tokens/create", "/account/tokens/create/", 422, SIGNED_IN),
    ("POST", "/account/tokens/{token}/revoke", "/account/tokens/999/revoke/", 404, SIGNED_IN),
    ("POST", "/account/sessions/{session}/end", "/account/sessions/999/end/", 404, SIGNED_IN),
    // Of nothing.
    ("POST", "/account/mail", "/account/mail/", 400, SIGNED_IN),
    // Who has the link of a mail need be nobody here.
    ("GET", "/unsubscribe/{token}", "/unsubscribe/none/", 404, FOR_ALL),
    ("POST", "/unsubscribe/{token}", "/unsubscribe/none/", 404, FOR_ALL),
    ("GET", "/projects/{project}/notifications", "/projects/1/notifications/", 200, MANAGERS),
    // Of no kind, and what is not there.
    ("POST", "/projects/{project}/webhooks/add", "/projects/1/webhooks/add/", 422, MANAGERS),
    (
        "POST",
        "/projects/{project}/webhooks/{webhook}/remove",
        "/projects/1/webhooks/9/remove/",
        404,
        MANAGERS_OF_NOTHING,
    ),
    (
        "POST",
        "/projects/{project}/webhooks/{webhook}/test",
        "/projects/1/webhooks/9/test/",
        404,
        MANAGERS_OF_NOTHING,
    ),
    (
        "POST",
        "/projects/{project}/deliveries/{delivery}/again",
        "/projects/1/deliveries/9/again/",
        404,
        MANAGERS_OF_NOTHING,
    ),
    (
        "GET",
        "/api/v1/projects/{project}/webhooks",
        "/api/v1/projects/1/webhooks",
        200,
        API_MANAGERS,
    ),
    // Without a body.
    (
        "POST",
        "/api/v1/projects/{project}/webhooks",
        "/api/v1/projects/1/webhooks",
        400,
        API_MANAGERS,
    ),
    (
        "DELETE",
        "/api/v1/projects/{project}/webhooks/{webhook}",
        "/api/v1/projects/1/webhooks/9",
        404,
        API_MANAGERS_OF_NOTHING,
    ),
    // From this machine; from another one a token opens it: see metrics.rs.
    ("GET", "/metrics", "/metrics", 200, FOR_ALL),
    ("GET", "/repositories", "/repositories/", 200, SIGNED_IN),
    ("POST", "/repositories/sync", "/repositories/sync/", 303, SIGNED_IN),
    ("POST", "/repositories/{repository}/on", "/repositories/1/on/", 404, SIGNED_IN),
    ("GET", "/projects/{project}/settings", "/projects/1/settings/", 200, MEMBERS),
    ("POST", "/projects/{project}/options", "/projects/1/options/", 422, MANAGERS),
    // Without a name.
    ("POST", "/projects/{project}/secrets/set", "/projects/1/secrets/set/", 200, MANAGERS),
    ("POST", "/projects/{project}/secrets/remove", "/projects/1/secrets/remove/", 200, MANAGERS),
    (
        "POST",
        "/projects/{project}/cache-folders/{folder}/drop",
        "/projects/1/cache-folders/9/drop/",
        404,
        MANAGERS_OF_NOTHING,
    ),
    (
        "POST",
        "/projects/{project}/memberships/sync",
        "/projects/1/memberships/sync/",
        200,
        MANAGERS,
    ),
    // Nobody may: its owner has not left.
    ("POST", "/projects/{project}/take-over", "/projects/1/take-over/", 200, MANAGERS),
    // Not confirmed by the name.
    ("POST", "/projects/{project}/delete", "/projects/1/delete/", 200, OWNER),
    ("GET", "/projects/{project}/hooks/add", "/projects/1/hooks/add/", 200, MANAGERS),
    ("POST", "/projects/{project}/hooks/add", "/projects/1/hooks/add/", 422, MANAGERS),
    ("POST", "/projects/{project}/hooks/ensure", "/projects/1/hooks/ensure/", 200, MANAGERS),
    ("POST", "/projects/{project}/hooks/check", "/projects/1/hooks/check/", 200, MANAGERS),
    ("POST", "/projects/{project}/hooks/try", "/projects/1/hooks/try/", 422, MANAGERS),
    ("GET", "/projects/{project}/hooks/{hook}/edit", "/projects/1/hooks/1/edit/", 200, MANAGERS),
    ("POST", "/projects/{project}/hooks/{hook}/edit", "/projects/1/hooks/1/edit/", 422, MANAGERS),
    (
        "POST",
        "/projects/{project}/hooks/{hook}/delete",
        "/projects/1/hooks/9/delete/",
        404,
        MANAGERS_OF_NOTHING,
    ),
    (
        "GET",
        "/projects/{project}/hooks/{hook}/changes",
        "/projects/1/hooks/1/changes/",
        200,
        MANAGERS,
    ),
    ("GET", "/", "/", 200, SIGNED_IN),
    ("GET", "/projects", "/projects/", 200, SIGNED_IN),
    ("GET", "/projects/{project}", "/projects/1/", 303, MEMBERS),
    ("GET", "/projects/{project}/history", "/projects/1/history/", 200, MEMBERS),
    ("GET", "/projects/{project}/start", "/projects/1/start/", 200, MANAGERS),
    // Of nothing.
    ("POST", "/projects/{project}/start", "/projects/1/start/", 400, MANAGERS),
    ("POST", "/api/v1/projects/{project}/builds", "/api/v1/projects/1/builds", 400, API_MANAGERS),
    // Of no commit.
    ("POST", "/api/v1/projects/{project}/tries", "/api/v1/projects/1/tries", 400, API_MANAGERS),
    ("GET", "/projects/{project}/builds/{build}", "/projects/1/builds/1/", 200, MEMBERS),
    (
        "GET",
        "/projects/{project}/builds/{build}/jobs/{job}",
        "/projects/1/builds/1/jobs/1/",
        200,
        MEMBERS,
    ),
    ("GET", "/projects/{project}/jobs/{job}/log", "/projects/1/jobs/1/log/", 200, FILE),
    (
        "GET",
        "/projects/{project}/jobs/{job}/log/lines",
        "/projects/1/jobs/1/log/lines/?from=1&count=5",
        200,
        FILE,
    ),
    (
        "GET",
        "/projects/{project}/jobs/{job}/log/search",
        "/projects/1/jobs/1/log/search/?q=x",
        200,
        FILE,
    ),
    (
        "GET",
        "/projects/{project}/jobs/{job}/log/sections",
        "/projects/1/jobs/1/log/sections/",
        200,
        FILE,
    ),
    ("GET", "/projects/{project}/jobs/{job}/tests", "/projects/1/jobs/1/tests/", 200, MEMBERS),
    ("GET", "/projects/{project}/jobs/{job}/artifacts", "/projects/1/jobs/1/artifacts/", 200, FILE),
    (
        "GET",
        "/projects/{project}/jobs/{job}/artifacts/{*path}",
        "/projects/1/jobs/1/artifacts/a/b",
        200,
        FILE,
    ),
    (
        "GET",
        "/projects/{project}/builds/{build}/artifacts/{*path}",
        "/projects/1/builds/latest/artifacts/a/b?ref=main",
        303,
        FILE,
    ),
    (
        "GET",
        "/projects/{project}/jobs/{job}/services/{service}/log",
        "/projects/1/jobs/1/services/web/log/",
        200,
        FILE,
    ),
    ("GET", "/projects/{project}/tests", "/projects/1/tests/", 200, MEMBERS),
    ("GET", "/projects/{project}/tests/{test}", "/projects/1/tests/TEST/", 200, MEMBERS),
    // What is told there depends on who listens: see live.rs.
    ("GET", "/live", "/live/", 101, FOR_ALL),
    ("GET", "/tailer/{uuid}", "/tailer/UUID/", 101, SOCKET),
    (
        "POST",
        "/projects/{project}/builds/{build}/cancel",
        "/projects/1/builds/1/cancel/",
        409,
        MANAGERS,
    ),
    (
        "POST",
        "/projects/{project}/builds/{build}/restart",
        "/projects/1/builds/1/restart/",
        409,
        MANAGERS,
    ),
    (
        "POST",
        "/projects/{project}/builds/{build}/approve",
        "/projects/1/builds/1/approve/",
        422,
        MANAGERS,
    ),
    ("POST", "/api/v1/builds/{build}/approve", "/api/v1/builds/1/approve", 409, API_MANAGERS),
    ("POST", "/projects/{project}/jobs/{job}/cancel", "/projects/1/jobs/1/cancel/", 409, MANAGERS),
    (
        "POST",
        "/projects/{project}/jobs/{job}/restart",
        "/projects/1/jobs/1/restart/",
        409,
        MANAGERS,
    ),
    (
        "POST",
        "/projects/{project}/jobs/{job}/drop-image",
        "/projects/1/jobs/1/drop-image/",
        409,
        MANAGERS,
    ),
    ("GET", "/projects/{project}/jobs/{job}/shell", "/projects/1/jobs/1/shell/", 200, MANAGERS),
    ("GET", "/api/v1/projects", "/api/v1/projects", 200, API),
    ("GET", "/api/v1/projects/{project}", "/api/v1/projects/1", 200, API_MEMBERS),
    ("GET", "/api/v1/projects/{project}/builds", "/api/v1/projects/1/builds", 200, API_MEMBERS),
    ("GET", "/api/v1/projects/{project}/secrets", "/api/v1/projects/1/secrets", 200, API_MANAGERS),
    // No variable has such a name.
    (
        "PUT",
        "/api/v1/projects/{project}/secrets/{name}",
        "/api/v1/projects/1/secrets/1A",
        400,
        API_MANAGERS,
    ),
    (
        "DELETE",
        "/api/v1/projects/{project}/secrets/{name}",
        "/api/v1/projects/1/secrets/NONE",
        404,
        API_MANAGERS_OF_NOTHING,
    ),
    (
        "GET",
        "/api/v1/projects/{project}/cache-folders",
        "/api/v1/projects/1/cache-folders",
        200,
        API_MEMBERS,
    ),
    (
        "DELETE",
        "/api/v1/projects/{project}/cache-folders/{folder}",
        "/api/v1/projects/1/cache-folders/9",
        404,
        API_MANAGERS_OF_NOTHING,
    ),
    ("GET", "/api/v1/queue", "/api/v1/queue", 200, API),
    ("GET", "/api/v1/builds/{build}", "/api/v1/builds/1", 200, API_MEMBERS),
    ("POST", "/api/v1/builds/{build}/cancel", "/api/v1/builds/1/cancel", 409, API_MANAGERS),
    (
        "POST",
        "/api/v1/builds/{build}/restart",
        "/api/v1/builds/1/restart?failed=true",
        409,
        API_MANAGERS,
    ),
    ("GET", "/api/v1/jobs/{job}", "/api/v1/jobs/1", 200, API_MEMBERS),
    ("GET", "/api/v1/jobs/{job}/log", "/api/v1/jobs/1/log", 200, API_MEMBERS),
    ("GET", "/api/v1/jobs/{job}/log/lines", "/api/v1/jobs/1/log/lines", 200, API_MEMBERS),
    (
        "GET",
        "/api/v1/jobs/{job}/log/search",
        "/api/v1/jobs/1/log/search?errors=1",
        200,
        API_MEMBERS,
    ),
    ("GET", "/api/v1/jobs/{job}/log/sections", "/api/v1/jobs/1/log/sections", 200, API_MEMBERS),
    ("GET", "/api/v1/jobs/{job}/tests", "/api/v1/jobs/1/tests", 200, API_MEMBERS),
    ("GET", "/api/v1/jobs/{job}/artifacts", "/api/v1/jobs/1/artifacts", 200, API_MEMBERS),
    (
        "GET",
        "/api/v1/jobs/{job}/artifacts/{*path}",
        "/api/v1/jobs/1/artifacts/a/b",
        200,
        API_MEMBERS,
    ),
    ("GET", "/api/v1/jobs/{job}/services", "/api/v1/jobs/1/services", 200, API_MEMBERS),
    (
        "GET",
        "/api/v1/jobs/{job}/services/{service}/log",
        "/api/v1/jobs/1/services/web/log",
        200,
        API_MEMBERS,
    ),
    (
        "GET",
        "/api/v1/projects/{project}/tests/{test}",
        "/api/v1/projects/1/tests/TEST",
        200,
        API_MEMBERS,
    ),
    ("POST", "/api/v1/jobs/{job}/cancel", "/api/v1/jobs/1/cancel", 409, API_MANAGERS),
    ("POST", "/api/v1/jobs/{job}/restart", "/api/v1/jobs/1/restart", 409, API_MANAGERS),
    ("POST", "/api/v1/jobs/{job}/drop-image", "/api/v1/jobs/1/drop-image", 409, API_MANAGERS),
    // It did not fail.
    ("GET", "/api/v1/jobs/{job}/shell", "/api/v1/jobs/1/shell", 409, SOCKET_MANAGERS),
    ("GET", "/api/v1/jobs/{job}/image", "/api/v1/jobs/1/image", 409, API_MANAGERS),
    ("GET", "/projects/{project}/changes", "/projects/1/changes/", 200, MANAGERS),
    ("GET", "/administration", "/administration/", 200, ADMINISTRATORS),
    ("GET", "/administration/queue", "/administration/queue/", 200, ADMINISTRATORS),
    ("GET", "/administration/projects", "/administration/projects/", 200, ADMINISTRATORS),
    ("GET", "/administration/audit", "/administration/audit/", 200, ADMINISTRATORS),
    ("GET", "/api/v1/audit", "/api/v1/audit", 200, API_ADMINISTRATORS),
    ("GET", "/api/v1/openapi.json", "/api/v1/openapi.json", 200, FOR_ALL),
    // Without a body.
    ("POST", "/api/v1/projects", "/api/v1/projects", 400, API),
    // Without the name.
    ("DELETE", "/api/v1/projects/{project}", "/api/v1/projects/1", 400, API_OWNER),
    ("GET", "/api/v1/projects/{project}/options", "/api/v1/projects/1/options", 200, API_MEMBERS),
    (
        "PATCH",
        "/api/v1/projects/{project}/options",
        "/api/v1/projects/1/options",
        400,
        API_MANAGERS,
    ),
    ("GET", "/api/v1/projects/{project}/members", "/api/v1/projects/1/members", 200, API_MEMBERS),
    ("POST", "/api/v1/projects/{project}/sync", "/api/v1/projects/1/sync", 200, API_MANAGERS),
    // Nobody may: its owner has not left.
    (
        "POST",
        "/api/v1/projects/{project}/take-over",
        "/api/v1/projects/1/take-over",
        409,
        API_MANAGERS,
    ),
    ("GET", "/api/v1/projects/{project}/changes", "/api/v1/projects/1/changes", 200, API_MANAGERS),
    ("GET", "/api/v1/projects/{project}/badge", "/api/v1/projects/1/badge", 200, API_MEMBERS),
    ("GET", "/api/v1/projects/{project}/hooks", "/api/v1/projects/1/hooks", 200, API_MEMBERS),
    ("POST", "/api/v1/projects/{project}/hooks", "/api/v1/projects/1/hooks", 400, API_MANAGERS),
    (
        "POST",
        "/api/v1/projects/{project}/hooks/ensure",
        "/api/v1/projects/1/hooks/ensure",
        200,
        API_MANAGERS,
    ),
    (
        "POST",
        "/api/v1/projects/{project}/hooks/check",
        "/api/v1/projects/1/hooks/check",
        400,
        API_MANAGERS,
    ),
    (
        "POST",
        "/api/v1/projects/{project}/hooks/try",
        "/api/v1/projects/1/hooks/try",
        400,
        API_MANAGERS,
    ),
    (
        "GET",
        "/api/v1/projects/{project}/hooks/{hook}",
        "/api/v1/projects/1/hooks/1",
        200,
        API_MEMBERS,
    ),
    (
        "PUT",
        "/api/v1/projects/{project}/hooks/{hook}",
        "/api/v1/projects/1/hooks/1",
        400,
        API_MANAGERS,
    ),
    (
        "DELETE",
        "/api/v1/projects/{project}/hooks/{hook}",
        "/api/v1/projects/1/hooks/99",
        404,
        API_MANAGERS_OF_NOTHING,
    ),
    (
        "GET",
        "/api/v1/projects/{project}/hooks/{hook}/changes",
        "/api/v1/projects/1/hooks/1/changes",
        200,
        API_MANAGERS,
    ),
    (
        "POST",
        "/api/v1/projects/{project}/webhooks/{webhook}/test",
        "/api/v1/projects/1/webhooks/9/test",
        404,
        API_MANAGERS_OF_NOTHING,
    ),
    (
        "POST",
        "/api/v1/projects/{project}/deliveries/{delivery}/again",
        "/api/v1/projects/1/deliveries/9/again",
        404,
        API_MANAGERS_OF_NOTHING,
    ),
    ("GET", "/api/v1/projects/{project}/tests", "/api/v1/projects/1/tests", 200, API_MEMBERS),
    ("GET", "/api/v1/account", "/api/v1/account", 200, API),
    ("POST", "/api/v1/account/sync", "/api/v1/account/sync", 204, API),
    ("GET", "/api/v1/account/tokens", "/api/v1/account/tokens", 200, API),
    ("DELETE", "/api/v1/account/tokens/{token}", "/api/v1/account/tokens/999", 404, API),
    ("GET", "/api/v1/account/sessions", "/api/v1/account/sessions", 200, API),
    ("DELETE", "/api/v1/account/sessions/{session}", "/api/v1/account/sessions/999", 404, API),
    ("GET", "/api/v1/account/mail", "/api/v1/account/mail", 200, API),
    ("PUT", "/api/v1/account/mail", "/api/v1/account/mail", 400, API),
    ("GET", "/api/v1/repositories", "/api/v1/repositories", 200, API),
    ("POST", "/api/v1/repositories/sync", "/api/v1/repositories/sync", 204, API),
    ("GET", "/api/v1/administration", "/api/v1/administration", 200, API_ADMINISTRATORS),
    (
        "GET",
        "/api/v1/administration/workers",
        "/api/v1/administration/workers",
        200,
        API_ADMINISTRATORS,
    ),
    (
        "GET",
        "/api/v1/administration/projects",
        "/api/v1/administration/projects",
        200,
        API_ADMINISTRATORS,
    ),
    // Whose it is decides what is seen: see administration.rs.
    ("GET", "/avatars/{user}", "/avatars/1/", 200, FOR_ALL),
    // The last one: it ends the session. Everybody ends up at `/login/`.
    ("POST", "/logout", "/logout/", 303, (SignsIn, [SignsIn; 5], [SignsIn; 5])),
];

/// What every form is sent with: the options of a project are not to be understood.
const FORM: &str = "jobs=failed&cancels_superseded=perhaps";

/// A project with a finished build, and people who are something in it.
struct Doors {
    world: World,
    server: crate::harness::Server,
    sessions: Vec<Client>,
    tokens: Vec<String>,
    uuid: String,
    /// Of its one test.
    test: String,
}

impl Doors {
    async fn new() -> Self {
        // Everybody comes from one address.
        let unlimited = ("KOZMIC_STRANGER_RATE", "0");
        let world = World::with(&[("KOZMIC_ADMINS", "Admin"), unlimited]).await;
        let service = format!("# kozmic: service = web: {}\n", web_image().await);
        let script = "\
            echo '<testsuite><testcase name=\"t\"/></testsuite>' > $KOZMIC_REPORTS/junit.xml\n\
            mkdir $KOZMIC_ARTIFACTS/a\n: > $KOZMIC_ARTIFACTS/a/b\n";
        let server = world.serve_with(&format!("#!/bin/sh\n{service}{script}")).await;
        let sha = world.push(&[("a", b"a")]).await;
        let build = world.finished(&server.url, &sha).await;
        // The first job has a newer one, so that it can't be run again.
        let restart = format!("{}/api/v1/jobs/1/restart", server.url);
        let token = world.api_token().await;
        world.http.post(restart).bearer_auth(token).send().await.unwrap();
        world.finished(&server.url, &sha).await;
        for login in LOGINS.iter().filter(|login| **login != "octo") {
            world.sim.add_user(login).await.unwrap();
        }
        for (login, role) in [("member", "pull"), ("manager", "push")] {
            world.sim.add_collaborator("octo/orbit", login, role).await.unwrap();
        }
        let (mut sessions, mut tokens) = (Vec::new(), Vec::new());
        for login in LOGINS {
            sessions.push(world.visitor(&server.url, login).await);
            let made = world.run(&server.url, &["token", "create", "--user", login]).await;
            tokens.push(String::from_utf8(made.stdout).unwrap().trim().to_owned());
        }
        let uuid = build.jobs[0].uuid.clone();
        let tests = world.answer(&format!("{}/api/v1/jobs/1/tests", server.url)).await;
        let test = tests["tests"][0]["id"].as_str().unwrap().to_owned();
        Self { world, server, sessions, tokens, uuid, test }
    }

    fn request(&self, client: &Client, method: &str, path: &str) -> RequestBuilder {
        let url = format!(
            "{}{}",
            self.server.url,
            path.replace("UUID", &self.uuid).replace("TEST", &self.test)
        );
        let method: Method = method.parse().unwrap();
        let is_form = method == Method::POST;
        let mut request = client.request(method, url);
        if path.starts_with("/tailer/") || path.starts_with("/live/") || path.ends_with("/shell") {
            for (name, value) in [
                ("connection", "upgrade"),
                ("upgrade", "websocket"),
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ] {
                request = request.header(name, value);
            }
        }
        if is_form && !path.starts_with("/api/") {
            let kind = "application/x-www-form-urlencoded";
            request = request.header("content-type", kind).body(FORM);
        }
        request
    }

    async fn told(&self, request: RequestBuilder, enters: u16) -> Told {
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        if status == 303 && location(&answer).starts_with("/login/") {
            SignsIn
        } else if status == enters {
            Enters
        } else {
            Status(status)
        }
    }

    /// What everybody is told at a route.
    async fn tell(&self, method: &str, path: &str, enters: u16) -> Expected {
        let nobody = self.told(self.request(&self.world.http, method, path), enters).await;
        let (mut by_session, mut by_token) = ([nobody; 5], [nobody; 5]);
        for (index, session) in self.sessions.iter().enumerate() {
            by_session[index] = self.told(self.request(session, method, path), enters).await;
        }
        for (index, token) in self.tokens.iter().enumerate() {
            let request = self.request(&self.world.http, method, path).bearer_auth(token);
            by_token[index] = self.told(request, enters).await;
        }
        (nobody, by_session, by_token)
    }
}

#[test]
fn every_route_is_expected() {
    let declared = entries().into_iter().map(|entry| (entry.method, entry.path));
    let expected = ROUTES.iter().map(|(method, path, ..)| (*method, *path));
    assert_eq!(declared.collect::<BTreeSet<_>>(), expected.collect::<BTreeSet<_>>());
}

/// A line of docs/who-may-do-what.md.
fn row(entry: Entry) -> String {
    let who = match (entry.door, entry.who) {
        (Door::Delivery, _) => "GitHub",
        (_, Who::Anyone) => "anyone",
        (Door::Api, Who::SignedIn) => "any user",
        (_, Who::SignedIn) => "who is signed in",
        (_, Who::Member) => "members; anyone, when it is visible to all",
        (_, Who::Insider) => "members",
        (_, Who::Manager) => "managers",
        (_, Who::Owner) => "the owner",
        (_, Who::Administrator) => "administrators",
    };
    let by = match (entry.door, entry.who) {
        (Door::Delivery, _) => "the delivery's signature",
        (Door::Open, _) | (_, Who::Anyone) => "nothing",
        (Door::Page, _) => "a session",
        (Door::File | Door::Socket, _) => "a session or a token",
        (Door::Api, _) => "a token",
    };
    format!("| {} | `{}` | {who} | {by} |\n", entry.method, entry.path)
}

#[test]
fn the_documentation_has_every_route() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/who-may-do-what.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, table) = page.split_once("| method | path | who may enter | shown by |\n").unwrap();
    let (_, table) = table.split_once('\n').unwrap();
    let wanted: String = entries().into_iter().map(row).collect();
    assert_eq!(table, wanted, "the table should be:\n{wanted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_lets_in_whom_it_is_for() {
    let doors = Doors::new().await;
    for (method, template, path, enters, expected) in ROUTES {
        let told = doors.tell(method, path, *enters).await;
        assert_eq!(told, *expected, "{method} {template}: nobody, {LOGINS:?}, their tokens");
    }
    doors.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_is_visible_to_all_is_looked_at_by_all_and_changed_by_few() {
    let doors = Doors::new().await;
    let visible = ["project", "set", "octo/orbit", "--visible-to-all", "on"];
    assert!(doors.world.run(&doors.server.url, &visible).await.status.success());
    for entry in entries() {
        let found =
            ROUTES.iter().find(|(method, path, ..)| (*method, *path) == (entry.method, entry.path));
        let (method, template, path, enters, _) = found.unwrap();
        let changed = [Status(403), Status(403), Enters, Enters, Enters];
        let expected = match (entry.who, entry.door) {
            (Who::Insider, Door::Api) => {
                (Status(401), [Status(401); 5], [Status(403), Enters, Enters, Enters, Enters])
            }
            (Who::Insider, _) => {
                (SignsIn, [Status(403), Enters, Enters, Enters, Enters], [SignsIn; 5])
            }
            (Who::Member, Door::Api) => API,
            (Who::Member, _) => FOR_ALL,
            (Who::Manager, Door::Socket) => (Status(401), changed, changed),
            (Who::Manager, Door::Api) => (Status(401), [Status(401); 5], changed),
            (Who::Manager, _) => (SignsIn, changed, [SignsIn; 5]),
            _ => continue,
        };
        let told = doors.tell(method, path, *enters).await;
        assert_eq!(told, expected, "{method} {template}: nobody, {LOGINS:?}, their tokens");
    }
    let page = doors.world.http.get(format!("{}/projects/1/builds/1/", doors.server.url));
    let page = page.send().await.unwrap().text().await.unwrap();
    assert!(page.contains("Sign in") && !page.contains("Run all again"), "{page}");
    assert!(
        doors
            .world
            .page(&format!("{}/projects/1/builds/1/", doors.server.url))
            .await
            .contains("Run all again")
    );
    doors.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stranger_may_not_see_looks_like_what_is_not_there() {
    let doors = Doors::new().await;
    let (stranger, token) = (&doors.sessions[0], &doors.tokens[0]);
    for (hidden, missing) in [
        ("/projects/1/", "/projects/77/"),
        ("/projects/1/history/", "/projects/77/history/"),
        ("/projects/1/jobs/1/log/", "/projects/77/jobs/1/log/"),
        ("/tailer/UUID/", "/tailer/00000000-0000-4000-8000-000000000000/"),
        ("/api/v1/builds/1", "/api/v1/builds/77"),
        ("/api/v1/jobs/1/log", "/api/v1/jobs/77/log"),
        ("/api/v1/jobs/1", "/api/v1/jobs/x"),
    ] {
        let look = async |path: &str| {
            let mut request = doors.request(stranger, "GET", path);
            if path.starts_with("/api/") {
                request = request.bearer_auth(token);
            }
            let answer = request.send().await.unwrap();
            // But for its own name, which each request has.
            let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
            (answer.status(), answer.text().await.unwrap().replace(&id, ""))
        };
        let seen = look(hidden).await;
        assert_eq!(seen.0, 404);
        assert_eq!(seen, look(missing).await, "{hidden}");
        // Neither does the way to the sign-in tell.
        if !hidden.starts_with("/api/") && !hidden.starts_with("/tailer/") {
            for path in [hidden, missing] {
                let request = doors.request(&doors.world.http, "GET", path);
                assert_eq!(doors.told(request, 200).await, SignsIn, "{path}");
            }
        }
    }
    doors.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_s_lists_hold_all_projects_and_others_their_own() {
    let doors = Doors::new().await;
    for (index, login) in LOGINS.iter().enumerate() {
        let request = doors.request(&doors.world.http, "GET", "/api/v1/projects");
        let answer = request.bearer_auth(&doors.tokens[index]).send().await.unwrap();
        let told = answer.text().await.unwrap().contains("octo/orbit");
        let home = doors.request(&doors.sessions[index], "GET", "/account/settings/");
        let page = home.send().await.unwrap().text().await.unwrap();
        let expected = *login != "stranger";
        assert_eq!((told, page.contains("octo/orbit")), (expected, expected), "{login}");
    }
    doors.server.stop().await;
}
