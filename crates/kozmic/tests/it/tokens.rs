//! API tokens and sessions, from the account's page.

use std::time::Duration;

use kozmic::model::{Timestamp, TokenScope, TokenSpec};
use reqwest::Client;

use crate::harness::{BASE, Server, World, hook};
use crate::store::{on_both, project};

async fn world() -> (World, Server, Client) {
    let world = World::new().await;
    let server = world.serve().await;
    world.project(&server.url, &[hook("Tests", BASE, ":\n")]).await;
    let visitor = world.visitor(&server.url, "octo").await;
    (world, server, visitor)
}

async fn post(visitor: &Client, url: &str, path: &str, form: &[(&str, &str)]) -> (u16, String) {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = visitor.post(format!("{url}{path}")).header("Origin", url).body(body);
    let kind = "application/x-www-form-urlencoded";
    let answer = request.header("Content-Type", kind).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn account(visitor: &Client, url: &str) -> String {
    visitor.get(format!("{url}/account/settings/")).send().await.unwrap().text().await.unwrap()
}

fn token_of(page: &str) -> String {
    let start = page.find("<code>kozmic_").expect("a token is shown") + "<code>".len();
    page[start..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shown_once_and_does_what_its_scope_says_until_it_is_revoked() {
    let (world, server, visitor) = world().await;
    let url = &server.url;
    let make = "/account/tokens/create/";
    let form = [("name", "read <b>only</b>"), ("scope", "read"), ("days", "90")];
    let (status, page) = post(&visitor, url, make, &form).await;
    assert_eq!(status, 200);
    let reads = token_of(&page);
    let (_, page) =
        post(&visitor, url, make, &[("name", "all"), ("scope", "write"), ("days", "")]).await;
    let writes = token_of(&page);
    let page = account(&visitor, url).await;
    assert!(!page.contains(&reads) && !page.contains(&writes), "shown once");
    assert!(page.contains("read &#60;b&#62;only&#60;/b&#62;") && page.contains("never used"));

    let sha = world.push(&[("a", b"a")]).await;
    world.finished(url, &sha).await;
    let asked = async |token: &str, method: &str, path: &str| {
        let request = world.http.request(method.parse().unwrap(), format!("{url}{path}"));
        request.bearer_auth(token).send().await.unwrap().status().as_u16()
    };
    for (method, path, by_reader, by_writer) in [
        ("GET", "/api/v1/projects/1/builds", 200, 200),
        ("GET", "/projects/1/jobs/1/log/", 200, 200),
        ("POST", "/api/v1/jobs/1/restart", 403, 200),
        ("GET", "/api/v1/projects/1/secrets", 403, 200),
    ] {
        assert_eq!(asked(&reads, method, path).await, by_reader, "{method} {path}");
        assert_eq!(asked(&writes, method, path).await, by_writer, "{method} {path}");
    }
    let page = account(&visitor, url).await;
    assert!(page.contains("last used"), "{page}");

    // Nobody else can revoke it.
    world.sim.add_user("eve").await.unwrap();
    let eve = world.visitor(url, "eve").await;
    let row = &page[page.find(">all</bdi>").unwrap()..];
    let revoke = &row[row.find("/account/tokens/").unwrap()..];
    let revoke = revoke.split('"').next().unwrap();
    assert_eq!(post(&eve, url, revoke, &[]).await.0, 404);
    assert_eq!(post(&visitor, url, revoke, &[]).await.0, 303);
    assert_eq!(asked(&writes, "GET", "/api/v1/projects").await, 401);
    assert_eq!(asked(&reads, "GET", "/api/v1/projects").await, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_a_token_make_none_and_keep_what_was_typed() {
    let (world, server, visitor) = world().await;
    let form = [("name", "laptop"), ("scope", "write"), ("days", "soon")];
    let (status, page) = post(&visitor, &server.url, "/account/tokens/create/", &form).await;
    assert_eq!(status, 422);
    assert!(page.contains("The token was not made: its time must be a number of days"), "{page}");
    assert!(page.contains("value=\"laptop\"") && page.contains("value=\"soon\""), "{page}");
    let list = world.run(&server.url, &["token", "list", "--user", "OCTO"]).await;
    assert_eq!(String::from_utf8_lossy(&list.stdout).lines().count(), 1, "only the head");
    let nobody = world.run(&server.url, &["token", "list", "--user", "nobody"]).await;
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("there is no user nobody"));
    let none = world.run(&server.url, &["token", "revoke", "--user", "octo", "7"]).await;
    assert!(String::from_utf8_lossy(&none.stderr).contains("octo has no token 7"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_elsewhere_can_be_ended() {
    let (world, server, visitor) = world().await;
    let url = &server.url;
    let elsewhere = world.visitor(url, "octo").await;
    let page = account(&visitor, url).await;
    let ends: Vec<String> = page
        .match_indices("/account/sessions/")
        .map(|(at, _)| page[at..].split('"').next().unwrap().to_owned())
        .collect();
    let [end] = &ends[..] else { panic!("the other one and not this one: {ends:?}") };
    assert_eq!(post(&visitor, url, end, &[]).await.0, 303);
    assert!(account(&visitor, url).await.contains("(this one)"));
    let answer = elsewhere.get(format!("{url}/account/settings/")).send().await.unwrap();
    assert_eq!(answer.status(), 303, "it leads to the sign-in");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_expire_and_are_bounded_in_number() {
    on_both(async |store| {
        let (project, _) = project(&store, &[]).await;
        let owner = store.project(project).await.unwrap().unwrap().owner;
        let spec = |days: &str| TokenSpec::parse("t", "read", days).unwrap();
        let token = store.token_created(owner, &spec("1"), Timestamp(0)).await.unwrap();
        let day = Timestamp(0).plus(Duration::from_hours(24));
        let used = store.token_used(&token, Timestamp(day.0 - 1)).await.unwrap().unwrap();
        assert_eq!((used.user.id, used.scope), (owner, TokenScope::Read));
        assert!(store.token_used(&token, day).await.unwrap().is_none());
        assert!(store.tokens(owner, day).await.unwrap().is_empty());
        for _ in 0..100 {
            store.token_created(owner, &spec(""), day).await.unwrap();
        }
        let refused = store.token_created(owner, &spec(""), day).await.unwrap_err();
        assert!(refused.to_string().contains("100 tokens already"), "{refused}");
        assert_eq!(store.tokens(owner, day).await.unwrap().len(), 100, "the expired one is gone");
    })
    .await;
}
