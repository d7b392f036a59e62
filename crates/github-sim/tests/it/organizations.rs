//! Who may do what in an organization's repositories.

use github_sim::client::{Method, Push, Sim};
use serde_json::{Value, json};

use crate::github::{GitHub, PATIENCE, Receiver, SECRET};

const ENGINE: &str = "acme/engine";

/// An organization of alice's with a private repository, the team Core below Engineers, where
/// dora is, and the members bob and carol; erin is an outside collaborator.
async fn acme() -> GitHub {
    let github = GitHub::start().await;
    let sim = &github.sim;
    for login in ["bob", "carol", "dora", "erin", "frank"] {
        sim.add_user(login).await.unwrap();
    }
    sim.add_organization("acme", "alice").await.unwrap();
    sim.set_base_role("acme", None).await.unwrap();
    sim.add_repository("acme", "engine").await.unwrap();
    sim.set_private(ENGINE, true).await.unwrap();
    sim.add_member("acme", "bob").await.unwrap();
    sim.add_member("acme", "carol").await.unwrap();
    let above = sim.add_team("acme", "Engineers", None).await.unwrap();
    let core = sim.add_team("acme", "Core", Some(&above)).await.unwrap();
    sim.add_team_member("acme", &core, "dora").await.unwrap();
    sim.add_team_repository("acme", &above, ENGINE, "maintain").await.unwrap();
    sim.add_collaborator(ENGINE, "bob", "triage").await.unwrap();
    sim.add_collaborator(ENGINE, "erin", "push").await.unwrap();
    github
}

async fn get(sim: &Sim, login: &str, path: &str) -> Value {
    sim.rest(login, Method::GET, path, None).await.unwrap()
}

async fn refusal(sim: &Sim, login: &str, path: &str) -> String {
    sim.rest(login, Method::GET, path, None).await.unwrap_err().to_string()
}

/// One field of each entry of a list.
fn each(list: &Value, field: &str) -> Vec<String> {
    let text = |one: &Value| one[field].as_str().unwrap().to_owned();
    list.as_array().unwrap().iter().map(text).collect()
}

#[tokio::test]
async fn a_role_comes_from_the_organization_its_teams_and_invitations() {
    let github = acme().await;
    let sim = &github.sim;
    let path = format!("/repos/{ENGINE}");
    for (login, role) in [
        ("alice", Some("admin")),
        ("bob", Some("triage")),
        ("carol", None),
        ("dora", Some("maintain")),
        ("erin", Some("push")),
        ("frank", None),
    ] {
        let Some(role) = role else {
            assert_eq!(refusal(sim, login, &path).await, "Not Found", "{login}");
            continue;
        };
        let shown = get(sim, login, &path).await;
        assert_eq!(shown["permissions"][role], true, "{login}");
        let more = ["pull", "triage", "push", "maintain", "admin"];
        let next = more.iter().skip_while(|one| **one != role).nth(1);
        if let Some(next) = next {
            assert_eq!(shown["permissions"][*next], false, "{login}");
        }
        assert_eq!(shown["owner"]["type"], "Organization");
    }
    sim.set_base_role("acme", Some("read")).await.unwrap();
    assert_eq!(get(sim, "carol", &path).await["permissions"]["pull"], true);
    assert_eq!(refusal(sim, "frank", &path).await, "Not Found");
    sim.remove_member("acme", "dora").await.unwrap();
    assert_eq!(refusal(sim, "dora", &path).await, "Not Found");
}

#[tokio::test]
async fn collaborators_are_listed_by_affiliation_and_permission_for_those_who_may_push() {
    let github = acme().await;
    let sim = &github.sim;
    let path = format!("/repos/{ENGINE}/collaborators");
    for (query, expected) in [
        ("", vec!["alice", "bob", "dora", "erin"]),
        ("?affiliation=direct", vec!["bob", "erin"]),
        ("?affiliation=outside", vec!["erin"]),
        ("?permission=push", vec!["alice", "dora", "erin"]),
        ("?permission=admin", vec!["alice"]),
    ] {
        let listed = get(sim, "erin", &format!("{path}{query}")).await;
        assert_eq!(each(&listed, "login"), expected, "{query}");
    }
    let roles = each(&get(sim, "erin", &path).await, "role_name");
    assert_eq!(roles, ["admin", "triage", "maintain", "write"]);
    let refused = refusal(sim, "bob", &path).await;
    assert_eq!(refused, "Must have push access to view repository collaborators.");

    for (login, permission, role) in [
        ("alice", "admin", "admin"),
        ("bob", "read", "triage"),
        ("carol", "none", "none"),
        ("dora", "write", "maintain"),
    ] {
        let shown = get(sim, "erin", &format!("{path}/{login}/permission")).await;
        assert_eq!((&shown["permission"], &shown["role_name"]), (&permission.into(), &role.into()));
    }
    assert_eq!(get(sim, "erin", &format!("{path}/dora")).await, Value::Null);
    assert_eq!(refusal(sim, "erin", &format!("{path}/carol")).await, "Not Found");
}

