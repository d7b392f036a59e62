//! From the first sign-in to the first green status, and who may do what on the way.

use github_sim::client::{Fault, FaultKind, Push};
use kozmic::model::{ProjectId, Timestamp};
use reqwest::{Client, Response, StatusCode, header};
use secrecy::ExposeSecret as _;

use crate::harness::{BASE, Server, Sshd, World, eventually, location};

const ROCKET: &str = "acme/rocket";

/// An organization's private repository, whose owner is ada; bob may push by a team,
/// carol may read, and dave is an owner as well.
async fn organization(world: &World) -> u64 {
    for login in ["ada", "bob", "carol", "dave"] {
        world.sim.add_user(login).await.unwrap();
    }
    world.sim.add_organization("acme", "ada").await.unwrap();
    world.sim.add_owner("acme", "dave").await.unwrap();
    for login in ["bob", "carol"] {
        world.sim.add_member("acme", login).await.unwrap();
    }
    world.sim.set_base_role("acme", None).await.unwrap();
    let repository = world.sim.add_repository("acme", "rocket").await.unwrap();
    world.sim.set_private(ROCKET, true).await.unwrap();
    world.sim.add_team("acme", "builders", None).await.unwrap();
    world.sim.add_team_member("acme", "builders", "bob").await.unwrap();
    world.sim.add_team_repository("acme", "builders", ROCKET, "push").await.unwrap();
    world.sim.add_collaborator(ROCKET, "carol", "pull").await.unwrap();
    repository
}

async fn rocket_world() -> (World, Sshd, Server, u64) {
    rocket_world_with(&[]).await
}

async fn rocket_world_with(settings: &[(&str, &str)]) -> (World, Sshd, Server, u64) {
    let mut world = World::with(settings).await;
    let sshd = Sshd::start(&world).await;
    world.set("KOZMIC_SSH_KNOWN_HOSTS", &sshd.known_hosts());
    let repository = organization(&world).await;
    let server = world.serve().await;
    (world, sshd, server, repository)
}

async fn text(answer: Response) -> String {
    answer.text().await.unwrap()
}

