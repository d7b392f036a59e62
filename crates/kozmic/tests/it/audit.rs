//! The audit log: whoever changes something is written down, whichever way they come.

use std::collections::BTreeSet;

use github_sim::client::Push;
use kozmic::model::Action;
use kozmic::store::{AuditPart, AuditRow};
use kozmic::web::entries;
use reqwest::{Client, Method, Response, header};

use crate::harness::{Server, World, eventually, hook, location};

/// Routes that are not called here, each with why.
const NOT_WRITTEN: &[(&str, &str, &str)] = &[
    (
        "POST",
        "/_hooks/hook/{hook}",
        "what GitHub delivers becomes builds, whose pages tell of it; nobody here did it",
    ),
    ("POST", "/projects/{project}/hooks/check", "it looks at what was typed, and keeps nothing"),
    (
        "POST",
        "/projects/{project}/webhooks/{webhook}/test",
        "it sends a message, and changes nothing",
    ),
    (
        "POST",
        "/projects/{project}/deliveries/{delivery}/again",
        "it sends a message again, and changes nothing",
    ),
    ("POST", "/api/v1/projects/{project}/hooks/check", "as on the page"),
    ("POST", "/api/v1/projects/{project}/webhooks/{webhook}/test", "as on the page"),
    ("POST", "/api/v1/projects/{project}/deliveries/{delivery}/again", "as on the page"),
    (
        "POST",
        "/unsubscribe/{token}",
        "it takes the link of a mail that was sent; what it changes is written as for /account/mail",
    ),
];

/// A value that the log must never hold.
const SECRET: &str = "tr0ub4dor-and-3";

/// A server whose one hook waits for ever: no worker has its label. Octo owns its project, is
/// an administrator, and changes everything there is.
struct Change {
    world: World,
    server: Server,
    octo: Client,
    token: String,
    /// Routes that were called, as they are declared.
    seen: BTreeSet<(String, String)>,
    last: i64,
}

impl Change {
    async fn new() -> Self {
        let world = World::with(&[("KOZMIC_ADMINS", "octo")]).await;
        let server = world.serve().await;
        let waits = hook("Tests", "busybox", "#!/bin/sh\n").replacen(
            "# kozmic: image",
            "# kozmic: label = nobodys\n# kozmic: image",
            1,
        );
        world.project(&server.url, &[waits]).await;
        let octo = world.visitor(&server.url, "octo").await;
        let token = world.api_token().await.to_owned();
        let mut change = Self { world, server, octo, token, seen: BTreeSet::new(), last: 0 };
        change.news().await;
        change
    }

    /// What was written down since the last look, newest first.
    async fn news(&mut self) -> Vec<AuditRow> {
        let part = AuditPart { limit: 100, ..AuditPart::default() };
        let store = self.world.store().await;
        let mut rows = store.audit(part).await.unwrap();
        store.close().await;
        rows.retain(|row| row.id > self.last);
        self.last = rows.first().map_or(self.last, |row| row.id);
        rows
    }