#[tokio::test]
async fn teams_are_a_flat_list_and_show_the_members_of_those_below() {
    let github = acme().await;
    let sim = &github.sim;
    let teams = get(sim, "carol", "/orgs/acme/teams").await;
    assert_eq!(each(&teams, "slug"), ["core", "engineers"]);
    assert_eq!(teams[0]["parent"]["slug"], "engineers");
    let members = get(sim, "carol", "/orgs/acme/teams/engineers/members").await;
    assert_eq!(each(&members, "login"), ["dora"]);
    assert_eq!(get(sim, "carol", "/orgs/acme/teams/core").await["members_count"], 1);
    let of_repository = get(sim, "dora", &format!("/repos/{ENGINE}/teams")).await;
    assert_eq!(each(&of_repository, "slug"), ["core", "engineers"]);
    assert_eq!(each(&of_repository, "permission"), ["maintain", "maintain"]);
    assert!(refusal(sim, "erin", "/orgs/acme/teams").await.contains("member"));
    assert_eq!(refusal(sim, "erin", "/orgs/acme/teams/core/members").await, "Not Found");
    sim.remove_team_repository("acme", "engineers", ENGINE).await.unwrap();
    sim.remove_team_member("acme", "core", "dora").await.unwrap();
    assert_eq!(get(sim, "alice", &format!("/repos/{ENGINE}/teams")).await, Value::Array(vec![]));
    assert_eq!(refusal(sim, "dora", &format!("/repos/{ENGINE}")).await, "Not Found");
}

#[tokio::test]
async fn a_user_finds_what_they_belong_to() {
    let github = acme().await;
    let sim = &github.sim;
    sim.add_repository("dora", "own").await.unwrap();
    for (login, query, expected) in [
        ("dora", "", vec!["acme/engine", "dora/own"]),
        ("dora", "?affiliation=owner", vec!["dora/own"]),
        ("dora", "?affiliation=organization_member", vec!["acme/engine"]),
        ("dora", "?visibility=private", vec!["acme/engine"]),
        ("dora", "?type=owner", vec!["dora/own"]),
        ("dora", "?sort=created&direction=asc", vec!["acme/engine", "dora/own"]),
        ("erin", "?affiliation=collaborator", vec!["acme/engine"]),
        ("erin", "?affiliation=organization_member", vec![]),
        ("carol", "", vec![]),
    ] {
        let listed = get(sim, login, &format!("/user/repos{query}")).await;
        assert_eq!(each(&listed, "full_name"), expected, "{login} {query}");
    }
    let both = refusal(sim, "dora", "/user/repos?type=owner&visibility=all").await;
    assert!(both.contains("cannot specify type"), "{both}");
    assert_eq!(each(&get(sim, "dora", "/user/orgs").await, "login"), ["acme"]);
    assert_eq!(get(sim, "erin", "/user/orgs").await, Value::Array(vec![]));
    let mine = get(sim, "alice", "/user/memberships/orgs").await;
    assert_eq!(each(&mine, "role"), ["admin"]);
    let membership = get(sim, "dora", "/user/memberships/orgs/ACME").await;
    assert_eq!((&membership["role"], &membership["state"]), (&"member".into(), &"active".into()));
    assert_eq!(refusal(sim, "erin", "/user/memberships/orgs/acme").await, "Not Found");
    let repositories = get(sim, "carol", "/orgs/acme/repos").await;
    assert_eq!(repositories, Value::Array(vec![]));
    let repositories = get(sim, "dora", "/orgs/acme/repos?type=private").await;
    assert_eq!(each(&repositories, "full_name"), [ENGINE]);
    assert_eq!(get(sim, "frank", "/orgs/acme").await["login"], "acme");
    let owners = get(sim, "bob", "/orgs/acme/members?role=admin").await;
    assert_eq!(each(&owners, "login"), ["alice"]);
    assert_eq!(get(sim, "bob", "/orgs/acme/members/dora").await, Value::Null);
}

#[tokio::test]
async fn webhooks_of_an_organization_s_repository_name_the_organization() {
    let github = acme().await;
    let receiver = Receiver::start().await;
    let hook = json!({
        "config": {"url": receiver.url, "content_type": "json", "secret": SECRET},
        "events": ["push", "pull_request", "team_add"],
    });
    let hooks = format!("/repos/{ENGINE}/hooks");
    assert_eq!(refusal(&github.sim, "dora", &hooks).await, "Not Found");
    github.sim.rest("alice", Method::POST, &hooks, Some(hook)).await.unwrap();
    github.sim.push(&Push::new(ENGINE, "dora").write("a", "1")).await.unwrap();
    github.sim.push(&Push::new(ENGINE, "dora").branch("b").write("b", "1")).await.unwrap();
    github.sim.open_pull_request(ENGINE, "erin", "b", "main", "B", "").await.unwrap();
    github.sim.add_team("acme", "Designers", None).await.unwrap();
    github.sim.add_team_repository("acme", "designers", ENGINE, "read").await.unwrap();
    github.sim.wait_for_deliveries(ENGINE, 5, PATIENCE).await.unwrap();
    assert_eq!(receiver.story(), ["push", "push", "pull_request opened", "team_add"]);
    for event in ["ping", "push", "pull_request", "team_add"] {
        assert_eq!(receiver.of(event)[0]["organization"]["login"], "acme", "{event}");
    }
    assert_eq!(receiver.of("team_add")[0]["team"]["slug"], "designers");
}