async fn page(visitor: &Client, server: &Server, path: &str) -> String {
    let answer = visitor.get(format!("{}{path}", server.url)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    text(answer).await
}

async fn post(visitor: &Client, server: &Server, path: &str, form: &[(&str, &str)]) -> Response {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = visitor.post(format!("{}{path}", server.url)).body(body);
    let form = "application/x-www-form-urlencoded";
    request.header(header::CONTENT_TYPE, form).send().await.unwrap()
}

const HOOK: [(&str, &str); 4] = [
    ("title", "Tests"),
    ("image", BASE),
    ("build_script", "#!/bin/sh\r\necho lifting off\r\n"),
    ("options", "memory = 256M\nenv = PAD=39A\n"),
];

/// Ada turns the repository on and gives it a hook.
async fn turn_on(server: &Server, ada: &Client, repository: u64) {
    let on = post(ada, server, &format!("/repositories/{repository}/on/"), &[]).await;
    assert_eq!(location(&on), "/projects/1/hooks/add/");
    let added = post(ada, server, "/projects/1/hooks/add/", &HOOK).await;
    assert_eq!(added.status(), StatusCode::SEE_OTHER, "{}", text(added).await);
}

async fn push(world: &World, login: &str, content: &str) -> String {
    let push = Push::new(ROCKET, login).message("Change something").write("a", content);
    world.sim.push(&push).await.unwrap()
}

async fn is_green(world: &World, sha: &str) {
    eventually("a green status", async || {
        let statuses = world.sim.statuses(ROCKET, sha).await.unwrap();
        let latest = statuses.into_iter().find(|status| status.context == "Kozmic-CI")?;
        assert!(!matches!(latest.state.as_str(), "failure" | "error"), "{latest:?}");
        (latest.state == "success").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_organization_repository_is_turned_on_and_gets_its_first_green_status() {
    let (world, _sshd, server, repository) = rocket_world().await;
    let ada = world.visitor(&server.url, "ada").await;
    assert!(page(&ada, &server, "/").await.contains("href=\"/repositories/\""));
    let offered = page(&ada, &server, "/repositories/").await;
    assert!(offered.contains(">acme</h2>") && offered.contains(">rocket</span>"), "{offered}");
    assert!(offered.contains("private") && !offered.contains("orbit"), "{offered}");
    turn_on(&server, &ada, repository).await;
    let keys = world.sim.deploy_keys(ROCKET).await.unwrap();
    assert_eq!(keys.iter().map(|key| key.read_only).collect::<Vec<_>>(), [true]);
    let form = page(&ada, &server, "/projects/1/hooks/1/edit/").await;
    assert!(form.contains("echo lifting off\n") && form.contains("env = PAD=39A"), "{form}");
    let sha = push(&world, "ada", "1").await;
    is_green(&world, &sha).await;
    let build = page(&ada, &server, "/projects/1/builds/1/").await;
    assert!(build.contains("lifting off"), "{build}");
    // It is on: nobody is offered it any more.
    let offered = page(&ada, &server, "/repositories/").await;
    assert!(!offered.contains(&format!("Turn on {ROCKET}")), "{offered}");
    assert!(offered.contains(&format!("{ROCKET} is on already")), "{offered}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_is_turned_on_once_and_by_who_administers_it() {
    let (world, _sshd, server, repository) = rocket_world().await;
    let dave = world.visitor(&server.url, "dave").await;
    let bob = world.visitor(&server.url, "bob").await;
    let ada = world.visitor(&server.url, "ada").await;
    let on = format!("/repositories/{repository}/on/");
    assert_eq!(post(&bob, &server, &on, &[]).await.status(), StatusCode::NOT_FOUND);
    turn_on(&server, &ada, repository).await;
    let second = text(post(&dave, &server, &on, &[]).await).await;
    assert!(second.contains("acme/rocket is a project already: ada turned it on."), "{second}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_follow_collaborators_and_teams() {
    let (world, _sshd, server, repository) = rocket_world().await;
    let ada = world.visitor(&server.url, "ada").await;
    let bob = world.visitor(&server.url, "bob").await;
    turn_on(&server, &ada, repository).await;
    // Bob was here before the project, carol comes after it.
    let carol = world.visitor(&server.url, "carol").await;
    let settings = page(&carol, &server, "/projects/1/settings/").await;
    for row in ["ada</bdi>, owner", "bob</bdi>, manager", "carol</bdi>, member"] {
        assert!(settings.contains(row), "{row}: {settings}");
    }
    assert!(!settings.contains("hooks/add") && !settings.contains("danger"), "{settings}");
    let add = "/projects/1/hooks/add/";
    assert_eq!(post(&carol, &server, add, &HOOK).await.status(), StatusCode::FORBIDDEN);
    let delete = "/projects/1/delete/";
    let name = [("full_name", ROCKET)];
    assert_eq!(post(&bob, &server, delete, &name).await.status(), StatusCode::FORBIDDEN);
    // GitHub can't tell all: nobody is removed, and it says what it could not.
    world.sim.remove_collaborator(ROCKET, "carol").await.unwrap();
    let fault = Fault {
        method: Some("GET".into()),
        path_contains: "/teams".into(),
        kind: FaultKind::Status(502),
        times: 1,
    };
    world.sim.add_fault(fault).await.unwrap();
    let sync = "/projects/1/memberships/sync/";
    let partial = text(post(&bob, &server, sync, &[]).await).await;
    assert!(partial.contains("the teams of acme/rocket: GitHub did not answer"), "{partial}");
    assert!(partial.contains("carol</bdi>, member"), "{partial}");
    let whole = text(post(&bob, &server, sync, &[]).await).await;
    assert!(whole.contains("Up to date with GitHub.") && !whole.contains("carol"), "{whole}");
    let gone = carol.get(format!("{}/projects/1/", server.url)).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_is_changed_with_a_history_and_deleted_without_its_builds() {
    let (world, _sshd, server, repository) = rocket_world().await;
    let ada = world.visitor(&server.url, "ada").await;
    let bob = world.visitor(&server.url, "bob").await;
    turn_on(&server, &ada, repository).await;
    is_green(&world, &push(&world, "ada", "1").await).await;
    let edit = "/projects/1/hooks/1/edit/";
    let wrong =
        [("title", " "), ("image", "UPPER"), ("build_script", ""), ("options", "memory = much")];
    let refused = post(&bob, &server, edit, &wrong).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let refused = text(refused).await;
    for problem in ["Title: ", "Docker image: ", "Build script: ", "Options, `memory = much`: "] {
        assert!(refused.contains(problem), "{problem}: {refused}");
    }
    let mut changed = HOOK;
    changed[2].1 = "#!/bin/sh\necho '<again>'\n";
    let saved = location(&post(&bob, &server, edit, &changed).await);
    assert_eq!(saved, "/projects/1/settings/?done=hook-saved#hooks");
    let said = page(&bob, &server, saved.split('#').next().unwrap()).await;
    assert!(said.contains("role=\"status\">Saved. It holds for"), "{said}");
    let form = page(&bob, &server, edit).await;
    assert!(form.contains("bob edited it") && form.contains("build script"), "{form}");
    assert!(form.contains("ada added it") && form.contains("&#60;again&#62;"), "{form}");
    is_green(&world, &push(&world, "ada", "2").await).await;
    assert!(page(&bob, &server, "/projects/1/builds/2/").await.contains("&lt;again&gt;"));
    // Deleted by hand at GitHub: no error.
    let webhook = world.sim.webhooks(ROCKET).await.unwrap().remove(0);
    world.sim.delete_webhook(ROCKET, webhook.id).await.unwrap();
    let deleted = post(&bob, &server, "/projects/1/hooks/1/delete/", &[]).await;
    assert_eq!(location(&deleted), "/projects/1/settings/?done=hook-deleted#hooks");
    let settings = page(&bob, &server, "/projects/1/settings/").await;
    assert!(settings.contains("bob deleted <bdi>Tests</bdi>"), "{settings}");
    assert!(page(&bob, &server, "/projects/1/builds/1/").await.contains("lifting off"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_saved_is_said_where_the_form_leads() {
    let world = World::new().await;
    let server = world.serve_with("#!/bin/sh\n:\n").await;
    let octo = world.owner(&server.url).await;
    let options = [("cancels_superseded", "true"), ("forks", "never")];
    let saved = location(&post(octo, &server, "/projects/1/options/", &options).await);
    assert_eq!(saved, "/projects/1/settings/?done=options-saved#options");
    let said = page(octo, &server, "/projects/1/settings/?done=options-saved").await;
    let options = said.split("id=\"options\"").nth(1).unwrap();
    assert!(options.contains("<p class=\"done\" role=\"status\">Saved.</p>"), "{said}");
    let again = post(octo, &server, "/account/memberships/sync/", &[]).await;
    let account = page(octo, &server, location(&again).split('#').next().unwrap()).await;
    assert!(account.contains("role=\"status\">Up to date with GitHub.</p>"), "{account}");
    // Nobody's words but ours are said, and nobody is led elsewhere.
    for foreign in ["//evil.example", "%3Cscript%3E", "https%3A%2F%2Fevil.example"] {
        let path = format!("/projects/1/settings/?done={foreign}");
        let said = page(octo, &server, &path).await;
        assert!(!said.contains("class=\"done\"") && !said.contains("evil"), "{said}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_and_key_are_restored_from_the_page() {
    let (world, _sshd, server, repository) = rocket_world().await;
    let ada = world.visitor(&server.url, "ada").await;
    turn_on(&server, &ada, repository).await;
    let webhook = world.sim.webhooks(ROCKET).await.unwrap().remove(0);
    world.sim.delete_webhook(ROCKET, webhook.id).await.unwrap();
    let key = world.sim.deploy_keys(ROCKET).await.unwrap().remove(0);
    world.sim.delete_deploy_key(ROCKET, key.id).await.unwrap();
    let ensure = "/projects/1/hooks/ensure/";
    let restored = text(post(&ada, &server, ensure, &[]).await).await;
    assert!(restored.contains("The webhook of `Tests` was made."), "{restored}");
    assert!(restored.contains("The deploy key was put right."), "{restored}");
    assert!(text(post(&ada, &server, ensure, &[]).await).await.contains("is as it must be"));
    is_green(&world, &push(&world, "ada", "1").await).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_is_deleted_by_its_owner_who_types_its_name() {
    let (world, _sshd, server, repository) = rocket_world().await;
    let ada = world.visitor(&server.url, "ada").await;
    turn_on(&server, &ada, repository).await;
    is_green(&world, &push(&world, "ada", "1").await).await;
    let delete = "/projects/1/delete/";
    let typo = text(post(&ada, &server, delete, &[("full_name", "acme/rock")]).await).await;
    assert!(typo.contains("type acme/rocket to delete it"), "{typo}");
    let deleted = post(&ada, &server, delete, &[("full_name", ROCKET)]).await;
    assert_eq!(location(&deleted), "/");
    assert!(world.sim.webhooks(ROCKET).await.unwrap().is_empty());
    assert!(world.sim.deploy_keys(ROCKET).await.unwrap().is_empty());
    eventually("the mirror to go", async || {
        (!world.data_dir().join("mirrors/1.git").exists()).then_some(())
    })
    .await;
    assert!(page(&ada, &server, "/repositories/").await.contains(">rocket</span>"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_goes_on_when_its_repository_is_renamed_transferred_and_its_branch_renamed() {
    let (world, _sshd, server, repository) = rocket_world().await;
    let ada = world.visitor(&server.url, "ada").await;
    turn_on(&server, &ada, repository).await;
    is_green(&world, &push(&world, "ada", "1").await).await;
    let name = world.sim.rename_repository(ROCKET, "starship").await.unwrap();
    world.sim.rename_default_branch(&name, "trunk").await.unwrap();
    let synchronized = post(&ada, &server, "/projects/1/memberships/sync/", &[]).await;
    let synchronized = text(synchronized).await;
    assert!(synchronized.contains("<h1>acme/starship</h1>"), "{synchronized}");
    assert!(synchronized.contains("Up to date with GitHub."), "{synchronized}");
    // The next change is told by the push itself.
    world.sim.transfer_repository(&name, "ada").await.unwrap();
    let push = Push::new("ada/starship", "ada").branch("trunk").message("Move").write("a", "2");
    let sha = world.sim.push(&push).await.unwrap();
    eventually("a green status", async || {
        let statuses = world.sim.statuses("ada/starship", &sha).await.unwrap();
        statuses.iter().any(|status| status.state == "success").then_some(())
    })
    .await;
    assert!(page(&ada, &server, "/projects/1/history/").await.contains("<h1>ada/starship</h1>"));
    world.sim.delete_repository("ada/starship").await.unwrap();
    let gone = text(post(&ada, &server, "/projects/1/memberships/sync/", &[]).await).await;
    assert!(gone.contains("GitHub has no ada/starship any more"), "{gone}");
    let deleted =
        post(&ada, &server, "/projects/1/delete/", &[("full_name", "ada/starship")]).await;
    assert!(deleted.status().is_redirection() || text(deleted).await.contains("was deleted"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_takes_over_when_the_owner_has_left() {
    let (world, _sshd, server, repository) = rocket_world().await;
    let ada = world.visitor(&server.url, "ada").await;
    let dave = world.visitor(&server.url, "dave").await;
    let bob = world.visitor(&server.url, "bob").await;
    turn_on(&server, &ada, repository).await;
    let take_over = "/projects/1/take-over/";
    let stays = text(post(&dave, &server, take_over, &[]).await).await;
    assert!(stays.contains("ada owns acme/rocket and still administers it"), "{stays}");
    world.sim.remove_member("acme", "ada").await.unwrap();
    let left = text(post(&dave, &server, "/projects/1/memberships/sync/", &[]).await).await;
    assert!(left.contains("ada owns this project, but does not administer"), "{left}");
    assert!(left.contains("Take the project over"), "{left}");
    // Bob can push, but does not administer it.
    let refused = text(post(&bob, &server, take_over, &[]).await).await;
    assert!(refused.contains("Only somebody who administers acme/rocket"), "{refused}");
    let taken = location(&post(&dave, &server, take_over, &[]).await);
    assert_eq!(taken, "/projects/1/settings/?done=taken-over#owner");
    let settings = page(&dave, &server, "/projects/1/settings/").await;
    assert!(settings.contains("dave</bdi>, owner"), "{settings}");
    // The statuses go on under dave's token.
    is_green(&world, &push(&world, "dave", "1").await).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_s_token_takes_over_from_a_revoked_one() {
    let (world, _sshd, server, repository) = rocket_world().await;
    let ada = world.visitor(&server.url, "ada").await;
    turn_on(&server, &ada, repository).await;
    let bob = world.visitor(&server.url, "bob").await;
    let adas = world.store().await.token_holders(ProjectId(1), Timestamp::now()).await.unwrap();
    let logins: Vec<&str> = adas.iter().map(|holder| holder.login.as_str()).collect();
    assert_eq!(logins, ["ada", "bob"]);
    world.sim.revoke_token(adas[0].token.expose_secret()).await.unwrap();
    // The push is ada's; what tells of it is bob's token.
    is_green(&world, &push(&world, "ada", "1").await).await;
    let history = page(&bob, &server, "/projects/1/history/").await;
    assert!(history.contains("GitHub has not accepted the token of ada"), "{history}");
    world.visitor(&server.url, "ada").await;
    assert!(!page(&bob, &server, "/projects/1/history/").await.contains("not accepted"));
    is_green(&world, &push(&world, "ada", "2").await).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_access_at_github_loses_it_here_without_anybody_asking() {
    let (world, _sshd, server, repository) =
        rocket_world_with(&[("KOZMIC_SYNC_INTERVAL", "1")]).await;
    let ada = world.visitor(&server.url, "ada").await;
    turn_on(&server, &ada, repository).await;
    let carol = world.visitor(&server.url, "carol").await;
    page(&carol, &server, "/projects/1/history/").await;
    world.sim.remove_collaborator(ROCKET, "carol").await.unwrap();
    eventually("carol to see nothing of it", async || {
        let looked = carol.get(format!("{}/projects/1/history/", server.url)).send().await.unwrap();
        (looked.status() == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
    page(&ada, &server, "/projects/1/history/").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn that_the_owner_has_left_is_said_until_github_says_something_else() {
    let (world, _sshd, server, repository) = rocket_world().await;
    let ada = world.visitor(&server.url, "ada").await;
    let dave = world.visitor(&server.url, "dave").await;
    turn_on(&server, &ada, repository).await;
    let token = world.store().await.token_holders(ProjectId(1), Timestamp::now()).await.unwrap();
    world.sim.remove_member("acme", "ada").await.unwrap();
    let sync = "/projects/1/memberships/sync/";
    let left = text(post(&dave, &server, sync, &[]).await).await;
    assert!(left.contains("ada owns this project, but does not administer"), "{left}");
    // With a revoked token nobody knows any more whether ada still does not.
    world.sim.revoke_token(token[0].token.expose_secret()).await.unwrap();
    let still = text(post(&dave, &server, sync, &[]).await).await;
    assert!(still.contains("ada owns this project, but does not administer"), "{still}");
    // Somebody else has taken the name; ada's list does not have the project's repository,
    // dave's does.
    let name = world.sim.rename_repository(ROCKET, "starship").await.unwrap();
    world.sim.add_repository("acme", "rocket").await.unwrap();
    world.visitor(&server.url, "ada").await;
    let found = text(post(&dave, &server, sync, &[]).await).await;
    assert!(found.contains(&format!("<h1>{name}</h1>")), "{found}");
    world.sim.add_owner("acme", "ada").await.unwrap();
    let back = text(post(&dave, &server, sync, &[]).await).await;
    assert!(back.contains("Up to date with GitHub.") && !back.contains("does not admin"), "{back}");
    server.stop().await;
}