    /// Calls a route as octo, who must be found in the log for it.
    async fn by(
        &mut self,
        (method, template): (&str, &str),
        path: &str,
        body: &str,
        action: Action,
    ) -> (Response, AuditRow) {
        let is_api = path.starts_with("/api/");
        let client = if is_api { &self.world.http } else { &self.octo };
        let method_of: Method = method.parse().unwrap();
        let mut request = client.request(method_of, format!("{}{path}", self.server.url));
        if is_api {
            request = request.bearer_auth(&self.token);
            request = request.header(header::CONTENT_TYPE, "application/json");
        } else {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let answer = request.body(body.to_owned()).send().await.unwrap();
        let status = answer.status();
        let news = self.news().await;
        let found = news.iter().find(|row| row.action == action);
        let told = format!("{method} {path} ({status}) wrote {news:?}");
        let row = found.unwrap_or_else(|| panic!("{action} is missing: {told}"));
        assert_eq!(
            (row.actor.as_str(), row.address.as_deref()),
            ("octo", Some("127.0.0.1")),
            "{told}"
        );
        assert_eq!(row.via, if is_api { "token" } else { "session" }, "{told}");
        assert!(row.user.is_some() && row.via_id.is_some(), "{told}");
        let row = row.clone();
        self.seen.insert((method.to_owned(), template.to_owned()));
        (answer, row)
    }

    async fn build(&self, sha: &str) -> (i64, i64) {
        let build = self.world.build_of(&self.server.url, sha).await;
        (build.id, build.jobs[0].id)
    }

    /// The newest row of an action.
    async fn newest(&self, action: Action) -> AuditRow {
        let store = self.world.store().await;
        let part = AuditPart { limit: 1_000, ..AuditPart::default() };
        let rows = store.audit(part).await.unwrap();
        store.close().await;
        rows.into_iter().find(|row| row.action == action).unwrap()
    }

    async fn project(&mut self) {
        const PROJECT: &str = "/projects/{project}";
        let post = |rest: &str| format!("{PROJECT}/{rest}");
        let form = "cancels_superseded=true&jobs_at_once=3";
        let (_, row) = self
            .by(("POST", &post("options")), "/projects/1/options/", form, Action::ProjectOptions)
            .await;
        assert_eq!(row.details["jobs_at_once"], 3);
        assert_eq!(row.project_name.as_deref(), Some("octo/orbit"));
        let form = format!("name=PASSWORD&value={SECRET}");
        self.by(
            ("POST", &post("secrets/set")),
            "/projects/1/secrets/set/",
            &form,
            Action::SecretSet,
        )
        .await;
        let remove = ("POST", "/projects/{project}/secrets/remove");
        let (_, row) = self
            .by(remove, "/projects/1/secrets/remove/", "name=PASSWORD", Action::SecretRemoved)
            .await;
        assert_eq!(row.subject, "PASSWORD");
        let secret = "/api/v1/projects/{project}/secrets/{name}";
        let path = "/api/v1/projects/1/secrets/PASSWORD";
        self.by(("PUT", secret), path, SECRET, Action::SecretSet).await;
        self.by(("DELETE", secret), path, "", Action::SecretRemoved).await;
        for (number, is_api) in [(1, false), (2, true)] {
            let insert = format!(
                "INSERT INTO cache_folders (engine, project_id, hook_id, job_title, name, pull_request, volume, \
                 created_at, used_at) VALUES ('nowhere', 1, 1, 'Tests', 'made', 0, 'v{number}', 1, 1)"
            );
            self.world.change(&insert).await;
            if is_api {
                let route = ("DELETE", "/api/v1/projects/{project}/cache-folders/{folder}");
                let path = format!("/api/v1/projects/1/cache-folders/{number}");
                self.by(route, &path, "", Action::CacheFolderDropped).await;
            } else {
                let route = ("POST", "/projects/{project}/cache-folders/{folder}/drop");
                let path = format!("/projects/1/cache-folders/{number}/drop/");
                self.by(route, &path, "", Action::CacheFolderDropped).await;
            }
        }
        let sync = "/projects/1/memberships/sync/";
        self.by(("POST", &post("memberships/sync")), sync, "", Action::ProjectSynchronized).await;
        let form =
            "title=Style&image=busybox&build_script=%23!/bin/sh%0Atrue&options=label+%3D+nobodys";
        let (_, added) = self
            .by(("POST", &post("hooks/add")), "/projects/1/hooks/add/", form, Action::HookAdded)
            .await;
        let hook = added.subject_id.unwrap();
        let form = form.replace("Style", "Looks");
        let path = format!("/projects/1/hooks/{hook}/edit/");
        let (_, row) =
            self.by(("POST", &post("hooks/{hook}/edit")), &path, &form, Action::HookEdited).await;
        assert_eq!(
            (row.subject.as_str(), &row.details["title_before"]),
            ("Looks", &"Style".into())
        );
        let path = format!("/projects/1/hooks/{hook}/delete/");
        self.by(("POST", &post("hooks/{hook}/delete")), &path, "", Action::HookDeleted).await;
        self.by(
            ("POST", &post("hooks/ensure")),
            "/projects/1/hooks/ensure/",
            "",
            Action::HooksEnsured,
        )
        .await;
    }

    /// By the API, what pages do.
    async fn by_calls(&mut self) {
        const PROJECT: &str = "/api/v1/projects/{project}";
        let of = |rest: &str| format!("{PROJECT}/{rest}");
        let path = "/api/v1/projects/1/options";
        let body = r#"{"jobs_at_once": "2", "variables": {"MODE": "fast"}}"#;
        let (_, row) = self.by(("PATCH", &of("options")), path, body, Action::ProjectOptions).await;
        assert_eq!(row.details["jobs_at_once"], 2);
        let path = "/api/v1/projects/1/sync";
        self.by(("POST", &of("sync")), path, "", Action::ProjectSynchronized).await;
        let path = "/api/v1/projects/1/hooks";
        let body = r##"{"title": "Style", "image": "busybox", "build_script": "#!/bin/sh\ntrue\n",
                        "options": ["label = nobodys"]}"##;
        let (_, added) = self.by(("POST", &of("hooks")), path, body, Action::HookAdded).await;
        let path = format!("/api/v1/projects/1/hooks/{}", added.subject_id.unwrap());
        let edited = body.replace("Style", "Looks");
        let (_, row) =
            self.by(("PUT", &of("hooks/{hook}")), &path, &edited, Action::HookEdited).await;
        assert_eq!(row.details["title_before"], "Style");
        self.by(("DELETE", &of("hooks/{hook}")), &path, "", Action::HookDeleted).await;
        let path = "/api/v1/projects/1/hooks/ensure";
        self.by(("POST", &of("hooks/ensure")), path, "", Action::HooksEnsured).await;
        let path = "/api/v1/projects/1/hooks/try";
        let body = format!(r#"{{"written": {body}, "ref": "main"}}"#);
        self.by(("POST", &of("hooks/try")), path, &body, Action::BuildTried).await;
        let path = "/api/v1/account/mail";
        self.by(("PUT", path), path, r#"{"choice": "own"}"#, Action::MailChosen).await;
        for path in ["/api/v1/account/sync", "/api/v1/repositories/sync"] {
            self.by(("POST", path), path, "", Action::UserSynchronized).await;
        }
        let make = ("POST", "/account/tokens/create");
        let form = "name=desktop&scope=read&days=";
        let (_, row) = self.by(make, "/account/tokens/create/", form, Action::TokenMade).await;
        let path = format!("/api/v1/account/tokens/{}", row.subject_id.unwrap());
        let revoke = ("DELETE", "/api/v1/account/tokens/{token}");
        self.by(revoke, &path, "", Action::TokenRevoked).await;
        self.world.sign_in(&self.server.url, "octo").await;
        let begun = self.newest(Action::SignedIn).await;
        let path = format!("/api/v1/account/sessions/{}", begun.subject_id.unwrap());
        let end = ("DELETE", "/api/v1/account/sessions/{session}");
        self.by(end, &path, "", Action::SessionEnded).await;
    }

    async fn webhooks(&mut self) {
        let route = ("POST", "/projects/{project}/webhooks/add");
        let form = format!(
            "format=json&url=https://example.org/{SECRET}&secret=0123456789abcdef0123456789abcdef&event=failed"
        );
        let path = "/projects/1/webhooks/add/";
        let (_, row) = self.by(route, path, &form, Action::WebhookAdded).await;
        assert_eq!(row.subject, "example.org");
        let path = format!("/projects/1/webhooks/{}/remove/", row.subject_id.unwrap());
        let route = ("POST", "/projects/{project}/webhooks/{webhook}/remove");
        self.by(route, &path, "", Action::WebhookRemoved).await;
        let route = ("POST", "/api/v1/projects/{project}/webhooks");
        let body = format!(
            "{{\"format\": \"json\", \"url\": \"https://example.org/{SECRET}\", \"secret\": \"0123456789abcdef0123456789abcdef\", \
             \"events\": [\"failed\"]}}"
        );
        let path = "/api/v1/projects/1/webhooks";
        let (_, row) = self.by(route, path, &body, Action::WebhookAdded).await;
        let path = format!("/api/v1/projects/1/webhooks/{}", row.subject_id.unwrap());
        let route = ("DELETE", "/api/v1/projects/{project}/webhooks/{webhook}");
        self.by(route, &path, "", Action::WebhookRemoved).await;
        self.by(("POST", "/account/mail"), "/account/mail/", "general=never", Action::MailChosen)
            .await;
    }

    async fn builds(&mut self) {
        let sha = self.world.push(&[("a", b"1")]).await;
        let (build, job) = self.build(&sha).await;
        let form = "title=Style&image=busybox&build_script=%23!/bin/sh%0Atrue&ref=main&\
                    options=label+%3D+nobodys";
        let path = "/projects/1/hooks/try/";
        self.by(("POST", "/projects/{project}/hooks/try"), path, form, Action::BuildTried).await;
        let start = ("POST", "/projects/{project}/start");
        self.by(start, "/projects/1/start/", "ref=main", Action::BuildStarted).await;
        let start = ("POST", "/api/v1/projects/{project}/builds");
        self.by(start, "/api/v1/projects/1/builds", "{\"ref\": \"main\"}", Action::BuildStarted)
            .await;
        let of = |what: &str| format!("/projects/{{project}}/builds/{{build}}/{what}");
        let cancel = format!("/projects/1/builds/{build}/cancel/");
        let (_, row) = self.by(("POST", &of("cancel")), &cancel, "", Action::JobCancelled).await;
        assert_eq!((row.subject_id, row.subject.as_str()), (Some(job), "Tests of build 1"));
        let again = format!("/projects/1/builds/{build}/restart/");
        self.by(("POST", &of("restart")), &again, "", Action::BuildRestarted).await;
        let api = |what: &str| format!("/api/v1/builds/{{build}}/{what}");
        let path = format!("/api/v1/builds/{build}/cancel");
        self.by(("POST", &api("cancel")), &path, "", Action::JobCancelled).await;
        let path = format!("/api/v1/builds/{build}/restart");
        self.by(("POST", &api("restart")), &path, "", Action::BuildRestarted).await;
        let (_, job) = self.build(&sha).await;
        let of = |what: &str| format!("/projects/{{project}}/jobs/{{job}}/{what}");
        let path = format!("/projects/1/jobs/{job}/cancel/");
        self.by(("POST", &of("cancel")), &path, "", Action::JobCancelled).await;
        let path = format!("/projects/1/jobs/{job}/restart/");
        self.by(("POST", &of("restart")), &path, "", Action::JobRestarted).await;
        let (_, job) = self.build(&sha).await;
        let api = |what: &str| format!("/api/v1/jobs/{{job}}/{what}");
        let path = format!("/api/v1/jobs/{job}/cancel");
        self.by(("POST", &api("cancel")), &path, "", Action::JobCancelled).await;
        let path = format!("/api/v1/jobs/{job}/restart");
        self.by(("POST", &api("restart")), &path, "", Action::JobRestarted).await;
        let made = format!(
            "INSERT INTO install_steps (job_id, cache_id, outcome, because, made_at) \
             VALUES ({job}, 'c', 'made', 'it was wanted', 1)"
        );
        self.world.change(&made).await;
        let path = format!("/projects/1/jobs/{job}/drop-image/");
        self.by(("POST", &of("drop-image")), &path, "", Action::ImageDropped).await;
        let path = format!("/api/v1/jobs/{job}/drop-image");
        self.by(("POST", &api("drop-image")), &path, "", Action::ImageDropped).await;
    }

    async fn forks(&mut self) {
        let sim = &self.world.sim;
        sim.add_user("mallory").await.unwrap();
        sim.fork("octo/orbit", "mallory").await.unwrap();
        let mut builds = Vec::new();
        for branch in ["one", "two"] {
            let push = Push::new("mallory/orbit", "mallory").branch(branch).write("b", branch);
            let sha = sim.push(&push.message("Better")).await.unwrap();
            let head = format!("mallory:{branch}");
            sim.open_pull_request("octo/orbit", "mallory", &head, "main", branch, "")
                .await
                .unwrap();
            builds.push((self.build(&sha).await.0, sha));
        }
        let (build, sha) = &builds[0];
        let route = ("POST", "/projects/{project}/builds/{build}/approve");
        let path = format!("/projects/1/builds/{build}/approve/");
        let form = format!("sha={sha}&author=");
        let (_, row) = self.by(route, &path, &form, Action::BuildApproved).await;
        assert_eq!(row.details["author"], "mallory");
        let path = format!("/api/v1/builds/{}/approve", builds[1].0);
        self.by(("POST", "/api/v1/builds/{build}/approve"), &path, "", Action::BuildApproved).await;
    }

    async fn people(&mut self) {
        self.by(
            ("POST", "/repositories/sync"),
            "/repositories/sync/",
            "",
            Action::UserSynchronized,
        )
        .await;
        let sync = "/account/memberships/sync";
        self.by(("POST", sync), "/account/memberships/sync/", "", Action::UserSynchronized).await;
        let form = "name=laptop&scope=read&days=";
        let make = ("POST", "/account/tokens/create");
        let (page, row) = self.by(make, "/account/tokens/create/", form, Action::TokenMade).await;
        let page = page.text().await.unwrap();
        let token = page.split("<code>kozmic_").nth(1).unwrap().split('<').next().unwrap();
        assert!(!format!("{row:?}").contains(token));
        let path = format!("/account/tokens/{}/revoke/", row.subject_id.unwrap());
        let revoke = ("POST", "/account/tokens/{token}/revoke");
        self.by(revoke, &path, "", Action::TokenRevoked).await;
        self.world.sign_in(&self.server.url, "octo").await;
        let begun = self.newest(Action::SignedIn).await;
        assert_eq!((begun.actor.as_str(), begun.via.as_str()), ("octo", "request"));
        let path = format!("/account/sessions/{}/end/", begun.subject_id.unwrap());
        let end = ("POST", "/account/sessions/{session}/end");
        self.by(end, &path, "", Action::SessionEnded).await;
    }

    /// Another project: on, taken over, deleted; by pages or by the API.
    async fn another(&mut self, by_api: bool) {
        let name = if by_api { "moon" } else { "comet" };
        let repository = self.world.sim.add_repository("octo", name).await.unwrap();
        self.by(
            ("POST", "/repositories/sync"),
            "/repositories/sync/",
            "",
            Action::UserSynchronized,
        )
        .await;
        let (_, row) = if by_api {
            let path = "/api/v1/projects";
            let body = format!(r#"{{"repository": {repository}}}"#);
            self.by(("POST", path), path, &body, Action::ProjectAdded).await
        } else {
            let on = ("POST", "/repositories/{repository}/on");
            let path = format!("/repositories/{repository}/on/");
            self.by(on, &path, "", Action::ProjectAdded).await
        };
        let id = row.project.unwrap().0;
        // Somebody owned it who has left.
        if !by_api {
            self.world.sim.add_user("gone").await.unwrap();
            self.world.visitor(&self.server.url, "gone").await;
        }
        self.world
            .change(&format!(
                "UPDATE projects SET owner_id = (SELECT id FROM users WHERE gh_login = 'gone') WHERE id = {id}"
            ))
            .await;
        self.world
            .change(&format!(
                "INSERT INTO memberships (project_id, user_id, allows_management, created_at) \
                 SELECT {id}, id, 1, 1 FROM users WHERE gh_login = 'octo'"
            ))
            .await;
        let (take, path) = if by_api {
            ("/api/v1/projects/{project}/take-over", format!("/api/v1/projects/{id}/take-over"))
        } else {
            ("/projects/{project}/take-over", format!("/projects/{id}/take-over/"))
        };
        self.by(("POST", take), &path, "", Action::ProjectTakenOver).await;
        let (_, row) = if by_api {
            let path = format!("/api/v1/projects/{id}?full_name=octo/moon");
            let delete = ("DELETE", "/api/v1/projects/{project}");
            self.by(delete, &path, "", Action::ProjectDeleted).await
        } else {
            let delete = ("POST", "/projects/{project}/delete");
            let path = format!("/projects/{id}/delete/");
            self.by(delete, &path, "full_name=octo/comet", Action::ProjectDeleted).await
        };
        assert_eq!(row.project_name, Some(format!("octo/{name}")));
    }

    /// As `kozmic try` does, of a tree with one file.
    async fn tries(&mut self) {
        let tree = self.world.folder().join("clone");
        let url = format!("{}/octo/orbit.git", self.world.sim.url());
        let cloned = std::process::Command::new("git")
            .args(["clone", "--quiet", &url, tree.to_str().unwrap()])
            .status();
        assert!(cloned.unwrap().success());
        let url = self.server.url.clone();
        let mut command = self.world.command(&url, &["try", "octo/orbit"]);
        command.current_dir(&tree).kill_on_drop(true);
        command.env("KOZMIC_SERVER", &url).env("KOZMIC_TOKEN", &self.token);
        // It would follow the log, and no worker ever takes the job.
        let mut running = command.spawn().unwrap();
        let row = eventually("a tried tree", async || {
            self.news().await.into_iter().find(|row| row.action == Action::BuildTried)
        })
        .await;
        assert_eq!((row.actor.as_str(), row.via.as_str()), ("octo", "token"));
        running.kill().await.unwrap();
        self.seen.insert(("POST".into(), "/api/v1/projects/{project}/tries".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_that_changes_something_is_written_down() {
    let mut change = Change::new().await;
    change.people().await;
    change.project().await;
    change.webhooks().await;
    change.builds().await;
    change.by_calls().await;
    change.forks().await;
    change.tries().await;
    change.another(false).await;
    change.another(true).await;
    let (answer, _) = change.by(("POST", "/logout"), "/logout/", "", Action::SignedOut).await;
    assert_eq!(location(&answer), "/login/");
    let declared = entries().into_iter().filter(|entry| entry.method != "GET");
    let declared = declared.map(|entry| (entry.method.to_owned(), entry.path.to_owned()));
    let not_written =
        NOT_WRITTEN.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()));
    let known: BTreeSet<_> = change.seen.iter().cloned().chain(not_written).collect();
    assert_eq!(
        declared.collect::<BTreeSet<_>>(),
        known,
        "a new route is tried here, or named with why not"
    );
    let all = change.world.run(&change.server.url, &["audit", "--json", "--limit", "0"]).await;
    let all = String::from_utf8(all.stdout).unwrap();
    assert!(all.contains("\"secret.set\"") && !all.contains(SECRET), "{all}");
    change.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_on_the_machine_and_by_kozmic_is_told_apart() {
    let world = World::with(&[("KOZMIC_ADMINS", "octo")]).await;
    let server = world.serve().await;
    world.add_project(&server.url).await;
    let set = world.run(&server.url, &["project", "set", "octo/orbit", "--env", "MODE=fast"]).await;
    assert!(set.status.success());
    world.sim.add_user("ada").await.unwrap();
    world.visitor(&server.url, "ada").await;
    world.sim.add_collaborator("octo/orbit", "ada", "push").await.unwrap();
    let octo = world.visitor(&server.url, "octo").await;
    let sync = async || {
        let path = format!("{}/projects/1/memberships/sync/", server.url);
        octo.post(path).send().await.unwrap().text().await.unwrap()
    };
    sync().await;
    world.sim.remove_collaborator("octo/orbit", "ada").await.unwrap();
    sync().await;
    let printed = world.run(&server.url, &["audit", "--project", "octo/orbit"]).await;
    let printed = String::from_utf8(printed.stdout).unwrap();
    let line = |action: &str| {
        printed
            .lines()
            .find(|line| line.contains(action))
            .unwrap_or_else(|| panic!("{action}: {printed}"))
    };
    assert!(line("project.added").contains("cli:"), "{printed}");
    let options = line("project.options");
    // Of a variable only the name: people put into them what they should not.
    assert!(options.contains("MODE") && !options.contains("fast"), "{options}");
    assert!(
        line("member.set").contains("ada") && line("member.set").contains("manager"),
        "{printed}"
    );
    assert!(
        line("member.removed").contains("octo") && line("member.removed").contains("127.0.0.1")
    );
    // Managers see it on a page, with the way there from the settings; members don't.
    let page = world.page(&format!("{}/projects/1/changes/", server.url)).await;
    assert!(page.contains("took the role of somebody") && page.contains("ada"), "{page}");
    let settings = world.page(&format!("{}/projects/1/settings/", server.url)).await;
    assert!(settings.contains("href=\"/projects/1/changes/\""), "{settings}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_let_in_is_written_down_and_cli_users_are_not_lost_in_a_rotation() {
    let world = World::with(&[("KOZMIC_ALLOWED_USERS", "octo"), ("KOZMIC_ADMINS", "octo")]).await;
    let server = world.serve().await;
    world.sim.add_user("mallory").await.unwrap();
    let refused = world.sign_in(&server.url, "mallory").await;
    assert_eq!(refused.status(), 403);
    let octo = world.visitor(&server.url, "octo").await;
    let page = octo.get(format!("{}/administration/audit/", server.url)).send().await.unwrap();
    let page = page.text().await.unwrap();
    assert!(page.contains("was not let in") && page.contains("mallory"), "{page}");
    let answer = world.http.get(format!("{}/api/v1/audit", server.url));
    let answer = answer.bearer_auth(world.api_token().await).send().await.unwrap();
    let answer: serde_json::Value = answer.json().await.unwrap();
    let actions: Vec<&str> = answer["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["action"].as_str().unwrap())
        .collect();
    assert!(actions.contains(&"sign-in.refused") && actions.contains(&"token.made"), "{actions:?}");
    server.stop().await;
    let rotated = world.run("http://127.0.0.1:0", &["secret-key", "rotate"]).await;
    assert!(rotated.status.success(), "{rotated:?}");
    let printed = world.run("http://127.0.0.1:0", &["audit", "--limit", "1"]).await;
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(printed.contains("secret-key.rotated") && printed.contains("cli:"), "{printed}");
}
